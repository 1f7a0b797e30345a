//! How many publish and play from an address, by a user, of a stream.
//!
//! Counted from the verdict to the session's end; what was lost on the way is given back when the living sessions are looked
//! through.

use super::Denied;
use engine::{Action, Question, SessionId};
use media::Refusal;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A session younger than this may still be on its way to where it is counted.
const YOUNG: Duration = Duration::from_secs(30);

/// Most of each; 0: as many as come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Publishers from one address.
    pub publishers_per_address: usize,
    /// Viewers from one address.
    pub viewers_per_address: usize,
    /// Publishers of one user.
    pub publishers_per_user: usize,
    /// Viewers of one user.
    pub viewers_per_user: usize,
    /// Viewers of one stream.
    pub viewers_per_stream: usize,
}

/// What is counted. A few bytes each, so that a crowd costs little.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Of {
    Address(Action2, std::net::IpAddr),
    User(Action2, Arc<str>),
    Stream(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action2 {
    Publish,
    Play,
}

#[derive(Default)]
struct Tables {
    limits: Limits,
    counts: HashMap<Of, usize>,
    sessions: HashMap<SessionId, (Vec<Of>, Instant)>,
}

/// See the module.
#[derive(Default)]
pub struct Tally(Mutex<Tables>);

impl Tally {
    /// Other limits for those who come from now on.
    pub fn limit(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// Counts a session, if there is room for it.
    ///
    /// # Errors
    /// [`Refusal::Limit`] with the limit's name.
    pub fn enter(&self, question: &Question, stream: &str, user: Option<&str>) -> Result<(), Denied> {
        let mut tables = self.lock();
        let tables = &mut *tables;
        let limits = tables.limits;
        let (action, per_address, per_user, per_stream) = match question.action {
            Action::Publish => {
                (Action2::Publish, limits.publishers_per_address, limits.publishers_per_user, 0)
            }
            Action::Play => (
                Action2::Play,
                limits.viewers_per_address,
                limits.viewers_per_user,
                limits.viewers_per_stream,
            ),
        };
        let mut counted = Vec::new();
        let user = user.map(|user| Of::User(action, user.into()));
        for (most, of, name) in [
            (per_address, Some(Of::Address(action, question.peer.ip().to_canonical())), "per_address"),
            (per_user, user, "per_user"),
            (per_stream, Some(Of::Stream(stream.into())), "per_stream"),
        ] {
            let Some(of) = of.filter(|_| most > 0) else { continue };
            if tables.counts.get(&of).is_some_and(|count| *count >= most) {
                let who = if action == Action2::Publish { "publishers" } else { "viewers" };
                let why = format!("limits.{who}_{name} = {most} is reached");
                return Err(Denied { refusal: Refusal::Limit, why });
            }
            counted.push(of);
        }
        if counted.is_empty() {
            return Ok(());
        }
        tables.leave(question.session);
        for of in &counted {
            *tables.counts.entry(of.clone()).or_default() += 1;
        }
        tables.sessions.insert(question.session, (counted, Instant::now()));
        Ok(())
    }

    /// A session is over.
    pub fn leave(&self, session: SessionId) {
        self.lock().leave(session);
    }

    /// Whether there is anything to look through.
    pub fn is_empty(&self) -> bool {
        self.lock().sessions.is_empty()
    }

    /// Gives back what sessions held that are not among the living.
    pub fn keep(&self, living: &HashSet<SessionId>) {
        let mut tables = self.lock();
        let gone =
            tables.sessions.iter().filter(|(id, (_, since))| !living.contains(id) && since.elapsed() > YOUNG);
        let gone: Vec<SessionId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            tables.leave(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn leave(&mut self, session: SessionId) {
        for of in self.sessions.remove(&session).into_iter().flat_map(|(counted, _)| counted) {
            if let Some(count) = self.counts.get_mut(&of) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&of);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::question;
    use super::*;
    use engine::Action::{Play, Publish};

    fn enter(
        tally: &Tally,
        session: u64,
        action: Action,
        peer: &str,
        user: Option<&str>,
    ) -> Result<(), String> {
        let mut question = question(action, "live/a", &[]);
        question.session = SessionId(session);
        question.peer = peer.parse().unwrap();
        tally.enter(&question, "live/a", user).map_err(|denied| denied.why)
    }

    #[test]
    fn each_limit_holds_alone_and_is_given_back() {
        let tally = Tally::default();
        tally.limit(Limits {
            viewers_per_address: 2,
            viewers_per_user: 1,
            viewers_per_stream: 3,
            publishers_per_address: 1,
            ..Limits::default()
        });
        enter(&tally, 1, Play, "10.0.0.1:1", None).unwrap();
        enter(&tally, 2, Play, "[::ffff:10.0.0.1]:2", Some("eve")).unwrap();
        let address = enter(&tally, 3, Play, "10.0.0.1:3", None).unwrap_err();
        assert!(address.contains("viewers_per_address = 2"), "{address}");
        assert!(enter(&tally, 4, Play, "10.0.0.2:1", Some("eve")).unwrap_err().contains("viewers_per_user"));
        enter(&tally, 5, Play, "10.0.0.2:1", None).unwrap();
        assert!(enter(&tally, 6, Play, "10.0.0.3:1", None).unwrap_err().contains("viewers_per_stream"));
        enter(&tally, 7, Publish, "10.0.0.1:9", None).unwrap();
        assert!(
            enter(&tally, 8, Publish, "10.0.0.1:9", None).unwrap_err().contains("publishers_per_address")
        );
        tally.leave(SessionId(2));
        tally.leave(SessionId(2));
        enter(&tally, 9, Play, "10.0.0.1:3", Some("eve")).unwrap();
        for session in [1, 5, 7, 9] {
            tally.leave(SessionId(session));
        }
        let tables = tally.lock();
        assert!(tables.counts.is_empty() && tables.sessions.is_empty());
    }

    #[test]
    fn what_was_lost_is_given_back_when_it_is_not_young_any_more() {
        let tally = Tally::default();
        tally.limit(Limits { viewers_per_address: 1, ..Limits::default() });
        enter(&tally, 1, Play, "10.0.0.1:1", None).unwrap();
        tally.keep(&HashSet::new());
        assert!(enter(&tally, 2, Play, "10.0.0.1:1", None).is_err());
        let before = Instant::now().checked_sub(YOUNG * 2).unwrap();
        tally.lock().sessions.get_mut(&SessionId(1)).unwrap().1 = before;
        tally.keep(&HashSet::from([SessionId(1)]));
        assert!(enter(&tally, 2, Play, "10.0.0.1:1", None).is_err());
        tally.keep(&HashSet::new());
        enter(&tally, 2, Play, "10.0.0.1:1", None).unwrap();
    }
}
