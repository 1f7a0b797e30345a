//! The bytes that all RTMP players of a stream share: each packet is one whole message.
//!
//! A message begins with a type 0 header and its absolute time, so a player can be started at any message. The player's
//! session has announced the chunk size before. Nothing here depends on a player except what [`RtmpRendition`] names.

use super::chunk::{MAX_CHUNK_SIZE, MessageHeader, OpenMessage};
use super::message::{csid, kind};
use crate::container::flv::{Form, TagKind, TrackFilter, write_config, write_metadata, write_packet};
use media::{Kind, Muxer, Packet, Rendition, StreamInfo, Timestamp};

/// First byte of a rendition's number: tells this format from others.
const RENDITION: u64 = 0x02 << 56;

/// RTMP messages for one group of players.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RtmpRendition {
    /// Which spelling of codecs.
    pub form: Form,
    /// Chunk size that the players were told, 1 to 16777215 bytes.
    pub chunk_size: u32,
    /// Message stream that the players play on.
    pub message_stream_id: u32,
    /// Which tracks.
    pub filter: TrackFilter,
}

impl Rendition for RtmpRendition {
    fn id(&self) -> u64 {
        let flags = [self.form.fourcc_video, self.form.fourcc_audio, self.filter.video, self.filter.audio];
        let flags = flags.into_iter().fold(0, |bits, flag| bits << 1 | u64::from(flag));
        // 8 bits format, 4 bits flags, 24 bits chunk size, 28 bits message stream: sessions give out small numbers.
        let stream = u64::from(self.message_stream_id & 0x0fff_ffff);
        RENDITION | flags << 52 | u64::from(self.chunk_size.min(MAX_CHUNK_SIZE)) << 28 | stream
    }

    fn muxer(&self) -> Box<dyn Muxer> {
        Box::new(RtmpMuxer::new(*self))
    }

    fn wants(&self) -> (bool, bool) {
        (self.filter.video, self.filter.audio)
    }
}

/// See [`RtmpRendition`].
#[derive(Clone, Copy, Debug)]
pub(super) struct RtmpMuxer {
    rendition: RtmpRendition,
}

impl Muxer for RtmpMuxer {
    fn preamble(&mut self, info: &StreamInfo, at: Timestamp, _first: bool, out: &mut Vec<u8>) {
        let RtmpRendition { form, filter, .. } = self.rendition;
        // ffmpeg's FLV demuxer takes `onMetaData` at any other time than 0 for a subtitle, and waits for more of it.
        self.message(Timestamp::ZERO, Kind::Data, out, |body| write_metadata(info, form, filter, body));
        self.configs(info, at, out);
    }

    fn packet(&mut self, info: &StreamInfo, packet: &Packet, out: &mut Vec<u8>) {
        if self.carries(packet.kind) {
            let form = self.rendition.form;
            let track = info.track(packet.kind);
            self.message(packet.dts, packet.kind, out, |body| write_packet(track, packet, form, body));
        }
    }
}

impl RtmpMuxer {
    pub const fn new(rendition: RtmpRendition) -> Self {
        Self { rendition }
    }

    /// The decoder configurations of the tracks that are carried.
    pub fn configs(&self, info: &StreamInfo, at: Timestamp, out: &mut Vec<u8>) {
        let form = self.rendition.form;
        for track in [info.video.as_ref(), info.audio.as_ref()].into_iter().flatten() {
            if self.carries(track.kind()) {
                self.message(at, track.kind(), out, |body| write_config(track, form, body));
            }
        }
    }

    /// One message, whose body is written straight behind its header.
    fn message(
        &self,
        at: Timestamp,
        media_kind: Kind,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<TagKind>,
    ) {
        let (csid, message_kind) = match media_kind {
            Kind::Audio => (csid::AUDIO, kind::AUDIO),
            Kind::Video => (csid::VIDEO, kind::VIDEO),
            Kind::Data => (csid::DATA, kind::DATA_AMF0),
        };
        let stream_id = self.rendition.message_stream_id;
        let header = MessageHeader { csid, timestamp: wire_time(at), kind: message_kind, stream_id };
        let open = OpenMessage::begin(header, out);
        match write(out) {
            Some(_) => open.finish(self.rendition.chunk_size, out),
            None => open.cancel(out),
        }
    }

    const fn carries(&self, media_kind: Kind) -> bool {
        match media_kind {
            Kind::Video => self.rendition.filter.video,
            Kind::Audio => self.rendition.filter.audio,
            Kind::Data => true,
        }
    }
}

/// Milliseconds, wrapping at 32 bits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // wrapping is the wire's own rule
const fn wire_time(at: Timestamp) -> u32 {
    at.millis() as u32
}
