//! Sessions as the engine keeps them: who, what, since when, which steps, why it ended.

use crate::handle::{Grant, Question};
use crate::slab::Key;
use crate::stats::{Role, SessionId, SessionStats, Step};
use media::{Moment, Refusal, StopReason, StreamKey};
use rt::Notify;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most steps kept of one session.
const MAX_STEPS: usize = 16;
/// Steps of a viewer without trouble.
const USUAL_STEPS: usize = 6;

/// Tells a task to end what it does.
#[derive(Default)]
pub struct StopSignal {
    reason: Cell<Option<StopReason>>,
    notify: Notify,
}

impl StopSignal {
    /// Raises the signal; the first reason stays.
    pub fn raise(&self, reason: StopReason) {
        if self.reason.get().is_none() {
            self.reason.set(Some(reason));
        }
        self.notify.notify();
    }

    /// The reason, once raised.
    pub fn raised(&self) -> Option<StopReason> {
        self.reason.get()
    }

    /// Waits until raised.
    pub async fn wait(&self) -> StopReason {
        loop {
            if let Some(reason) = self.reason.get() {
                return reason;
            }
            self.notify.wait().await;
        }
    }
}

/// A place among the connections that the process may have; given back by its drop. Counted when connections come and
/// go, never on the way of media.
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// A place, if one of `limit` is free.
    pub fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let free = |n: usize| (n < limit).then_some(n + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A step as it is kept: there are several for each viewer.
#[derive(Clone, Copy)]
struct Stepped {
    name: &'static str,
    micros: u64,
}

impl Stepped {
    const fn told(&self) -> Step {
        Step { name: self.name, after: Duration::from_micros(self.micros) }
    }
}

/// A question whose answer is waited for.
pub(crate) struct Asked {
    pub question: Arc<Question>,
    pub verdict: Cell<Option<Result<Grant, Refusal>>>,
    pub answered: Notify,
}

/// One session of this shard.
pub struct Record {
    pub(crate) id: SessionId,
    pub(crate) peer: SocketAddr,
    protocol: Cell<&'static str>,
    pub(crate) accepted: Moment,
    role: Cell<Role>,
    key: RefCell<Option<StreamKey>>,
    user_agent: RefCell<Option<Arc<str>>>,
    /// What it was allowed.
    request: RefCell<Option<Arc<Question>>>,
    /// Of a viewer being served: which publication it began with.
    pub(crate) playing: Cell<Option<u64>>,
    /// It publishes: the publication tells of its end.
    pub(crate) publishing: Cell<bool>,
    steps: RefCell<Vec<Stepped>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    leniencies: Cell<u64>,
    ended: RefCell<Option<Box<str>>>,
    pub(crate) viewer: Cell<Option<Key>>,
    /// What the control side was asked and has not answered in time so far.
    pub(crate) asked: RefCell<Option<Rc<Asked>>>,
    permit: RefCell<Option<Permit>>,
    /// Raised when the server wants the session to end.
    pub stop: StopSignal,
}

/// A session's plain data, while it moves between shards.
pub struct Travelling {
    pub(crate) id: SessionId,
    peer: SocketAddr,
    protocol: &'static str,
    accepted: Moment,
    role: Role,
    key: Option<StreamKey>,
    user_agent: Option<Arc<str>>,
    request: Option<Arc<Question>>,
    steps: Vec<Stepped>,
    bytes: (u64, u64),
    leniencies: u64,
    permit: Option<Permit>,
}

impl Record {
    pub(crate) fn new(
        id: SessionId,
        peer: SocketAddr,
        protocol: &'static str,
        now: Moment,
        permit: Permit,
    ) -> Self {
        Self::from_travelling(Travelling {
            id,
            peer,
            protocol,
            accepted: now,
            role: Role::Undecided,
            key: None,
            user_agent: None,
            request: None,
            steps: Vec::new(),
            bytes: (0, 0),
            leniencies: 0,
            permit: Some(permit),
        })
    }

    pub(crate) fn from_travelling(from: Travelling) -> Self {
        Self {
            id: from.id,
            peer: from.peer,
            protocol: Cell::new(from.protocol),
            accepted: from.accepted,
            role: Cell::new(from.role),
            key: RefCell::new(from.key),
            user_agent: RefCell::new(from.user_agent),
            request: RefCell::new(from.request),
            playing: Cell::new(None),
            publishing: Cell::new(false),
            steps: RefCell::new(from.steps),
            bytes_in: Cell::new(from.bytes.0),
            bytes_out: Cell::new(from.bytes.1),
            leniencies: Cell::new(from.leniencies),
            ended: RefCell::new(None),
            viewer: Cell::new(None),
            asked: RefCell::new(None),
            permit: RefCell::new(from.permit),
            stop: StopSignal::default(),
        }
    }

    pub(crate) fn travelling(&self) -> Travelling {
        Travelling {
            id: self.id,
            peer: self.peer,
            protocol: self.protocol.get(),
            accepted: self.accepted,
            role: self.role.get(),
            key: self.key.borrow().clone(),
            user_agent: self.user_agent.borrow().clone(),
            request: self.request.borrow().clone(),
            steps: self.steps.borrow().clone(),
            bytes: (self.bytes_in.get(), self.bytes_out.get()),
            leniencies: self.leniencies.get(),
            permit: self.permit.take(),
        }
    }

    /// Its number.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The peer's address.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The protocol.
    pub fn protocol(&self) -> &'static str {
        self.protocol.get()
    }

    /// The protocol turned out to be another (an HTTP connection became a WebSocket).
    pub fn set_protocol(&self, protocol: &'static str) {
        self.protocol.set(protocol);
    }

    /// What it does, once known.
    pub fn set_request(&self, role: Role, key: &StreamKey, user_agent: &str) {
        self.role.set(role);
        *self.key.borrow_mut() = Some(key.clone());
        let known = self.user_agent.borrow().as_deref() == Some(user_agent);
        if !known {
            *self.user_agent.borrow_mut() = Some(user_agent.into());
        }
    }

    /// The peer's name of itself, one for all who keep it.
    pub(crate) fn shared_user_agent(&self, text: &str) -> Arc<str> {
        let known = self.user_agent.borrow().clone().filter(|known| **known == *text);
        known.unwrap_or_else(|| text.into())
    }

    /// The connection carries on with another request.
    pub(crate) fn clear_request(&self) {
        self.role.set(Role::Undecided);
        *self.key.borrow_mut() = None;
    }

    /// What it was allowed, which is over.
    pub(crate) fn take_request(&self) -> Option<Arc<Question>> {
        self.request.borrow_mut().take()
    }

    /// The request was allowed.
    pub(crate) fn allowed(&self, request: Arc<Question>) {
        *self.request.borrow_mut() = Some(request);
    }

    /// What it was allowed.
    pub(crate) fn request(&self) -> Option<Arc<Question>> {
        self.request.borrow().clone()
    }

    /// Notes a step of its life; a repeated one is noted once.
    pub fn step(&self, name: &'static str, now: Moment) {
        let mut steps = self.steps.borrow_mut();
        if steps.len() < MAX_STEPS && steps.iter().all(|step| step.name != name) {
            if steps.capacity() == 0 {
                steps.reserve_exact(USUAL_STEPS);
            }
            let micros = now.since(self.accepted).as_micros();
            steps.push(Stepped { name, micros: u64::try_from(micros).unwrap_or(u64::MAX) });
        }
    }

    /// Time since a step, or since it was accepted if it has not come through that.
    pub(crate) fn since_step(&self, name: &str, now: Moment) -> Duration {
        let steps = self.steps.borrow();
        let micros = steps.iter().find(|step| step.name == name).map_or(0, |step| step.micros);
        now.since(self.accepted).saturating_sub(Duration::from_micros(micros))
    }

    /// Counts received bytes.
    pub fn add_in(&self, bytes: usize) {
        self.bytes_in.set(self.bytes_in.get().saturating_add(bytes as u64));
    }

    /// Counts sent bytes.
    pub fn add_out(&self, bytes: usize) {
        self.bytes_out.set(self.bytes_out.get().saturating_add(bytes as u64));
    }

    /// Counts a broken rule that was accepted.
    pub fn add_leniency(&self) {
        self.leniencies.set(self.leniencies.get().saturating_add(1));
    }

    /// Says why it ended; the first reason stays.
    pub fn end(&self, why: impl Into<String>) {
        self.ended.borrow_mut().get_or_insert_with(|| why.into().into());
    }

    pub(crate) fn role(&self) -> Role {
        self.role.get()
    }

    pub(crate) fn key(&self) -> Option<StreamKey> {
        self.key.borrow().clone()
    }

    pub(crate) fn why_ended(&self) -> Option<String> {
        self.ended.borrow().as_deref().map(str::to_owned)
    }

    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.bytes_in.get(), self.bytes_out.get())
    }

    pub(crate) fn stats(&self, shard: usize, now: Moment) -> SessionStats {
        SessionStats {
            id: self.id,
            shard,
            role: self.role.get(),
            protocol: self.protocol.get(),
            peer: self.peer,
            user_agent: self.user_agent.borrow().as_deref().unwrap_or_default().to_owned(),
            key: self.key.borrow().clone(),
            age: now.since(self.accepted),
            class: None,
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            lag_ms: 0,
            lag_bytes: 0,
            skips: 0,
            bytes_skipped: 0,
            leniencies: self.leniencies.get(),
            steps: self.steps.borrow().iter().map(Stepped::told).collect(),
            ended: self.why_ended(),
        }
    }
}

/// The living sessions of a shard, and the last ended ones.
pub(crate) struct Sessions {
    pub living: HashMap<SessionId, Rc<Record>>,
    pub ended: VecDeque<SessionStats>,
    next: u64,
}

impl Sessions {
    pub fn new(shard: usize) -> Self {
        // Numbers are not used again after a restart: those of a second are 2^20.
        let seconds =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() & 0x0fff_ffff;
        Self {
            living: HashMap::new(),
            ended: VecDeque::new(),
            next: (shard as u64) << 48 | seconds << 20 | 1,
        }
    }

    pub const fn next_id(&mut self) -> SessionId {
        let id = SessionId(self.next);
        self.next += 1;
        id
    }

    pub fn remember(&mut self, ended: SessionStats, keep: usize) {
        while self.ended.len() >= keep.max(1) {
            self.ended.pop_front();
        }
        if keep > 0 {
            self.ended.push_back(ended);
        }
    }
}
