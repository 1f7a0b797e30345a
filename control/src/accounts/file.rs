//! The accounts' file: written beside, synced, then moved over the old one, so that there is always a whole one.

use crate::files;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: that many users and tokens take less.
const MAX_BYTES: u64 = 16 << 20;

pub(super) struct StateFile(PathBuf);

impl StateFile {
    /// In a folder, made if it is not there.
    pub fn new(folder: &Path) -> Result<Self, String> {
        files::folder(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder.join("accounts.json")))
    }

    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, String> {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", self.0.display());
        match fs::metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(told(&error)),
            Ok(meta) if meta.len() > MAX_BYTES => return Err(told(&"too large")),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&self.0).map_err(|error| told(&error))?;
        serde_json::from_str(&text).map(Some).map_err(|error| told(&error))
    }

    pub fn write<T: Serialize>(&self, state: &T) -> Result<(), String> {
        self.replace(state).map_err(|error| format!("{}: {error}", self.0.display()))
    }

    fn replace<T: Serialize>(&self, state: &T) -> io::Result<()> {
        let beside = self.0.with_extension("new");
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(state)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.0)?;
        // So that the new name survives too.
        self.0.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}
