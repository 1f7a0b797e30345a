//! A stream on one shard: its timeline, its ring, its renditions, who follows it.
//!
//! On the owner packets come from the publisher and pass the timeline; on a mirror they come from the owner, with
//! their stamps final. From there on both are the same.

use crate::config::Config;
use crate::mesh::Feed;
use crate::rendition::RenditionLog;
use crate::ring::Ring;
use crate::session::StopSignal;
use crate::stats::{SessionId, StreamStats, TrackStats};
use media::timeline::{Rules, Timeline};
use media::{
    Kind, LatencyClass, Metadata, Moment, Packet, Rendition, StreamInfo, StreamKey, Timestamp, Track,
};
use rt::Notify;
use std::rc::Rc;
use std::time::Duration;

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Somebody waits for it; it never had a publisher.
    Awaited,
    /// Has a publisher.
    Live,
    /// Lost its publisher; viewers are kept until the moment.
    Grace { until: Moment },
    /// Over; viewers read what is left.
    Ended,
}

/// Who publishes.
pub(crate) struct PublisherSlot {
    pub session: SessionId,
    pub generation: u64,
    pub stop: Rc<StopSignal>,
    /// Set when somebody begins to watch.
    pub watched: Notify,
}

/// A shard that mirrors the stream.
pub(crate) struct Follower {
    pub shard: usize,
    /// Which of that shard's mirrors.
    pub life: u64,
    /// A batch was dropped: nothing more until a keyframe.
    pub broken: bool,
    pub viewers: usize,
}

/// Which kinds of tracks nobody needs to wait for.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub video: bool,
    pub audio: bool,
}

#[derive(Clone, Copy, Default)]
struct Meter {
    packets: u64,
    packets_before: u64,
    rate_milli: u32,
}

#[derive(Clone, Copy, Default)]
struct Rate {
    before: u64,
    per_second: u64,
}

impl Rate {
    fn sample(&mut self, total: u64, elapsed_us: u64) {
        let now = total.saturating_sub(self.before).saturating_mul(1_000_000) / elapsed_us.max(1);
        self.per_second = if self.before == 0 { now } else { (self.per_second * 2 + now) / 3 };
        self.before = total;
    }
}

/// See the module.
pub(crate) struct Stream {
    pub key: StreamKey,
    pub owner: usize,
    pub mirror: bool,
    /// On a mirror: its number among those of its shard.
    pub life: u64,
    /// On a mirror: when the owner was last told of it.
    pub told: Moment,
    pub phase: Phase,
    pub info: StreamInfo,
    pub epoch: u32,
    pub publisher: Option<PublisherSlot>,
    pub generation: u64,
    pub followers: Vec<Follower>,
    pub feed: Vec<Feed>,
    pub waiters: Vec<Rc<Notify>>,
    pub renditions: Vec<RenditionLog>,
    pub hot: bool,
    pub unused_since: Option<Moment>,
    pub reported_viewers: usize,
    pub bytes_out: u64,
    /// The publisher's task reads at the pace at which viewers are written to, and flushes them itself.
    pub paced: bool,
    /// When the viewers of a class are due, while paced.
    pub flush_at: [Moment; 3],
    /// How many portions of the viewers of a class had their turn, while paced.
    pub turns: [usize; 3],
    /// Portions of the viewers of a class that have not had the last news; the stream is in the class's list while there are
    /// any.
    pub turns_left: [usize; 3],
    timeline: Timeline,
    ring: Ring,
    began: Option<Moment>,
    first_packet: Option<Moment>,
    awaits_keyframe: bool,
    /// Tracks of the publisher before, not announced again so far: `(video, audio)`.
    stale: (bool, bool),
    bytes_in: u64,
    rates: [Rate; 2],
    meters: [Meter; 2],
    sampled: Moment,
    newest: Timestamp,
}

impl Stream {
    pub fn new(key: StreamKey, owner: usize, mirror: bool, config: &Config, now: Moment) -> Self {
        let rules =
            Rules { jump_forward: config.timeline.jump_forward, jump_back: config.timeline.jump_back };
        Self {
            key,
            owner,
            mirror,
            life: 0,
            told: now,
            phase: Phase::Awaited,
            info: StreamInfo::default(),
            epoch: 0,
            publisher: None,
            generation: 0,
            followers: Vec::new(),
            feed: Vec::new(),
            waiters: Vec::new(),
            renditions: Vec::new(),
            hot: false,
            unused_since: None,
            reported_viewers: 0,
            bytes_out: 0,
            paced: false,
            flush_at: [now; 3],
            turns: [0; 3],
            turns_left: [0; 3],
            timeline: Timeline::new(rules),
            ring: Ring::new(config.gop),
            began: None,
            first_packet: None,
            awaits_keyframe: false,
            stale: (false, false),
            bytes_in: 0,
            rates: [Rate::default(); 2],
            meters: [Meter::default(); 2],
            sampled: now,
            newest: Timestamp::ZERO,
        }
    }

    /// A publisher begins, or returns.
    pub fn begin(&mut self, publisher: PublisherSlot, now: Moment) {
        self.generation = publisher.generation;
        self.publisher = Some(publisher);
        self.timeline.resume();
        self.paced = false;
        self.came(now);
        self.forget_entries();
        self.first_packet = None;
        self.awaits_keyframe = true;
        self.stale = (self.info.video.is_some(), self.info.audio.is_some());
    }

    /// A publisher that returned without a track it had before: who joins now must not wait for it.
    pub fn drop_stale_tracks(&mut self, settle: Duration, now: Moment) {
        if self.stale == (false, false) || self.first_packet.is_none_or(|first| now.since(first) < settle) {
            return;
        }
        let (video, audio) = std::mem::take(&mut self.stale);
        if video {
            self.info.video = None;
            self.forget_entries();
        }
        if audio {
            self.info.audio = None;
        }
        self.info_changed();
    }

    /// The stream is there: those who wait are told.
    pub fn came(&mut self, now: Moment) {
        self.phase = Phase::Live;
        self.began.get_or_insert(now);
        self.wake_waiters();
    }

    pub fn wake_waiters(&mut self) {
        for waiter in self.waiters.drain(..) {
            waiter.notify();
        }
    }

    /// Whether a viewer can be attached.
    pub const fn is_there(&self) -> bool {
        matches!(self.phase, Phase::Live | Phase::Grace { .. })
    }

    /// A track as announced by the publisher; keeps what a new publisher does not announce out of the way.
    pub fn announce(&mut self, track: Track) {
        let kind = track.kind();
        match kind {
            Kind::Video => self.stale.0 = false,
            Kind::Audio => self.stale.1 = false,
            Kind::Data => {}
        }
        if !self.info.announce(track) {
            return;
        }
        // Entries before this were muxed for another picture.
        if kind == Kind::Video {
            self.forget_entries();
        }
        self.info_changed();
    }

    pub fn describe(&mut self, metadata: Metadata) {
        if self.info.metadata.as_ref() != Some(&metadata) {
            self.info.metadata = Some(metadata);
            self.info_changed();
        }
    }

    /// All at once, on a mirror.
    pub fn set_info(&mut self, info: StreamInfo) {
        if self.info == info {
            return;
        }
        if self.info.video != info.video {
            self.forget_entries();
        }
        self.info = info;
        self.info_changed();
    }

    /// A packet of the publisher: its stamps are made fit and it goes to everybody.
    pub fn publish(&mut self, now: Moment, mut packet: Packet) {
        // Pictures that refer to what nobody has would only smear the screens of viewers kept from before.
        if packet.kind == Kind::Video && self.awaits_keyframe {
            if !packet.flags.keyframe {
                return;
            }
            self.awaits_keyframe = false;
        }
        (packet.dts, packet.pts) = self.timeline.stamp(now, packet.kind, packet.dts, packet.pts);
        self.accept(now, packet);
    }

    /// A packet with final stamps.
    pub fn accept(&mut self, now: Moment, packet: Packet) {
        self.first_packet.get_or_insert(now);
        self.bytes_in = self.bytes_in.saturating_add(packet.payload.len() as u64);
        self.newest = self.newest.max(packet.dts);
        if let (Kind::Video, [meter, _]) | (Kind::Audio, [_, meter]) = (packet.kind, &mut self.meters) {
            meter.packets += 1;
        }
        self.ring.push(&packet, self.info.video.is_some());
        for rendition in &mut self.renditions {
            rendition.push(&self.info, self.epoch, &packet);
        }
        if !self.followers.is_empty() {
            self.feed.push(Feed::Packet(packet));
        }
    }

    /// The log of a rendition; made, and filled from the ring, if it is not there. `None`: too many.
    pub fn rendition(&mut self, rendition: &dyn Rendition, limit: usize) -> Option<&mut RenditionLog> {
        let id = rendition.id();
        let index = match self.renditions.iter().position(|r| r.id() == id) {
            Some(index) => index,
            None if self.renditions.len() >= limit => return None,
            None => {
                let mut made = RenditionLog::new(rendition);
                for packet in self.ring.packets() {
                    made.push(&self.info, self.epoch, packet);
                }
                self.renditions.push(made);
                self.renditions.len() - 1
            }
        };
        self.renditions.get_mut(index)
    }

    /// What a mirror needs to begin.
    pub fn snapshot(&self) -> Vec<Feed> {
        let start = Feed::Start { info: self.info.clone(), generation: self.generation };
        [start].into_iter().chain(self.ring.packets().cloned().map(Feed::Packet)).collect()
    }

    /// Which kinds of tracks are known, or will not come.
    pub fn known(&self, settle: Duration, now: Moment) -> Known {
        let late = self.first_packet.is_some_and(|first| now.since(first) >= settle);
        let flag = |name| self.info.metadata.as_ref().and_then(|m| m.bool(name));
        Known {
            video: late || self.info.video.is_some() || flag("hasVideo") == Some(false),
            audio: late || self.info.audio.is_some() || flag("hasAudio") == Some(false),
        }
    }

    pub fn viewer_count(&self) -> usize {
        self.renditions.iter().map(RenditionLog::viewer_count).sum()
    }

    /// Viewers of a class here.
    pub fn viewers_of(&self, class: LatencyClass) -> usize {
        self.renditions.iter().filter_map(|log| log.viewers.get(class.index())).map(Vec::len).sum()
    }

    /// Until when the publisher may as well let what it sends gather: until viewers are due, for nobody sees anything
    /// before. `None`: somebody wants it at once. No longer than `longest`, nor than `bytes` take to come.
    pub fn pace(&self, config: &Config, now: Moment, longest: Duration, bytes: u64) -> Option<Moment> {
        let rate = self.byte_rate();
        if rate == 0 || !self.followers.is_empty() || !self.waiters.is_empty() {
            return None;
        }
        let gathered = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let mut until = now.plus(gathered.min(longest));
        for (class, due) in LatencyClass::ALL.into_iter().zip(self.flush_at) {
            if self.renditions.iter().any(|log| log.has_viewers_of(class)) {
                if config.class(class).tick.is_zero() {
                    return None;
                }
                until = until.min(due);
            }
        }
        Some(until)
    }

    /// Somebody begins to watch: a publisher that rests reads on at once.
    pub fn wake_publisher(&self) {
        if let Some(publisher) = &self.publisher {
            publisher.watched.notify();
        }
    }

    /// Bytes a second from the publisher; 0 while that is not known.
    pub const fn byte_rate(&self) -> u64 {
        let [rate_in, _] = &self.rates;
        rate_in.per_second
    }

    /// Viewers here and on the mirrors.
    pub fn audience(&self) -> usize {
        self.viewer_count() + self.followers.iter().map(|f| f.viewers).sum::<usize>()
    }

    /// Packets before the next were lost on the way; the next is a keyframe.
    pub fn gap(&mut self) {
        self.forget_entries();
    }

    pub const fn configure(&mut self, config: &Config) {
        self.ring.configure(config.gop);
    }

    /// Whether the cached GOP was given up, so that nobody may start at it.
    pub fn cache_is_empty(&self) -> bool {
        self.ring.bytes() == 0
    }

    /// Once a second: rates.
    pub fn sample(&mut self, now: Moment) {
        let elapsed = u64::try_from(now.since(self.sampled).as_micros()).unwrap_or(u64::MAX);
        if elapsed < 900_000 {
            return;
        }
        let [rate_in, rate_out] = &mut self.rates;
        rate_in.sample(self.bytes_in, elapsed);
        rate_out.sample(self.bytes_out, elapsed);
        for meter in &mut self.meters {
            let packets = meter.packets - meter.packets_before;
            let rate = u32::try_from(packets.saturating_mul(1_000_000_000) / elapsed).unwrap_or(u32::MAX);
            meter.rate_milli = if meter.packets_before == 0 {
                rate
            } else {
                u32::try_from((u64::from(meter.rate_milli) * 2 + u64::from(rate)) / 3).unwrap_or(u32::MAX)
            };
            meter.packets_before = meter.packets;
        }
        self.sampled = now;
    }

    pub fn stats(&self, shard: usize, now: Moment) -> StreamStats {
        let [rate_in, rate_out] = self.rates;
        let [video, audio] = self.meters;
        let gop = self.ring.last_gop();
        StreamStats {
            key: self.key.clone(),
            shard,
            mirror: self.mirror,
            live: self.phase == Phase::Live,
            generation: self.generation,
            age: self.began.map_or_else(Default::default, |began| now.since(began)),
            publisher: self.publisher.as_ref().map(|p| p.session),
            video: self.info.video.as_ref().map(|track| track_stats(track, video)),
            audio: self.info.audio.as_ref().map(|track| track_stats(track, audio)),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            bitrate_in: rate_in.per_second.saturating_mul(8),
            bitrate_out: rate_out.per_second.saturating_mul(8),
            gop_ms: gop.span_ms,
            gop_packets: gop.packets,
            ring_bytes: self.ring.bytes() as u64,
            log_bytes: self.renditions.iter().map(|log| log.log.held_bytes() as u64).sum(),
            cache_overflows: self.ring.overflows(),
            viewers: self.viewer_count() as u64,
            waiting: self.waiters.len() as u64,
            mirrors: self.followers.len() as u64,
            stamp_repairs: self.timeline.repairs(),
            stamp_jumps: self.timeline.jumps(),
            last_dts_ms: self.newest.millis(),
        }
    }

    /// Nobody may start at what was received so far.
    fn forget_entries(&mut self) {
        self.ring.clear();
        for rendition in &mut self.renditions {
            rendition.forget_entries();
        }
    }

    fn info_changed(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        let at = self.newest;
        for rendition in &mut self.renditions {
            rendition.announce(&self.info, self.epoch, at);
        }
        if !self.followers.is_empty() {
            self.feed.push(Feed::Info(self.info.clone()));
        }
    }
}

const fn track_stats(track: &Track, meter: Meter) -> TrackStats {
    TrackStats {
        codec: track.codec,
        width: track.video.width,
        height: track.video.height,
        rate_milli: meter.rate_milli,
        sample_rate: track.audio.sample_rate,
        channels: track.audio.channels,
        packets: meter.packets,
    }
}
