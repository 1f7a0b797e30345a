//! What happened to sessions and streams, told to the control side.
//!
//! Told in order and without loss: all shards write to one queue, and while too much in it waits to be read, nobody new
//! is admitted. Each that was admitted adds at most a start and exactly one end,
//! so the queue is bounded.

use crate::clock;
use crate::handle::Question;
use crate::session::Record;
use crate::shard::Shard;
use crate::stats::SessionId;
use media::StreamKey;
use std::sync::Arc;
use std::time::SystemTime;

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A publisher was allowed and has its name.
    PublishStarted,
    /// It publishes no more.
    PublishEnded,
    /// A viewer was allowed and is being served.
    PlayStarted,
    /// It is served no more.
    PlayEnded,
    /// Somebody was allowed, and is gone without having begun.
    Left,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// What.
    pub what: What,
    /// Whose.
    pub session: SessionId,
    /// The shard that served it then.
    pub shard: usize,
    /// The stream by its public name; what was asked for stands in [`Self::request`].
    pub key: StreamKey,
    /// Which publication of that name.
    pub generation: u64,
    /// What was asked, by whom.
    pub request: Arc<Question>,
    /// When its connection was accepted.
    pub accepted: SystemTime,
    /// When this happened.
    pub at: SystemTime,
    /// Bytes received by then.
    pub bytes_in: u64,
    /// Bytes sent by then.
    pub bytes_out: u64,
    /// Why it ended, if it did.
    pub reason: Option<String>,
}

impl Shard {
    /// Whether too much waits to be read for anybody new to be admitted.
    pub(crate) fn is_event_queue_full(&self) -> bool {
        self.inner().events.len() >= self.config().limits.events
    }

    /// Tells of a session, if it asked for something and was allowed.
    pub(crate) fn tell_event(&self, what: What, record: &Record, generation: u64, reason: Option<String>) {
        let begins = matches!(what, What::PublishStarted | What::PlayStarted);
        let request = if begins { record.request() } else { record.take_request() };
        let (Some(request), Some(key)) = (request, record.key()) else { return };
        let (bytes_in, bytes_out) = record.traffic();
        let event = Event {
            what,
            session: record.id(),
            shard: self.index(),
            key,
            generation,
            request,
            accepted: clock::date(record.accepted),
            at: clock::date(self.now()),
            bytes_in,
            bytes_out,
            reason,
        };
        // Nobody reads only while the process ends.
        let _ = self.inner().events.send(event);
    }

    /// Tells of the end of what a session was allowed, unless that was told before.
    pub(crate) fn tell_ended(&self, record: &Record) {
        if record.publishing.get() {
            return;
        }
        match record.playing.take() {
            Some(generation) => self.tell_event(What::PlayEnded, record, generation, record.why_ended()),
            None => self.tell_event(What::Left, record, 0, record.why_ended()),
        }
    }
}
