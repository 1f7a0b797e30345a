//! The viewers of one generator thread: who comes when, who is read when, who leaves.
//!
//! A sample of the viewers is read at once; their delays are counted. The others, once they have joined, are read in
//! turns: every byte is still compared, at a fraction of the system calls, so that one core can watch ten
//! thousand.

use super::shared::Shared;
use crate::clock::now_us;
use crate::dial;
use crate::measure::{Faults, Tally};
use crate::scenario::Protocol;
use crate::view::{Env, Pace, Viewer, Watch, Wish};
use media::StreamKey;
use rt::{Poller, Ready};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Turns of the viewers that are not read at once.
const TURNS: usize = 20;
/// After its join a viewer is read at once for so long: the GOP that it starts with comes fast.
const FRESH_US: u64 = 1_000_000;
/// A viewer without a byte for so long stalls.
const STALL_US: u64 = 1_000_000;
/// Between two looks at all viewers.
const LOOK_US: u64 = 100_000;
/// Receive buffer of slow and stalled readers, in bytes.
const SMALL_BUFFER: usize = 8192;
/// Longest name of an application or stream.
const NAME_BYTES: usize = 255;

/// Viewers that connect in one round of the loop: so many take about a millisecond.
const MOST_ARRIVALS: usize = 64;

/// How long held-back viewers look for the end of their connections.
const END_LIMIT: Duration = Duration::from_secs(2);

struct Seat {
    viewer: Viewer,
    number: usize,
    /// Which poller has it: the first, or that of a turn.
    turn: Option<usize>,
}

/// See the module.
pub struct Crowd {
    shared: Arc<Shared>,
    threads: usize,
    seats: Vec<Option<Seat>>,
    free: Vec<usize>,
    turns: Vec<Poller>,
    next_turn: usize,
    turn_due_us: u64,
    next_number: usize,
    look_due_us: u64,
    leave_due_us: u64,
    chance: u64,
    events: Vec<Ready>,
    scratch: Vec<u8>,
    /// What was seen.
    pub tally: Tally,
}

impl Crowd {
    /// Of thread `index` of so many.
    ///
    /// # Errors
    /// With too many open files.
    pub fn new(shared: Arc<Shared>, index: usize, threads: usize) -> std::io::Result<Self> {
        let turns = (0..TURNS).map(|_| Poller::new()).collect::<std::io::Result<_>>()?;
        Ok(Self {
            shared,
            threads,
            seats: Vec::new(),
            free: Vec::new(),
            turns,
            next_turn: 0,
            turn_due_us: 0,
            next_number: index,
            look_due_us: 0,
            leave_due_us: 0,
            chance: 0x9e37_79b9_7f4a_7c15 ^ (index as u64 + 1),
            events: Vec::new(),
            scratch: vec![0; 256 * 1024],
            tally: Tally::default(),
        })
    }

    /// From here on it is counted.
    pub fn begin_count(&mut self) {
        self.tally.begin_count();
        for seat in self.seats.iter_mut().flatten() {
            seat.viewer.heard = false;
        }
    }

    /// The end: who heard nothing?
    pub fn finish(&mut self) {
        let silent = self.seats.iter().flatten().filter(|s| s.viewer.pace == Pace::Full && !s.viewer.heard);
        self.tally.seen.silent = silent.count() as u64;
        self.look_for_ends();
    }

    /// The end of a connection stands behind what was not read: those that were held back read it now, uncounted, to
    /// see whether the server had ended it.
    fn look_for_ends(&mut self) {
        let begin = Instant::now();
        let mut left: Vec<usize> = (0..self.seats.len()).collect();
        while begin.elapsed() < END_LIMIT {
            left.retain(|at| {
                let Some(Some(seat)) = self.seats.get(*at) else { return false };
                let ended = seat.viewer.is_held_back() && seat.viewer.drain(&mut self.scratch);
                self.tally.seen.slow_closed += u64::from(ended);
                seat.viewer.is_held_back() && !ended
            });
            if left.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Those whose time has come connect.
    pub fn arrive(&mut self, prompt: &Poller) {
        let from_us = self.shared.view_from_us.load(Ordering::Acquire);
        for _ in 0..MOST_ARRIVALS {
            if self.next_number >= self.shared.viewers() {
                break;
            }
            let ramp = u64::from(self.shared.scenario.view.ramp);
            let after_us = (self.next_number as u64 * 1_000_000).checked_div(ramp).unwrap_or(0);
            if from_us.saturating_add(after_us) > now_us() {
                break;
            }
            let number = self.next_number;
            self.next_number += self.threads;
            self.sit_down(number, prompt);
            self.tally.seen.asked += 1;
            self.shared.started.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something happened at a viewer's socket.
    pub fn ready(&mut self, ready: Ready) {
        let Ok(at) = usize::try_from(ready.token) else { return };
        let Some(Some(seat)) = self.seats.get_mut(at) else { return };
        let viewer = &mut seat.viewer;
        let mut env = Env { clip: &self.shared.clip, tally: &mut self.tally, now_us: now_us() };
        let mut result = if ready.writable { viewer.write() } else { Ok(()) };
        if result.is_ok() && ready.readable && !viewer.is_held_back() {
            result = viewer.read(&mut self.scratch, usize::MAX, &mut env);
        } else if result.is_ok() && ready.closed && viewer.is_held_back() {
            result = Err("closed by the server".into());
        }
        if let Err(why) = result {
            self.over(at, &why);
        }
    }

    /// What the clock brings: turns, slow readers, stalls, leaving. Where the whole crowd stands goes to `shared`.
    pub fn tick(&mut self, prompt: &Poller) {
        let now = now_us();
        let round_us = self.shared.scenario.view.round_ms * 1000;
        while self.turn_due_us <= now {
            self.turn_due_us = self.turn_due_us.max(now.saturating_sub(round_us)) + round_us / TURNS as u64;
            self.next_turn = (self.next_turn + 1) % TURNS;
            self.read_turn(self.next_turn);
        }
        if self.look_due_us <= now {
            let passed_us = (now + LOOK_US).saturating_sub(self.look_due_us).min(LOOK_US * 5);
            self.look_due_us = now + LOOK_US;
            self.look(now, passed_us, prompt);
        }
        self.churn(now, prompt);
    }

    fn read_turn(&mut self, turn: usize) {
        let mut events = std::mem::take(&mut self.events);
        while let Some(poller) = self.turns.get(turn) {
            events.clear();
            let count = poller.poll(&mut events).unwrap_or(0);
            for ready in events.drain(..) {
                self.ready(ready);
            }
            if count < 1024 {
                break;
            }
        }
        self.events = events;
    }

    fn look(&mut self, now: u64, passed_us: u64, prompt: &Poller) {
        let allowance = self.shared.clip.bytes_a_second() / 10 * passed_us / 1_000_000;
        for at in 0..self.seats.len() {
            let Some(Some(seat)) = self.seats.get_mut(at) else { continue };
            let viewer = &mut seat.viewer;
            if viewer.pace == Pace::Full {
                if !viewer.stalled
                    && viewer.watch.joined_us().is_some()
                    && now.saturating_sub(viewer.last_us) > STALL_US
                {
                    viewer.stalled = true;
                    self.tally.seen.stalls += 1;
                }
                let rested = viewer.watch.joined_us().is_some_and(|us| us + FRESH_US < now);
                if rested && seat.turn.is_none() && seat.number >= self.shared.scenario.view.prompt {
                    let turn = at % TURNS;
                    if let Some(poller) = self.turns.get(turn)
                        && prompt.remove(viewer.fd()).is_ok()
                        && poller.add(viewer.fd(), at as u64).is_ok()
                    {
                        seat.turn = Some(turn);
                    }
                }
            } else if viewer.pace == Pace::Slow && viewer.is_held_back() {
                viewer.allowed = (viewer.allowed + allowance).min(allowance * 10);
                let most = usize::try_from(viewer.allowed).unwrap_or(usize::MAX);
                let before = self.tally.bytes;
                let mut env = Env { clip: &self.shared.clip, tally: &mut self.tally, now_us: now };
                let result = viewer.read(&mut self.scratch, most, &mut env);
                viewer.allowed = viewer.allowed.saturating_sub(self.tally.bytes - before);
                if let Err(why) = result {
                    self.over(at, &why);
                }
            }
        }
    }

    /// As many leave and come in their place as are asked for.
    fn churn(&mut self, now: u64, prompt: &Poller) {
        let churn = u64::from(self.shared.scenario.view.churn);
        if churn == 0 || self.next_number < self.shared.viewers() {
            return;
        }
        let step_us = 1_000_000 * self.threads as u64 / churn;
        if self.leave_due_us == 0 {
            self.leave_due_us = now + step_us;
        }
        while self.leave_due_us <= now {
            self.leave_due_us += step_us.max(1);
            let Some(at) = self.anybody() else { return };
            let Some(number) = self.stand_up(at) else { return };
            self.sit_down(number, prompt);
            self.tally.seen.churned += 1;
        }
    }

    fn anybody(&mut self) -> Option<usize> {
        for _ in 0..64 {
            self.chance ^= self.chance << 13;
            self.chance ^= self.chance >> 7;
            self.chance ^= self.chance << 17;
            let at = usize::try_from(self.chance >> 16).ok()?.checked_rem(self.seats.len())?;
            if matches!(self.seats.get(at), Some(Some(seat)) if seat.viewer.pace == Pace::Full) {
                return Some(at);
            }
        }
        None
    }

    /// A viewer's connection is over, and not because it left.
    fn over(&mut self, at: usize, why: &str) {
        let held_back = matches!(self.seats.get(at), Some(Some(seat)) if seat.viewer.is_held_back());
        self.stand_up(at);
        if held_back {
            self.tally.seen.slow_closed += 1;
        } else {
            self.tally.failed(why);
        }
    }

    fn stand_up(&mut self, at: usize) -> Option<usize> {
        let seat = self.seats.get_mut(at)?.take()?;
        self.free.push(at);
        // Closing the socket takes it out of its poller.
        Some(seat.number)
    }

    fn sit_down(&mut self, number: usize, prompt: &Poller) {
        let view = &self.shared.scenario.view;
        let pace = match number {
            _ if number < view.viewers => Pace::Full,
            _ if number < view.viewers + view.slow => Pace::Slow,
            _ => Pace::Stalled,
        };
        let at = self.free.pop().unwrap_or(self.seats.len());
        match self.connect(number, pace) {
            Ok(viewer) => {
                if let Err(error) = prompt.add(viewer.fd(), at as u64) {
                    self.tally.failed(&error.to_string());
                    self.free.push(at);
                    if at < self.seats.len() {
                        return;
                    }
                    self.seats.push(None);
                    return;
                }
                let seat = Some(Seat { viewer, number, turn: None });
                match self.seats.get_mut(at) {
                    Some(place) => *place = seat,
                    None => self.seats.push(seat),
                }
            }
            Err(why) => {
                self.tally.failed(&why);
                if at < self.seats.len() {
                    self.free.push(at);
                }
            }
        }
    }

    fn connect(&mut self, number: usize, pace: Pace) -> Result<Viewer, String> {
        let (scenario, target) = (&self.shared.scenario, &self.shared.target);
        let streams = scenario.publish.streams;
        let stream = number % streams;
        let protocols = &scenario.view.protocols;
        let nth = (stream + number / streams).checked_rem(protocols.len()).unwrap_or(0);
        let protocol = protocols.get(nth).copied().unwrap_or(Protocol::HttpFlv);
        let to = match (protocol, target.http) {
            (Protocol::Rtmp, _) => target.rtmp,
            (_, Some(http)) => http,
            (_, None) => return Err(format!("{} does not speak HTTP", target.name)),
        };
        let now = now_us();
        let stream = u32::try_from(stream).map_err(|_| "too many streams")?;
        // Others would take the query for a part of the name.
        let class = scenario.view.class.filter(|_| target.name.starts_with("shardcast"));
        let wish = Wish { key: key(&target.app, stream)?, protocol, host: to.to_string(), class };
        let (faults, buffer) =
            if pace == Pace::Full { (Faults::All, None) } else { (Faults::NoGaps, Some(SMALL_BUFFER)) };
        let fd = dial::start(to, number, buffer).map_err(|error| format!("connect: {error}"))?;
        let timed = pace == Pace::Full && number < scenario.view.prompt;
        let watch = Watch::new(stream, faults, timed, now);
        Ok(Viewer::new(fd, &wish, pace, watch, now, number as u64 + 1))
    }
}

/// Name of a stream.
///
/// # Errors
/// When the application's name breaks a rule.
pub fn key(app: &str, stream: u32) -> Result<StreamKey, String> {
    StreamKey::parse(app, &format!("s{stream}"), NAME_BYTES)
        .map_err(|_| format!("{app}: no name of an application"))
}
