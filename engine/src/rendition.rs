//! One wire format of one stream: its muxer, its log, and who reads it.

use crate::log::{Log, Unit};
use crate::slab::Key;
use crate::stream::Known;
use media::{Kind, LatencyClass, Moment, Muxer, Packet, Rendition, StreamInfo, Timestamp};

/// What sound alone gives a joining viewer.
const SOUND_ALONE_US: i64 = 1_000_000;

/// See the module. Viewers are listed by latency class, so that a tick walks only its own.
pub(crate) struct RenditionLog {
    id: u64,
    muxer: Box<dyn Muxer>,
    wants: (bool, bool),
    names_tracks: bool,
    pub log: Log,
    pub viewers: [Vec<Key>; 3],
    pub unused_since: Option<Moment>,
    /// End of the log when the viewers of a class were last walked.
    pub flushed: [u64; 3],
}

impl RenditionLog {
    pub fn new(rendition: &dyn Rendition) -> Self {
        Self {
            id: rendition.id(),
            muxer: rendition.muxer(),
            wants: rendition.wants(),
            names_tracks: rendition.names_tracks(),
            log: Log::default(),
            viewers: [const { Vec::new() }; 3],
            unused_since: None,
            flushed: [0; 3],
        }
    }

    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Muxes one packet into the log.
    pub fn push(&mut self, info: &StreamInfo, epoch: u32, packet: &Packet) {
        let entry = self.is_entry(info, packet);
        let Self { muxer, log, .. } = self;
        log.append(packet.payload.len() + 64, packet.dts, entry, epoch, |out| {
            muxer.packet(info, packet, out)
        });
    }

    /// Nobody may start at what is in the log so far.
    pub fn forget_entries(&mut self) {
        self.log.forget_entries();
    }

    /// Drops what neither the viewers (from `needed` on) nor a joining viewer can want.
    pub fn trim(&mut self, info: &StreamInfo, needed: u64) {
        let join = self.join_point(info, 0).map_or(self.log.end(), |unit| unit.start);
        self.log.trim(join.min(needed));
    }

    /// Tells the viewers in the log that the tracks changed.
    pub fn announce(&mut self, info: &StreamInfo, epoch: u32, at: Timestamp) {
        let Self { muxer, log, .. } = self;
        log.append(256, at, false, epoch, |out| muxer.preamble(info, at, false, out));
    }

    /// What a viewer gets before the unit it starts at.
    pub fn preamble(&mut self, info: &StreamInfo, at: Timestamp, first: bool, out: &mut Vec<u8>) {
        self.muxer.preamble(info, at, first, out);
    }

    /// Where a viewer that joins now starts; `None`: it has to wait. `since`: no unit before this offset will do
    /// (a viewer that wants no cached GOP gives the end of the log).
    pub fn join_point(&self, info: &StreamInfo, since: u64) -> Option<Unit> {
        if self.needs_keyframe(info) {
            return self.log.entry_from(since);
        }
        let newest = self.log.newest()?;
        self.log.unit_since(since, newest - Timestamp::from_micros(SOUND_ALONE_US))
    }

    /// Where a viewer that fell behind goes on; nothing before `since` will do.
    pub fn resume_point(&self, info: &StreamInfo, since: u64) -> Option<Unit> {
        if self.needs_keyframe(info) {
            return self.log.entry_from(since);
        }
        let newest = self.log.newest()?;
        self.log.unit_since(since, newest)
    }

    pub fn viewer_count(&self) -> usize {
        self.viewers.iter().map(Vec::len).sum()
    }

    pub fn viewers_of(&mut self, class: LatencyClass) -> &mut Vec<Key> {
        let [live, normal, bulk] = &mut self.viewers;
        match class {
            LatencyClass::Live => live,
            LatencyClass::Normal => normal,
            LatencyClass::Bulk => bulk,
        }
    }

    pub fn has_viewers_of(&self, class: LatencyClass) -> bool {
        self.viewers.get(class.index()).is_some_and(|list| !list.is_empty())
    }

    /// Whether there is something to write to the viewers of a class; says so once.
    pub fn is_due(&mut self, class: LatencyClass) -> bool {
        if !self.has_viewers_of(class) {
            return false;
        }
        let end = self.log.end();
        self.flushed.get_mut(class.index()).is_some_and(|flushed| std::mem::replace(flushed, end) != end)
    }

    /// Whether enough is known of the stream for a viewer to start: a head that names the tracks cannot be taken back.
    pub const fn settled(&self, known: Known) -> bool {
        let (video, audio) = self.wants;
        !self.names_tracks || ((known.video || !video) && (known.audio || !audio))
    }

    const fn needs_keyframe(&self, info: &StreamInfo) -> bool {
        self.wants.0 && info.video.is_some()
    }

    fn is_entry(&self, info: &StreamInfo, packet: &Packet) -> bool {
        if self.needs_keyframe(info) {
            packet.kind == Kind::Video && packet.flags.keyframe
        } else {
            packet.kind == Kind::Audio
        }
    }
}
