//! FLV: tags, their bodies (which RTMP carries too), and the byte stream of tags.
//!
//! - [`TagDemuxer`] reads tag bodies of one publisher into media events; [`FlvReader`] reads the byte stream around them.
//! - [`write_packet`], [`write_config`] and [`write_metadata`] write tag bodies.
//! - [`FlvRendition`] muxes the byte stream for viewers, in the framing of HTTP or WebSocket.
//!
//! Knows neither chunk streams nor connections. FLV and F4V specification 10.1, annex E; Enhanced RTMP v2.

mod audio;
mod demux;
mod enhanced;
mod reader;
mod rendition;
mod script;
#[cfg(test)]
mod tests;
mod video;
mod write;

pub use demux::{TagDemuxer, TagLimits};
pub use reader::{FlvLimits, FlvReader};
pub use rendition::{FlvRendition, Framing};
pub use write::{write_config, write_metadata, write_packet};

use media::{Codec, Kind};

/// Kind of a tag, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// Sound.
    Audio = 8,
    /// Pictures.
    Video = 9,
    /// Script data in AMF0.
    Script = 18,
}

impl TagKind {
    /// From its number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Which of the several spellings of a codec a group of viewers understands. H.264, AAC, MP3, Speex, Nellymoser, G.711 and
/// PCM are always written in the classic form; AV1, VP8, VP9, H.266, AC-3, E-AC-3 and FLAC exist only by fourCC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// H.265 as `hvc1`; otherwise as codec 12.
    pub fourcc_video: bool,
    /// Opus as `Opus`; otherwise as format 13.
    pub fourcc_audio: bool,
}

impl Form {
    /// The older numbers.
    pub const LEGACY: Self = Self { fourcc_video: false, fourcc_audio: false };
    /// By fourCC.
    pub const ENHANCED: Self = Self { fourcc_video: true, fourcc_audio: true };
}

/// Which kinds of tracks a viewer wants; script data always passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrackFilter {
    /// Pictures.
    pub video: bool,
    /// Sound.
    pub audio: bool,
}

impl TrackFilter {
    /// Everything.
    pub const ALL: Self = Self { video: true, audio: true };

    /// Whether packets of a kind pass.
    pub const fn passes(self, kind: Kind) -> bool {
        match kind {
            Kind::Video => self.video,
            Kind::Audio => self.audio,
            Kind::Data => true,
        }
    }
}

/// FourCC of a codec in enhanced tags.
pub(crate) const fn fourcc(codec: Codec) -> Option<[u8; 4]> {
    Some(match codec {
        Codec::H264 => *b"avc1",
        Codec::H265 => *b"hvc1",
        Codec::H266 => *b"vvc1",
        Codec::Av1 => *b"av01",
        Codec::Vp8 => *b"vp08",
        Codec::Vp9 => *b"vp09",
        Codec::Aac => *b"mp4a",
        Codec::Mp3 => *b".mp3",
        Codec::Opus => *b"Opus",
        Codec::Ac3 => *b"ac-3",
        Codec::Eac3 => *b"ec-3",
        Codec::Flac => *b"fLaC",
        _ => return None,
    })
}

/// Codec of a fourCC.
pub(crate) const fn codec_of(fourcc: [u8; 4]) -> Option<Codec> {
    Some(match &fourcc {
        b"avc1" => Codec::H264,
        b"hvc1" => Codec::H265,
        b"vvc1" => Codec::H266,
        b"av01" => Codec::Av1,
        b"vp08" => Codec::Vp8,
        b"vp09" => Codec::Vp9,
        b"mp4a" => Codec::Aac,
        b".mp3" => Codec::Mp3,
        b"Opus" => Codec::Opus,
        b"ac-3" => Codec::Ac3,
        b"ec-3" => Codec::Eac3,
        b"fLaC" => Codec::Flac,
        _ => return None,
    })
}

/// Whether the enhanced form of a codec carries a composition time.
pub(crate) const fn has_composition(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265 | Codec::H266)
}
