//! Tag bodies of one publisher into media events.
//!
//! Holds what it learnt: the tracks, and which of several tracks it follows. What cannot be used is passed over and
//! named as a leniency; only what is past a bound is an error.

use super::{TagKind, audio, script, video};
use crate::{Error, ErrorKind, Event};
use bytes::Bytes;
use media::{Codec, Flags, Kind, Metadata, Packet, Timestamp, Track};

/// Bounds on what a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagLimits {
    /// Bytes of a decoder configuration.
    pub config_bytes: usize,
    /// Bytes of one script tag.
    pub script_bytes: usize,
    /// Named values of the metadata.
    pub metadata_fields: usize,
}

impl Default for TagLimits {
    fn default() -> Self {
        Self { config_bytes: 64 * 1024, script_bytes: 64 * 1024, metadata_fields: 256 }
    }
}

/// See the module.
#[derive(Debug)]
pub struct TagDemuxer {
    limits: TagLimits,
    video: Option<Track>,
    audio: Option<Track>,
    video_track: Option<u8>,
    audio_track: Option<u8>,
    metadata: Option<Metadata>,
    /// Sound format 13 comes with packet types.
    pub(super) opus_typed: bool,
}

/// What a demuxed access unit is made of.
pub(super) struct Unit {
    pub codec: Codec,
    pub composition_us: i64,
    pub flags: Flags,
    pub payload: Bytes,
}

pub(super) type Emit<'a> = &'a mut dyn FnMut(Event);

impl TagDemuxer {
    /// Nothing learnt yet.
    pub const fn new(limits: TagLimits) -> Self {
        Self {
            limits,
            video: None,
            audio: None,
            video_track: None,
            audio_track: None,
            metadata: None,
            opus_typed: false,
        }
    }

    /// Takes one tag body. `dts` is unwrapped.
    ///
    /// # Errors
    /// `limit` only; a body that cannot be used is passed over and named as a leniency.
    pub fn tag(&mut self, kind: TagKind, dts: Timestamp, body: Bytes, emit: Emit<'_>) -> Result<(), Error> {
        if body.is_empty() {
            // Legal: silence.
            emit(Event::Leniency("empty tag"));
            return Ok(());
        }
        let done = match kind {
            TagKind::Video => video::demux(self, dts, &body, emit),
            TagKind::Audio => audio::demux(self, dts, &body, emit),
            TagKind::Script => script::demux(self, dts, &body, emit),
        };
        match done {
            Err(error) if error.kind != ErrorKind::Limit => {
                emit(Event::Leniency(match kind {
                    TagKind::Video => "unusable video tag",
                    TagKind::Audio => "unusable audio tag",
                    TagKind::Script => "unusable script tag",
                }));
                Ok(())
            }
            done => done,
        }
    }

    pub(super) const fn limits(&self) -> &TagLimits {
        &self.limits
    }

    /// Whether this track number is the one that is followed; the first seen is.
    pub(super) fn follows(&mut self, kind: Kind, track: u8) -> bool {
        let slot = if kind == Kind::Video { &mut self.video_track } else { &mut self.audio_track };
        *slot.get_or_insert(track) == track
    }

    /// A configuration record (or none, for codecs that have none).
    pub(super) fn configure(&mut self, mut track: Track, emit: Emit<'_>) -> Result<(), Error> {
        if track.config.len() > self.limits.config_bytes {
            return Err(Error::limit("decoder configuration too large"));
        }
        media::codec::describe(&mut track);
        self.fill_from_metadata(&mut track);
        let slot = if track.kind() == Kind::Video { &mut self.video } else { &mut self.audio };
        if slot.as_ref() != Some(&track) {
            *slot = Some(track.clone());
            emit(Event::Track(track));
        }
        Ok(())
    }

    /// An access unit; dropped while its decoder configuration is missing.
    pub(super) fn unit(&mut self, dts: Timestamp, unit: Unit, emit: Emit<'_>) -> Result<(), Error> {
        if unit.payload.is_empty() {
            emit(Event::Leniency("empty packet"));
            return Ok(());
        }
        let kind = unit.codec.kind();
        let known = if kind == Kind::Video { &self.video } else { &self.audio };
        if known.as_ref().is_none_or(|track| track.codec != unit.codec) {
            if unit.codec.needs_config() {
                emit(Event::Leniency("packet before its decoder configuration"));
                return Ok(());
            }
            self.configure(Track::new(unit.codec), emit)?;
        }
        let pts = dts + Timestamp::from_micros(unit.composition_us);
        let track = Track::new(unit.codec).id;
        emit(Event::Packet(Packet { track, kind, dts, pts, flags: unit.flags, payload: unit.payload }));
        Ok(())
    }

    /// New metadata; sizes and rates that no configuration record told are taken from it.
    pub(super) fn describe(&mut self, metadata: Metadata, emit: Emit<'_>) {
        if self.metadata.as_ref() == Some(&metadata) {
            return;
        }
        self.metadata = Some(metadata.clone());
        emit(Event::Metadata(metadata));
        if let Some(mut track) = self.video.take() {
            let before = track.clone();
            self.fill_from_metadata(&mut track);
            self.video = Some(track.clone());
            if track != before {
                emit(Event::Track(track));
            }
        }
    }

    pub(super) fn audio_format_byte(&self) -> Option<u8> {
        self.audio.as_ref().map(|track| track.audio.format_byte)
    }

    fn fill_from_metadata(&self, track: &mut Track) {
        let Some(metadata) = &self.metadata else { return };
        if track.kind() != Kind::Video {
            return;
        }
        let number = |names: [&str; 2], factor: f64| {
            let value = names.iter().find_map(|name| metadata.number(name)).unwrap_or(0.0) * factor;
            // Saturates; nonsense (negative, not a number) becomes 0.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let value = value as u32;
            value
        };
        if track.video.width == 0 {
            track.video.width = number(["width", "displayWidth"], 1.0);
            track.video.height = number(["height", "displayHeight"], 1.0);
        }
        if track.video.frame_rate_milli == 0 {
            track.video.frame_rate_milli = number(["framerate", "videoframerate"], 1000.0).min(1_000_000);
        }
    }
}
