//! What all peers have in common: a folder for their configuration and log, cores, a limit of open files.

use super::{Running, of_file};
use crate::scenario::Scenario;
use crate::target::Target;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files beyond those of publishers and viewers.
const SPARE: u64 = 1_024;

/// A peer before it runs.
#[derive(Debug)]
pub struct Launch<'a> {
    name: &'static str,
    scenario: &'a Scenario,
    folder: PathBuf,
}

impl<'a> Launch<'a> {
    /// Makes its folder.
    ///
    /// # Errors
    /// The system's.
    pub fn new(name: &'static str, scenario: &'a Scenario, rtmp: SocketAddr) -> Result<Self, String> {
        let folder =
            std::env::temp_dir().join(format!("loadtest-{name}-{}-{}", std::process::id(), rtmp.port()));
        std::fs::create_dir_all(&folder).map_err(of_file(&folder))?;
        Ok(Self { name, scenario, folder })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file there.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, file: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(file);
        std::fs::write(&path, text).map_err(of_file(&path))?;
        Ok(path)
    }

    /// Most connections at one time, and some.
    pub fn connections(&self) -> u64 {
        let view = &self.scenario.view;
        let all = view.all() as u64 + u64::from(view.churn) + self.scenario.publish.streams as u64;
        all + SPARE
    }

    /// The program, on the server's cores.
    pub fn command(&self, program: &Path) -> Command {
        let cores: Vec<String> = self.scenario.server.cores.iter().map(ToString::to_string).collect();
        let mut command = Command::new("taskset");
        command.arg("-c").arg(cores.join(",")).arg(program).current_dir(&self.folder);
        command
    }

    /// Runs it.
    ///
    /// # Errors
    /// One line that says why it does not run.
    pub fn start(
        self,
        mut command: Command,
        version: String,
        rtmp: SocketAddr,
        http: Option<SocketAddr>,
    ) -> Result<Running, String> {
        let name = self.name;
        // Inherited.
        rt::limits::raise_nofile(self.connections()).map_err(|error| format!("{name}: {error}"))?;
        let log = self.folder.join("log");
        let out = File::create(&log).map_err(of_file(&log))?;
        let copy = out.try_clone().map_err(of_file(&log))?;
        command.stdin(Stdio::null()).stdout(copy).stderr(out).process_group(0);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let pid = Some(child.id());
        let target =
            Target { name: name.into(), version, rtmp, http, app: "live".into(), pid, feeds_itself: false };
        let running = Running::wait(child, target, log).inspect_err(|_| {
            let _ = std::fs::remove_dir_all(&self.folder);
        });
        let mut running = running?;
        running.folder = Some(self.folder);
        Ok(running)
    }
}

/// First line that a program says to this argument, wherever it says it; `None` if there is no such program.
pub fn first_line(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
}
