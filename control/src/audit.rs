//! What was done through the admin API: who, from where, what, with which result.
//!
//! The last actions are kept in memory; all are in the log, and in a file if there is a folder for it. The file is
//! written by a thread of its own; it is replaced when it has grown too large, and the one before it is kept.

use crate::files;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

/// Actions that are kept to be read again.
pub const MAX_RECENT: usize = 1_000;
/// Size at which the file is replaced, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Lines that may wait to be written; past it the oldest thing that is lost is the newest line, and it is counted.
const MAX_WAITING: usize = 10_000;

/// One action.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Action {
    /// When.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    /// Who; empty if that was not known.
    pub user: String,
    /// From which address.
    pub peer: String,
    /// What: method and path, or what was reloaded by whom.
    pub action: String,
    /// What it was about: the keys of a configuration, the name of a user, the label of a token.
    pub detail: String,
    /// Status that was answered.
    pub status: u16,
}

/// See the module.
pub struct Audit {
    recent: Mutex<VecDeque<Arc<Action>>>,
    file: Option<crossbeam_channel::Sender<Arc<Action>>>,
}

impl Audit {
    /// With a file in the folder.
    ///
    /// # Errors
    /// If the file cannot be written, or the thread cannot be made.
    pub fn open(folder: Option<&Path>) -> io::Result<Self> {
        let file = folder.map(|folder| writer(folder.join("audit.jsonl"))).transpose()?;
        Ok(Self { recent: Mutex::default(), file })
    }

    /// Notes an action.
    pub fn note(&self, action: Action) {
        let Action { user, peer, action: what, detail, status, .. } = &action;
        tracing::info!(user, peer, action = what, detail, status, "admin");
        let action = Arc::new(action);
        if let Some(file) = &self.file
            && file.try_send(Arc::clone(&action)).is_err()
        {
            tracing::error!("an action is missing in the audit file, which is not written fast enough");
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(action);
    }

    /// The last actions, oldest first.
    pub fn recent(&self) -> Vec<Arc<Action>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn writer(path: PathBuf) -> io::Result<crossbeam_channel::Sender<Arc<Action>>> {
    let mut file = Lines::open(path)?;
    let (send, lines) = crossbeam_channel::bounded::<Arc<Action>>(MAX_WAITING);
    thread::Builder::new().name("audit".into()).spawn(move || {
        while let Ok(action) = lines.recv() {
            if let Err(error) = file.write(&action) {
                tracing::error!(%error, "the audit file cannot be written");
            }
        }
    })?;
    Ok(send)
}

struct Lines {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Lines {
    fn open(path: PathBuf) -> io::Result<Self> {
        files::private(&path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    fn write(&mut self, action: &Action) -> io::Result<()> {
        let mut line = serde_json::to_vec(action)?;
        line.push(b'\n');
        if self.bytes.saturating_add(line.len() as u64) > MAX_FILE_BYTES {
            std::fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            *self = Self::open(std::mem::take(&mut self.path))?;
        }
        self.file.write_all(&line)?;
        self.bytes = self.bytes.saturating_add(line.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(n: usize) -> Action {
        Action {
            at: SystemTime::UNIX_EPOCH,
            user: "eve".into(),
            peer: "10.0.0.1".into(),
            action: format!("DELETE /{n}"),
            detail: String::new(),
            status: 200,
        }
    }

    #[test]
    fn keeps_the_last_ones() {
        let audit = Audit::open(None).unwrap();
        for n in 0..MAX_RECENT + 5 {
            audit.note(action(n));
        }
        let recent = audit.recent();
        assert_eq!((recent.len(), recent[0].action.as_str()), (MAX_RECENT, "DELETE /5"));
    }

    #[test]
    fn the_file_is_replaced_when_it_is_full() {
        let folder = std::env::temp_dir().join(format!("shardcast-audit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut lines = Lines::open(folder.join("audit.jsonl")).unwrap();
        lines.write(&action(1)).unwrap();
        lines.bytes = MAX_FILE_BYTES;
        lines.write(&action(2)).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(read("audit.jsonl.1").contains("DELETE /1") && read("audit.jsonl").contains("DELETE /2"));
        assert_eq!(read("audit.jsonl").lines().count(), 1);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
