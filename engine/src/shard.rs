//! A shard: one core's streams, viewers and sessions, and the one pump through which the rest of the mesh reaches it.
//!
//! Invariants worth naming:
//! - Everything here is touched by one thread; nothing is locked.
//! - No borrow of a cell lives across an await.
//! - The owner of a stream is a pure function of its key; no directory is kept.
//! - A session's end is noted exactly once, by the drop of its [`SessionGuard`].

use crate::config::Config;
use crate::event::Event;
use crate::handle::Question;
use crate::mesh::{Arrival, Inbox, Mail, Outbox};
use crate::session::{Permit, Record, Sessions, Travelling};
use crate::slab::Slab;
use crate::stats::{Joins, MeshDrops, Role, SessionId, SessionStats, ShardStats, StreamStats};
use crate::stream::Stream;
use crate::viewer::Viewer;
use crate::visitor::Visitor;
use crate::{clock, fanout};
use crossbeam_channel::Sender;
use media::{LatencyClass, Moment, Refusal, StopReason, StreamKey};
use rt::{Notify, Poller};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Mails handled before other tasks of the shard get a turn.
const MAILS_A_TURN: usize = 256;

/// Handle to the shard this task runs on. Cheap to clone; not for other threads.
#[derive(Clone)]
pub struct Shard(Rc<Inner>);

pub(crate) struct Inner {
    pub index: usize,
    pub cpu: Option<usize>,
    pub config: Cell<Config>,
    pub streams: RefCell<HashMap<StreamKey, Rc<RefCell<Stream>>>>,
    /// Streams that are over, while viewers still read what is left.
    pub ending: RefCell<Vec<Rc<RefCell<Stream>>>>,
    pub viewers: RefCell<Slab<Viewer>>,
    pub class_viewers: [Cell<usize>; 3],
    /// Streams with news for the viewers of a class.
    pub listed: [RefCell<Vec<Rc<RefCell<Stream>>>>; 3],
    /// Sessions that wait for a stream.
    pub waiting: Cell<usize>,
    /// Mirrors made so far.
    pub lives: Cell<u64>,
    pub sessions: RefCell<Sessions>,
    pub outboxes: Vec<Outbox>,
    pub questions: Sender<Arc<Question>>,
    pub events: Sender<Event>,
    pub visitors: Sender<Visitor>,
    /// Connections of all shards, counted as they come and go.
    pub connections: Arc<AtomicUsize>,
    pub poller: Poller,
    pub hot: RefCell<HashSet<StreamKey>>,
    pub fanout: Notify,
    pub counters: Counters,
    pub draining: Cell<bool>,
    /// Who is to be told when draining begins.
    pub on_drain: RefCell<Vec<Notify>>,
    pub drained: Notify,
    started: Moment,
}

/// What the shard counts for itself.
#[derive(Default)]
pub(crate) struct Counters {
    pub accepted: Cell<u64>,
    pub refused: Cell<u64>,
    pub handed_out: Cell<u64>,
    pub handed_in: Cell<u64>,
    pub panics: Cell<u64>,
    pub mirror_gaps: Cell<u64>,
    /// Ticks that came late because the flush before took too long.
    pub late_ticks: Cell<u64>,
    pub drops: Cell<MeshDrops>,
    pub bytes: Cell<(u64, u64)>,
    pub joins: Cell<Joins>,
    leniencies: RefCell<BTreeMap<&'static str, u64>>,
    errors: RefCell<BTreeMap<&'static str, u64>>,
    limits: RefCell<BTreeMap<&'static str, u64>>,
}

pub(crate) fn bump(cell: &Cell<u64>) {
    cell.set(cell.get().saturating_add(1));
}

/// What a shard is made of.
pub(crate) struct Parts {
    pub index: usize,
    pub cpu: Option<usize>,
    pub config: Config,
    pub outboxes: Vec<Outbox>,
    pub questions: Sender<Arc<Question>>,
    pub events: Sender<Event>,
    pub visitors: Sender<Visitor>,
    pub connections: Arc<AtomicUsize>,
}

impl Shard {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        Ok(Self(Rc::new(Inner {
            index: parts.index,
            cpu: parts.cpu,
            config: Cell::new(parts.config),
            streams: RefCell::default(),
            ending: RefCell::default(),
            viewers: RefCell::new(Slab::new()),
            class_viewers: [const { Cell::new(0) }; 3],
            listed: [const { RefCell::new(Vec::new()) }; 3],
            waiting: Cell::new(0),
            lives: Cell::new(0),
            sessions: RefCell::new(Sessions::new(parts.index)),
            outboxes: parts.outboxes,
            questions: parts.questions,
            events: parts.events,
            visitors: parts.visitors,
            connections: parts.connections,
            poller: Poller::new()?,
            hot: RefCell::default(),
            fanout: Notify::default(),
            counters: Counters::default(),
            draining: Cell::new(false),
            on_drain: RefCell::default(),
            drained: Notify::default(),
            started: clock::now(),
        })))
    }

    /// Runs the pump and the fan-out until the shard is drained.
    pub(crate) async fn run(&self, inbox: Inbox) {
        let shard = self.clone();
        rt::set_panic_hook(move |what| {
            bump(&shard.0.counters.panics);
            tracing::error!(shard = shard.0.index, what, "a session panicked and was closed");
        });
        // Part of the shard's main, not tasks: a panic in either ends the shard, where a shard whose pump or fan-out is
        // gone would go on accepting and serve nobody.
        rt::either(self.0.drained.wait(), rt::either(pump(self.clone(), inbox), fanout::run(self.clone())))
            .await;
    }

    /// Index of this shard.
    pub fn index(&self) -> usize {
        self.0.index
    }

    /// Number of shards.
    pub fn count(&self) -> usize {
        self.0.outboxes.len().max(1)
    }

    /// The shard that owns a stream.
    pub fn owner(&self, key: &StreamKey) -> usize {
        usize::try_from(key.stable_hash() % self.count() as u64).unwrap_or(0)
    }

    /// Time of the engine's clock.
    pub fn now(&self) -> Moment {
        clock::now()
    }

    /// The resolved configuration in force.
    pub fn config(&self) -> Config {
        self.0.config.get()
    }

    /// Whether the server is draining: nothing new is to be accepted.
    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// An edge that is set when draining begins, for those who accept. One for each who waits, kept as long as the shard.
    pub fn on_drain(&self) -> Notify {
        let edge = Notify::default();
        if self.is_draining() {
            edge.notify();
        }
        self.0.on_drain.borrow_mut().push(edge.clone());
        edge
    }

    /// Registers a connection.
    ///
    /// # Errors
    /// [`Refusal::Limit`] past the bound of sessions, [`Refusal::ShuttingDown`] while draining.
    pub fn open_session(&self, peer: SocketAddr, protocol: &'static str) -> Result<SessionGuard, Refusal> {
        bump(&self.0.counters.accepted);
        let mut sessions = self.0.sessions.borrow_mut();
        if self.is_draining() {
            bump(&self.0.counters.refused);
            return Err(Refusal::ShuttingDown);
        }
        let Some(permit) = Permit::take(&self.0.connections, self.config().limits.sessions) else {
            bump(&self.0.counters.refused);
            self.count_limit("sessions");
            return Err(Refusal::Limit);
        };
        let record = Rc::new(Record::new(sessions.next_id(), peer, protocol, self.now(), permit));
        sessions.living.insert(record.id, Rc::clone(&record));
        Ok(SessionGuard { record, shard: self.clone(), travelled: false })
    }

    /// Takes over a session that came from another shard.
    pub fn adopt_session(&self, travelling: Travelling) -> SessionGuard {
        bump(&self.0.counters.handed_in);
        let record = Rc::new(Record::from_travelling(travelling));
        self.0.sessions.borrow_mut().living.insert(record.id, Rc::clone(&record));
        if self.is_draining() {
            record.stop.raise(StopReason::ShuttingDown);
        }
        SessionGuard { record, shard: self.clone(), travelled: false }
    }

    /// Sends a connection to another shard. Lost on the way (the queue is full), it is closed and counted.
    pub fn hand_off(&self, to: usize, arrival: Box<dyn Arrival>) {
        bump(&self.0.counters.handed_out);
        let sent = self.0.outboxes.get(to).is_some_and(|outbox| outbox.send(Mail::Arrive(arrival)).is_ok());
        if !sent {
            self.count_drop(|drops| drops.handoff += 1);
        }
    }

    /// Counts a broken rule that was accepted.
    pub fn count_leniency(&self, name: &'static str) {
        *self.0.counters.leniencies.borrow_mut().entry(name).or_default() += 1;
    }

    /// Counts a session that ended because of what its peer did.
    pub fn count_error(&self, name: &'static str) {
        *self.0.counters.errors.borrow_mut().entry(name).or_default() += 1;
    }

    /// Counts a viewer that waited so long for its first media.
    pub(crate) fn count_join(&self, wait: Duration) {
        let mut joins = self.0.counters.joins.get();
        joins.add(wait);
        self.0.counters.joins.set(joins);
    }

    /// Counts a limit that was reached.
    pub fn count_limit(&self, name: &'static str) {
        *self.0.counters.limits.borrow_mut().entry(name).or_default() += 1;
    }

    /// The streams of this shard, as in its statistics.
    pub fn stream_stats(&self) -> Vec<StreamStats> {
        let now = self.now();
        self.0.streams.borrow().values().map(|s| s.borrow().stats(self.0.index, now)).collect()
    }

    /// The living sessions of this shard, as in its statistics, by their numbers.
    pub fn session_stats(&self) -> Vec<SessionStats> {
        let now = self.now();
        let mut all: Vec<SessionStats> = Vec::new();
        for record in self.0.sessions.borrow().living.values() {
            let mut session = record.stats(self.0.index, now);
            self.add_viewer_stats(record, &mut session);
            all.push(session);
        }
        all.sort_by_key(|session| session.id);
        all
    }

    /// Messages of this shard that found no room.
    pub fn mesh_drops(&self) -> MeshDrops {
        self.0.counters.drops.get()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn count_drop(&self, count: impl FnOnce(&mut MeshDrops)) {
        let mut drops = self.0.counters.drops.get();
        count(&mut drops);
        self.0.counters.drops.set(drops);
    }

    /// To another shard by the reserved lane.
    pub(crate) fn tell(&self, to: usize, mail: Mail) {
        if !self.0.outboxes.get(to).is_some_and(|outbox| outbox.send_control(mail)) {
            self.count_drop(|drops| drops.control += 1);
        }
    }

    pub(crate) fn stream(&self, key: &StreamKey) -> Option<Rc<RefCell<Stream>>> {
        self.0.streams.borrow().get(key).cloned()
    }

    /// Every stream, so that none of the map is borrowed while they are worked on.
    pub(crate) fn all_streams(&self) -> Vec<Rc<RefCell<Stream>>> {
        let ending = self.0.ending.borrow();
        self.0.streams.borrow().values().chain(ending.iter()).cloned().collect()
    }

    pub(crate) fn class_viewers(&self, class: LatencyClass) -> &Cell<usize> {
        let [live, normal, bulk] = &self.0.class_viewers;
        match class {
            LatencyClass::Live => live,
            LatencyClass::Normal => normal,
            LatencyClass::Bulk => bulk,
        }
    }

    fn handle(&self, mail: Mail) {
        match mail {
            Mail::Verdict { question, verdict } => {
                // One that comes late must not answer what was asked since.
                if let Some(record) = self.0.sessions.borrow().living.get(&question.session)
                    && let Some(asked) = &*record.asked.borrow()
                    && Arc::ptr_eq(&asked.question, &question)
                {
                    asked.verdict.set(Some(verdict));
                    asked.answered.notify();
                }
            }
            Mail::Stats { reply } => {
                // Whoever asked has a place for each answer; one that gave up has none, and needs none.
                let _ = reply.try_send(self.stats());
            }
            Mail::Drain { limit } => self.drain(limit),
            Mail::Stop { which, reason, reply } => {
                let _ = reply.try_send(self.stop(&which, reason));
            }
            Mail::Run(run) => run(self),
            Mail::Configure(config) => self.configure(*config),
            Mail::Arrive(arrival) => arrival.land(self),
            Mail::Follow { key, from, life, wait } => self.follow(&key, from, life, wait),
            Mail::Unfollow { key, from, life } => self.unfollow(&key, from, life),
            Mail::Feed { key, life, batch } => self.feed(&key, life, batch),
            Mail::Ended { key, life } => self.mirror_ended(&key, life),
            Mail::Hot { key, hot } => {
                if hot {
                    self.0.hot.borrow_mut().insert(key);
                } else {
                    self.0.hot.borrow_mut().remove(&key);
                }
            }
            Mail::MirrorViewers { key, from, life, viewers } => {
                self.mirror_viewers(&key, from, life, viewers);
            }
        }
    }

    fn configure(&self, config: Config) {
        self.0.config.set(config);
        for stream in self.all_streams() {
            stream.borrow_mut().configure(&config);
        }
    }

    fn drain(&self, limit: Duration) {
        if self.0.draining.replace(true) {
            return;
        }
        for edge in self.0.on_drain.borrow().iter() {
            edge.notify();
        }
        let records: Vec<Rc<Record>> = self.0.sessions.borrow().living.values().cloned().collect();
        for record in records {
            record.stop.raise(StopReason::ShuttingDown);
        }
        for stream in self.all_streams() {
            self.stop_viewers(&stream, StopReason::ShuttingDown);
        }
        let shard = self.clone();
        rt::spawn(async move {
            let deadline = shard.now().plus(limit);
            while shard.now() < deadline && !shard.0.sessions.borrow().living.is_empty() {
                rt::sleep(Duration::from_millis(10)).await;
            }
            let left = shard.0.sessions.borrow().living.len();
            tracing::info!(shard = shard.0.index, left, "shard drained");
            shard.0.drained.notify();
        });
    }

    fn stats(&self) -> ShardStats {
        let now = self.now();
        let counters = &self.0.counters;
        let list = |map: &RefCell<BTreeMap<&'static str, u64>>| -> Vec<(&'static str, u64)> {
            map.borrow().iter().map(|(name, count)| (*name, *count)).collect()
        };
        let (bytes_in, bytes_out) = counters.bytes.get();
        let mut stats = ShardStats {
            shard: self.0.index,
            cpu: self.0.cpu,
            cpu_time: rt::thread_cpu_time(),
            age: now.since(self.0.started),
            accepted: counters.accepted.get(),
            refused: counters.refused.get(),
            handed_out: counters.handed_out.get(),
            handed_in: counters.handed_in.get(),
            panics: counters.panics.get(),
            drops: counters.drops.get(),
            mirror_gaps: counters.mirror_gaps.get(),
            late_ticks: counters.late_ticks.get(),
            joins: counters.joins.get(),
            bytes_in,
            bytes_out,
            leniencies: list(&counters.leniencies),
            errors: list(&counters.errors),
            limits_hit: list(&counters.limits),
            streams: Vec::new(),
            sessions: Vec::new(),
        };
        stats.streams = self.stream_stats();
        stats.sessions = self.session_stats();
        for session in &stats.sessions {
            stats.bytes_in = stats.bytes_in.saturating_add(session.bytes_in);
            stats.bytes_out = stats.bytes_out.saturating_add(session.bytes_out);
        }
        stats.sessions.extend(self.0.sessions.borrow().ended.iter().cloned());
        stats
    }
}

async fn pump(shard: Shard, mut inbox: Inbox) {
    loop {
        let mut handled = 0;
        while let Some(mail) = inbox.take() {
            shard.handle(mail);
            handled += 1;
            if handled % MAILS_A_TURN == 0 {
                rt::yield_now().await;
            }
        }
        if inbox.wait().await.is_err() {
            tracing::error!(shard = shard.0.index, "the doorbell broke: this shard can hear nobody");
            rt::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A registered session; its drop notes the end.
pub struct SessionGuard {
    record: Rc<Record>,
    shard: Shard,
    travelled: bool,
}

impl SessionGuard {
    /// Takes the session off this shard, to go on another.
    pub fn travel(mut self) -> Travelling {
        self.travelled = true;
        self.record.travelling()
    }

    /// The connection carries on with another request.
    pub fn clear_request(&self) {
        self.shard.tell_ended(&self.record);
        self.record.clear_request();
    }

    /// The shard it is on.
    pub const fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Shared record.
    pub fn record(&self) -> Rc<Record> {
        Rc::clone(&self.record)
    }
}

impl Deref for SessionGuard {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let inner = &self.shard.0;
        let mut sessions = inner.sessions.borrow_mut();
        sessions.living.remove(&self.record.id);
        let (session_in, session_out) = self.record.traffic();
        let (bytes_in, bytes_out) = inner.counters.bytes.get();
        inner
            .counters
            .bytes
            .set((bytes_in.saturating_add(session_in), bytes_out.saturating_add(session_out)));
        if self.travelled {
            // Its bytes are counted where it ends.
            inner.counters.bytes.set((bytes_in, bytes_out));
            return;
        }
        let now = clock::now();
        self.record.end("connection ended");
        if !self.travelled {
            self.shard.tell_ended(&self.record);
        }
        let stats = self.record.stats(inner.index, now);
        let why = self.record.why_ended().unwrap_or_default();
        if self.record.role() == Role::Undecided {
            tracing::debug!(session = self.record.id.0, peer = %self.record.peer, protocol = self.record.protocol(), why, "closed");
        } else {
            tracing::info!(
                session = self.record.id.0,
                stream = %self.record.key().map_or_else(String::new, |key| key.to_string()),
                role = self.record.role().name(),
                peer = %self.record.peer,
                protocol = self.record.protocol(),
                seconds = now.since(self.record.accepted).as_secs(),
                bytes_in = session_in,
                bytes_out = session_out,
                why,
                "ended"
            );
        }
        sessions.remember(stats, inner.config.get().limits.ended_sessions);
    }
}

/// Number of a session in logs.
impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}
