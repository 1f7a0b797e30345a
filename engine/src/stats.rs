//! What a shard counts. Each shard counts for itself; nothing is shared. A snapshot is asked of every shard by
//! message and merged by whoever asked.

use media::{Codec, LatencyClass, StreamKey};
use std::net::SocketAddr;
use std::time::Duration;

/// Number of a session, unique over restarts: the shard it was accepted on in the top 16 bits, 28 bits of the second in which
/// the shard began, and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Not known yet.
    Undecided,
    /// Sends media.
    Publisher,
    /// Receives media.
    Viewer,
}

impl Role {
    /// Word for logs and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
        }
    }
}

/// One step of a session's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// `accepted`, `handshake`, `request`, `admission`, `first packet`, `first keyframe`, `first byte out`, ….
    pub name: &'static str,
    /// Time since the session was accepted.
    pub after: Duration,
}

/// A session as seen at one moment.
#[derive(Clone, Debug)]
pub struct SessionStats {
    /// Its number.
    pub id: SessionId,
    /// Shard that serves it.
    pub shard: usize,
    /// Publisher or viewer.
    pub role: Role,
    /// `rtmp`, `http-flv`, `ws-flv`, with an `s` variant (`rtmps`) when inside TLS.
    pub protocol: &'static str,
    /// Peer's address.
    pub peer: SocketAddr,
    /// What the peer says it is.
    pub user_agent: String,
    /// Stream, once requested.
    pub key: Option<StreamKey>,
    /// Time since it was accepted.
    pub age: Duration,
    /// Latency class of a viewer.
    pub class: Option<LatencyClass>,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes the socket took.
    pub bytes_out: u64,
    /// How far a viewer is behind the newest packet, in milliseconds of media.
    pub lag_ms: u64,
    /// How far a viewer is behind, in bytes of its rendition.
    pub lag_bytes: u64,
    /// Times it skipped to a keyframe.
    pub skips: u64,
    /// Bytes it did not get because of skips.
    pub bytes_skipped: u64,
    /// Broken rules that were accepted.
    pub leniencies: u64,
    /// Timeline, oldest first; bounded.
    pub steps: Vec<Step>,
    /// Why it ended; `None` while it lives.
    pub ended: Option<String>,
}

/// A track of a stream as seen at one moment.
#[derive(Clone, Copy, Debug)]
pub struct TrackStats {
    /// Coding format.
    pub codec: Codec,
    /// Pixels; 0 for audio.
    pub width: u32,
    /// Pixels; 0 for audio.
    pub height: u32,
    /// Packets per second × 1000, measured over the last seconds.
    pub rate_milli: u32,
    /// Samples per second; 0 for video.
    pub sample_rate: u32,
    /// Channels; 0 for video.
    pub channels: u8,
    /// Packets so far.
    pub packets: u64,
}

/// A stream as seen at one moment by one shard.
#[derive(Clone, Debug)]
pub struct StreamStats {
    /// Name.
    pub key: StreamKey,
    /// Shard.
    pub shard: usize,
    /// A copy that follows the owner.
    pub mirror: bool,
    /// A publisher is connected (on the owner).
    pub live: bool,
    /// Counts publications under this name since the stream came up, from 1.
    pub generation: u64,
    /// Time since the first publication.
    pub age: Duration,
    /// The publisher's session.
    pub publisher: Option<SessionId>,
    /// Video.
    pub video: Option<TrackStats>,
    /// Audio.
    pub audio: Option<TrackStats>,
    /// Payload bytes received so far.
    pub bytes_in: u64,
    /// Bytes sent to viewers on this shard so far.
    pub bytes_out: u64,
    /// Bits per second received, over the last seconds.
    pub bitrate_in: u64,
    /// Bits per second sent to viewers on this shard, over the last seconds.
    pub bitrate_out: u64,
    /// Length of the last complete GOP in milliseconds.
    pub gop_ms: u64,
    /// Packets of the last complete GOP.
    pub gop_packets: u64,
    /// Payload bytes held in the ring.
    pub ring_bytes: u64,
    /// Bytes held in the logs of all renditions.
    pub log_bytes: u64,
    /// GOPs that were too large for the cache.
    pub cache_overflows: u64,
    /// Viewers on this shard.
    pub viewers: u64,
    /// Viewers waiting for the publisher on this shard.
    pub waiting: u64,
    /// Shards that mirror it (on the owner).
    pub mirrors: u64,
    /// Input stamps that had to be changed.
    pub stamp_repairs: u64,
    /// Input stamps that started a new segment of the timeline.
    pub stamp_jumps: u64,
    /// Newest decoding time in milliseconds.
    pub last_dts_ms: i64,
}

/// Messages of the mesh that found the queue full, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeshDrops {
    /// Batches of packets to a mirror; the mirror goes on at the next keyframe.
    pub media: u64,
    /// Connections on their way to another shard; closed.
    pub handoff: u64,
    /// Everything else.
    pub control: u64,
    /// Questions to the control thread; answered as unavailable.
    pub question: u64,
}

/// Borders of the counts in [`Joins`], in milliseconds.
pub const JOIN_BUCKETS_MS: [u64; 10] = [1, 5, 10, 20, 50, 100, 250, 500, 1_000, 5_000];

/// How long viewers waited from their request to their first media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joins {
    /// Viewers that waited at most as long as the border, and more than the one before it; the last had none.
    pub counts: [u64; JOIN_BUCKETS_MS.len() + 1],
    /// All their waits together, in microseconds.
    pub sum_us: u64,
}

impl Joins {
    pub(crate) fn add(&mut self, wait: Duration) {
        let at = JOIN_BUCKETS_MS.partition_point(|border| Duration::from_millis(*border) < wait);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
    }
}

/// What a shard counted, and its streams and sessions.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    /// Index.
    pub shard: usize,
    /// CPU the shard is pinned to.
    pub cpu: Option<usize>,
    /// CPU time its thread has used.
    pub cpu_time: Duration,
    /// Time since it came up.
    pub age: Duration,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once because of a limit.
    pub refused: u64,
    /// Connections handed to another shard.
    pub handed_out: u64,
    /// Connections taken over from another shard.
    pub handed_in: u64,
    /// Sessions that panicked (each was closed alone).
    pub panics: u64,
    /// Messages dropped for want of room.
    pub drops: MeshDrops,
    /// Mirrors that had to resume at a keyframe.
    pub mirror_gaps: u64,
    /// Flush ticks that came late because the flush before took most of the time until then.
    pub late_ticks: u64,
    /// How long viewers waited for their first media.
    pub joins: Joins,
    /// Bytes received from all peers.
    pub bytes_in: u64,
    /// Bytes sent to all peers.
    pub bytes_out: u64,
    /// Broken rules that were accepted, by name.
    pub leniencies: Vec<(&'static str, u64)>,
    /// Sessions that ended because of what the peer did, by name of the rule.
    pub errors: Vec<(&'static str, u64)>,
    /// Limits that were reached, by name.
    pub limits_hit: Vec<(&'static str, u64)>,
    /// Streams here, owned and mirrored.
    pub streams: Vec<StreamStats>,
    /// Sessions here, living ones first, then the last ended ones.
    pub sessions: Vec<SessionStats>,
}
