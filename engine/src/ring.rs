//! The recent packets of a stream, with an index of its GOPs.
//!
//! Holds the packets since the newest keyframe (for sound alone: the newest second), so that a rendition made now, or a
//! mirror that begins now, can start at once. Bounded by bytes and time: a GOP past either bound is given up and the
//! next keyframe starts anew.

use crate::config::GopConfig;
use media::{Kind, Packet, Timestamp};
use std::collections::VecDeque;

/// What sound alone keeps.
const SOUND_ALONE_US: i64 = 1_000_000;

/// See the module.
pub(crate) struct Ring {
    config: GopConfig,
    packets: VecDeque<Packet>,
    bytes: usize,
    has_entry: bool,
    last_gop: GopSize,
    overflows: u64,
}

/// Size of a complete GOP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GopSize {
    pub span_ms: u64,
    pub packets: u64,
}

impl Ring {
    pub const fn new(config: GopConfig) -> Self {
        Self {
            config,
            packets: VecDeque::new(),
            bytes: 0,
            has_entry: false,
            last_gop: GopSize { span_ms: 0, packets: 0 },
            overflows: 0,
        }
    }

    /// Takes the newest packet. `has_video`: whether the stream has pictures, so that only keyframes are entries.
    pub fn push(&mut self, packet: &Packet, has_video: bool) {
        if packet.kind == Kind::Video && packet.flags.keyframe {
            self.close_gop(packet.dts);
            self.clear();
            self.has_entry = true;
        } else if !has_video {
            self.has_entry = true;
            self.drop_before(packet.dts - Timestamp::from_micros(SOUND_ALONE_US));
        }
        if !self.config.enabled || !self.has_entry {
            return;
        }
        self.bytes += packet.payload.len();
        self.packets.push_back(packet.clone());
        let span = self.packets.front().map_or(0, |first| (packet.dts - first.dts).micros());
        let max_span = i64::try_from(self.config.max_time.as_micros()).unwrap_or(i64::MAX);
        if self.bytes > self.config.max_bytes || span > max_span {
            self.overflows += 1;
            self.clear();
        }
    }

    /// Forgets all; the next entry starts anew.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
        self.has_entry = false;
    }

    /// New bounds, from the next packet on.
    pub const fn configure(&mut self, config: GopConfig) {
        self.config = config;
    }

    /// Oldest first; empty or starting at an entry.
    pub fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.packets.iter()
    }

    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last complete GOP.
    pub const fn last_gop(&self) -> GopSize {
        self.last_gop
    }

    /// GOPs given up because of a bound.
    pub const fn overflows(&self) -> u64 {
        self.overflows
    }

    fn close_gop(&mut self, end: Timestamp) {
        if let Some(first) = self.packets.front() {
            let span_ms = u64::try_from((end - first.dts).millis()).unwrap_or(0);
            let packets = self.packets.iter().filter(|p| p.kind == Kind::Video).count() as u64;
            self.last_gop = GopSize { span_ms, packets };
        }
    }

    fn drop_before(&mut self, dts: Timestamp) {
        while self.packets.front().is_some_and(|p| p.dts < dts) {
            if let Some(packet) = self.packets.pop_front() {
                self.bytes = self.bytes.saturating_sub(packet.payload.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{Flags, TrackId};
    use std::time::Duration;

    fn packet(kind: Kind, ms: i64, key: bool) -> Packet {
        let dts = Timestamp::from_millis(ms);
        Packet {
            track: TrackId::VIDEO,
            kind,
            dts,
            pts: dts,
            flags: Flags { keyframe: key, discardable: false },
            payload: Bytes::from(vec![0; 100]),
        }
    }

    fn config(max_bytes: usize, max_ms: u64) -> GopConfig {
        GopConfig { enabled: true, max_bytes, max_time: Duration::from_millis(max_ms) }
    }

    #[test]
    fn keeps_from_the_newest_keyframe() {
        let mut ring = Ring::new(config(10_000, 10_000));
        ring.push(&packet(Kind::Video, 0, false), true);
        assert_eq!(ring.packets().count(), 0);
        for i in 0..10 {
            ring.push(&packet(Kind::Video, i * 40, i % 4 == 0), true);
        }
        assert_eq!(ring.packets().next().unwrap().dts.millis(), 320);
        assert_eq!((ring.packets().count(), ring.bytes()), (2, 200));
        assert_eq!(ring.last_gop(), GopSize { span_ms: 160, packets: 4 });
    }

    #[test]
    fn a_gop_past_a_bound_is_given_up_until_the_next_keyframe() {
        for (max_bytes, max_ms) in [(500, 10_000), (10_000, 200)] {
            let mut ring = Ring::new(config(max_bytes, max_ms));
            for i in 0..7 {
                ring.push(&packet(Kind::Video, i * 40, i == 0), true);
            }
            assert_eq!((ring.packets().count(), ring.bytes(), ring.overflows()), (0, 0, 1));
            ring.push(&packet(Kind::Video, 300, true), true);
            assert_eq!(ring.packets().count(), 1);
        }
    }

    #[test]
    fn sound_alone_keeps_a_second() {
        let mut ring = Ring::new(config(1 << 20, 10_000));
        for i in 0..200 {
            ring.push(&packet(Kind::Audio, i * 20, false), false);
        }
        assert_eq!(ring.packets().next().unwrap().dts.millis(), 199 * 20 - 1_000);
    }

    #[test]
    fn switched_off_it_holds_nothing() {
        let mut ring = Ring::new(GopConfig { enabled: false, ..config(1, 1) });
        ring.push(&packet(Kind::Video, 0, true), true);
        assert_eq!((ring.packets().count(), ring.bytes()), (0, 0));
    }
}
