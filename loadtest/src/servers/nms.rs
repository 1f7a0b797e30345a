//! Node-Media-Server, from npm, by the program that comes with version 4, or as version 2's README starts it. Both keep
//! one GOP unless told otherwise.

use super::launch::{Launch, first_line};
use super::{Running, free_ports, of_file, peers_folder};
use crate::scenario::Scenario;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One of its main versions; they share little but the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// The last one of the second.
    Two,
    /// The present one.
    Four,
}

impl Major {
    /// Name in results and of its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Two => "nms2",
            Self::Four => "nms4",
        }
    }

    /// The version that `--install` takes.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Two => "2.7.4",
            Self::Four => "4.4.3",
        }
    }

    /// Where it is installed.
    pub fn root(self) -> PathBuf {
        peers_folder().join(self.name())
    }

    /// Its package.
    pub fn package(self) -> PathBuf {
        self.root().join("node_modules/node-media-server")
    }
}

/// Whether it can be started.
pub fn is_there(major: Major) -> bool {
    major.package().join("package.json").exists() && first_line(Path::new("node"), "--version").is_some()
}

/// Starts it.
///
/// # Errors
/// One line that says why it does not run.
pub fn nms(major: Major, scenario: &Scenario) -> Result<Running, String> {
    let version = version(major)?;
    let [rtmp, http] = free_ports()?;
    let launch = Launch::new(major.name(), scenario, rtmp)?;
    let command = match major {
        Major::Two => two(&launch, rtmp.port(), http.port())?,
        Major::Four => four(&launch, rtmp.port(), http.port())?,
    };
    launch.start(command, version, rtmp, Some(http))
}

/// The example of the README.
fn two(launch: &Launch, rtmp: u16, http: u16) -> Result<Command, String> {
    let package = Major::Two.package();
    let text = format!(
        "const NodeMediaServer = require({package:?});\n\
         const config = {{ logType: 1,\n\
         rtmp: {{ port: {rtmp}, chunk_size: 60000, gop_cache: true, ping: 30, ping_timeout: 60 }},\n\
         http: {{ port: {http}, allow_origin: '*' }} }};\n\
         new NodeMediaServer(config).run();\n"
    );
    let script = launch.write("app.js", &text)?;
    let mut command = launch.command(Path::new("node"));
    command.arg(script);
    Ok(command)
}

/// Its program, with the parts of its configuration that are needed.
fn four(launch: &Launch, rtmp: u16, http: u16) -> Result<Command, String> {
    let config = serde_json::json!({
        "bind": "127.0.0.1",
        "store": { "path": "./data", "maxHistory": 10_000 },
        "auth": { "play": false, "publish": false, "secret": "unused" },
        "rtmp": { "port": rtmp },
        "http": { "port": http },
        "record": { "auto": false, "path": "./record" },
    });
    let config = launch.write("config.json", &config.to_string())?;
    let mut command = launch.command(Path::new("node"));
    command.arg(Major::Four.package().join("bin/app.js")).arg("--no-admin").arg("-c").arg(config);
    Ok(command)
}

fn version(major: Major) -> Result<String, String> {
    let path = major.package().join("package.json");
    let text = std::fs::read_to_string(&path).map_err(of_file(&path))?;
    let package: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(package.get("version").and_then(|version| version.as_str()).unwrap_or("?").to_owned())
}
