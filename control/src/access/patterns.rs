//! Which streams may be published and played at all.

use super::{Check, Verdict, by_action};
use crate::config::Pattern;
use engine::Question;
use std::time::SystemTime;

/// Lets pass what fits a pattern, refuses the rest.
#[derive(Clone, Debug)]
pub struct Patterns {
    /// For publishers: patterns of `app/name`, `*` stands for any text.
    pub publish: Vec<Pattern>,
    /// For viewers.
    pub play: Vec<Pattern>,
}

impl Check for Patterns {
    fn check(&self, question: &Question, _: SystemTime) -> Verdict {
        let (patterns, why) = by_action(
            question.action,
            (&self.publish, "the stream fits no pattern of publish.allow"),
            (&self.play, "the stream fits no pattern of play.allow"),
        );
        if patterns.iter().any(|pattern| pattern.matches(question.key.as_str())) {
            Verdict::Pass
        } else {
            Verdict::Refused(why.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, question};
    use super::*;
    use engine::Action::{Play, Publish};

    #[test]
    fn each_action_has_its_own() {
        let patterns = Patterns {
            publish: vec![Pattern::parse("in/*").unwrap()],
            play: vec![Pattern::parse("*").unwrap()],
        };
        let check = |action, key| patterns.check(&question(action, key, &[]), at(0));
        assert_eq!(check(Publish, "in/x"), Verdict::Pass);
        assert!(matches!(check(Publish, "out/x"), Verdict::Refused(why) if why.contains("publish.allow")));
        assert_eq!(check(Play, "out/x"), Verdict::Pass);
    }
}
