//! Where callbacks go, and which.

use crate::config::{HIDDEN, Pattern, Settings};
use std::fmt;
use std::time::Duration;

/// Facts, by name.
pub const FACTS: [&str; 4] = ["postPublish", "donePublish", "postPlay", "donePlay"];
/// Questions, by name.
pub const QUESTIONS: [&str; 2] = ["prePublish", "prePlay"];

/// One target.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub url: String,
    /// What its bodies are signed with; empty: they are not.
    pub secret: String,
    /// What it is told; empty: all.
    pub actions: Vec<String>,
    /// Streams of which it is told; empty: all.
    pub streams: Vec<Pattern>,
    /// How long it may take to answer.
    pub timeout: Duration,
    name: String,
}

/// What is wrong with a target's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError(pub &'static str);

impl Target {
    /// From `URL [actions=a|b] [streams=p|q] [secret=s]`.
    ///
    /// # Errors
    /// The part that is wrong.
    pub fn parse(text: &str, timeout: Duration) -> Result<Self, TargetError> {
        let mut words = text.split_whitespace();
        let url = words.next().unwrap_or_default();
        if !is_url(url) {
            return Err(TargetError("begin with http:// or https:// and a host"));
        }
        let mut target = Self {
            url: url.to_owned(),
            secret: String::new(),
            actions: Vec::new(),
            streams: Vec::new(),
            timeout,
            name: shown(url),
        };
        for word in words {
            match word.split_once('=') {
                Some(("secret", secret)) => secret.clone_into(&mut target.secret),
                Some(("actions", list)) => {
                    target.actions = list.split('|').map(str::to_owned).collect();
                }
                Some(("streams", list)) => {
                    let patterns: Option<Vec<Pattern>> = list.split('|').map(Pattern::parse).collect();
                    target.streams =
                        patterns.ok_or(TargetError("name patterns such as live/* behind streams="))?;
                }
                _ => {
                    return Err(TargetError(
                        "have nothing but actions=, streams= and secret= behind the address",
                    ));
                }
            }
        }
        let known = |action: &String| FACTS.iter().chain(&QUESTIONS).any(|known| known == action);
        if !target.actions.iter().all(known) {
            return Err(TargetError(
                "name actions of prePublish, postPublish, donePublish, prePlay, postPlay, donePlay",
            ));
        }
        Ok(target)
    }

    /// The text of a target with `***` for what may be secret: user, password, query and fragment of the address, and the
    /// secret.
    pub fn without_secrets(text: &str) -> String {
        let words = text.split_whitespace().enumerate().map(|(at, word)| match word.split_once('=') {
            _ if at == 0 => match reqwest::Url::parse(word) {
                Ok(url) if is_plain(&url) => word.to_owned(),
                Ok(_) => format!("{}?{HIDDEN}", shown(word)),
                // The path of a file.
                Err(_) => word.to_owned(),
            },
            Some(("secret", _)) => format!("secret={HIDDEN}"),
            _ => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// All that the configuration names.
    pub fn configured(settings: &Settings) -> Vec<Self> {
        let notify = &settings.notify;
        let first = (!notify.url.is_empty()).then(|| Self {
            url: notify.url.clone(),
            secret: notify.secret.clone(),
            actions: notify.actions.clone(),
            streams: Vec::new(),
            timeout: notify.timeout_ms,
            name: shown(&notify.url),
        });
        // Checked when they were read.
        let more = notify.targets.iter().filter_map(|text| Self::parse(text, notify.timeout_ms).ok());
        first.into_iter().chain(more).collect()
    }

    /// Whether it wants to be told.
    pub fn wants(&self, action: &str, stream: &str) -> bool {
        let action = self.actions.is_empty() || self.actions.iter().any(|wanted| wanted == action);
        action && (self.streams.is_empty() || self.streams.iter().any(|pattern| pattern.matches(stream)))
    }

    /// Its address without what may be secret in it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn is_plain(url: &reqwest::Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
}

/// Scheme, host, port and path alone.
fn shown(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(
        |_| String::new(),
        |mut url| {
            // Fails only for addresses without a host, which are not let in.
            let _ = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        },
    )
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.name())
    }
}

fn is_url(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && url.is_ascii())
        && reqwest::Url::parse(url).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_what_it_wants() {
        let parse = |text| Target::parse(text, Duration::from_secs(1));
        let all = parse("http://a/hook").unwrap();
        assert!(all.wants("postPlay", "live/a") && all.secret.is_empty());
        let some =
            parse("https://a:8/h?k=1 actions=postPublish|prePlay streams=live/*|x/y secret=s").unwrap();
        assert!(some.wants("prePlay", "x/y") && !some.wants("postPlay", "x/y"));
        assert!(!some.wants("postPublish", "x/z"));
        assert_eq!((some.secret.as_str(), some.name()), ("s", "https://a:8/h"));
        assert_eq!(parse("http://user:word@a/x?k=1#y").unwrap().name(), "http://a/x");
        for (text, expected) in [
            ("http://a/x actions=prePlay secret=s", "http://a/x actions=prePlay secret=***"),
            ("http://a", "http://a"),
            ("http://user:word@a/x?k=1 streams=a/*", "http://a/x?*** streams=a/*"),
            ("/etc/keys.json", "/etc/keys.json"),
            ("", ""),
        ] {
            assert_eq!(Target::without_secrets(text), expected);
        }
        for wrong in
            ["", "a", "ftp://a", "http://", "http:///x", "http://a actions=x", "http://a b", "http://a x=y"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
