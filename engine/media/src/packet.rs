//! One access unit of one track, as it travels from a publisher to every muxer.

use crate::Timestamp;
use bytes::Bytes;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Timed data: script messages, cue points, captions.
    Data,
}

/// Index of a track inside its stream. The first track of each kind has the constant of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

impl TrackId {
    /// First video track.
    pub const VIDEO: Self = Self(0);
    /// First audio track.
    pub const AUDIO: Self = Self(1);
    /// First data track.
    pub const DATA: Self = Self(2);
}

/// Properties of a packet that routing needs without looking into the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// A decoder can start here.
    pub keyframe: bool,
    /// No other packet refers to it: the first to go when bandwidth is short.
    pub discardable: bool,
}

/// One access unit. Video of H.264, H.265 and H.266 is length-prefixed NAL units (as the config record says), AAC is
/// raw, AV1 is low-overhead OBUs; a `Data` packet carries an AMF0 encoded name and values.
///
/// Cloning is cheap: the payload is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Track this belongs to.
    pub track: TrackId,
    /// Kind of that track, repeated so that filters need no lookup.
    pub kind: Kind,
    /// Decoding time.
    pub dts: Timestamp,
    /// Presentation time; equals `dts` for audio and data.
    pub pts: Timestamp,
    /// Routing properties.
    pub flags: Flags,
    /// The bits, never empty.
    pub payload: Bytes,
}
