//! Who may publish and who may play: answers the engine's questions, on a thread of its own.
//!
//! A verdict is the first answer of a list of rules; a rule that has nothing to say passes the question on, and what no
//! rule decides is allowed. For now the rules are the patterns of the configuration.

use crate::config::Pattern;
use engine::{Action, Grant, Handle, Question, SessionId};
use media::Refusal;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

/// Refusals whose reasons are kept.
const MAX_DENIALS: usize = 2_000;

/// Why sessions were refused, in words for operators: peers are not told.
#[derive(Debug, Default)]
pub struct Denials(Mutex<VecDeque<(SessionId, String)>>);

impl Denials {
    /// Notes a reason.
    pub fn note(&self, session: SessionId, why: impl Into<String>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_DENIALS {
            kept.pop_front();
        }
        kept.push_back((session, why.into()));
    }

    /// The last reason of a session.
    pub fn of(&self, session: SessionId) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|(id, _)| *id == session).map(|(_, why)| why.clone())
    }
}

/// One way to decide.
pub trait Rule: Send + Sync {
    /// A verdict with its reason, or nothing to say.
    fn decide(&self, question: &Question) -> Option<Result<Grant, (Refusal, &'static str)>>;
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
    fn decide(&self, question: &Question) -> Option<Result<Grant, (Refusal, &'static str)>> {
        let (patterns, why) = match question.action {
            Action::Publish => (&self.publish, "the stream fits no pattern of publish.allow"),
            Action::Play => (&self.play, "the stream fits no pattern of play.allow"),
        };
        let key = question.key.as_str();
        if patterns.iter().any(|pattern| pattern.matches(key)) {
            return None;
        }
        Some(Err((Refusal::NotAllowed, why)))
    }
}

/// The rules in force, and what they refused.
pub struct Admission {
    rules: RwLock<Arc<[Box<dyn Rule>]>>,
    /// Reasons of refusals.
    pub denials: Arc<Denials>,
}

impl Admission {
    /// Begins with these rules.
    pub fn new(rules: Vec<Box<dyn Rule>>) -> Arc<Self> {
        Arc::new(Self { rules: RwLock::new(rules.into()), denials: Arc::default() })
    }

    /// Other rules for those who ask from now on.
    pub fn replace(&self, rules: Vec<Box<dyn Rule>>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules.into();
    }

    /// Answers questions until the engine is gone.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub fn start(self: &Arc<Self>, handle: Handle) -> io::Result<()> {
        let admission = Arc::clone(self);
        thread::Builder::new().name("admission".into()).spawn(move || {
            while let Ok(question) = handle.questions().recv() {
                let verdict = admission.decide(&question);
                handle.answer(&question, verdict);
            }
        })?;
        Ok(())
    }

    fn decide(&self, question: &Question) -> Result<Grant, Refusal> {
        let rules = Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner));
        let verdict =
            rules.iter().find_map(|rule| rule.decide(question)).unwrap_or_else(|| Ok(Grant::default()));
        verdict.map_err(|(refusal, why)| {
            self.denials.note(question.session, why);
            refusal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::StreamKey;

    fn question(action: Action, app: &str) -> Question {
        Question {
            session: SessionId(1),
            shard: 0,
            action,
            key: StreamKey::parse(app, "x", 64).unwrap(),
            query: Vec::new(),
            peer: "127.0.0.1:1".parse().unwrap(),
            protocol: "test",
            user_agent: String::new(),
            host: String::new(),
        }
    }

    #[test]
    fn each_action_has_its_own_patterns_and_a_refusal_its_reason() {
        let patterns = |publish: &str, play: &str| -> Vec<Box<dyn Rule>> {
            let parse = |text| vec![Pattern::parse(text).unwrap()];
            vec![Box::new(Patterns { publish: parse(publish), play: parse(play) })]
        };
        let admission = Admission::new(patterns("in/*", "*"));
        assert_eq!(admission.decide(&question(Action::Publish, "in")), Ok(Grant::default()));
        assert_eq!(admission.decide(&question(Action::Play, "out")), Ok(Grant::default()));
        assert_eq!(admission.denials.of(SessionId(1)), None);
        assert_eq!(admission.decide(&question(Action::Publish, "out")), Err(Refusal::NotAllowed));
        assert!(admission.denials.of(SessionId(1)).unwrap().contains("publish.allow"));
        admission.replace(patterns("*", "*"));
        assert_eq!(admission.decide(&question(Action::Publish, "out")), Ok(Grant::default()));
    }

    #[test]
    fn only_so_many_reasons_are_kept() {
        let denials = Denials::default();
        for n in 0..MAX_DENIALS as u64 + 10 {
            denials.note(SessionId(n), "no");
        }
        assert_eq!((denials.of(SessionId(9)), denials.of(SessionId(10)).is_some()), (None, true));
    }
}
