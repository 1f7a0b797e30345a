//! Fixed keys for streams: the parameter must have the key of an entry whose pattern the stream fits.

use super::{Check, Verdict, parameter};
use crate::config::Pattern;
use engine::{Action, Question};
use std::fmt;
use std::time::SystemTime;
use subtle::ConstantTimeEq;

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// For which action; `None`: for both.
    pub action: Option<Action>,
    /// For which streams.
    pub pattern: Pattern,
    /// The key.
    pub key: String,
}

impl KeyEntry {
    /// From `publish|play|both PATTERN KEY`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let action = match words.next()? {
            "publish" => Some(Action::Publish),
            "play" => Some(Action::Play),
            "both" => None,
            _ => return None,
        };
        let (pattern, key) = (Pattern::parse(words.next()?)?, words.next()?.to_owned());
        words.next().is_none().then_some(Self { action, pattern, key })
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEntry({:?}, {:?})", self.action, self.pattern)
    }
}

/// See the module. Streams that fit no entry need no key.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Entries; of several that fit, each key is good.
    pub entries: Vec<KeyEntry>,
    /// Name of the parameter.
    pub parameter: String,
}

impl Check for Keys {
    fn check(&self, question: &Question, _: SystemTime) -> Verdict {
        let fits = |entry: &&KeyEntry| {
            entry.action.is_none_or(|action| action == question.action)
                && entry.pattern.matches(question.key.as_str())
        };
        let mut fitting = self.entries.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            return Verdict::Pass;
        }
        match parameter(question, &self.parameter) {
            Ok(Some(given)) => {
                let right = fitting.fold(false, |right, entry| {
                    right | bool::from(entry.key.as_bytes().ct_eq(given.as_bytes()))
                });
                if right {
                    Verdict::Proved(None)
                } else {
                    Verdict::Refused("key: wrong for this stream".into())
                }
            }
            Ok(None) => Verdict::Missing("key: there is none in the URL"),
            Err(()) => Verdict::Refused("key: there are several in the URL".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, question};
    use super::*;
    use engine::Action::{Play, Publish};

    #[test]
    fn a_stream_that_fits_needs_its_key() {
        let entries = ["publish live/* in", "play live/vip out", "both x/* a", "both x/* b"];
        let entries = entries.iter().map(|text| KeyEntry::parse(text).unwrap()).collect();
        let keys = Keys { entries, parameter: "key".into() };
        let check = |action, key, query: &[(&str, &str)]| keys.check(&question(action, key, query), at(0));
        assert_eq!(check(Publish, "live/a", &[("key", "in")]), Verdict::Proved(None));
        assert!(matches!(check(Publish, "live/a", &[("key", "out")]), Verdict::Refused(_)));
        assert!(matches!(check(Publish, "live/a", &[]), Verdict::Missing(_)));
        assert_eq!(check(Play, "live/a", &[]), Verdict::Pass);
        assert_eq!(check(Play, "live/vip", &[("key", "out")]), Verdict::Proved(None));
        assert_eq!(check(Play, "x/y", &[("key", "b")]), Verdict::Proved(None));
        assert!(matches!(check(Play, "x/y", &[("key", "a"), ("key", "b")]), Verdict::Refused(_)));
        for wrong in ["", "publish", "publish live/*", "listen live/* k", "play live/* k more"] {
            assert_eq!(KeyEntry::parse(wrong), None, "{wrong}");
        }
    }
}
