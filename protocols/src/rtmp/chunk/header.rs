//! Chunk headers as they stand on the wire, without what earlier chunks say.

use super::EXTENDED;
use crate::read::Reader;

/// Longest header: three bytes of chunk stream, eleven of message header, four of extended time.
pub(super) const MAX_HEADER: usize = 18;

/// Basic header and message header; the extended time is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireHeader {
    pub csid: u32,
    pub fields: Fields,
    /// Bytes read so far.
    pub size: usize,
}

/// What the four forms carry. Times are the 24-bit field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// Type 0: absolute time.
    Full { time: u32, length: u32, kind: u8, stream_id: u32 },
    /// Type 1: delta.
    SameStream { time: u32, length: u32, kind: u8 },
    /// Type 2: delta.
    SameLength { time: u32 },
    /// Type 3.
    Same,
}

impl Fields {
    /// The 24-bit time field, where there is one.
    pub const fn time(self) -> Option<u32> {
        match self {
            Self::Full { time, .. } | Self::SameStream { time, .. } | Self::SameLength { time } => Some(time),
            Self::Same => None,
        }
    }

    pub fn is_extended(self) -> bool {
        self.time() == Some(EXTENDED)
    }
}

/// Reads one; `None` while bytes are missing.
pub(super) fn parse(bytes: &[u8]) -> Option<WireHeader> {
    let mut from = Reader::new(bytes);
    let first = from.u8().ok()?;
    let csid = match first & 0x3f {
        0 => u32::from(from.u8().ok()?).saturating_add(64),
        1 => {
            let [low, high] = from.array().ok()?;
            u32::from(u16::from_le_bytes([low, high])).saturating_add(64)
        }
        short => u32::from(short),
    };
    let fields = match first >> 6 {
        0 => Fields::Full {
            time: from.u24().ok()?,
            length: from.u24().ok()?,
            kind: from.u8().ok()?,
            stream_id: u32::from_le_bytes(from.array().ok()?),
        },
        1 => Fields::SameStream { time: from.u24().ok()?, length: from.u24().ok()?, kind: from.u8().ok()? },
        2 => Fields::SameLength { time: from.u24().ok()? },
        _ => Fields::Same,
    };
    Some(WireHeader { csid, fields, size: bytes.len().saturating_sub(from.len()) })
}
