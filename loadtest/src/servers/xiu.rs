//! xiu, from crates.io, by the arguments of its README for RTMP and HTTP-FLV; it keeps one GOP then.

use super::launch::Launch;
use super::{Running, free_ports, peers_folder};
use crate::scenario::Scenario;
use std::path::PathBuf;

/// The version that `--install` takes.
pub const VERSION: &str = "0.14.0";

/// Where it is installed.
pub fn root() -> PathBuf {
    peers_folder().join("xiu")
}

/// Its program.
pub fn program() -> PathBuf {
    root().join("bin/xiu")
}

/// Starts it.
///
/// # Errors
/// One line that says why it does not run.
pub fn xiu(scenario: &Scenario) -> Result<Running, String> {
    let version = installed().ok_or("xiu is not installed")?;
    let [rtmp, http] = free_ports()?;
    let launch = Launch::new("xiu", scenario, rtmp)?;
    let mut command = launch.command(&program());
    command.args(["-r", &rtmp.port().to_string(), "-f", &http.port().to_string(), "-l", "warn"]);
    launch.start(command, version, rtmp, Some(http))
}

/// As cargo noted it, for the program says the version before.
fn installed() -> Option<String> {
    let text = std::fs::read_to_string(root().join(".crates.toml")).ok()?;
    let version = text.split_once("\"xiu ")?.1.split_whitespace().next()?;
    Some(version.to_owned())
}
