//! What happened, for whoever asks: the last events, and a live feed of new ones.
//!
//! One thread reads the engine's events. It numbers them, gives each stream's events a sequence, keeps the last ones and
//! passes all on. Whoever reads the feed too slowly is told how many it missed; nobody is waited for but the
//! [`Sink`], which keeps what must not be lost.

use engine::{Event, Handle, What};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// Events that are kept to be read again.
pub const MAX_RECENT: usize = 1_000;
/// Events that a reader of the live feed may be behind.
const MAX_BEHIND: usize = 1_024;
/// Events that are passed on in one go, when many wait.
const MAX_BATCH: usize = 256;

/// An event with its number.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// Counts all events since the process began, from 1.
    pub id: u64,
    /// Counts the events of its stream.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
}

impl Numbered {
    /// Its name, as in callbacks.
    pub const fn action(&self) -> &'static str {
        match self.event.what {
            What::PublishStarted => "postPublish",
            What::PublishEnded => "donePublish",
            What::PlayStarted => "postPlay",
            What::PlayEnded => "donePlay",
            What::Left => "left",
        }
    }

    /// As the API and the feeds show it.
    pub fn shown(&self) -> Value {
        let Event {
            session, shard, key, generation, request, accepted, at, bytes_in, bytes_out, reason, ..
        } = &self.event;
        json!({
            "id": self.id,
            "sequence": self.sequence,
            "action": self.action(),
            "at": crate::time::iso8601(*at),
            "session": session.to_string(),
            "shard": shard,
            "app": key.app(),
            "name": key.name(),
            "generation": generation,
            "peer": request.peer.to_string(),
            "protocol": request.protocol,
            "user_agent": &*request.user_agent,
            "accepted_at": crate::time::iso8601(*accepted),
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "reason": reason,
        })
    }
}

/// Where every event goes, in order.
pub trait Sink: Send {
    /// Sequence of the next event of a stream.
    fn number(&mut self, stream: &str) -> u64;
    /// Takes events; may wait. All that were numbered since the last time are among them.
    fn take(&mut self, events: &[Arc<Numbered>]);
    /// No more will come; returns when all that was taken is safe.
    fn end(&mut self) {}
}

/// See the module.
pub struct Events {
    recent: Mutex<VecDeque<Arc<Numbered>>>,
    live: broadcast::Sender<Arc<Numbered>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { recent: Mutex::default(), live: broadcast::channel(MAX_BEHIND).0 }
    }
}

impl Events {
    /// Reads the engine's events until the last shard is gone.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub fn start(
        self: &Arc<Self>,
        handle: &Handle,
        mut sinks: Vec<Box<dyn Sink>>,
    ) -> io::Result<JoinHandle<()>> {
        let (events, queue) = (Arc::clone(self), handle.events().clone());
        thread::Builder::new().name("events".into()).spawn(move || {
            let mut id = 0_u64;
            let mut batch = Vec::new();
            while let Ok(first) = queue.recv() {
                for event in std::iter::once(first).chain(queue.try_iter()).take(MAX_BATCH) {
                    if event.what == What::Left {
                        // Nothing that anybody is told of, but some have to know.
                        batch.push(Arc::new(Numbered { id: 0, sequence: 0, event }));
                        continue;
                    }
                    id += 1;
                    let numbers = sinks.iter_mut().map(|sink| sink.number(event.key.as_str()));
                    let sequence = numbers.max().unwrap_or(0);
                    batch.push(Arc::new(Numbered { id, sequence, event }));
                }
                for sink in &mut sinks {
                    sink.take(&batch);
                }
                for event in batch.drain(..).filter(|event| event.event.what != What::Left) {
                    events.keep(event);
                }
            }
            for sink in &mut sinks {
                sink.end();
            }
        })
    }

    /// The last events that `wanted` takes, oldest first.
    pub fn recent(&self, wanted: impl Fn(&Numbered) -> bool) -> Vec<Arc<Numbered>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().filter(|event| wanted(event)).cloned().collect()
    }

    /// New events from now on.
    pub fn live(&self) -> broadcast::Receiver<Arc<Numbered>> {
        self.live.subscribe()
    }

    fn keep(&self, event: Arc<Numbered>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&event));
        // Nobody may be listening.
        let _ = self.live.send(event);
    }
}

/// Sequences that last as long as the process.
#[derive(Default)]
pub struct Counting(std::collections::HashMap<String, (u64, Option<SystemTime>)>);

/// Streams whose sequence is remembered; past it the one that was quiet for the longest starts anew.
const MAX_STREAMS: usize = 50_000;

impl Counting {
    /// Whether a stream has a sequence.
    pub fn knows(&self, stream: &str) -> bool {
        self.0.contains_key(stream)
    }

    /// Begins a stream's sequence with this number.
    pub fn begin(&mut self, stream: &str, next: u64) {
        self.make_room(stream);
        self.0.insert(stream.to_owned(), (next.saturating_sub(1), None));
    }

    fn make_room(&mut self, stream: &str) {
        if self.0.len() >= MAX_STREAMS
            && !self.0.contains_key(stream)
            && let Some(quiet) = self.0.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| key.clone())
        {
            self.0.remove(&quiet);
        }
    }
}

impl Sink for Counting {
    fn number(&mut self, stream: &str) -> u64 {
        self.make_room(stream);
        let entry = self.0.entry(stream.to_owned()).or_insert((0, None));
        *entry = (entry.0 + 1, Some(SystemTime::now()));
        entry.0
    }

    fn take(&mut self, _: &[Arc<Numbered>]) {}
}
