//! The bodies of the fuzz targets, apart from libFuzzer so that the corpora are replayed by every test run.
//!
//! Each takes any bytes and panics when a promise is broken: no panic inside, memory bounded after each step, and the same
//! result however the bytes are cut. Knows the public surface of `protocols` and `media` only.

mod codecs;
mod readers;
mod sessions;

pub use codecs::{aac, av1, avc, hevc};
pub use readers::{amf, flv, http_head, rtmp_chunks, ws};
pub use sessions::{httpflv, rtmp_client, rtmp_server};

/// A target with its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names of their corpora.
pub const TARGETS: [Target; 12] = [
    ("amf", amf),
    ("rtmp_chunks", rtmp_chunks),
    ("rtmp_server", rtmp_server),
    ("rtmp_client", rtmp_client),
    ("flv", flv),
    ("http_head", http_head),
    ("ws", ws),
    ("httpflv", httpflv),
    ("avc", avc),
    ("hevc", hevc),
    ("av1", av1),
    ("aac", aac),
];

/// Cuts bytes into pieces whose lengths follow from `seed`: mostly short, never empty.
pub(crate) fn cut(mut bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state = u32::from(seed) | 0x100;
    while !bytes.is_empty() {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let longest = if state & 0x700 == 0 { 300 } else { 7 };
        let len = ((state >> 16) as usize % longest + 1).min(bytes.len());
        let (piece, rest) = bytes.split_at(len);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
