//! Playing: where a stream is served from, waiting for it, and attaching a viewer to its log.

use crate::event::What;
use crate::session::Record;
use crate::shard::{SessionGuard, Shard};
use crate::stats::{Role, SessionStats};
use crate::stream::Stream;
use crate::transport::{Peer, Transport};
use crate::viewer::{Gone, Setup, Viewer};
use media::{JoinStart, Refusal, Rendition, StopReason, StreamKey};
use rt::Notify;
use std::cell::RefCell;
use std::rc::Rc;

/// All that makes a viewer.
pub struct Attach {
    /// The way to the peer; the socket is non-blocking and read by nobody else.
    pub transport: Transport,
    /// The protocol's side.
    pub peer: Box<dyn Peer>,
    /// The session.
    pub session: SessionGuard,
    /// Which stream, as [`Shard::await_stream`] found it.
    pub key: StreamKey,
    /// Which bytes of it.
    pub rendition: Box<dyn Rendition>,
    /// Where and how it starts.
    pub start: JoinStart,
    /// What the protocol has to say before the shared bytes.
    pub greeting: Vec<u8>,
}

/// A place in the queue of those who wait for a change of a stream; given up by its drop.
pub(crate) struct Waiting {
    shard: Shard,
    stream: Rc<RefCell<Stream>>,
    came: Rc<Notify>,
}

impl Waiting {
    pub fn new(shard: &Shard, stream: Rc<RefCell<Stream>>) -> Self {
        let came = Rc::new(Notify::default());
        stream.borrow_mut().waiters.push(Rc::clone(&came));
        stream.borrow().wake_publisher();
        let waiting = &shard.inner().waiting;
        waiting.set(waiting.get() + 1);
        Self { shard: shard.clone(), stream, came }
    }

    pub async fn wait(&self) {
        self.came.wait().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waiting = &self.shard.inner().waiting;
        waiting.set(waiting.get().saturating_sub(1));
        self.stream.borrow_mut().waiters.retain(|waiter| !Rc::ptr_eq(waiter, &self.came));
    }
}

/// Where a play request is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this shard.
    Here,
    /// On that one: hand the connection over.
    There(usize),
}

impl Shard {
    /// Where a viewer of a stream that was accepted here is served.
    pub fn place(&self, key: &StreamKey) -> Place {
        let owner = self.owner(key);
        let mirrored = || self.stream(key).is_some_and(|s| s.borrow().is_there());
        let hot = || self.config().mirror.threshold == 0 || self.inner().hot.borrow().contains(key);
        if owner == self.index() || mirrored() || hot() { Place::Here } else { Place::There(owner) }
    }

    /// Waits until the stream can be viewed here, as long as the configuration lets a viewer wait. Whoever waits listens
    /// for a stop of the session meanwhile.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::Limit`], [`Refusal::ShuttingDown`] or [`Refusal::Unavailable`].
    pub async fn await_stream(&self, session: &Record, key: &StreamKey) -> Result<(), Refusal> {
        let config = self.config();
        let here = self.owner(key) == self.index();
        // A mirror needs an answer of the owner even if nobody may wait for a publisher.
        let patience = if here { config.play.wait } else { config.play.wait.max(config.admission_timeout) };
        let deadline = self.now().plus(patience);
        let mut asked = false;
        loop {
            let known = self.stream(key);
            if known.as_ref().is_some_and(|s| s.borrow().is_there()) {
                return Ok(());
            }
            let refused = known.is_none() && asked;
            if refused || self.now() >= deadline {
                return Err(Refusal::NotFound);
            }
            if self.inner().waiting.get() >= config.limits.waiting {
                self.count_limit("waiting");
                return Err(Refusal::Limit);
            }
            let stream = self.stream_or_new(key)?;
            if !here && known.is_none() {
                self.ask_owner(key, !config.play.wait.is_zero());
            }
            asked = true;
            session.step("waits for publisher", self.now());
            let waiting = Waiting::new(self, stream);
            rt::timeout(deadline.since(self.now()), waiting.wait()).await;
            if self.is_draining() {
                return Err(Refusal::ShuttingDown);
            }
        }
    }

    /// Makes a viewer of a connection. From here on the engine writes to it and reads from it.
    pub fn attach(&self, attach: Attach) {
        let config = self.config();
        let class = attach.start.class.unwrap_or(config.play.class);
        let rendition = attach.rendition;
        let mut refused = None;
        let stream = self.stream(&attach.key).filter(|s| s.borrow().is_there());
        let since = stream.as_ref().and_then(|stream| {
            let mut stream = stream.borrow_mut();
            let Some(log) = stream.rendition(&*rendition, config.limits.renditions) else {
                refused = Some("renditions");
                return None;
            };
            log.unused_since = None;
            let from_cache = attach.start.gop.unwrap_or(config.gop.enabled);
            Some(if from_cache { 0 } else { log.log.end() })
        });
        if let Some(limit) = refused {
            self.count_limit(limit);
        }
        if config.play.send_buffer > 0 {
            // A hint to the kernel; without it the viewer works all the same.
            let _ = rt::set_send_buffer(attach.transport.fd(), config.play.send_buffer);
        }
        if config.play.unsent > 0 {
            // As above. What is late stays in the log, which all share, and not in a copy for each viewer.
            let _ = rt::set_notsent_lowat(attach.transport.fd(), config.play.unsent);
        }
        if !config.class(class).nodelay {
            // As above.
            let _ = rt::set_nodelay(attach.transport.fd(), false);
        }
        let record = attach.session.record();
        let mut viewer = Viewer::new(Setup {
            transport: attach.transport,
            peer: attach.peer,
            session: attach.session,
            rendition: rendition.id(),
            class,
            since: since.unwrap_or(0),
            private: attach.greeting,
        });
        if self.is_draining() {
            viewer.farewell(StopReason::ShuttingDown, self.now());
            return;
        }
        let Some((stream, _)) = stream.zip(since) else {
            viewer.farewell(
                if refused.is_some() { StopReason::Limit } else { StopReason::StreamEnded },
                self.now(),
            );
            return;
        };
        viewer.stream = Some(Rc::clone(&stream));
        viewer.session.step("attached", self.now());
        let added = {
            let mut stream = stream.borrow_mut();
            let mut viewers = self.inner().viewers.borrow_mut();
            let list = stream.renditions.iter_mut().find(|log| log.id() == rendition.id());
            let list = list.map(|log| log.viewers_of(class));
            viewer.place = list.as_ref().map_or(0, |list| list.len());
            let key = viewers.insert(viewer);
            record.viewer.set(Some(key));
            if let Some(list) = list {
                list.push(key);
            }
            stream.unused_since = None;
            stream.wake_publisher();
            let added = viewers.get(key).map_or(Ok(()), |v| self.inner().poller.add(v.fd(), key.token()));
            added.map(|()| key).map_err(|error| (key, error))
        };
        let count = self.class_viewers(class);
        count.set(count.get() + 1);
        let key = match added {
            Ok(key) => key,
            Err((key, error)) => {
                tracing::warn!(%error, "a viewer could not be watched");
                self.detach(key, Gone::Io(error.kind()));
                return;
            }
        };
        let generation = stream.borrow().generation;
        record.playing.set(Some(generation));
        self.tell_event(What::PlayStarted, &record, generation, None);
        self.inner().fanout.notify();
        self.flush_viewer(&stream, key);
        self.weigh(&stream);
    }

    pub(crate) fn add_viewer_stats(&self, record: &Record, stats: &mut SessionStats) {
        let Some(key) = record.viewer.get().filter(|_| record.role() == Role::Viewer) else { return };
        let viewers = self.inner().viewers.borrow();
        let Some(viewer) = viewers.get(key) else { return };
        stats.class = Some(viewer.class);
        stats.bytes_out = stats.bytes_out.saturating_add(viewer.sent());
        (stats.skips, stats.bytes_skipped) = viewer.skips();
        if let Some(stream) = &viewer.stream {
            let stream = stream.borrow();
            if let Some(log) = stream.renditions.iter().find(|log| log.id() == viewer.rendition) {
                (stats.lag_ms, stats.lag_bytes) = viewer.lag(&log.log);
            }
        }
    }
}
