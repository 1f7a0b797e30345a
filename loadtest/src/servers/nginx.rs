//! nginx with its RTMP module, as Debian packages them, with the directives of the module's README. It serves RTMP
//! alone, keeps no GOP, and joins a viewer in the midst of one.
//!
//! One worker, however many cores: with two, about half of the viewers get nothing, since `rtmp_auto_push` of this version
//! connects to the other worker's socket and is not answered.

use super::launch::{Launch, first_line};
use super::{Running, free_ports};
use crate::scenario::Scenario;
use std::path::Path;

const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
/// How it is installed.
pub const PACKAGES: [&str; 2] = ["nginx-light", "libnginx-mod-rtmp"];

/// Whether it can be started.
pub fn is_there() -> bool {
    Path::new(MODULE).exists() && first_line(Path::new("nginx"), "-v").is_some()
}

/// Starts it.
///
/// # Errors
/// One line that says why it does not run.
pub fn nginx(scenario: &Scenario) -> Result<Running, String> {
    let version = first_line(Path::new("nginx"), "-v").ok_or("nginx is not installed")?;
    let version = version.rsplit('/').next().unwrap_or_default().to_owned();
    let [rtmp] = free_ports()?;
    let launch = Launch::new("nginx-rtmp", scenario, rtmp)?;
    let connections = launch.connections();
    let folder = launch.folder().display().to_string();
    let text = format!(
        "load_module {MODULE};\ndaemon off;\nuser root;\nworker_processes 1;\n\
         worker_rlimit_nofile {connections};\npid {folder}/pid;\nerror_log stderr warn;\n\
         events {{ worker_connections {connections}; }}\n\
         rtmp {{\n  access_log off;\n  server {{\n    listen 127.0.0.1:{};\n    application live {{ live on; }}\n  }}\n}}\n",
        rtmp.port()
    );
    let config = launch.write("nginx.conf", &text)?;
    let mut command = launch.command(Path::new("nginx"));
    command.arg("-p").arg(launch.folder()).arg("-e").arg("stderr").arg("-c").arg(config);
    launch.start(command, version, rtmp, None)
}
