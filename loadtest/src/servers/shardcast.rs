//! Shardcast as users start it, with as many connections and shards as the scenario wants.

use super::{Running, free_ports};
use crate::scenario::Scenario;
use crate::target::Target;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Connections beyond those of publishers and viewers.
const SPARE: usize = 64;

/// Starts this program.
///
/// # Errors
/// One line that says why it does not run.
pub fn shardcast(scenario: &Scenario, binary: &Path) -> Result<Running, String> {
    let told = |error: std::io::Error| format!("{}: {error}", binary.display());
    let version = Command::new(binary).arg("version").output().map_err(told)?;
    let version = String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned();
    let version = version.trim_start_matches("shardcast ").to_owned();
    let [rtmp, http, admin] = free_ports()?;
    let log =
        std::env::temp_dir().join(format!("loadtest-shardcast-{}-{}.log", std::process::id(), rtmp.port()));
    let out = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let cores: Vec<String> = scenario.server.cores.iter().map(ToString::to_string).collect();
    // Those that churn may overlap for a moment.
    let connections = scenario.view.all() + scenario.view.churn as usize + scenario.publish.streams + SPARE;
    let mut command = Command::new(binary);
    command.arg("serve");
    for (key, value) in [
        ("server.bind", "127.0.0.1".to_owned()),
        ("server.cores", cores.join(",")),
        ("server.max_connections", connections.to_string()),
        ("rtmp.port", rtmp.port().to_string()),
        ("http.port", http.port().to_string()),
        ("admin.port", admin.port().to_string()),
        ("admin.data_dir", String::new()),
        ("admin.anonymous", "read".to_owned()),
        ("log.level", "warn".to_owned()),
    ] {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    for setting in &scenario.server.set {
        command.arg("--set").arg(setting);
    }
    let copy = out.try_clone().map_err(told)?;
    let child =
        command.stdin(Stdio::null()).stdout(copy).stderr(out).process_group(0).spawn().map_err(told)?;
    let target = Target {
        name: "shardcast".into(),
        version,
        rtmp,
        http: Some(http),
        app: "live".into(),
        pid: Some(child.id()),
        feeds_itself: false,
    };
    Running::wait(child, target, log)
}
