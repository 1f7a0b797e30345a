//! What a server session is told once, and what it may cost.

use crate::container::flv::TagLimits;
use crate::rtmp::capability::FormChoice;
use crate::rtmp::chunk::ChunkLimits;
use std::time::Duration;

/// Bounds of one session.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Chunk streams and messages. Before a publication is allowed no message may be longer than a command.
    pub chunks: ChunkLimits,
    /// Longest application and longest stream name, in bytes.
    pub name_bytes: usize,
    /// Longest `app` and longest `tcUrl` with their queries, in bytes: room for signed tokens.
    pub url_bytes: usize,
    /// Longest `flashVer` that is kept, in bytes; the rest is cut off.
    pub agent_bytes: usize,
    /// Message streams that are open at a time: a peer uses one, two while it changes over.
    pub streams: u32,
    /// Bytes kept while a request waits for its verdict.
    pub pending_bytes: usize,
    /// Bodies of audio, video and data messages.
    pub tags: TagLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunks: ChunkLimits::default(),
            name_bytes: 255,
            url_bytes: 4096,
            agent_bytes: 255,
            streams: 8,
            pending_bytes: 256 << 10,
            tags: TagLimits::default(),
        }
    }
}

impl Limits {
    /// While only commands are expected.
    pub(super) const fn command_chunks(&self) -> ChunkLimits {
        let ChunkLimits { lanes, command_bytes, .. } = self.chunks;
        let partial_bytes = command_bytes.saturating_mul(4);
        ChunkLimits { lanes, media_bytes: command_bytes, command_bytes, partial_bytes }
    }
}

/// What a server session is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Chunk size for what is sent, 1 to 65536 bytes. Publishers such as ffmpeg mirror it.
    pub chunk_size: u32,
    /// How often the peer shall acknowledge, in bytes.
    pub window_ack_size: u32,
    /// How much the peer is asked to send ahead, in bytes; never 0, which ffmpeg takes for an error.
    pub peer_bandwidth: u32,
    /// Codec form for players.
    pub form: FormChoice,
    /// Time from accept to the end of the handshake; `None`: the caller watches it.
    pub handshake_timeout: Option<Duration>,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chunk_size: 60000,
            window_ack_size: 5_000_000,
            peer_bandwidth: 5_000_000,
            form: FormChoice::Auto,
            handshake_timeout: Some(Duration::from_secs(10)),
            limits: Limits::default(),
        }
    }
}
