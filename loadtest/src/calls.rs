//! Counts a server's system calls for a while, by `perf stat` if that is there and allowed.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A count that runs.
#[derive(Debug)]
pub struct Calls {
    perf: Child,
    seconds: f64,
}

impl Calls {
    /// Counts those of these processes for so long; `None` if nothing can.
    pub fn count(pids: &[u32], time: Duration) -> Option<Self> {
        // It ends by itself, before whoever waits for it.
        let seconds = time.mul_f64(0.8).as_secs_f64();
        let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
        let mut command = Command::new("perf");
        command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pids.join(",")]);
        command.args(["--", "sleep", &format!("{seconds:.3}")]).env("LC_ALL", "C");
        let perf = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        Some(Self { perf, seconds })
    }

    /// How many there were a second.
    pub fn a_second(self) -> Option<f64> {
        let output = self.perf.wait_with_output().ok()?;
        Some(counted(&String::from_utf8_lossy(&output.stderr))? as f64 / self.seconds)
    }
}

/// The first field of the line that names the event; it is in words if nothing was counted.
fn counted(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    line.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perf_says_is_read() {
        assert_eq!(counted("8123,,raw_syscalls:sys_enter,2000,100.00,,\n"), Some(8123));
        assert_eq!(counted("# warning\n\n17,,raw_syscalls:sys_enter,0,100.00,,"), Some(17));
        assert_eq!(counted("<not counted>,,raw_syscalls:sys_enter,0,100.00,,"), None);
        assert_eq!(counted("event syntax error: unknown tracepoint"), None);
    }
}
