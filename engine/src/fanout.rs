//! The fan-out of a shard: one loop that walks the viewers of a latency class at each of its ticks, polls the sockets of
//! all viewers at once, and sweeps up what is over. No viewer has a task or a timer.

use crate::mesh::Mail;
use crate::shard::{Shard, bump};
use crate::slab::Key;
use crate::stream::{Phase, Stream};
use crate::viewer::{Gone, View};
use media::{LatencyClass, Moment, StopReason};
use rt::Ready;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// Time between two sweeps.
const SWEEP: Duration = Duration::from_millis(250);
/// How often viewers' protocols get to speak.
const PEER_TICK: Duration = Duration::from_secs(1);
/// How often sockets are polled while only viewers without a tick are there.
const POLL: Duration = Duration::from_millis(20);
/// So much before its time a stream that keeps its own ticks is flushed: a timer for less is not worth it.
const EARLY: Duration = Duration::from_millis(1);
/// So much after its time others flush it: its publisher has nothing to read, and does not come by.
const OVERDUE: Duration = Duration::from_millis(10);
/// How often a mirror reminds its owner that it is there.
const MIRROR_WORD: Duration = Duration::from_secs(1);
/// A mirror without viewers is given up after this.
const MIRROR_IDLE: Duration = Duration::from_secs(2);
/// Polls of one turn: peers that send without end make edges without end. After that the shard's other tasks get a
/// turn, and polling goes on at once, for a socket with room again must not wait.
const POLLS_A_TURN: usize = 4;
/// Viewers that are written to in one go, about. Of more, each portion has its own moment in the tick: else the last would
/// have their bytes later than the first by all the time that it takes to write to the others.
const PORTION: usize = 1024;
/// Portions are not nearer together than this.
const SHORTEST_TURN: Duration = Duration::from_millis(5);
/// Size of the buffer in which viewers' bytes are received, shared by all.
const SCRATCH_BYTES: usize = 16 * 1024;

/// When what is due next.
struct Schedule {
    ticks: [Moment; 3],
    /// How many portions of a class had their turn, and of how many the last one was.
    turns: [(usize, usize); 3],
    sweep: Moment,
    peers: Moment,
}

/// One of the portions of a tick.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Turn {
    which: usize,
    of: usize,
}

impl Turn {
    const ALL: Self = Self { which: 0, of: 1 };

    /// The portion that is next after so many.
    fn after(count: usize, viewers: usize, tick: Duration) -> Self {
        let room = usize::try_from(tick.as_micros() / SHORTEST_TURN.as_micros()).unwrap_or(usize::MAX);
        let of = viewers.div_ceil(PORTION).min(room).max(1);
        Self { which: count % of, of }
    }

    /// Time to the next one.
    fn step(self, tick: Duration) -> Duration {
        tick / u32::try_from(self.of).unwrap_or(u32::MAX)
    }

    /// Those of a list whose turn it is.
    fn of_list<T>(self, list: &[T]) -> &[T] {
        let at = |which: usize| list.len().saturating_mul(which) / self.of;
        list.get(at(self.which)..at(self.which + 1)).unwrap_or_default()
    }
}

/// Which viewers a walk visits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// Those whose turn it is, if there is news for them.
    News(Turn),
    /// Those that wait, end, or are stuck.
    Care,
}

struct Buffers {
    ready: Vec<Ready>,
    scratch: Vec<u8>,
    unread: HashSet<Key>,
}

pub(crate) async fn run(shard: Shard) {
    let now = shard.now();
    let mut schedule =
        Schedule { ticks: [now; 3], turns: [(0, 1); 3], sweep: now.plus(SWEEP), peers: now.plus(PEER_TICK) };
    let mut buffers = Buffers { ready: Vec::new(), scratch: vec![0; SCRATCH_BYTES], unread: HashSet::new() };
    let mut more = false;
    loop {
        let wait = schedule.next(&shard).since(shard.now());
        if more || wait.is_zero() {
            rt::yield_now().await;
        } else {
            rt::either(rt::sleep(wait), shard.inner().fanout.wait()).await;
        }
        let now = shard.now();
        more = shard.poll_sockets(&mut buffers, now);
        for class in LatencyClass::ALL {
            schedule.flush(&shard, class, now);
        }
        if now >= schedule.sweep {
            let peers = now >= schedule.peers;
            if peers {
                schedule.peers = now.plus(PEER_TICK);
            }
            shard.sweep(now, peers);
            schedule.sweep = shard.now().plus(SWEEP);
        }
    }
}

impl Schedule {
    fn next(&self, shard: &Shard) -> Moment {
        let mut next = self.sweep;
        let config = shard.config();
        for (class, tick) in LatencyClass::ALL.into_iter().zip(self.ticks) {
            if shard.class_viewers(class).get() == 0 {
                continue;
            }
            let at_once = config.class(class).tick.is_zero();
            next = next.min(if at_once { shard.now().plus(POLL) } else { tick });
        }
        next
    }

    /// Flushes a portion of a class if its moment has come.
    fn flush(&mut self, shard: &Shard, class: LatencyClass, now: Moment) {
        let tick = shard.config().class(class).tick;
        let index = class.index();
        let (Some(due), Some((count, of))) = (self.ticks.get_mut(index), self.turns.get_mut(index)) else {
            return;
        };
        let viewers = shard.class_viewers(class).get();
        if tick.is_zero() || now < *due || viewers == 0 {
            return;
        }
        let turn = Turn::after(*count, viewers, tick);
        *count = count.wrapping_add(1);
        // With other portions than before, somebody would be passed over.
        let same = std::mem::replace(of, turn.of) == turn.of;
        shard.flush_class(class, if same { turn } else { Turn::ALL });
        *due = shard.next_tick(turn.step(tick), now);
    }
}

impl Shard {
    /// There is news of a stream for its viewers: the next tick of their class finds it.
    pub(crate) fn touched(&self, stream: &Rc<RefCell<Stream>>) {
        let mut s = stream.borrow_mut();
        for class in LatencyClass::ALL {
            let viewers = self.class_viewers(class).get();
            let (Some(turns), Some(list)) =
                (s.turns_left.get_mut(class.index()), self.inner().listed.get(class.index()))
            else {
                continue;
            };
            if viewers == 0 {
                continue;
            }
            let tick = self.config().class(class).tick;
            if std::mem::replace(turns, Turn::after(0, viewers, tick).of) == 0 {
                list.borrow_mut().push(Rc::clone(stream));
            }
        }
    }

    /// When the next tick is, after a flush that began at `begun`: if that took most of a tick, later than usual, for the
    /// shard's other work needs its share, and fewer and larger writes cost less.
    fn next_tick(&self, tick: Duration, begun: Moment) -> Moment {
        let cost = self.now().since(begun);
        let stretched = tick.max(cost.saturating_add(cost / 4));
        if stretched > tick {
            bump(&self.inner().counters.late_ticks);
        }
        begun.plus(stretched)
    }

    /// Writes to the viewers of a stream that keeps its own ticks, as far as they are due.
    pub(crate) fn flush_paced(&self, stream: &Rc<RefCell<Stream>>) {
        self.flush_paced_if(stream, |now, at| now.plus(EARLY) >= at);
    }

    fn flush_paced_if(&self, stream: &Rc<RefCell<Stream>>, is_due: impl Fn(Moment, Moment) -> bool) {
        if !stream.borrow().paced {
            return;
        }
        for class in LatencyClass::ALL {
            let (tick, now) = (self.config().class(class).tick, self.now());
            let due = stream.borrow().flush_at.get(class.index()).is_some_and(|at| is_due(now, *at));
            if tick.is_zero() || !due || self.class_viewers(class).get() == 0 {
                continue;
            }
            let turn = {
                let mut stream = stream.borrow_mut();
                let viewers = stream.viewers_of(class);
                let Some(count) = stream.turns.get_mut(class.index()) else { continue };
                *count = count.wrapping_add(1);
                Turn::after(*count, viewers, tick)
            };
            self.walk(stream, &[class], Walk::News(turn));
            let next = self.next_tick(turn.step(tick), now);
            if let Some(at) = stream.borrow_mut().flush_at.get_mut(class.index()) {
                *at = next;
            }
        }
    }

    /// When the next portion of the viewers of a stream that keeps its own ticks has its turn, where there are several.
    pub(crate) fn next_turn(&self, stream: &Rc<RefCell<Stream>>) -> Option<Moment> {
        let stream = stream.borrow();
        let several = |class: &LatencyClass| {
            Turn::after(0, stream.viewers_of(*class), self.config().class(*class).tick).of > 1
        };
        let due = |class: LatencyClass| stream.flush_at.get(class.index()).copied();
        let turns = LatencyClass::ALL.into_iter().filter(several).filter_map(due);
        turns.min().filter(|_| stream.paced)
    }

    /// Writes to those of a class whose turn it is what came since their last.
    fn flush_class(&self, class: LatencyClass, turn: Turn) {
        let Some(list) = self.inner().listed.get(class.index()) else { return };
        let mut streams = std::mem::take(&mut *list.borrow_mut());
        streams.retain(|stream| {
            let (left, paced) = {
                let mut stream = stream.borrow_mut();
                let paced = stream.paced;
                let Some(left) = stream.turns_left.get_mut(class.index()) else { return false };
                // A stream that keeps its own ticks is no business of this list; the others stay until all had their turn.
                *left = if paced || turn.of == 1 { 0 } else { left.saturating_sub(1) };
                (*left, paced)
            };
            if !paced {
                self.walk(stream, &[class], Walk::News(turn));
            }
            left > 0
        });
        // The vector is used again.
        let mut list = list.borrow_mut();
        streams.append(&mut list);
        *list = streams;
    }

    pub(crate) fn flush_stream(&self, stream: &Rc<RefCell<Stream>>, class: LatencyClass) {
        self.walk(stream, &[class], Walk::News(Turn::ALL));
    }

    fn walk(&self, stream: &Rc<RefCell<Stream>>, classes: &[LatencyClass], walk: Walk) {
        let mut gone = Vec::new();
        {
            let mut stream = stream.borrow_mut();
            let mut viewers = self.inner().viewers.borrow_mut();
            let known = stream.known(self.config().play.settle, self.now());
            let Stream { info, renditions, epoch, bytes_out, .. } = &mut *stream;
            for log in renditions {
                for class in classes {
                    let turn = match walk {
                        Walk::News(turn) => turn,
                        Walk::Care => Turn::ALL,
                    };
                    // One of several portions may have to be told what the others know.
                    if walk == Walk::News(Turn::ALL) && !log.is_due(*class) {
                        continue;
                    }
                    let view = self.view(info, *epoch, log.settled(known), *class);
                    let list = std::mem::take(log.viewers_of(*class));
                    for key in turn.of_list(&list) {
                        let Some(viewer) = viewers.get_mut(*key) else { continue };
                        if walk == Walk::Care && !viewer.needs_care() {
                            continue;
                        }
                        let before = viewer.sent();
                        if let Err(why) = viewer.flush(log, &view) {
                            gone.push((*key, why));
                        }
                        *bytes_out = bytes_out.saturating_add(viewer.sent() - before);
                    }
                    *log.viewers_of(*class) = list;
                }
            }
        }
        for (key, why) in gone {
            self.detach(key, why);
        }
    }

    /// Writes to one viewer.
    pub(crate) fn flush_viewer(&self, stream: &Rc<RefCell<Stream>>, key: Key) {
        let result = {
            let mut stream = stream.borrow_mut();
            let mut viewers = self.inner().viewers.borrow_mut();
            let known = stream.known(self.config().play.settle, self.now());
            let Stream { info, renditions, epoch, bytes_out, .. } = &mut *stream;
            let Some(viewer) = viewers.get_mut(key) else { return };
            let Some(log) = renditions.iter_mut().find(|log| log.id() == viewer.rendition) else { return };
            let before = viewer.sent();
            let result = viewer.flush(log, &self.view(info, *epoch, log.settled(known), viewer.class));
            *bytes_out = bytes_out.saturating_add(viewer.sent() - before);
            result
        };
        if let Err(why) = result {
            self.detach(key, why);
        }
    }

    /// Ends one viewer with its protocol's goodbye.
    pub(crate) fn end_viewer(&self, stream: &Rc<RefCell<Stream>>, key: Key, reason: StopReason) {
        {
            let mut viewers = self.inner().viewers.borrow_mut();
            let mut stream = stream.borrow_mut();
            let Stream { info, renditions, epoch, .. } = &mut *stream;
            let Some(viewer) = viewers.get_mut(key) else { return };
            let Some(log) = renditions.iter_mut().find(|log| log.id() == viewer.rendition) else { return };
            let view = self.view(info, *epoch, false, viewer.class);
            viewer.stop(reason, log, &view, false);
        }
        self.flush_viewer(stream, key);
    }

    /// Ends all viewers of a stream with the protocols' goodbye.
    pub(crate) fn stop_viewers(&self, stream: &Rc<RefCell<Stream>>, reason: StopReason) {
        {
            let mut viewers = self.inner().viewers.borrow_mut();
            let mut stream = stream.borrow_mut();
            let Stream { info, renditions, epoch, .. } = &mut *stream;
            for log in renditions {
                for class in LatencyClass::ALL {
                    let view = self.view(info, *epoch, false, class);
                    let list = std::mem::take(log.viewers_of(class));
                    for key in &list {
                        if let Some(viewer) = viewers.get_mut(*key) {
                            viewer.stop(reason, log, &view, reason == StopReason::StreamEnded);
                        }
                    }
                    *log.viewers_of(class) = list;
                }
            }
        }
        self.walk(stream, &LatencyClass::ALL, Walk::Care);
    }

    /// A stream is over: it leaves the table, its viewers read what is left, its mirrors are told.
    pub(crate) fn end_stream(&self, stream: &Rc<RefCell<Stream>>, reason: StopReason) {
        let (key, followers, hot) = {
            let mut s = stream.borrow_mut();
            s.phase = Phase::Ended;
            s.wake_waiters();
            let followers: Vec<(usize, u64)> = s.followers.drain(..).map(|f| (f.shard, f.life)).collect();
            (s.key.clone(), followers, std::mem::take(&mut s.hot))
        };
        self.inner().streams.borrow_mut().remove(&key);
        for (shard, life) in followers {
            // By the queue of the pair, so that it comes after the last packets; if that is full, by the other.
            if let Some(outbox) = self.inner().outboxes.get(shard)
                && let Err(mail) = outbox.send(Mail::Ended { key: key.clone(), life })
            {
                self.tell(shard, mail);
            }
        }
        if hot {
            self.spread_hot(&key, false);
        }
        if stream.borrow().viewer_count() > 0 {
            self.inner().ending.borrow_mut().push(Rc::clone(stream));
            self.stop_viewers(stream, reason);
        }
        tracing::info!(stream = %key, shard = self.index(), "stream over");
    }

    /// `true` if there may be more at once.
    fn poll_sockets(&self, buffers: &mut Buffers, now: Moment) -> bool {
        for key in std::mem::take(&mut buffers.unread) {
            self.serve_socket(key, true, false, buffers, now);
        }
        for _ in 0..POLLS_A_TURN {
            let mut ready = std::mem::take(&mut buffers.ready);
            let polled = self.inner().poller.poll(&mut ready);
            for event in &ready {
                let key = Key::from_token(event.token);
                self.serve_socket(key, event.readable || event.closed, event.writable, buffers, now);
            }
            let more = matches!(polled, Ok(n) if n > 0);
            ready.clear();
            buffers.ready = ready;
            if !more {
                return false;
            }
        }
        true
    }

    fn serve_socket(&self, key: Key, readable: bool, writable: bool, buffers: &mut Buffers, now: Moment) {
        let (stream, result) = {
            let mut viewers = self.inner().viewers.borrow_mut();
            let Some(viewer) = viewers.get_mut(key) else { return };
            if writable {
                viewer.writable();
            }
            let result = if readable { viewer.read(&mut buffers.scratch, now) } else { Ok(false) };
            (viewer.stream.clone(), result)
        };
        match result {
            Ok(more) => {
                if more {
                    buffers.unread.insert(key);
                }
                if let Some(stream) = stream {
                    self.flush_viewer(&stream, key);
                }
            }
            Err(why) => self.detach(key, why),
        }
    }

    /// Removes a viewer; its connection closes.
    pub(crate) fn detach(&self, key: Key, why: Gone) {
        let Some(viewer) = self.inner().viewers.borrow_mut().remove(key) else { return };
        // A socket that is not in the set any more is as good as removed.
        let _ = self.inner().poller.remove(viewer.fd());
        let count = self.class_viewers(viewer.class);
        count.set(count.get().saturating_sub(1));
        match why {
            Gone::Panicked => bump(&self.inner().counters.panics),
            Gone::Protocol(Some(rule)) => self.count_error(rule),
            Gone::Stopped(StopReason::TooSlow) => {
                self.count_limit("viewer stuck");
                // Else the kernel would keep what it does not read, for minutes.
                let _ = rt::set_linger_zero(viewer.fd());
            }
            _ => {}
        }
        viewer.session.add_out(usize::try_from(viewer.sent()).unwrap_or(usize::MAX));
        viewer.session.end(why.text());
        if let Some(stream) = &viewer.stream {
            if let Some(log) =
                stream.borrow_mut().renditions.iter_mut().find(|log| log.id() == viewer.rendition)
            {
                let list = log.viewers_of(viewer.class);
                if list.get(viewer.place) == Some(&key) {
                    list.swap_remove(viewer.place);
                }
                // The last took its place.
                if let Some(moved) = list.get(viewer.place)
                    && let Some(moved) = self.inner().viewers.borrow_mut().get_mut(*moved)
                {
                    moved.place = viewer.place;
                }
            }
            self.weigh(stream);
        }
    }

    fn sweep(&self, now: Moment, peers: bool) {
        if peers {
            self.tick_peers(now);
        }
        for stream in self.all_streams() {
            self.walk(&stream, &LatencyClass::ALL, Walk::Care);
            self.flush_paced_if(&stream, |now, at| now >= at.plus(OVERDUE));
            self.tidy(&stream, now);
        }
        for class in LatencyClass::ALL {
            // No tick comes for a class without viewers.
            if self.class_viewers(class).get() == 0 {
                self.flush_class(class, Turn::ALL);
            }
        }
        self.inner().ending.borrow_mut().retain(|stream| stream.borrow().viewer_count() > 0);
    }

    fn tick_peers(&self, now: Moment) {
        let mut gone = Vec::new();
        {
            let mut viewers = self.inner().viewers.borrow_mut();
            let keys: Vec<Key> = viewers.iter().map(|(key, _)| key).collect();
            for key in keys {
                if let Some(Err(why)) = viewers.get_mut(key).map(|viewer| viewer.tick(now)) {
                    gone.push((key, why));
                }
            }
        }
        for (key, why) in gone {
            self.detach(key, why);
        }
    }

    /// Trims what nobody needs, drops what nobody uses, ends what is over.
    fn tidy(&self, stream: &Rc<RefCell<Stream>>, now: Moment) {
        let (phase, idle) = {
            let mut s = stream.borrow_mut();
            s.sample(now);
            s.drop_stale_tracks(self.config().play.settle, now);
            self.trim(&mut s, now);
            let unused = s.viewer_count() == 0 && s.waiters.is_empty() && s.followers.is_empty();
            s.unused_since = if unused { s.unused_since.or(Some(now)) } else { None };
            (s.phase, s.unused_since.map(|since| now.since(since)))
        };
        match phase {
            Phase::Grace { until } if now >= until => self.end_stream(stream, StopReason::StreamEnded),
            Phase::Awaited if idle.is_some() => self.give_up(stream),
            Phase::Awaited if self.owner_forgot(stream, now) => {
                let key = stream.borrow().key.clone();
                self.ask_owner(&key, !self.config().play.wait.is_zero());
            }
            Phase::Live | Phase::Grace { .. } if stream.borrow().mirror => {
                self.report_viewers(stream);
                if idle.is_some_and(|idle| idle >= MIRROR_IDLE) {
                    self.give_up(stream);
                }
            }
            _ => {}
        }
    }

    fn trim(&self, stream: &mut Stream, now: Moment) {
        let idle_after = self.config().rendition_idle;
        let viewers = self.inner().viewers.borrow();
        let forget = stream.cache_is_empty();
        let Stream { renditions, info, .. } = stream;
        for log in renditions.iter_mut() {
            if forget {
                log.forget_entries();
            }
            let keys = log.viewers.iter().flatten();
            let needed = keys.filter_map(|key| viewers.get(*key)?.needs()).min();
            log.trim(info, needed.unwrap_or(u64::MAX));
            let unused = log.viewer_count() == 0;
            log.unused_since = if unused { log.unused_since.or(Some(now)) } else { None };
        }
        renditions.retain(|log| log.unused_since.is_none_or(|since| now.since(since) < idle_after));
    }

    /// Whether the owner was told long ago: any message may have been lost.
    fn owner_forgot(&self, stream: &Rc<RefCell<Stream>>, now: Moment) -> bool {
        let stream = stream.borrow();
        stream.mirror && now.since(stream.told) >= MIRROR_WORD
    }

    fn report_viewers(&self, stream: &Rc<RefCell<Stream>>) {
        let now = self.now();
        let late = self.owner_forgot(stream, now);
        let mut stream = stream.borrow_mut();
        let viewers = stream.viewer_count();
        if late || viewers != stream.reported_viewers {
            stream.reported_viewers = viewers;
            stream.told = now;
            let Stream { key, life, owner, .. } = &*stream;
            let mail = Mail::MirrorViewers { key: key.clone(), from: self.index(), life: *life, viewers };
            self.tell(*owner, mail);
        }
    }

    /// Forgets an entry that nobody uses; a mirror tells its owner.
    fn give_up(&self, stream: &Rc<RefCell<Stream>>) {
        let (key, owner, mirror, life) = {
            let s = stream.borrow();
            (s.key.clone(), s.owner, s.mirror, s.life)
        };
        self.inner().streams.borrow_mut().remove(&key);
        if mirror {
            self.tell(owner, Mail::Unfollow { key, from: self.index(), life });
        }
    }

    fn view<'a>(
        &self,
        info: &'a media::StreamInfo,
        epoch: u32,
        settled: bool,
        class: LatencyClass,
    ) -> View<'a> {
        let config = self.config();
        View {
            info,
            epoch,
            settled,
            now: self.now(),
            class: config.class(class),
            stuck: config.play.stuck_timeout,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::shard::Parts;
    use std::sync::Arc;

    #[test]
    fn portions_of_a_tick_are_all_viewers_each_once() {
        let tick = Duration::from_millis(40);
        for (viewers, portions) in
            [(0, 1), (1, 1), (1024, 1), (1025, 2), (5000, 5), (10_000, 8), (100_000, 8)]
        {
            let list: Vec<usize> = (0..viewers).collect();
            let mut seen = Vec::new();
            // From any turn on.
            for count in 3..3 + portions {
                let turn = Turn::after(count, viewers, tick);
                assert_eq!((turn.of, turn.step(tick)), (portions, tick / portions as u32));
                seen.extend_from_slice(turn.of_list(&list));
            }
            seen.sort_unstable();
            assert_eq!(seen, list);
        }
        assert_eq!(Turn::after(7, 100_000, Duration::ZERO).of, 1);
    }

    #[test]
    fn a_flush_that_takes_longer_than_its_tick_stretches_it() {
        let shard = Shard::new(Parts {
            index: 0,
            cpu: None,
            config: Config::default(),
            outboxes: Vec::new(),
            questions: crossbeam_channel::bounded(1).0,
            events: crossbeam_channel::bounded(1).0,
            visitors: crossbeam_channel::bounded(1).0,
            connections: Arc::default(),
        })
        .unwrap();
        let tick = Duration::from_millis(1);
        let begun = shard.now();
        while shard.now().since(begun) < Duration::from_millis(8) {
            std::hint::spin_loop();
        }
        // The shard's other work gets a quarter of what the flush took.
        let next = shard.next_tick(tick, begun);
        assert!(next.since(begun) >= Duration::from_millis(10), "{next:?}");
        assert_eq!(shard.inner().counters.late_ticks.get(), 1);
        let ahead = shard.now().plus(Duration::from_secs(600));
        assert_eq!(shard.next_tick(tick, ahead), ahead.plus(tick));
        assert_eq!(shard.inner().counters.late_ticks.get(), 1);
    }
}
