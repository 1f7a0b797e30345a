//! What is published, prepared once: tag bodies with room for a mark, and their stamps. Packet `n` of a stream is packet
//! `n mod len` of the clip with its stamp moved by whole loops, so whoever knows the clip can check any viewer without
//! knowing what the publisher did.

mod file;
mod made;
mod mark;

pub use mark::{Mark, NUMBERS};

use crate::scenario;
use media::{Kind, Packet, StreamInfo};
use protocols::container::flv::{Form, TagKind, write_config, write_packet};

/// Bytes of a video tag body in front of the payload, without and with the mark's fixed part.
const VIDEO_MARK_AT: usize = 5 + mark::VIDEO_PREFIX;
const AUDIO_MARK_AT: usize = 2 + mark::AUDIO_PREFIX;

/// A clip before its tag bodies are written.
pub struct Draft {
    info: StreamInfo,
    packets: Vec<Packet>,
    length_ms: u64,
}

/// One packet of a clip.
#[derive(Debug)]
pub struct Piece {
    /// Sound or pictures.
    pub kind: TagKind,
    /// Stamp in the first loop, in milliseconds.
    pub ms: u64,
    /// Whether a viewer's picture can start here.
    pub keyframe: bool,
    /// Number among the packets of its kind.
    pub ordinal: u64,
    /// Whole tag body. The mark's numbers are to be set at [`mark_at`].
    pub body: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Clip {
    /// Tracks and metadata.
    pub info: StreamInfo,
    pieces: Vec<Piece>,
    length_ms: u64,
    counts: [u64; 2],
    configs: [Vec<u8>; 2],
}

/// Where the mark's numbers begin in a tag body.
pub const fn mark_at(kind: TagKind) -> usize {
    if matches!(kind, TagKind::Audio) { AUDIO_MARK_AT } else { VIDEO_MARK_AT }
}

/// 0: pictures, 1: sound.
pub const fn lane(kind: TagKind) -> usize {
    if matches!(kind, TagKind::Audio) { 1 } else { 0 }
}

impl Clip {
    /// What a scenario asks for.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn of(asked: &scenario::Clip) -> Result<Self, String> {
        let draft = match &asked.file {
            Some(path) => file::read(path)?,
            None => made::make(asked)?,
        };
        Ok(Self::new(draft))
    }

    fn new(draft: Draft) -> Self {
        let Draft { info, packets, length_ms } = draft;
        let mut counts = [0_u64; 2];
        let mut pieces = Vec::with_capacity(packets.len());
        for packet in &packets {
            let mut body = Vec::new();
            let Some(kind) = write_packet(info.track(packet.kind), packet, Form::LEGACY, &mut body) else {
                continue;
            };
            let Some(count) = counts.get_mut(lane(kind)) else { continue };
            let ms = u64::try_from(packet.dts.millis()).unwrap_or(0);
            let keyframe = packet.kind == Kind::Video && packet.flags.keyframe;
            pieces.push(Piece { kind, ms, keyframe, ordinal: *count, body });
            *count += 1;
        }
        let config = |kind| {
            let mut body = Vec::new();
            let _ = info.track(kind).and_then(|track| write_config(track, Form::LEGACY, &mut body));
            body
        };
        let configs = [config(Kind::Video), config(Kind::Audio)];
        Self { pieces, length_ms, counts, configs, info }
    }

    /// Packet `number` of any stream; `None` only for a clip without packets.
    pub fn piece(&self, number: u64) -> Option<&Piece> {
        let len = u64::try_from(self.pieces.len()).ok().filter(|len| *len > 0)?;
        self.pieces.get(usize::try_from(number % len).ok()?)
    }

    /// Its stamp in milliseconds.
    pub fn stamp_ms(&self, number: u64) -> u64 {
        let len = (self.pieces.len() as u64).max(1);
        self.piece(number).map_or(0, |piece| piece.ms) + number / len * self.length_ms
    }

    /// Its number among the packets of its kind.
    pub fn ordinal(&self, number: u64) -> u64 {
        let len = (self.pieces.len() as u64).max(1);
        let Some(piece) = self.piece(number) else { return 0 };
        let count = self.counts.get(lane(piece.kind)).copied().unwrap_or(0);
        piece.ordinal + number / len * count
    }

    /// Writes the whole tag body of a packet over what `out` holds.
    pub fn write(&self, mark: Mark, out: &mut Vec<u8>) {
        out.clear();
        let Some(piece) = self.piece(mark.number) else { return };
        out.extend_from_slice(&piece.body);
        let at = mark_at(piece.kind);
        if let Some(place) = out.get_mut(at..at + NUMBERS) {
            place.copy_from_slice(&mark.bytes());
        }
    }

    /// Body of the sequence header of a kind; empty if there is no such track.
    pub fn config(&self, kind: TagKind) -> &[u8] {
        self.configs.get(lane(kind)).map_or(&[], Vec::as_slice)
    }

    /// Mean of what tags bring, in bytes a second.
    pub fn bytes_a_second(&self) -> u64 {
        let bytes: usize = self.pieces.iter().map(|piece| piece.body.len()).sum();
        bytes as u64 * 1000 / self.length_ms.max(1)
    }

    /// Longest distance of two keyframes, in milliseconds.
    pub fn gop_ms(&self) -> u64 {
        let keys: Vec<u64> =
            self.pieces.iter().filter(|piece| piece.keyframe).map(|piece| piece.ms).collect();
        let last = self.length_ms.saturating_sub(keys.last().copied().unwrap_or(0));
        keys.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?)).fold(last, u64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_clip_has_the_rate_that_was_asked_for() {
        let asked = scenario::Clip { video_kbps: 450, audio_kbps: 50, ..Default::default() };
        let clip = Clip::of(&asked).unwrap();
        assert_eq!(clip.bytes_a_second(), 500 * 125);
        assert_eq!(clip.gop_ms(), 2000);
        assert_eq!(clip.info.video.as_ref().map(|track| track.video.width), Some(1280));
        let len = clip.pieces.len() as u64;
        assert_eq!(clip.stamp_ms(len), clip.length_ms);
        let mut last = 0;
        for number in 0..3 * len {
            assert!(clip.stamp_ms(number) >= last);
            last = clip.stamp_ms(number);
        }
        let picture =
            clip.pieces.iter().find(|piece| !piece.keyframe && piece.kind == TagKind::Video).unwrap();
        let key = clip.pieces.iter().find(|piece| piece.keyframe).unwrap();
        assert!(key.body.len() > 4 * picture.body.len());
    }

    #[test]
    fn the_mark_stands_where_it_is_looked_for() {
        let clip = Clip::of(&scenario::Clip::default()).unwrap();
        let mut body = Vec::new();
        for number in 0..100 {
            let mark = Mark { number, stream: 3, sent_us: 5 };
            clip.write(mark, &mut body);
            let at = mark_at(clip.piece(number).unwrap().kind);
            assert_eq!(Mark::read(&body[at..at + NUMBERS]), Some(mark));
        }
    }

    #[test]
    fn a_rate_that_is_too_low_is_refused() {
        let asked = scenario::Clip { video_kbps: 10, ..Default::default() };
        assert!(Clip::of(&asked).unwrap_err().contains("video_kbps"));
        let asked = scenario::Clip { audio_kbps: 1, ..Default::default() };
        assert!(Clip::of(&asked).unwrap_err().contains("audio_kbps"));
    }
}
