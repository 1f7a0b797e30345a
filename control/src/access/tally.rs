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

/// Limits for one session in place of the configured ones; 0: as many as come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// Publishers, or viewers, from its address.
    pub per_address: Option<usize>,
    /// Publishers, or viewers, of its user.
    pub per_user: Option<usize>,
    /// Viewers of its stream.
    pub per_stream: Option<usize>,
}

impl Caps {
    /// What is not said here, as another says it.
    pub fn or(self, other: Self) -> Self {
        Self {
            per_address: self.per_address.or(other.per_address),
            per_user: self.per_user.or(other.per_user),
            per_stream: self.per_stream.or(other.per_stream),
        }
    }
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

/// What a session counts as, for what it was allowed: a connection may ask again before the end of its last request is told.
struct Counted {
    request: Arc<Question>,
    of: Vec<Of>,
    since: Instant,
}

#[derive(Default)]
struct Tables {
    limits: Limits,
    counts: HashMap<Of, usize>,
    sessions: HashMap<SessionId, Counted>,
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
    pub fn enter(
        &self,
        question: &Arc<Question>,
        stream: &str,
        user: Option<&str>,
        caps: Caps,
    ) -> Result<(), Denied> {
        let mut tables = self.lock();
        let tables = &mut *tables;
        // What it did before is over.
        tables.leave(question.session);
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
        let per_stream = caps.per_stream.filter(|_| action == Action2::Play).unwrap_or(per_stream);
        for (most, of, name) in [
            (
                caps.per_address.unwrap_or(per_address),
                Some(Of::Address(action, question.peer.ip().to_canonical())),
                "per_address",
            ),
            (caps.per_user.unwrap_or(per_user), user, "per_user"),
            (per_stream, Some(Of::Stream(stream.into())), "per_stream"),
        ] {
            let Some(of) = of.filter(|_| most > 0) else { continue };
            if tables.counts.get(&of).is_some_and(|count| *count >= most) {
                let who = if action == Action2::Publish { "publishers" } else { "viewers" };
                let by = if caps == Caps::default() { "" } else { " (a callback's verdict may have set it)" };
                let why = format!("limits.{who}_{name} = {most} is reached{by}");
                return Err(Denied { refusal: Refusal::Limit, why });
            }
            counted.push(of);
        }
        if counted.is_empty() {
            return Ok(());
        }
        for of in &counted {
            *tables.counts.entry(of.clone()).or_default() += 1;
        }
        let request = Arc::clone(question);
        tables.sessions.insert(question.session, Counted { request, of: counted, since: Instant::now() });
        Ok(())
    }

    /// What was allowed is over.
    pub fn leave(&self, request: &Arc<Question>) {
        let mut tables = self.lock();
        if tables.sessions.get(&request.session).is_some_and(|known| Arc::ptr_eq(&known.request, request)) {
            tables.leave(request.session);
        }
    }

    /// Whether there is anything to look through.
    pub fn is_empty(&self) -> bool {
        self.lock().sessions.is_empty()
    }

    /// Gives back what sessions held that are not among the living.
    pub fn keep(&self, living: &HashSet<SessionId>) {
        let mut tables = self.lock();
        let gone = tables
            .sessions
            .iter()
            .filter(|(id, known)| !living.contains(id) && known.since.elapsed() > YOUNG);
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
        for of in self.sessions.remove(&session).into_iter().flat_map(|known| known.of) {
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
    ) -> Result<Arc<Question>, String> {
        let mut question = question(action, "live/a", &[]);
        question.session = SessionId(session);
        question.peer = peer.parse().unwrap();
        let question = Arc::new(question);
        let entered = tally.enter(&question, "live/a", user, Caps::default());
        entered.map(|()| question).map_err(|denied| denied.why)
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
        let one = enter(&tally, 1, Play, "10.0.0.1:1", None).unwrap();
        let two = enter(&tally, 2, Play, "[::ffff:10.0.0.1]:2", Some("eve")).unwrap();
        let address = enter(&tally, 3, Play, "10.0.0.1:3", None).unwrap_err();
        assert!(address.contains("viewers_per_address = 2"), "{address}");
        assert!(enter(&tally, 4, Play, "10.0.0.2:1", Some("eve")).unwrap_err().contains("viewers_per_user"));
        let five = enter(&tally, 5, Play, "10.0.0.2:1", None).unwrap();
        assert!(enter(&tally, 6, Play, "10.0.0.3:1", None).unwrap_err().contains("viewers_per_stream"));
        let seven = enter(&tally, 7, Publish, "10.0.0.1:9", None).unwrap();
        assert!(
            enter(&tally, 8, Publish, "10.0.0.1:9", None).unwrap_err().contains("publishers_per_address")
        );
        tally.leave(&two);
        tally.leave(&two);
        let nine = enter(&tally, 9, Play, "10.0.0.1:3", Some("eve")).unwrap();
        for request in [one, five, seven, nine] {
            tally.leave(&request);
        }
        let tables = tally.lock();
        assert!(tables.counts.is_empty() && tables.sessions.is_empty());
    }

    #[test]
    fn a_session_that_asks_again_is_counted_once_and_a_late_end_ends_nothing_else() {
        let tally = Tally::default();
        tally.limit(Limits { publishers_per_address: 1, ..Limits::default() });
        let first = enter(&tally, 1, Publish, "10.0.0.1:1", None).unwrap();
        let second = enter(&tally, 1, Publish, "10.0.0.1:1", None).unwrap();
        tally.leave(&first);
        assert!(enter(&tally, 2, Publish, "10.0.0.1:2", None).is_err());
        tally.leave(&second);
        enter(&tally, 2, Publish, "10.0.0.1:2", None).unwrap();
    }

    #[test]
    fn a_verdict_sets_limits_of_its_own() {
        let tally = Tally::default();
        let caps = Caps { per_user: Some(1), ..Caps::default() };
        let ask = |session: u64, user: &str| {
            let mut question = question(Play, "live/a", &[]);
            question.session = SessionId(session);
            tally.enter(&Arc::new(question), "live/a", Some(user), caps).is_ok()
        };
        assert!(ask(1, "eve") && !ask(2, "eve") && ask(3, "adam"));
    }

    #[test]
    fn what_was_lost_is_given_back_when_it_is_not_young_any_more() {
        let tally = Tally::default();
        tally.limit(Limits { viewers_per_address: 1, ..Limits::default() });
        enter(&tally, 1, Play, "10.0.0.1:1", None).unwrap();
        tally.keep(&HashSet::new());
        assert!(enter(&tally, 2, Play, "10.0.0.1:1", None).is_err());
        let before = Instant::now().checked_sub(YOUNG * 2).unwrap();
        tally.lock().sessions.get_mut(&SessionId(1)).unwrap().since = before;
        tally.keep(&HashSet::from([SessionId(1)]));
        assert!(enter(&tally, 2, Play, "10.0.0.1:1", None).is_err());
        tally.keep(&HashSet::new());
        enter(&tally, 2, Play, "10.0.0.1:1", None).unwrap();
    }
}
