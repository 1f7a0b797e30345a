//! Tag bodies of one publisher into media events.
//!
//! Holds what it learnt: the tracks, and which of several tracks it follows. What cannot be used is passed over and
//! named as a leniency; only what is past a bound is an error.

use super::{TagKind, audio, script, video};
use crate::{Error, ErrorKind, Event};
use bytes::Bytes;
use media::{Codec, Flags, Kind, Metadata, Packet, Timestamp, Track, VideoParams};

/// Bounds on what a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagLimits {
    /// Bytes of a decoder configuration; more is an error.
    pub config_bytes: usize,
    /// Bytes of one script tag; a larger one (the seek index of a long file, say) is passed over.
    pub script_bytes: usize,
    /// Named values of the metadata; those after them are left out.
    pub metadata_fields: usize,
}

impl Default for TagLimits {
    fn default() -> Self {
        // Parameter sets take hundreds of bytes (x265 adds two kilobytes of settings), metadata a few kilobytes.
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

    /// A configuration record, which may be empty for a codec that has none.
    pub(super) fn configure(&mut self, track: Track, emit: Emit<'_>) -> Result<(), Error> {
        if track.config.len() > self.limits.config_bytes {
            return Err(Error::limit("decoder configuration too large"));
        }
        if track.config.is_empty() {
            // Legal where there is no record (ffmpeg starts AC-3 so): the first access unit tells more.
            if track.codec.needs_config() {
                emit(Event::Leniency("empty decoder configuration"));
            }
            return Ok(());
        }
        self.announce(track, &[], emit);
        Ok(())
    }

    /// A track, as its configuration, its format byte or its first access unit shows it.
    pub(super) fn announce(&mut self, mut track: Track, payload: &[u8], emit: Emit<'_>) {
        media::codec::describe(&mut track);
        media::codec::describe_frame(&mut track, payload);
        self.fill_from_metadata(&mut track);
        let slot = if track.kind() == Kind::Video { &mut self.video } else { &mut self.audio };
        if slot.as_ref() != Some(&track) {
            *slot = Some(track.clone());
            emit(Event::Track(track));
        }
    }

    /// An access unit; dropped while its decoder configuration is missing.
    pub(super) fn unit(&mut self, dts: Timestamp, unit: Unit, emit: Emit<'_>) {
        if unit.payload.is_empty() {
            emit(Event::Leniency("empty packet"));
            return;
        }
        if self.known(unit.codec).is_none() {
            if unit.codec.needs_config() {
                emit(Event::Leniency("packet before its decoder configuration"));
                return;
            }
            self.announce(Track::new(unit.codec), &unit.payload, emit);
        }
        let pts = dts + Timestamp::from_micros(unit.composition_us);
        let (track, kind) = (Track::new(unit.codec).id, unit.codec.kind());
        emit(Event::Packet(Packet { track, kind, dts, pts, flags: unit.flags, payload: unit.payload }));
    }

    /// New metadata; sizes and rates that no configuration record told are taken from it.
    pub(super) fn describe(&mut self, metadata: Metadata, emit: Emit<'_>) {
        if self.metadata.as_ref() == Some(&metadata) {
            return;
        }
        self.metadata = Some(metadata.clone());
        emit(Event::Metadata(metadata));
        if let Some(mut track) = self.video.clone() {
            // What the metadata before told may be told otherwise now.
            track.video = VideoParams::default();
            self.announce(track, &[], emit);
        }
    }

    /// The track that was announced last, if it is of this codec.
    pub(super) fn known(&self, codec: Codec) -> Option<&Track> {
        let slot = if codec.kind() == Kind::Video { &self.video } else { &self.audio };
        slot.as_ref().filter(|track| track.codec == codec)
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
