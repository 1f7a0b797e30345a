//! The chunk stream: messages cut into chunks and interleaved. Adobe RTMP 1.0 section 5.3.
//!
//! Knows lengths, stamps and message type numbers; of their meaning it knows only Set Chunk Size and Abort, which
//! change how chunks are read.

mod header;
mod lanes;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{ChunkLimits, ChunkReader, Item};
pub use writer::{MessageHeader, OpenMessage, write_message};

use bytes::Bytes;

/// Chunk size of both directions until announced otherwise, in bytes.
pub const DEFAULT_CHUNK_SIZE: u32 = 128;
/// Largest chunk size that has an effect: no message is longer.
pub const MAX_CHUNK_SIZE: u32 = 0xff_ffff;
/// A 24-bit time field of this value says that four more bytes carry the time.
const EXTENDED: u32 = 0xff_ffff;

/// One whole message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Type number.
    pub kind: u8,
    /// Milliseconds, wrapping.
    pub timestamp: u32,
    /// Message stream.
    pub stream_id: u32,
    /// Chunk stream it came on.
    pub csid: u32,
    /// Content; may be empty.
    pub payload: Bytes,
}
