//! Who may publish and who may play: answers the engine's questions.
//!
//! A thread of its own reads them and lets the checks look, which takes microseconds. Only a question that the callback targets
//! are to answer waits, on the control thread's runtime, and holds up no other.

use crate::access::{Caps, Checks, Configured, Denied, Names, Next, Pass, Progress, Tally};
use crate::events::{Numbered, Sink};
use crate::hooks::{Answer, Asker, Target};
use engine::{Grant, Handle, Question, SessionId, What};
use media::{LatencyClass, Refusal};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime};
use tokio::runtime;

/// Refusals whose reasons are kept.
const MAX_DENIALS: usize = 2_000;
/// How often it is looked whether somebody is counted who is gone.
const TALLY_LOOK: Duration = Duration::from_secs(15);
/// How long the shards may take to tell who is there.
const WAIT: Duration = Duration::from_secs(2);

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

/// What is in force.
#[derive(Clone, Default)]
pub struct Rules {
    /// The checks.
    pub checks: Checks,
    /// Callback targets.
    pub targets: Vec<Target>,
    /// Whether a target that does not answer allows.
    pub unreachable_allows: bool,
}

struct Inner {
    rules: RwLock<Arc<Rules>>,
    tally: Tally,
    denials: Arc<Denials>,
    asker: Asker,
    handle: Handle,
    allowed: AtomicU64,
    refused: AtomicU64,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

impl Admission {
    /// Begins with these rules.
    pub fn new(handle: Handle, asker: Asker) -> Self {
        Self(Arc::new(Inner {
            rules: RwLock::default(),
            tally: Tally::default(),
            denials: Arc::default(),
            asker,
            handle,
            allowed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Other rules for those who ask from now on.
    pub fn replace(&self, configured: Configured, targets: Vec<Target>, unreachable_allows: bool) {
        self.0.tally.limit(configured.limits);
        let rules = Rules { checks: configured.checks, targets, unreachable_allows };
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Push keys and public names in force.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.rules().checks.names)
    }

    /// Reasons of refusals.
    pub fn denials(&self) -> Arc<Denials> {
        Arc::clone(&self.0.denials)
    }

    /// Requests that were allowed, and that were refused.
    pub fn counts(&self) -> (u64, u64) {
        (self.0.allowed.load(Ordering::Relaxed), self.0.refused.load(Ordering::Relaxed))
    }

    /// Gives back what ended sessions held.
    pub fn sink(&self) -> Box<dyn Sink> {
        Box::new(Leaver(self.clone()))
    }

    /// Answers questions until the engine is gone; those for the callback targets on the runtime.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub fn start(&self, runtime: runtime::Handle) -> io::Result<()> {
        runtime.spawn(self.clone().look_through());
        let admission = self.clone();
        thread::Builder::new().name("admission".into()).spawn(move || {
            while let Ok(question) = admission.0.handle.questions().recv() {
                let rules = admission.rules();
                match rules.checks.begin(&question, SystemTime::now()) {
                    Next::Decided(decided) => admission.answer(&question, decided, None, Caps::default()),
                    Next::Ask(progress) => admission.ask(question, rules, progress, &runtime),
                }
            }
        })?;
        Ok(())
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the targets, if one of them wants to be asked, and goes on.
    fn ask(&self, question: Arc<Question>, rules: Arc<Rules>, progress: Progress, runtime: &runtime::Handle) {
        let action = crate::hooks::action_of(&question);
        let stream = question.key.as_str();
        if !rules.targets.iter().any(|target| target.wants(action, stream)) {
            return self.go_on(&question, &rules, progress);
        }
        let admission = self.clone();
        runtime.spawn(async move {
            let mut progress = progress;
            let (class, caps) =
                match admission.0.asker.ask(&rules.targets, &question, rules.unreachable_allows).await {
                    Answer::Allow { name, class, user, caps } => {
                        let Pass { key, user: known } = std::mem::take(&mut progress.pass);
                        progress.pass = Pass { key: name.or(key), user: user.or(known) };
                        (class, caps)
                    }
                    Answer::Unreachable(why) => {
                        let denied = Denied { refusal: Refusal::Unavailable, why };
                        return admission.answer(&question, Err(denied), None, Caps::default());
                    }
                    Answer::Refuse(why) => {
                        let denied = Denied::because(why);
                        return admission.answer(&question, Err(denied), None, Caps::default());
                    }
                };
            // More than one callback in the order means the same answer.
            loop {
                match rules.checks.go_on(&question, SystemTime::now(), progress) {
                    Next::Ask(further) => progress = further,
                    Next::Decided(decided) => return admission.answer(&question, decided, class, caps),
                }
            }
        });
    }

    fn go_on(&self, question: &Arc<Question>, rules: &Rules, progress: Progress) {
        let mut progress = progress;
        loop {
            match rules.checks.go_on(question, SystemTime::now(), progress) {
                Next::Ask(further) => progress = further,
                Next::Decided(decided) => return self.answer(question, decided, None, Caps::default()),
            }
        }
    }

    fn answer(
        &self,
        question: &Arc<Question>,
        decided: Result<Pass, Denied>,
        class: Option<LatencyClass>,
        caps: Caps,
    ) {
        let inner = &self.0;
        let verdict = decided.and_then(|pass| {
            let stream = pass.key.as_ref().unwrap_or(&question.key);
            inner.tally.enter(question, stream.as_str(), pass.user.as_deref(), caps)?;
            Ok(Grant { key: pass.key, class })
        });
        let counter = if verdict.is_ok() { &inner.allowed } else { &inner.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        let verdict = verdict.map_err(|denied| {
            tracing::debug!(session = %question.session, stream = %question.key, why = denied.why, "not admitted");
            inner.denials.note(question.session, denied.why);
            denied.refusal
        });
        inner.handle.answer(question, verdict);
    }

    /// Whoever is lost on the way between two shards tells nobody.
    async fn look_through(self) {
        loop {
            tokio::time::sleep(TALLY_LOOK).await;
            if self.0.tally.is_empty() {
                continue;
            }
            let handle = self.0.handle.clone();
            let shards = tokio::task::spawn_blocking(move || handle.stats(WAIT)).await.unwrap_or_default();
            if shards.len() == self.0.handle.shards() {
                let sessions = shards.iter().flat_map(|shard| &shard.sessions);
                let living = sessions.filter(|session| session.ended.is_none()).map(|session| session.id);
                self.0.tally.keep(&living.collect());
            }
        }
    }
}

struct Leaver(Admission);

impl Sink for Leaver {
    fn number(&mut self, _: &str) -> u64 {
        0
    }

    fn take(&mut self, events: &[Arc<Numbered>]) {
        for Numbered { event, .. } in events.iter().map(Arc::as_ref) {
            if matches!(event.what, What::PublishEnded | What::PlayEnded | What::Left) {
                self.0.0.tally.leave(&event.request);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_reasons_are_kept() {
        let denials = Denials::default();
        for n in 0..MAX_DENIALS as u64 + 10 {
            denials.note(SessionId(n), "no");
        }
        assert_eq!((denials.of(SessionId(9)), denials.of(SessionId(10)).is_some()), (None, true));
    }
}
