//! The FLV byte stream for viewers, in the framing of its carrier.
//!
//! Each unit is whole: tags inside one HTTP chunk, or inside one WebSocket frame, or bare.

use super::{Form, TagKind, TrackFilter, write_config, write_metadata, write_packet};
use media::{Muxer, Packet, Rendition, StreamInfo, Timestamp};

/// Number of this family among all renditions.
const FAMILY: u64 = 0x01 << 56;
const TAG_HEADER_BYTES: usize = 11;
/// Header lengths: `hhhhhhhh\r\n`, and the longest of a WebSocket frame.
const CHUNK_HEAD: usize = 10;
const WS_HEAD: usize = 10;

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
        let frame = self.framing.open(out);
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
        let frame = self.framing.open(out);
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
    /// Leaves room for the longest header.
    fn open(self, out: &mut Vec<u8>) -> Open {
        let start = out.len();
        let room = match self {
            Self::Raw => 0,
            Self::HttpChunk => CHUNK_HEAD,
            Self::WsFrame => WS_HEAD,
        };
        out.resize(start + room, 0);
        Open { start, content: start + room }
    }

    /// Writes the header; a shorter one than the room moves the content up. A frame without content is taken back.
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
                fill(out, &open, format!("{len:08x}\r\n").as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Self::WsFrame => {
                let [.., b4, b5, b6, b7, b0, b1] = (len as u64).to_be_bytes();
                let [c0, c1, ..] = (len as u64).to_be_bytes();
                let used: &[u8] = match len {
                    0..=125 => &[0x82, b1],
                    126..=0xffff => &[0x82, 126, b0, b1],
                    _ => &[0x82, 127, c0, c1, b4, b5, b6, b7, b0, b1],
                };
                let unused = WS_HEAD - used.len();
                out.drain(open.start..open.start + unused);
                fill(out, &Open { start: open.start, content: open.content - unused }, used);
            }
        }
    }
}

fn fill(out: &mut [u8], open: &Open, head: &[u8]) {
    if let Some(room) = out.get_mut(open.start..open.content) {
        room.copy_from_slice(head);
    }
}
