//! The checks that a publish or play request must pass.
//!
//! All checks that are switched on must agree; the first that refuses decides, in the configured order. A signature, a key and
//! a token are each other's alternatives: whoever shows a good one of any kind has shown what is needed, whoever shows a bad one
//! is refused, and whoever shows none is refused if one of them was needed. Nothing here waits, and the time is an argument.
//!
//! What a peer is told never says which check failed; [`Denied`] does, for operators.

mod addresses;
mod configured;
mod jwt;
mod keys;
mod names;
mod patterns;
mod sign;
mod tally;

pub use addresses::Addresses;
pub use configured::Configured;
pub use jwt::{Algorithm, Jwt, JwtConfig};
pub use keys::{KeyEntry, Keys};
pub use names::Names;
pub use patterns::Patterns;
pub use sign::{Secrets, Sign};
pub use tally::{Caps, Limits, Tally};

use engine::{Action, Question};
use media::{Refusal, StreamKey};
use std::sync::Arc;
use std::time::SystemTime;

/// A refusal, with its reason for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What the peer is told.
    pub refusal: Refusal,
    /// Why.
    pub why: String,
}

impl Denied {
    /// Not allowed, because of this.
    pub fn because(why: impl Into<String>) -> Self {
        Self { refusal: Refusal::NotAllowed, why: why.into() }
    }
}

/// What one check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has nothing against it.
    Pass,
    /// It saw a good signature, key or token, of this user if that says so.
    Proved(Option<String>),
    /// It would have needed a signature, key or token, and there was none of its kind.
    Missing(&'static str),
    /// It is refused.
    Refused(String),
}

/// One check.
pub trait Check: Send + Sync {
    /// Looks at a request.
    fn check(&self, question: &Question, now: SystemTime) -> Verdict;
}

/// What somebody who passed all checks gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Who it is, if a check knows.
    pub user: Option<String>,
    /// The public name of what was asked for under a push key.
    pub key: Option<StreamKey>,
}

/// One step on the way to a verdict.
#[derive(Clone)]
pub enum Step {
    /// Looks at once.
    Check(Arc<dyn Check>),
    /// Asks the callback targets, if one wants to be asked.
    Callback,
}

/// All steps, in order.
#[derive(Clone, Default)]
pub struct Checks {
    /// Public names and push keys; looked at first.
    pub names: Arc<Names>,
    /// The others.
    pub steps: Vec<Step>,
}

/// How far a request has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// What it gets if it passes.
    pub pass: Pass,
    next: usize,
    proved: bool,
    missing: Option<&'static str>,
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Next {
    /// The targets are to be asked; it goes on with what was reached so far.
    Ask(Progress),
    /// It is decided.
    Decided(Result<Pass, Denied>),
}

impl Checks {
    /// Begins with a request, as far as no target has to be asked.
    pub fn begin(&self, question: &Question, now: SystemTime) -> Next {
        match self.names.public(question) {
            Ok(key) => {
                let pass = Pass { user: None, key };
                self.go_on(question, now, Progress { pass, ..Progress::default() })
            }
            Err(denied) => Next::Decided(Err(denied)),
        }
    }

    /// Goes on after the targets have allowed it.
    pub fn go_on(&self, question: &Question, now: SystemTime, mut progress: Progress) -> Next {
        while let Some(step) = self.steps.get(progress.next) {
            progress.next += 1;
            let check = match step {
                Step::Callback => return Next::Ask(progress),
                Step::Check(check) => check,
            };
            match check.check(question, now) {
                Verdict::Pass => {}
                Verdict::Proved(user) => {
                    progress.proved = true;
                    progress.pass.user = progress.pass.user.or(user);
                }
                Verdict::Missing(what) => progress.missing = progress.missing.or(Some(what)),
                Verdict::Refused(why) => return Next::Decided(Err(Denied::because(why))),
            }
        }
        Next::Decided(match progress.missing {
            Some(what) if !progress.proved => Err(Denied::because(what)),
            _ => Ok(progress.pass),
        })
    }
}

/// Values of a parameter of the URL.
fn parameters<'a>(question: &'a Question, name: &'a str) -> impl Iterator<Item = &'a str> {
    question.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The only value of a parameter; an error if there are several.
fn parameter<'a>(question: &'a Question, name: &'a str) -> Result<Option<&'a str>, ()> {
    let mut values = parameters(question, name);
    let first = values.next();
    if values.next().is_some() { Err(()) } else { Ok(first) }
}

/// Picks by what is asked for.
const fn by_action<T: Copy>(action: Action, publish: T, play: T) -> T {
    match action {
        Action::Publish => publish,
        Action::Play => play,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::SessionId;
    use std::time::Duration;

    pub fn question(action: Action, key: &str, query: &[(&str, &str)]) -> Question {
        let (app, name) = key.rsplit_once('/').unwrap();
        Question {
            session: SessionId(1),
            shard: 0,
            action,
            key: StreamKey::parse(app, name, 255).unwrap(),
            query: query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            peer: "10.1.2.3:1".parse().unwrap(),
            protocol: "rtmp",
            user_agent: "".into(),
            host: "".into(),
        }
    }

    pub fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    struct Says(Verdict);

    impl Check for Says {
        fn check(&self, _: &Question, _: SystemTime) -> Verdict {
            self.0.clone()
        }
    }

    #[test]
    fn proofs_are_alternatives_and_refusals_are_not() {
        let (pass, proved) = (Verdict::Pass, Verdict::Proved(Some("eve".into())));
        let (missing, refused) = (Verdict::Missing("sign: missing"), Verdict::Refused("no".into()));
        for (verdicts, expected) in [
            (vec![], Ok(None)),
            (vec![&pass, &pass], Ok(None)),
            (vec![&missing, &pass], Err("sign: missing")),
            (vec![&missing, &proved], Ok(Some("eve"))),
            (vec![&proved, &missing], Ok(Some("eve"))),
            (vec![&proved, &refused], Err("no")),
            (vec![&refused, &proved], Err("no")),
        ] {
            let steps = verdicts.iter().map(|v| Step::Check(Arc::new(Says((**v).clone())))).collect();
            let checks = Checks { names: Arc::default(), steps };
            let Next::Decided(found) = checks.begin(&question(Action::Play, "live/a", &[]), at(0)) else {
                panic!("asks");
            };
            let found = found.map(|pass| pass.user).map_err(|denied| denied.why);
            assert_eq!(found, expected.map(|u: Option<&str>| u.map(str::to_owned)).map_err(str::to_owned));
        }
    }

    #[test]
    fn what_was_proved_before_a_callback_holds_behind_it() {
        let steps = [Verdict::Proved(Some("eve".into())), Verdict::Missing("key: missing")];
        let [first, last] = steps.map(|verdict| Step::Check(Arc::new(Says(verdict))));
        let checks = Checks { names: Arc::default(), steps: vec![first, Step::Callback, last] };
        let question = question(Action::Play, "live/a", &[]);
        let Next::Ask(progress) = checks.begin(&question, at(0)) else { panic!("does not ask") };
        let Next::Decided(Ok(pass)) = checks.go_on(&question, at(0), progress) else { panic!("refused") };
        assert_eq!(pass.user.as_deref(), Some("eve"));
    }
}
