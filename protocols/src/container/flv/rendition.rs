//! The FLV byte stream for viewers, in the framing of its carrier.
//!
//! Each unit is whole: tags inside one HTTP chunk, or inside one WebSocket frame, or bare.

use super::{Form, TagKind, TrackFilter, write_config, write_metadata, write_packet};
use media::{Muxer, Packet, Rendition, StreamInfo, Timestamp};

/// Number of this family among all renditions.
const FAMILY: u64 = 0x01 << 56;
const TAG_HEADER_BYTES: usize = 11;
/// Bytes around the payload in a tag, about: header, body's first bytes, PreviousTagSize.
const AROUND_PAYLOAD: usize = TAG_HEADER_BYTES + 5 + 4;
/// Bytes that most preambles have about: metadata and two configurations.
const MOST_PREAMBLES: usize = 500;
/// Length of `hhhhhhhh\r\n`.
const CHUNK_HEAD: usize = 10;

/// What carries the byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Nothing: the body ends with the connection.
    Raw,
    /// HTTP/1.1 chunked transfer coding.
    HttpChunk,
    /// Binary WebSocket frames, unmasked.
    WsFrame,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlvRendition {
    /// Spelling of codecs.
    pub form: Form,
    /// Carrier.
    pub framing: Framing,
    /// Which tracks.
    pub filter: TrackFilter,
}

impl Rendition for FlvRendition {
    fn id(&self) -> u64 {
        let bit = |flag: bool, at: u32| u64::from(flag) << at;
        FAMILY
            | self.framing as u64
            | bit(self.form.fourcc_video, 8)
            | bit(self.form.fourcc_audio, 9)
            | bit(self.filter.video, 10)
            | bit(self.filter.audio, 11)
    }

    fn muxer(&self) -> Box<dyn Muxer> {
        Box::new(*self)
    }

    fn names_tracks(&self) -> bool {
        true
    }

    fn wants(&self) -> (bool, bool) {
        (self.filter.video, self.filter.audio)
    }
}

impl Muxer for FlvRendition {
    fn preamble(&mut self, info: &StreamInfo, at: Timestamp, first: bool, out: &mut Vec<u8>) {
        let frame = self.framing.open(MOST_PREAMBLES, out);
        if first {
            let video = self.filter.video && info.video.is_some();
            let audio = self.filter.audio && info.audio.is_some();
            let flags = u8::from(video) | u8::from(audio) << 2;
            out.extend_from_slice(&[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]);
        }
        // At any other time ffmpeg takes it for a subtitle track, and waits for more of that.
        write_tag(Timestamp::ZERO, out, |out| write_metadata(info, self.form, self.filter, out));
        for track in [&info.video, &info.audio].into_iter().flatten() {
            if self.filter.passes(track.kind()) {
                write_tag(at, out, |out| write_config(track, self.form, out));
            }
        }
        self.framing.close(frame, out);
    }

    fn packet(&mut self, info: &StreamInfo, packet: &Packet, out: &mut Vec<u8>) {
        if !self.filter.passes(packet.kind) {
            return;
        }
        let frame = self.framing.open(packet.payload.len() + AROUND_PAYLOAD, out);
        let track = info.track(packet.kind);
        write_tag(packet.dts, out, |out| write_packet(track, packet, self.form, out));
        self.framing.close(frame, out);
    }
}

/// A tag around the body that `write` appends; nothing at all if it has none.
fn write_tag(at: Timestamp, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<TagKind>) {
    let start = out.len();
    out.extend_from_slice(&[0; TAG_HEADER_BYTES]);
    let body = out.len();
    let Some(kind) = write(out) else {
        out.truncate(start);
        return;
    };
    let size = u32::try_from(out.len() - body).unwrap_or(u32::MAX);
    let [_, s0, s1, s2] = size.to_be_bytes();
    // Players read the stamp as signed: it wraps at 2^31, as ffmpeg's muxer does.
    let [t0, t1, t2, t3] = u32::try_from(at.millis() & 0x7fff_ffff).unwrap_or(0).to_be_bytes();
    if let Some(header) = out.get_mut(start..body) {
        header.copy_from_slice(&[kind.number(), s0, s1, s2, t1, t2, t3, t0, 0, 0, 0]);
    }
    let total = size.saturating_add(TAG_HEADER_BYTES as u32);
    out.extend_from_slice(&total.to_be_bytes());
}

/// A frame that was opened: where it starts, where its content starts.
struct Open {
    start: usize,
    content: usize,
}

impl Framing {
    /// Leaves room for the header of about so many bytes.
    fn open(self, about: usize, out: &mut Vec<u8>) -> Open {
        let start = out.len();
        let room = match self {
            Self::Raw => 0,
            Self::HttpChunk => CHUNK_HEAD,
            Self::WsFrame => ws_head(about).1,
        };
        out.resize(start + room, 0);
        Open { start, content: start + room }
    }

    /// Writes the header; only one of another length than was left room for moves the content. A frame without content
    /// is taken back.
    fn close(self, open: Open, out: &mut Vec<u8>) {
        let len = out.len() - open.content;
        if len == 0 {
            out.truncate(open.start);
            return;
        }
        match self {
            Self::Raw => {}
            Self::HttpChunk => {
                // Leading zeros are legal in a chunk size, so the room is filled exactly.
                if let Some(room) = out.get_mut(open.start..open.content) {
                    room.copy_from_slice(&chunk_head(len));
                }
                out.extend_from_slice(b"\r\n");
            }
            Self::WsFrame => {
                let (head, used) = ws_head(len);
                out.splice(open.start..open.content, head.into_iter().take(used));
            }
        }
    }
}

/// Size line of a chunk (RFC 9112 clause 7.1).
fn chunk_head(len: usize) -> [u8; CHUNK_HEAD] {
    let mut head = *b"00000000\r\n";
    let mut left = len;
    for digit in head.iter_mut().take(8).rev() {
        // Four bits.
        *digit = char::from_digit((left & 0xf) as u32, 16).map_or(b'0', |digit| digit as u8);
        left >>= 4;
    }
    head
}

/// Header of a final binary frame without a mask (RFC 6455 clause 5.2): its bytes, and how many of them count.
fn ws_head(len: usize) -> ([u8; 10], usize) {
    const FINAL_BINARY: u8 = 0x82;
    let [b7, b6, b5, b4, b3, b2, b1, b0] = (len as u64).to_be_bytes();
    match len {
        0..=125 => ([FINAL_BINARY, b0, 0, 0, 0, 0, 0, 0, 0, 0], 2),
        126..=0xffff => ([FINAL_BINARY, 126, b1, b0, 0, 0, 0, 0, 0, 0], 4),
        _ => ([FINAL_BINARY, 127, b7, b6, b5, b4, b3, b2, b1, b0], 10),
    }
}
