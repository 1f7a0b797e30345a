//! xiu, from crates.io, by the arguments of its README for RTMP and HTTP-FLV; it keeps one GOP then.

use super::launch::{Launch, first_line};
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
    let version = first_line(&program(), "--version").ok_or("xiu is not installed")?;
    let version = version.trim_start_matches("xiu ").to_owned();
    let [rtmp, http] = free_ports()?;
    let launch = Launch::new("xiu", scenario, rtmp)?;
    let mut command = launch.command(&program());
    command.args(["-r", &rtmp.port().to_string(), "-f", &http.port().to_string(), "-l", "warn"]);
    launch.start(command, version, rtmp, Some(http))
}
