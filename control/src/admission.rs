//! Who may publish and who may play: answers the engine's questions, on a thread of its own.
//!
//! A verdict is the first answer of a list of rules; a rule that has nothing to say passes the question on, and what no
//! rule decides is allowed. For now the rules are the patterns of the configuration.

use crate::config::Pattern;
use engine::{Action, Grant, Handle, Question};
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
    pub publish: Vec<Pattern>,
    /// For viewers.
    pub play: Vec<Pattern>,
}

impl Rule for Patterns {
    fn decide(&self, question: &Question) -> Option<Result<(), Refusal>> {
        let patterns = match question.action {
            Action::Publish => &self.publish,
            Action::Play => &self.play,
        };
        let key = question.key.as_str();
        if patterns.iter().any(|pattern| pattern.matches(key)) {
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
            handle.answer(&question, verdict.map(|()| Grant::default()));
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::SessionId;
    use media::StreamKey;

    #[test]
    fn each_action_has_its_own_patterns() {
        let rule = Patterns {
            publish: vec![Pattern::parse("in/*").unwrap()],
            play: vec![Pattern::parse("*").unwrap()],
        };
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
