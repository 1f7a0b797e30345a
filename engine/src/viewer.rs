//! A viewer is a cursor on the log of a rendition. It has no task, no timer and no queue of its own.
//!
//! Invariants: bytes leave in this order: the rest of a unit it was moved away from, its private bytes (only between two
//! units), the shared log. It never starts or stops in the middle of a unit, whatever is skipped.

use crate::config::ClassConfig;
use crate::log::{Kept, Log};
use crate::rendition::RenditionLog;
use crate::shard::SessionGuard;
use crate::stream::Stream;
use crate::transport::{Peer, PeerState, Transport};
use media::{LatencyClass, Moment, StopReason, StreamInfo};
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

/// Most slices of one gather write.
const MAX_SLICES: usize = 16;
/// Most bytes written to one viewer in one turn, so that one with a fast path does not hold up the others.
const MAX_TURN_BYTES: usize = 8 << 20;
/// Most private bytes: more means a peer that makes the server talk.
const MAX_PRIVATE_BYTES: usize = 64 * 1024;
/// How long a viewer may take to read the goodbye.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long it may then take to close.
const LINGER: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the first unit at or after the offset at which it can start.
    Joining { since: u64 },
    /// Reads the log.
    Reading,
    /// Fell behind; waits for an entry at or after the offset.
    Resuming { since: u64 },
    /// Reads up to the offset, or else to the end of the unit it is in, then its private bytes, then ends.
    Closing { to: Option<u64>, deadline: Moment },
    /// All is said; the peer has until then to read it and to close: a socket closed over bytes that were not read is
    /// reset, and takes what was sent with it.
    Lingering { deadline: Moment },
}

/// Why a viewer is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The peer closed or reset the connection.
    Peer,
    /// The peer ended properly, or broke a rule.
    Protocol(Option<&'static str>),
    /// The server ended it.
    Stopped(StopReason),
    /// The socket failed.
    Io(io::ErrorKind),
    /// The protocol's code panicked.
    Panicked,
}

impl Gone {
    pub fn text(&self) -> String {
        match self {
            Self::Peer => "peer closed".into(),
            Self::Protocol(None) => "ended by peer".into(),
            Self::Protocol(Some(rule)) => format!("peer broke a rule: {rule}"),
            Self::Stopped(reason) => reason.name().into(),
            Self::Io(kind) => format!("socket: {kind}"),
            Self::Panicked => "internal error".into(),
        }
    }
}

/// What a flush needs to know of the stream.
pub(crate) struct View<'a> {
    pub info: &'a StreamInfo,
    pub epoch: u32,
    pub settled: bool,
    pub now: Moment,
    pub class: ClassConfig,
    pub stuck: Duration,
}

/// See the module. What each flush looks at stands first and together: with thousands of viewers the time to fetch it
/// is most of what a flush costs outside the kernel.
#[repr(C)]
pub(crate) struct Viewer {
    transport: Transport,
    state: State,
    pos: u64,
    blocked_since: Option<Moment>,
    private: Vec<u8>,
    kept: Option<Box<Kept>>,
    /// Bytes sent since it was attached; the session's record learns of them at the end.
    sent: u64,
    stopping: Option<Gone>,
    pub rendition: u64,
    pub stream: Option<Rc<RefCell<Stream>>>,
    peer: Box<dyn Peer>,
    pub session: SessionGuard,
    pub class: LatencyClass,
    /// Its place in the rendition's list of its class.
    pub place: usize,
    /// Announcement of the tracks that it was told last, where the log does not say.
    epoch: u32,
    skips: u64,
    skipped_bytes: u64,
}

/// What [`Viewer::new`] is given.
pub(crate) struct Setup {
    pub transport: Transport,
    pub peer: Box<dyn Peer>,
    pub session: SessionGuard,
    pub rendition: u64,
    pub class: LatencyClass,
    pub since: u64,
    pub private: Vec<u8>,
}

impl Viewer {
    pub fn new(setup: Setup) -> Self {
        Self {
            transport: setup.transport,
            peer: setup.peer,
            session: setup.session,
            stream: None,
            rendition: setup.rendition,
            class: setup.class,
            place: 0,
            state: State::Joining { since: setup.since },
            pos: 0,
            epoch: 0,
            private: setup.private,
            kept: None,
            blocked_since: None,
            stopping: None,
            sent: 0,
            skips: 0,
            skipped_bytes: 0,
        }
    }

    /// Writes what is there to write.
    pub fn flush(&mut self, log: &mut RenditionLog, view: &View<'_>) -> Result<(), Gone> {
        self.place(log, view);
        if self.blocked_since.is_none() {
            match self.send(&log.log, view.now) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked_since = Some(view.now)
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        if self.blocked_since.is_some() {
            self.fall_behind(log, view)?;
        }
        self.finish(&log.log, view.now)
    }

    /// Whether it is to be looked at without news.
    pub const fn needs_care(&self) -> bool {
        !matches!(self.state, State::Reading) || self.blocked_since.is_some() || !self.private.is_empty()
    }

    /// The socket takes bytes again.
    pub const fn writable(&mut self) {
        self.blocked_since = None;
    }

    /// Reads what the peer sent, all of it up to a bound; `true` if there may be more.
    pub fn read(&mut self, scratch: &mut [u8], now: Moment) -> Result<bool, Gone> {
        for _ in 0..16 {
            let n = match self.transport.recv(scratch) {
                Ok(0) => return Err(self.stopping.take().unwrap_or(Gone::Peer)),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(self.failed(&error)),
            };
            self.session.add_in(n);
            if self.stopping.is_some() {
                continue;
            }
            let bytes = scratch.get(..n).unwrap_or_default();
            let (peer, private) = (&mut self.peer, &mut self.private);
            let state = guarded(|| peer.bytes(now, bytes, private))?;
            self.after_peer(state, now);
        }
        Ok(true)
    }

    /// Time passed: lets the protocol speak, and closes what is stuck.
    pub fn tick(&mut self, now: Moment) -> Result<(), Gone> {
        if self.stopping.is_none() {
            let (peer, private) = (&mut self.peer, &mut self.private);
            let state = guarded(|| peer.tick(now, private))?;
            self.after_peer(state, now);
        }
        Ok(())
    }

    /// Begins the goodbye. `whole`: only after all that is in the log now.
    pub fn stop(&mut self, reason: StopReason, log: &mut RenditionLog, view: &View<'_>, whole: bool) {
        if self.stopping.is_some() {
            return;
        }
        let now = view.now;
        if whole && matches!(self.state, State::Joining { .. }) {
            // Nothing more will become known of the stream: what there is of it is better than nothing.
            self.place(log, &View { settled: true, ..*view });
        }
        let log = &log.log;
        let (peer, private) = (&mut self.peer, &mut self.private);
        let said = guarded(|| {
            peer.stop(now, reason, private);
        });
        let reading = matches!(self.state, State::Reading);
        if !reading {
            self.pos = log.end();
        }
        let to = (reading && whole).then(|| log.end());
        self.state = State::Closing { to, deadline: now.plus(GOODBYE) };
        self.stopping = Some(said.err().unwrap_or(Gone::Stopped(reason)));
    }

    /// Says goodbye to a peer that never got to see the stream, as far as one write goes.
    pub fn farewell(mut self, reason: StopReason, now: Moment) {
        let (peer, private) = (&mut self.peer, &mut self.private);
        let said = guarded(|| peer.stop(now, reason, private));
        self.session.end(said.err().unwrap_or(Gone::Stopped(reason)).text());
        // One try: the socket's buffer is empty, and there is no more to lose than the goodbye.
        let _ = self.send(&Log::default(), now);
        let _ = self.transport.close();
        self.session.add_out(usize::try_from(self.sent).unwrap_or(usize::MAX));
    }

    /// The oldest offset that it still needs of the log: the last unit that it was sent tells what it knows.
    pub fn needs(&self) -> Option<u64> {
        match self.state {
            State::Reading => Some(self.pos.saturating_sub(1)),
            State::Closing { to, .. } if to.is_none_or(|to| self.pos < to) => Some(self.pos),
            _ => None,
        }
    }

    /// How far behind, in milliseconds of media and in bytes.
    pub fn lag(&self, log: &Log) -> (u64, u64) {
        if !matches!(self.state, State::Reading) {
            return (0, 0);
        }
        let bytes = log.end().saturating_sub(self.pos);
        let time = match (log.newest(), log.unit_at(self.pos)) {
            (Some(newest), Some(unit)) => (newest - unit.dts).millis(),
            _ => 0,
        };
        (u64::try_from(time).unwrap_or(0), bytes)
    }

    /// Bytes sent since it was attached.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    pub const fn skips(&self) -> (u64, u64) {
        (self.skips, self.skipped_bytes)
    }

    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.transport.fd()
    }

    /// Finds the unit to start at, if it waits for one.
    fn place(&mut self, log: &mut RenditionLog, view: &View<'_>) {
        let (unit, first) = match self.state {
            State::Joining { since } if view.settled => (log.join_point(view.info, since), true),
            State::Resuming { since } => (log.resume_point(view.info, since), false),
            _ => return,
        };
        let Some(unit) = unit else { return };
        if first || unit.epoch != self.epoch {
            log.preamble(view.info, unit.dts, first, &mut self.private);
        }
        self.pos = unit.start;
        self.epoch = view.epoch;
        self.state = State::Reading;
        if first {
            self.session.shard().count_join(self.session.since_step("request", view.now));
        }
        self.session.step("first media out", view.now);
    }

    fn send(&mut self, log: &Log, now: Moment) -> io::Result<()> {
        if !self.transport.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(kept) = &mut self.kept {
            let n = self.transport.send(&[IoSlice::new(kept.bytes())])?;
            self.sent = self.sent.saturating_add(n as u64);
            if !kept.advance(n) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.kept = None;
        }
        let end = match self.state {
            State::Reading => log.end(),
            State::Closing { to, .. } => to.unwrap_or_else(|| self.unit_end(log)),
            State::Joining { .. } | State::Resuming { .. } | State::Lingering { .. } => self.pos,
        };
        if !self.private.is_empty() {
            let before = if matches!(self.state, State::Reading) { self.unit_end(log) } else { end };
            self.send_log(log, before)?;
            return self.send_private(log, end, now);
        }
        self.send_log(log, end)
    }

    /// Private bytes and as much of the log after them as one write takes.
    fn send_private(&mut self, log: &Log, end: u64, now: Moment) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (filled, total) = match slices.split_first_mut() {
            Some((first, rest)) => {
                *first = IoSlice::new(&self.private);
                log.gather(self.pos, end, rest)
            }
            None => (0, 0),
        };
        let offered = self.private.len().saturating_add(total);
        let n = self.transport.send(slices.get(..=filled).unwrap_or_default())?;
        self.sent = self.sent.saturating_add(n as u64);
        self.session.step("first byte out", now);
        if n < self.private.len() {
            self.private.drain(..n);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.pos = self.pos.saturating_add((n - self.private.len()) as u64);
        // Given back, not kept: most viewers need it once in their life.
        self.private = Vec::new();
        if n < offered {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.send_log(log, end)
    }

    fn send_log(&mut self, log: &Log, end: u64) -> io::Result<()> {
        let mut budget = MAX_TURN_BYTES;
        while self.pos < end && budget > 0 {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let (filled, total) = log.gather(self.pos, end, &mut slices);
            if total == 0 {
                break;
            }
            let n = self.transport.send(slices.get(..filled).unwrap_or_default())?;
            self.pos = self.pos.saturating_add(n as u64);
            self.sent = self.sent.saturating_add(n as u64);
            if n < total {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            budget = budget.saturating_sub(n);
        }
        Ok(())
    }

    /// Past its budget: the unit it is in is finished, what lies between that and the newest entry is not sent.
    fn fall_behind(&mut self, log: &RenditionLog, view: &View<'_>) -> Result<(), Gone> {
        if let Some(since) = self.blocked_since
            && view.now.since(since) >= view.stuck
        {
            return Err(self.stopping.take().unwrap_or(Gone::Stopped(StopReason::TooSlow)));
        }
        if !matches!(self.state, State::Reading) {
            return Ok(());
        }
        let (lag_ms, lag_bytes) = self.lag(&log.log);
        let in_time = u128::from(lag_ms) <= view.class.budget_time.as_millis();
        if in_time && lag_bytes <= view.class.budget_bytes as u64 {
            return Ok(());
        }
        let unit_end = self.unit_end(&log.log);
        let target = log.resume_point(view.info, unit_end);
        let to = target.map_or(log.log.end(), |unit| unit.start);
        if to <= unit_end && target.is_some() {
            return Ok(()); // It is as near as it can be.
        }
        if self.pos < unit_end {
            self.kept = log.log.keep(self.pos, unit_end).map(Box::new);
        }
        self.skips += 1;
        self.skipped_bytes = self.skipped_bytes.saturating_add(to.saturating_sub(unit_end));
        // What lies ahead and is skipped may be an announcement of other tracks: it counts only once it was sent.
        self.epoch = log.log.unit_at(unit_end.saturating_sub(1)).map_or(self.epoch, |unit| unit.epoch);
        self.pos = to;
        self.state = State::Resuming { since: to };
        Ok(())
    }

    fn finish(&mut self, log: &Log, now: Moment) -> Result<(), Gone> {
        let (to, deadline) = match self.state {
            State::Closing { to, deadline } => (to, deadline),
            State::Lingering { deadline } if now >= deadline => return Err(self.gone()),
            _ => return Ok(()),
        };
        let sent = self.pos >= to.unwrap_or_else(|| self.unit_end(log))
            && self.private.is_empty()
            && self.kept.is_none();
        let left = sent && self.transport.flush().unwrap_or(true);
        if !left {
            return if now >= deadline { Err(self.gone()) } else { Ok(()) };
        }
        if self.transport.close().is_err() {
            return Err(self.gone());
        }
        self.state = State::Lingering { deadline: now.plus(LINGER) };
        Ok(())
    }

    fn gone(&mut self) -> Gone {
        self.stopping.take().unwrap_or(Gone::Protocol(None))
    }

    fn after_peer(&mut self, state: PeerState, now: Moment) {
        let gone = match state {
            PeerState::Ended(rule) => Gone::Protocol(rule),
            PeerState::Open if self.private.len() > MAX_PRIVATE_BYTES => {
                Gone::Protocol(Some("makes the server answer faster than it reads"))
            }
            PeerState::Open => return,
        };
        // The server has said all that it has to say to a peer that ended it.
        self.state = State::Closing { to: None, deadline: now.plus(GOODBYE) };
        self.stopping = Some(gone);
    }

    /// End of the unit that it is in the middle of; its position if it is between two.
    fn unit_end(&self, log: &Log) -> u64 {
        log.unit_at(self.pos)
            .map_or(self.pos, |unit| if unit.start == self.pos { self.pos } else { unit.end })
    }

    fn failed(&mut self, error: &io::Error) -> Gone {
        let reset = matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
        );
        let gone = if reset { Gone::Peer } else { Gone::Io(error.kind()) };
        self.stopping.take().unwrap_or(gone)
    }
}

/// Runs the protocol's code; a panic ends this viewer alone.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Gone> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|_| Gone::Panicked)
}
