//! How the servers that are compared with come onto the machine: by each one's own packaging.

use super::Peer;
use crate::servers::{self, Major};
use std::fmt;
use std::process::{Command, Stdio};

/// A program and its arguments that install a server.
#[derive(Debug)]
pub struct Package {
    peer: Peer,
    words: Vec<String>,
}

impl Package {
    /// Of a server that comes from outside.
    pub fn of(peer: Peer) -> Option<Self> {
        let words = match peer {
            Peer::Floor => return None,
            Peer::Nginx => ["apt-get", "install", "-y", "--no-install-recommends"]
                .into_iter()
                .chain(servers::NGINX_PACKAGES)
                .map(str::to_owned)
                .collect(),
            Peer::Xiu => {
                let root = servers::xiu_root().display().to_string();
                let words =
                    ["cargo", "install", "xiu", "--locked", "--version", servers::XIU_VERSION, "--root"];
                words.into_iter().map(str::to_owned).chain([root]).collect()
            }
            Peer::Nms => npm(Major::Four),
            Peer::Nms2 => npm(Major::Two),
        };
        Some(Self { peer, words })
    }

    /// Runs it.
    ///
    /// # Errors
    /// What was run and how it ended; what it said stands above.
    pub fn install(&self) -> Result<(), String> {
        let (program, arguments) = self.words.split_first().ok_or("nothing to run")?;
        eprintln!("{self}");
        let mut command = Command::new(program);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let status = command.status().map_err(|error| format!("{program}: {error}"))?;
        if status.success() && self.is_there() {
            Ok(())
        } else {
            Err(format!("`{self}` ended with {status}"))
        }
    }

    /// Whether it is installed.
    pub fn is_there(&self) -> bool {
        match self.peer {
            Peer::Floor => true,
            Peer::Nginx => servers::is_nginx_there(),
            Peer::Xiu => servers::xiu_program().exists(),
            Peer::Nms => servers::is_nms_there(Major::Four),
            Peer::Nms2 => servers::is_nms_there(Major::Two),
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

fn npm(major: Major) -> Vec<String> {
    let package = format!("node-media-server@{}", major.version());
    let root = major.root().display().to_string();
    ["npm", "install", "--no-audit", "--no-fund", "--prefix", &root, &package].map(str::to_owned).into()
}
