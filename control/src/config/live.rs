//! The configuration in force, and its change while the server runs.
//!
//! A reload reads all sources again; a patch lays values over them until the process ends. Either is checked as a whole before
//! anything is changed, and what cannot change in a running server is told.

use super::applies::Applies;
use super::error::{ConfigError, Origin};
use super::resolved::{Resolved, Sources, Written};
use super::table::Key;
use super::value::{HIDDEN, Raw};
use crate::hooks::Target;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What a change came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Keys whose new value is in force: for everybody, or for those who come from now on, as the key says.
    pub applied: Vec<&'static str>,
    /// Keys whose new value needs a restart; the old one stays in force.
    pub needs_restart: Vec<&'static str>,
}

/// Puts a configuration in force. What it does must not fail half-way: it says first if it cannot.
pub type Apply = Box<dyn Fn(&Resolved) -> Result<(), String> + Send + Sync>;

/// Why a change did not happen.
#[derive(Debug)]
pub enum ChangeError {
    /// A value or a source is wrong.
    Config(ConfigError),
    /// It could not be put in force.
    Apply(String),
}

impl std::fmt::Display for ChangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Apply(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ChangeError {}

impl From<ConfigError> for ChangeError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// See the module.
pub struct Live {
    sources: Sources,
    apply: Apply,
    now: RwLock<Arc<Resolved>>,
    /// Held while something changes: one change at a time.
    patches: Mutex<Vec<(String, Raw)>>,
}

impl Live {
    /// Begins with what the sources said.
    pub fn new(sources: Sources, resolved: Resolved, apply: Apply) -> Self {
        Self { sources, apply, now: RwLock::new(Arc::new(resolved)), patches: Mutex::default() }
    }

    /// What is in force.
    pub fn now(&self) -> Arc<Resolved> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The file that is read, if there is one.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Reads the sources again.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing is changed then.
    pub fn reload(&self) -> Result<Change, ChangeError> {
        let patches = self.patches.lock().unwrap_or_else(PoisonError::into_inner);
        let resolved = self.read(&patches)?;
        self.change(resolved)
    }

    /// Lays values over the sources; `null` takes away what was laid over a key before.
    ///
    /// # Errors
    /// As [`Self::reload`], and for keys that are read at the start alone: a patch does not live so long.
    pub fn patch(&self, values: Vec<(String, Raw)>) -> Result<Change, ChangeError> {
        let mut patches = self.patches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = patches.clone();
        changed.retain(|(key, _)| values.iter().all(|(new, _)| new != key));
        let withdrawn = |(key, value): &(String, Raw)| {
            matches!(value, Raw::Other("null")) && patches.iter().any(|(known, _)| known == key)
        };
        let of: Vec<String> = values.iter().map(|(key, _)| key.clone()).collect();
        changed.extend(values.into_iter().filter(|value| !withdrawn(value)));
        let resolved = self.read(&changed)?;
        if let Some(key) =
            self.compare(&resolved).needs_restart.iter().find(|key| of.iter().any(|of| of == *key))
        {
            return Err(ChangeError::Apply(format!(
                "{key} is read at the start alone: write it into the configuration and start the server again"
            )));
        }
        let change = self.change(resolved)?;
        *patches = changed;
        Ok(change)
    }

    /// What would come of a patch; changes nothing.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub fn check(&self, values: &[(String, Raw)]) -> Result<Change, ChangeError> {
        let mut patches = self.patches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        patches.extend_from_slice(values);
        let resolved = self.read(&patches)?;
        Ok(self.compare(&resolved))
    }

    fn read(&self, patches: &[(String, Raw)]) -> Result<Resolved, ConfigError> {
        let (mut written, notes) = Written::read(&self.sources)?;
        for (key, value) in patches {
            written.write(key, value.clone(), Origin::Api)?;
        }
        written.resolve(notes)
    }

    fn compare(&self, new: &Resolved) -> Change {
        let now = self.now();
        let mut change = Change::default();
        for ((key, old, _), (_, new, _)) in now.entries().zip(new.entries()) {
            match key.applies() {
                _ if old == new => {}
                Applies::AtRestart => change.needs_restart.push(key.path),
                Applies::ToNew | Applies::ToAll => change.applied.push(key.path),
            }
        }
        change
    }

    fn change(&self, new: Resolved) -> Result<Change, ChangeError> {
        let change = self.compare(&new);
        // What needs a restart keeps its old value, also where others read it.
        let old = self.now();
        let in_force = new.with_old(&old, |key: &Key| key.applies() == Applies::AtRestart)?;
        (self.apply)(&in_force).map_err(ChangeError::Apply)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
        for key in &change.needs_restart {
            tracing::warn!(key, "changed, but needs a restart: the old value stays in force");
        }
        tracing::info!(applied = ?change.applied, "configuration changed");
        Ok(change)
    }
}

/// A key's value as it is shown: secrets are not.
pub fn shown(key: &Key, value: &super::value::Value) -> serde_json::Value {
    use super::value::Value;
    let hide = |text: &str| {
        let shown = match key {
            _ if !key.is_secret() || text.is_empty() => text.to_owned(),
            _ if key.holds_addresses() => Target::without_secrets(text),
            _ => HIDDEN.to_owned(),
        };
        serde_json::json!(shown)
    };
    match value {
        Value::Flag(flag) => serde_json::json!(flag),
        Value::Number(number) => serde_json::json!(number),
        Value::Text(text) => hide(text),
        Value::List(items) => items.iter().map(|item| hide(item)).collect(),
    }
}

/// A JSON value as it was written for a key.
pub fn raw(value: &serde_json::Value) -> Raw {
    use serde_json::Value;
    match value {
        Value::Bool(flag) => Raw::Flag(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Raw::Number(whole.into()),
            (None, Some(whole)) => Raw::Number(whole.into()),
            _ => Raw::Fraction(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Raw::Text(text.clone()),
        Value::Array(items) => Raw::List(items.iter().map(raw).collect()),
        Value::Null => Raw::Other("null"),
        Value::Object(_) => Raw::Other("an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Argument, load};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn live(sources: Sources, fails: bool) -> (Live, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let apply: Apply = Box::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            if fails { Err("no".into()) } else { Ok(()) }
        });
        let resolved = load(&sources).unwrap();
        (Live::new(sources, resolved, apply), calls)
    }

    fn patch(pairs: &[(&str, serde_json::Value)]) -> Vec<(String, Raw)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), raw(value))).collect()
    }

    #[test]
    fn a_patch_lies_over_the_sources_and_stays_over_a_reload() {
        let (live, calls) = live(Sources::default(), false);
        let with_port = patch(&[("gop.cache", false.into()), ("rtmp.port", 1999.into())]);
        assert_eq!(live.check(&with_port).unwrap().needs_restart, ["rtmp.port"]);
        assert!(live.patch(with_port).unwrap_err().to_string().contains("rtmp.port is read at the start"));
        assert!(live.now().settings().gop.cache);
        let change = live.patch(patch(&[("gop.cache", false.into())])).unwrap();
        assert_eq!((change.applied, change.needs_restart), (vec!["gop.cache"], vec![]));
        let now = live.now();
        assert_eq!((now.settings().gop.cache, now.settings().rtmp.port), (false, 1935));
        assert_eq!(now.origin("gop.cache"), Some(&Origin::Api));
        assert!(live.reload().unwrap().applied.is_empty());
        assert!(!live.now().settings().gop.cache);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert_eq!(live.patch(patch(&[("gop.cache", ().into())])).unwrap().applied, ["gop.cache"]);
        assert!(live.now().settings().gop.cache, "a patch is taken away");
        assert!(live.patch(patch(&[("gop.cache", ().into())])).is_err(), "there is none any more");
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let (live, calls) = live(Sources::default(), false);
        for wrong in [
            patch(&[("gop.cache", false.into()), ("gop.max_ms", 1.into())]),
            patch(&[("gop.cache", false.into()), ("gop.nothing", 1.into())]),
            patch(&[
                ("gop.cache", false.into()),
                ("latency.live.budget_ms", 100.into()),
                ("latency.live.tick_ms", 900.into()),
            ]),
        ] {
            assert!(live.check(&wrong).is_err());
            assert!(live.patch(wrong).is_err());
        }
        assert_eq!((live.now().settings().gop.cache, calls.load(Ordering::Relaxed)), (true, 0));
        let (live, _) = super::tests::live(Sources::default(), true);
        assert!(live.patch(patch(&[("gop.cache", false.into())])).is_err());
        assert!(live.now().settings().gop.cache);
    }

    #[test]
    fn a_file_that_changed_is_read_again_and_stronger_sources_stay_stronger() {
        let path = std::env::temp_dir().join(format!("shardcast-live-{}.toml", std::process::id()));
        std::fs::write(&path, "[gop]\nmax_ms = 5000\n").unwrap();
        let arguments = vec![Argument::set("play.wait_ms=7").unwrap()];
        let sources = Sources { file: Some(path.clone()), arguments, ..Sources::default() };
        let (live, _) = live(sources, false);
        std::fs::write(&path, "[gop]\nmax_ms = 6000\n[play]\nwait_ms = 9\n").unwrap();
        assert_eq!(live.reload().unwrap().applied, ["gop.max_ms"]);
        assert_eq!(live.now().settings().play.wait_ms.as_millis(), 7);
        std::fs::write(&path, "[gop\n").unwrap();
        assert!(live.reload().unwrap_err().to_string().contains("shardcast-live"));
        assert_eq!(live.now().settings().gop.max_ms.as_millis(), 6000);
        std::fs::remove_file(path).unwrap();
    }
}
