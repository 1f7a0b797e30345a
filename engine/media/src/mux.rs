//! How a wire format meets the engine: a [`Muxer`] turns a stream into the bytes that all its viewers share.
//!
//! The engine calls a muxer once per stream and packet and keeps the bytes in a shared log; each viewer is a cursor
//! on that log. So nothing that a muxer writes may depend on a viewer. What does differ between groups of viewers
//! (framing, codec form, filters) is part of the [`Rendition`], and each rendition has a log of its own.

use crate::{Packet, StreamInfo, Timestamp};

/// Turns packets into bytes of one wire format. Every call that writes makes one unit: a viewer is never moved
/// into the middle of a unit. A call that writes nothing makes no unit (a filtered track, say).
pub trait Muxer {
    /// What a viewer needs before its first packet: metadata and decoder configurations, stamped `at`.
    /// With `first` also what opens the byte stream (a file header, say); without it the viewer has skipped
    /// and only needs to be told anew.
    fn preamble(&mut self, info: &StreamInfo, at: Timestamp, first: bool, out: &mut Vec<u8>);

    /// One packet.
    fn packet(&mut self, info: &StreamInfo, packet: &Packet, out: &mut Vec<u8>);
}

/// A wire format with its variant: names the muxer and makes it.
pub trait Rendition: Send {
    /// Equal for two renditions that write the same bytes; different otherwise.
    fn id(&self) -> u64;

    /// A fresh muxer.
    fn muxer(&self) -> Box<dyn Muxer>;

    /// Whether the opening bytes name the tracks, so that a viewer should wait until they are known.
    fn names_tracks(&self) -> bool {
        false
    }

    /// Which kinds are wanted: `(video, audio)`. A join starts at a keyframe only if video is wanted and present.
    fn wants(&self) -> (bool, bool) {
        (true, true)
    }
}
