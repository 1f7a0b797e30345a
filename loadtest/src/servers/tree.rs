//! Processes that were started, so that none outlives the harness, however it ends: servers have workers, and a signal
//! to the harness does not reach them by itself, for each server leads a process group of its own.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A process was started that leads its group.
pub fn began(pid: u32) {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
}

/// Ends a process and its group, and forgets them.
pub fn end(pid: u32) {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| *one != pid);
    kill(pid);
}

/// From now on a signal that ends the harness ends what it started first.
///
/// # Errors
/// The system's.
pub fn end_with_signals() -> Result<(), String> {
    let text = |error: std::io::Error| format!("signals: {error}");
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(text)?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            let started = std::mem::take(&mut *STARTED.lock().unwrap_or_else(PoisonError::into_inner));
            started.into_iter().for_each(kill);
            // As shells tell it.
            std::process::exit(128 + signal);
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(text)?;
    Ok(())
}

/// By the shell, as the library of the language signals no groups.
fn kill(pid: u32) {
    let mut command = Command::new("sh");
    // Without `--`, which dash takes for a process.
    command.args(["-c", "kill -KILL -$0; kill -KILL $0", &pid.to_string()]);
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;

    #[test]
    fn workers_end_with_their_server() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        began(child.id());
        end(child.id());
        child.wait().unwrap();
        // It ends when the last one that holds it does.
        let mut said = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
        assert!(said.is_empty());
        assert!(!STARTED.lock().unwrap().contains(&child.id()));
    }
}
