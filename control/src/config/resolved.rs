//! From what was written to what holds: the two levels of the configuration.

use super::environment;
use super::error::{ConfigError, Origin};
use super::file;
use super::relations;
use super::table::{KEYS, Key, Settings};
use super::value::{HIDDEN, Raw, Value};
use std::path::PathBuf;

/// Where to look, each stronger than the one before it; defaults are the weakest.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file.
    pub file: Option<PathBuf>,
    /// Environment variables; others than those that name a key are passed over.
    pub environment: Vec<(String, String)>,
    /// Command line, in order.
    pub arguments: Vec<Argument>,
}

/// One key on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The flag, as it is named in errors: `--set`, `--rtmp-port`.
    pub flag: String,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

impl Argument {
    /// From the text behind `--set`.
    ///
    /// # Errors
    /// It is not `key=value`.
    pub fn set(text: &str) -> Result<Self, ConfigError> {
        let (key, value) = text.split_once('=').ok_or_else(|| ConfigError::Argument(text.to_owned()))?;
        Ok(Self { flag: "--set".into(), key: key.trim().to_owned(), value: value.to_owned() })
    }

    /// From a flag of its own.
    pub fn flag(flag: &str, key: &str, value: impl ToString) -> Self {
        Self { flag: flag.to_owned(), key: key.to_owned(), value: value.to_string() }
    }
}

/// What was written: for each of [`KEYS`], the value of the strongest source that has it.
#[derive(Clone, Debug)]
pub struct Written(Vec<Option<(Raw, Origin)>>);

impl Written {
    /// Nothing.
    pub fn new() -> Self {
        Self(vec![None; KEYS.len()])
    }

    /// Writes over what is there.
    ///
    /// # Errors
    /// There is no such key.
    pub fn write(&mut self, key: &str, value: Raw, origin: Origin) -> Result<(), ConfigError> {
        let at = KEYS.iter().position(|known| known.path == key);
        match at.and_then(|at| self.0.get_mut(at)) {
            Some(place) => {
                *place = Some((value, origin));
                Ok(())
            }
            None => Err(ConfigError::UnknownKey { key: shown(key), nearest: nearest(key), origin }),
        }
    }

    /// Reads all sources.
    ///
    /// # Errors
    /// The first thing that is wrong; values are not looked at yet.
    pub fn read(sources: &Sources) -> Result<(Self, Vec<String>), ConfigError> {
        let mut written = Self::new();
        if let Some(path) = &sources.file {
            for (key, value) in file::read(path)? {
                written.write(&key, value, Origin::File(path.clone()))?;
            }
        }
        let told = environment::read(&sources.environment);
        for (key, variable, value) in told.pairs {
            written.write(&key, Raw::Untyped(value), Origin::Variable(variable))?;
        }
        for argument in &sources.arguments {
            let origin = Origin::Argument(argument.flag.clone());
            written.write(&argument.key, Raw::Untyped(argument.value.clone()), origin)?;
        }
        let mut notes = Vec::new();
        if !told.ignored.is_empty() {
            let names = told.ignored.join(", ");
            notes.push(format!("ignored from the environment, for this server does not have it: {names}"));
        }
        for (name, meant) in told.misspelt {
            notes.push(format!("ignored from the environment: {name}; did you mean {meant}?"));
        }
        Ok((written, notes))
    }

    /// Checks every value, alone and in relation to the others.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn resolve(self, mut notes: Vec<String>) -> Result<Resolved, ConfigError> {
        let mut entries = Vec::with_capacity(KEYS.len());
        for (key, written) in KEYS.iter().zip(self.0) {
            entries.push(match written {
                None => (key.preset.value(), Origin::Default),
                Some((raw, origin)) => {
                    let wrong = |must: String, origin| ConfigError::Value {
                        key: key.path,
                        value: if key.is_secret() { HIDDEN.to_owned() } else { raw.to_string() },
                        must,
                        origin,
                    };
                    match key.kind.accept(&raw) {
                        Some(value) if key.is_secret() && value.has(HIDDEN) => {
                            let must =
                                format!("be the secret itself: {HIDDEN} stands for one that is not shown");
                            return Err(wrong(must, origin));
                        }
                        Some(value) => (value, origin),
                        None => return Err(wrong(format!("be {}", key.kind.allowed()), origin)),
                    }
                }
            });
        }
        let settings = Settings::fill(entries.iter().map(|(value, _)| value)).ok_or(ConfigError::Table)?;
        notes.extend(relations::odd(&settings));
        let resolved = Resolved { settings, entries, notes };
        relations::check(&resolved)?;
        Ok(resolved)
    }
}

impl Default for Written {
    fn default() -> Self {
        Self::new()
    }
}

/// What holds: checked, typed, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    settings: Settings,
    entries: Vec<(Value, Origin)>,
    notes: Vec<String>,
}

impl Resolved {
    /// All settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What an operator should be told in the log, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Every key with its value and where that came from.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Key, &Value, &Origin)> {
        KEYS.iter().zip(&self.entries).map(|(key, (value, origin))| (key, value, origin))
    }

    /// Where a key's value came from.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.entries().find(|(key, ..)| key.path == path).map(|(.., origin)| origin)
    }

    /// With another's values of some keys.
    ///
    /// # Errors
    /// If the two do not go together.
    pub(super) fn with_old(mut self, old: &Self, takes: impl Fn(&Key) -> bool) -> Result<Self, ConfigError> {
        for ((key, entry), old) in KEYS.iter().zip(&mut self.entries).zip(&old.entries) {
            if takes(key) {
                entry.clone_from(old);
            }
        }
        self.settings =
            Settings::fill(self.entries.iter().map(|(value, _)| value)).ok_or(ConfigError::Table)?;
        relations::check(&self)?;
        Ok(self)
    }

    /// That a key's value is wrong.
    pub fn wrong(&self, path: &'static str, must: impl Into<String>) -> ConfigError {
        match self.entries().find(|(key, ..)| key.path == path) {
            None => ConfigError::Table,
            Some((key, value, origin)) => ConfigError::Value {
                key: path,
                value: if key.is_secret() {
                    super::live::shown(key, value).to_string()
                } else {
                    value.to_string()
                },
                must: must.into(),
                origin: origin.clone(),
            },
        }
    }
}

/// The known key that takes the fewest changed letters, if they are few.
fn nearest(key: &str) -> Option<&'static str> {
    const LONGEST: usize = 64;
    if key.len() > LONGEST {
        return None;
    }
    let key = key.to_ascii_lowercase();
    let alike = |known: &Key| {
        let whole = changes(&key, known.path);
        // A key without its section, or in the wrong one.
        let name = key.rsplit('.').next().unwrap_or_default();
        whole.min(changes(name, known.name).saturating_add(2))
    };
    let best = KEYS.iter().min_by_key(|known| alike(known))?;
    (alike(best) <= 2 + key.len() / 5).then_some(best.path)
}

/// Levenshtein's distance.
fn changes(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        for (place, to) in row.iter_mut().skip(1).zip(&b) {
            let above = *place;
            let cost = usize::from(from != *to);
            left = (above_left + cost).min(above + 1).min(left + 1);
            *place = left;
            above_left = above;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Keeps what was written on one short line.
fn shown(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_changed_letters() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("port", "prot", 2)]
        {
            assert_eq!(changes(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn suggests_what_was_probably_meant() {
        for (key, expected) in [
            ("rtmp.prot", Some("rtmp.port")),
            ("RTMP.PORT", Some("rtmp.port")),
            ("rtmp.chunksize", Some("rtmp.chunk_size")),
            ("chunk_size", Some("rtmp.chunk_size")),
            ("server.chunk_size", Some("rtmp.chunk_size")),
            ("gop.enabled", Some("http.enabled")),
            ("completely.different_thing", None),
            ("x", None),
        ] {
            let found = nearest(key);
            if key == "gop.enabled" {
                assert!(found.is_some_and(|found| found.ends_with(".enabled")), "{found:?}");
            } else {
                assert_eq!(found, expected, "{key}");
            }
        }
        assert_eq!(nearest(&"x".repeat(100_000)), None);
    }
}
