//! Who may publish and who may play: answers the engine's questions, on a thread of its own.
//!
//! A verdict is the first answer of a list of rules; a rule that has nothing to say passes the question on, and what no
//! rule decides is allowed. For now the rules are the patterns of the configuration.

use engine::{Action, Handle, Question};
use media::Refusal;
use std::io;
use std::sync::Arc;
use std::thread;

/// One way to decide.
pub trait Rule: Send + Sync {
    /// A verdict, or nothing to say.
    fn decide(&self, question: &Question) -> Option<Result<(), Refusal>>;
}

/// Allows what matches a pattern, refuses the rest.
#[derive(Clone, Debug)]
pub struct Patterns {
    /// For publishers: patterns of `app/name`, `*` stands for any text.
    pub publish: Vec<String>,
    /// For viewers.
    pub play: Vec<String>,
}

impl Rule for Patterns {
    fn decide(&self, question: &Question) -> Option<Result<(), Refusal>> {
        let patterns = match question.action {
            Action::Publish => &self.publish,
            Action::Play => &self.play,
        };
        let key = question.key.as_str();
        if patterns.iter().any(|pattern| matches(pattern, key)) {
            return None;
        }
        Some(Err(Refusal::NotAllowed))
    }
}

/// Answers questions until the engine is gone.
///
/// # Errors
/// If the thread cannot be made.
pub fn start(handle: Handle, rules: Vec<Box<dyn Rule>>) -> io::Result<()> {
    let rules: Arc<[Box<dyn Rule>]> = rules.into();
    thread::Builder::new().name("admission".into()).spawn(move || {
        while let Ok(question) = handle.questions().recv() {
            let verdict = rules.iter().find_map(|rule| rule.decide(&question)).unwrap_or(Ok(()));
            handle.answer(&question, verdict);
        }
    })?;
    Ok(())
}

/// Whether a text matches a pattern in which `*` stands for any text, also none.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        // The earliest place leaves the most for what follows.
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::SessionId;
    use media::StreamKey;

    #[test]
    fn patterns_match_as_a_reader_expects() {
        for (pattern, text, expected) in [
            ("*", "live/a", true),
            ("live/*", "live/a", true),
            ("live/*", "vod/a", false),
            ("*/a", "live/a", true),
            ("live/cam-*-hd", "live/cam-7-hd", true),
            ("live/cam-*-hd", "live/cam-7-sd", false),
            ("live/a", "live/a", true),
            ("live/a", "live/ab", false),
            ("", "live/a", false),
            ("*a*a", "xa", false),
            ("*a*a", "xaa", true),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn each_action_has_its_own_patterns() {
        let rule = Patterns { publish: vec!["in/*".into()], play: vec!["*".into()] };
        let ask = |action, app| {
            rule.decide(&Question {
                session: SessionId(1),
                shard: 0,
                action,
                key: StreamKey::parse(app, "x", 64).unwrap(),
                query: Vec::new(),
                peer: "127.0.0.1:1".parse().unwrap(),
                protocol: "test",
                user_agent: String::new(),
                host: String::new(),
            })
        };
        assert_eq!(ask(Action::Publish, "in"), None);
        assert_eq!(ask(Action::Publish, "out"), Some(Err(Refusal::NotAllowed)));
        assert_eq!(ask(Action::Play, "out"), None);
    }
}
