//! HTTP callbacks: facts that are told once and in order, and questions that wait for an answer.
//!
//! What is promised of a fact (`postPublish`, `donePublish`, `postPlay`, `donePlay`):
//! - It is written to the spool before anything is sent, and stays there until the target answered 2xx, over a crash and a
//!   restart too. If the spool cannot be written, nobody new is admitted until it can.
//! - Facts of one stream reach a target in the order in which they happened, one at a time; streams do not wait for each other.
//! - A repeat (the answer was lost, or the server died before it noted it) has the same `event_id` and the same body, so a
//!   target can drop it.
//! - A fact that is not taken for too long, or that finds no room, becomes a dead letter: it is counted and logged.
//! - A session that was told of when it began and that died with the process is told as done at the next start.
//!
//! A slow or dead target costs disk up to a bound, and nobody waits for it. Questions (`prePublish`, `prePlay`) do wait, with a
//! time-out, and only the session that is asked about.

mod ask;
mod body;
mod deliver;
mod spool;
mod target;

pub use ask::{Answer, Asker, action_of};
pub use body::Fields;
pub use deliver::{Deliverer, TargetCounts};
pub use spool::{Counts, Spool, SpoolLimits};
pub use target::{Target, TargetError};

use crate::events::{Counting, Numbered, Sink};
use engine::What;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Pause between two tries to write to a spool that cannot be written.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes every event to the spool, if there is somebody to tell.
pub struct Recorder {
    spool: Arc<Spool>,
    deliverer: Deliverer,
    /// Sequences that were given out. Only those that somebody was told of outlive the process.
    counting: Counting,
}

impl Recorder {
    /// For this spool.
    pub fn new(spool: Arc<Spool>, deliverer: Deliverer) -> Self {
        Self { spool, deliverer, counting: Counting::default() }
    }
}

impl Sink for Recorder {
    fn number(&mut self, stream: &str) -> u64 {
        if !self.counting.knows(stream) {
            let next = retry(|| self.spool.number(stream));
            self.counting.begin(stream, next);
        }
        self.counting.number(stream)
    }

    fn take(&mut self, events: &[Arc<Numbered>]) {
        let targets = self.deliverer.targets();
        let idle = targets.is_empty();
        let ended = |event: &Numbered| matches!(event.event.what, What::PublishEnded | What::PlayEnded);
        let told = events.iter().filter(|event| event.event.what != What::Left && (!idle || ended(event)));
        let facts: Vec<_> = told.map(|event| (event, Fields::of_event(event))).collect();
        // With nobody to tell, what matters is the end of those who were told of.
        if facts.is_empty() || idle && !retry(|| self.spool.has_open()) {
            return;
        }
        let facts: Vec<_> = facts.iter().map(|(event, fields)| (&***event, fields)).collect();
        retry(|| self.spool.record(&targets, &facts));
        self.deliverer.wake();
    }

    fn end(&mut self) {
        if let Err(error) = self.spool.sync() {
            tracing::error!(%error, "the spool of callbacks could not be synced");
        }
    }
}

/// Until it works: nothing may be lost, and whoever waits for room behind this is refused.
fn retry<T>(mut run: impl FnMut() -> Result<T, String>) -> T {
    loop {
        match run() {
            Ok(done) => return done,
            Err(error) => {
                tracing::error!(%error, "the spool of callbacks cannot be written; nobody new is admitted meanwhile");
                thread::sleep(AGAIN);
            }
        }
    }
}
