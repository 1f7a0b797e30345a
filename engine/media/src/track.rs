//! Tracks: codec, configuration record and what was learnt of them.

use crate::{Kind, Metadata, TrackId};
use bytes::Bytes;
use std::fmt;

/// Coding format of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the formats' own
pub enum Codec {
    H264,
    H265,
    H266,
    Av1,
    Vp8,
    Vp9,
    /// Sorenson H.263, Screen Video, VP6: carried untouched, `id` is the number the encoder used.
    LegacyVideo {
        id: u8,
    },
    Aac,
    Mp3,
    Speex,
    /// Nellymoser; `id` keeps the 16 kHz (4), 8 kHz (5) or other (6) form.
    Nellymoser {
        id: u8,
    },
    G711A,
    G711U,
    Opus,
    Ac3,
    Eac3,
    Flac,
    /// Linear PCM, little endian (3) or of the platform (0).
    Pcm {
        id: u8,
    },
    /// Timed script data: AMF0 name and values.
    Script,
}

impl Codec {
    /// What a track of this codec carries.
    pub const fn kind(self) -> Kind {
        match self {
            Self::H264
            | Self::H265
            | Self::H266
            | Self::Av1
            | Self::Vp8
            | Self::Vp9
            | Self::LegacyVideo { .. } => Kind::Video,
            Self::Script => Kind::Data,
            _ => Kind::Audio,
        }
    }

    /// Whether packets cannot be decoded before a configuration record was seen.
    pub const fn needs_config(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::H266 | Self::Av1 | Self::Aac | Self::Flac)
    }

    /// Common name, as operators read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::H266 => "H266",
            Self::Av1 => "AV1",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::LegacyVideo { .. } => "legacy-video",
            Self::Aac => "AAC",
            Self::Mp3 => "MP3",
            Self::Speex => "Speex",
            Self::Nellymoser { .. } => "Nellymoser",
            Self::G711A => "G711A",
            Self::G711U => "G711U",
            Self::Opus => "Opus",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
            Self::Flac => "FLAC",
            Self::Pcm { .. } => "PCM",
            Self::Script => "script",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Picture properties; 0 where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoParams {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second × 1000, as announced; 0 where unknown.
    pub frame_rate_milli: u32,
}

/// Sound properties; 0 where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioParams {
    /// Samples per second.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u8,
    /// The format byte that the encoder wrote in front of each frame, for formats that have no configuration
    /// record; a muxer of the same family writes it again.
    pub format_byte: u8,
}

/// A track as announced: a new announcement with other content is a change of codec or configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Index in the stream.
    pub id: TrackId,
    /// Coding format.
    pub codec: Codec,
    /// Decoder configuration record (avcC, hvcC, av1C, vpcC, AudioSpecificConfig, OpusHead, STREAMINFO); may be empty.
    pub config: Bytes,
    /// Picture properties of a video track.
    pub video: VideoParams,
    /// Sound properties of an audio track.
    pub audio: AudioParams,
}

impl Track {
    /// A track of the codec's kind with no configuration yet.
    pub fn new(codec: Codec) -> Self {
        let id = match codec.kind() {
            Kind::Video => TrackId::VIDEO,
            Kind::Audio => TrackId::AUDIO,
            Kind::Data => TrackId::DATA,
        };
        Self { id, codec, config: Bytes::new(), video: VideoParams::default(), audio: AudioParams::default() }
    }

    /// What the track carries.
    pub const fn kind(&self) -> Kind {
        self.codec.kind()
    }
}

/// All that a joining viewer must know of a stream before its first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// Video track, once announced.
    pub video: Option<Track>,
    /// Audio track, once announced.
    pub audio: Option<Track>,
    /// Descriptive metadata as the publisher sent it.
    pub metadata: Option<Metadata>,
}

impl StreamInfo {
    /// Takes an announcement; `true` if it differs from what was known.
    pub fn announce(&mut self, track: Track) -> bool {
        let slot = match track.kind() {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
            Kind::Data => return false,
        };
        if slot.as_ref() == Some(&track) {
            return false;
        }
        *slot = Some(track);
        true
    }

    /// The track of a kind.
    pub const fn track(&self, kind: Kind) -> Option<&Track> {
        match kind {
            Kind::Video => self.video.as_ref(),
            Kind::Audio => self.audio.as_ref(),
            Kind::Data => None,
        }
    }
}
