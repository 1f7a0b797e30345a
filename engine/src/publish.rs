//! Publishing: admission, who may take a name, and the way of packets into the stream.

use crate::config::OnConflict;
use crate::event::What;
use crate::handle::{Action, Grant, Question};
use crate::play::Waiting;
use crate::session::{Asked, Record, StopSignal};
use crate::shard::{SessionGuard, Shard, bump};
use crate::stream::{Phase, PublisherSlot, Stream};
use media::{LatencyClass, Metadata, Moment, Packet, Refusal, StopReason, StreamKey, Track};
use rt::{Either, Notify};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Longest rest of a publisher: the first viewer finds the cache no older than this.
const REST: Duration = Duration::from_millis(100);
/// How long a name that is taken is looked at before somebody is refused: the one who has it may just have gone, an
/// encoder that comes back at once for one, and that is seen only when it is read from.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Less is not worth a timer.
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// Bytes that may gather in its socket meanwhile, well below what the smallest receive buffer holds.
const REST_BYTES: u64 = 16 * 1024;

/// What is asked of admission, beside what the session's record knows.
pub struct Ask<'a> {
    /// Publish or play.
    pub action: Action,
    /// Which stream.
    pub key: &'a StreamKey,
    /// URL query.
    pub query: &'a [(String, String)],
    /// What the peer says it is.
    pub user_agent: &'a str,
    /// Host of the URL.
    pub host: &'a str,
}

/// The right to feed a stream. Dropped without [`Publication::end`], the publisher counts as broken off and its viewers are
/// kept for the grace time.
pub struct Publication {
    shard: Shard,
    stream: Rc<RefCell<Stream>>,
    generation: u64,
    stop: Rc<StopSignal>,
    watched: Notify,
    session: Rc<Record>,
    ended: bool,
}

impl Shard {
    /// Asks the control side whether a session may publish or play, and waits for the answer.
    ///
    /// # Errors
    /// The refusal; [`Refusal::Unavailable`] if the question could not be put or was not answered in time.
    pub async fn admit(&self, session: &SessionGuard, ask: Ask<'_>) -> Result<Grant, Refusal> {
        if self.is_event_queue_full() {
            self.count_limit("events");
            return Err(Refusal::Unavailable);
        }
        let question = Arc::new(Question {
            session: session.id(),
            shard: self.index(),
            action: ask.action,
            key: ask.key.clone(),
            query: ask.query.into(),
            peer: session.peer(),
            protocol: session.protocol(),
            user_agent: session.shared_user_agent(ask.user_agent),
            host: ask.host.into(),
        });
        let asked =
            Asked { question: Arc::clone(&question), verdict: Cell::new(None), answered: Notify::default() };
        let asked = Rc::new(asked);
        *session.asked.borrow_mut() = Some(Rc::clone(&asked));
        if self.inner().questions.try_send(question).is_err() {
            self.count_drop(|drops| drops.question += 1);
            return Err(Refusal::Unavailable);
        }
        let answered = async {
            loop {
                if let Some(verdict) = asked.verdict.take() {
                    return verdict;
                }
                asked.answered.wait().await;
            }
        };
        let verdict = rt::timeout(self.config().admission_timeout, answered).await;
        *session.asked.borrow_mut() = None;
        let verdict = verdict.unwrap_or(Err(Refusal::Unavailable));
        if verdict.is_ok() {
            session.allowed(Arc::clone(&asked.question));
        }
        verdict
    }

    /// Takes a name on its owner, by the policy for a name that is taken.
    ///
    /// # Errors
    /// [`Refusal::AlreadyPublishing`], [`Refusal::Limit`] or [`Refusal::ShuttingDown`].
    pub async fn publish(&self, session: &SessionGuard, key: &StreamKey) -> Result<Publication, Refusal> {
        let config = self.config().publish;
        let wait = match config.on_conflict {
            OnConflict::Wait => config.conflict_wait,
            OnConflict::Refuse | OnConflict::Replace => LOOK_AGAIN,
        };
        let deadline = self.now().plus(wait);
        loop {
            if self.is_draining() {
                return Err(Refusal::ShuttingDown);
            }
            let stream = self.stream_or_new(key)?;
            let taken = stream.borrow().publisher.as_ref().map(|p| Rc::clone(&p.stop));
            match (taken, config.on_conflict) {
                (None, _) => return Ok(self.take_name(session, stream)),
                (Some(other), OnConflict::Replace) => {
                    other.raise(StopReason::Replaced);
                    return Ok(self.take_name(session, stream));
                }
                (Some(_), _) if self.now() < deadline => {
                    let waiting = Waiting::new(self, stream);
                    let waited = rt::timeout(deadline.since(self.now()), waiting.wait());
                    if let Either::Right(_) = rt::either(waited, session.stop.wait()).await {
                        return Err(Refusal::ShuttingDown);
                    }
                }
                (Some(_), _) => return Err(Refusal::AlreadyPublishing),
            }
        }
    }

    fn take_name(&self, session: &SessionGuard, stream: Rc<RefCell<Stream>>) -> Publication {
        let stop = Rc::new(StopSignal::default());
        let watched = Notify::default();
        let (generation, key) = {
            let mut s = stream.borrow_mut();
            let generation = s.generation + 1;
            let slot = PublisherSlot {
                session: session.id(),
                generation,
                stop: Rc::clone(&stop),
                watched: watched.clone(),
            };
            s.begin(slot, self.now());
            (generation, s.key.clone())
        };
        self.start_followers(&stream);
        session.publishing.set(true);
        self.tell_event(What::PublishStarted, session, generation, None);
        tracing::info!(session = %session.id(), stream = %key, shard = self.index(), generation, "publishing");
        Publication {
            shard: self.clone(),
            stream,
            generation,
            stop,
            watched,
            session: session.record(),
            ended: false,
        }
    }

    /// The stream's entry on its owner, made if there is room.
    pub(crate) fn stream_or_new(&self, key: &StreamKey) -> Result<Rc<RefCell<Stream>>, Refusal> {
        if let Some(stream) = self.stream(key) {
            return Ok(stream);
        }
        let owner = self.owner(key);
        let mut streams = self.inner().streams.borrow_mut();
        if streams.len() >= self.config().limits.streams {
            self.count_limit("streams");
            return Err(Refusal::Limit);
        }
        let mut stream = Stream::new(key.clone(), owner, owner != self.index(), &self.config(), self.now());
        if stream.mirror {
            bump(&self.inner().lives);
            stream.life = self.inner().lives.get();
        }
        let stream = Rc::new(RefCell::new(stream));
        streams.insert(key.clone(), Rc::clone(&stream));
        Ok(stream)
    }

    fn lost_publisher(&self, stream: &Rc<RefCell<Stream>>, properly: bool) {
        let config = self.config().publish;
        let grace = if properly && !config.grace_after_end { Duration::ZERO } else { config.grace };
        {
            let mut s = stream.borrow_mut();
            s.publisher = None;
            if s.phase == Phase::Ended {
                return;
            }
            s.phase = Phase::Grace { until: self.now().plus(grace) };
            s.wake_waiters();
        }
        if grace.is_zero() || self.is_draining() {
            self.end_stream(stream, StopReason::StreamEnded);
        }
    }
}

impl Publication {
    /// A track, new or changed.
    pub fn track(&self, track: Track) {
        if self.is_current() {
            self.stream.borrow_mut().announce(track);
            self.shard.touched(&self.stream);
        }
    }

    /// Metadata, new or changed.
    pub fn metadata(&self, metadata: Metadata) {
        if self.is_current() {
            self.stream.borrow_mut().describe(metadata);
            self.shard.touched(&self.stream);
        }
    }

    /// A packet, its stamps unwrapped but not repaired.
    pub fn packet(&self, packet: Packet) {
        if self.is_current() {
            self.stream.borrow_mut().publish(self.shard.now(), packet);
            self.shard.touched(&self.stream);
        }
    }

    /// The end of what one read brought: viewers that want each packet at once, and mirrors, get theirs now.
    pub fn flush(&self) {
        self.shard.feed_followers(&self.stream);
        self.shard.flush_at_once(&self.stream);
        self.shard.flush_paced(&self.stream);
    }

    /// For a publisher that has nothing more to give at once: the wait until its viewers are due, or until somebody comes.
    /// What it sends meanwhile gathers in its socket; larger pieces cost less. `None`: somebody wants each packet.
    pub fn rest(&self) -> Option<impl Future<Output = ()>> {
        let now = self.shard.now();
        let until = self.stream.borrow().pace(&self.shard.config(), now, REST, REST_BYTES);
        self.set_paced(until.is_some());
        let rest = until?.since(now);
        self.watched.take();
        (rest >= SHORTEST_REST).then_some(async move {
            rt::either(self.watched.wait(), rt::sleep(rest)).await;
        })
    }

    /// When [`Self::flush`] is due although nothing came: viewers are written to in portions.
    pub fn due(&self) -> Option<Moment> {
        self.shard.next_turn(&self.stream)
    }

    fn set_paced(&self, paced: bool) {
        let was = std::mem::replace(&mut self.stream.borrow_mut().paced, paced);
        if was && !paced {
            self.shard.touched(&self.stream);
        }
    }

    /// Raised when the server wants the publication to end.
    pub fn stop(&self) -> Rc<StopSignal> {
        Rc::clone(&self.stop)
    }

    /// The publisher ended properly.
    pub fn end(mut self) {
        self.finish(true);
    }

    fn finish(&mut self, properly: bool) {
        if self.ended {
            return;
        }
        self.ended = true;
        let reason = self.session.why_ended().unwrap_or_else(|| "ended by peer".into());
        self.session.publishing.set(false);
        self.shard.tell_event(What::PublishEnded, &self.session, self.generation, Some(reason));
        if self.is_current() {
            self.set_paced(false);
            self.flush();
            self.shard.lost_publisher(&self.stream, properly);
        }
    }

    fn is_current(&self) -> bool {
        self.stream.borrow().publisher.as_ref().is_some_and(|p| p.generation == self.generation)
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.finish(false);
    }
}

impl Shard {
    /// Writes to the viewers whose class has no tick.
    pub(crate) fn flush_at_once(&self, stream: &Rc<RefCell<Stream>>) {
        let config = self.config();
        for class in LatencyClass::ALL {
            if config.class(class).tick.is_zero() && self.class_viewers(class).get() > 0 {
                self.flush_stream(stream, class);
            }
        }
    }
}
