//! Servers under test, started as child processes on free ports and ended with their value. Each is started by its own
//! documented way, on the scenario's cores.

mod launch;
mod nginx;
mod nms;
mod shardcast;
mod tree;
mod xiu;

pub use nginx::{PACKAGES as NGINX_PACKAGES, is_there as is_nginx_there, nginx};
pub use nms::{Major, is_there as is_nms_there, nms};
pub use shardcast::shardcast;
pub use tree::end_with_signals;
pub use xiu::{VERSION as XIU_VERSION, program as xiu_program, root as xiu_root, xiu};

use crate::target::Target;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// How long a server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    target: Target,
    log: PathBuf,
    folder: Option<PathBuf>,
}

impl Running {
    /// Waits until all its ports answer. Its log, a file, is removed with it.
    ///
    /// # Errors
    /// If the process ends or does not answer in time; with the last line of its log.
    pub fn wait(child: Child, target: Target, log: PathBuf) -> Result<Self, String> {
        tree::began(child.id());
        let mut running = Self { child, target, log, folder: None };
        let begin = Instant::now();
        for address in [Some(running.target.rtmp), running.target.http].into_iter().flatten() {
            while TcpStream::connect(address).is_err() {
                if let Ok(Some(status)) = running.child.try_wait() {
                    return Err(format!(
                        "{} ended with {status}: {}",
                        running.target.name,
                        running.last_line()
                    ));
                }
                if begin.elapsed() > START_LIMIT {
                    let name = &running.target.name;
                    return Err(format!("{name} does not answer at {address}: {}", running.last_line()));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(running)
    }

    /// Where it is.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    fn last_line(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its workers too, or they would keep on.
        tree::end(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Where the peers that no distribution packages are installed: `~/.cache/shardcast-test/peers`.
pub fn peers_folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let tools = set("SHARDCAST_TEST_TOOLS").or_else(|| {
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        Some(cache?.join("shardcast-test"))
    });
    tools.unwrap_or_else(|| PathBuf::from(".cache")).join("peers")
}

/// So many ports that nobody listens on.
///
/// # Errors
/// The system's.
pub fn free_ports<const N: usize>() -> Result<[SocketAddr; N], String> {
    // All are held until the last is found, so that they differ.
    let held: io::Result<Vec<TcpListener>> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let addresses =
        held.and_then(|held| held.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>());
    let addresses = addresses.map_err(|error| format!("no free port: {error}"))?;
    addresses.try_into().map_err(|_| "no free port".into())
}

/// Says which file an error is about.
fn of_file(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}
