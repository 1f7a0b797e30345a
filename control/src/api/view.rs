//! The API's answers as they are written: names with units, times in ISO 8601.

use super::About;
use super::diagnosis::Diagnosis;
use super::page::Page;
use crate::time::millis;
use engine::ShardStats;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::SystemTime;
use utoipa::ToSchema;

/// `GET /streams`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Streams {
    /// This piece of the list, by name.
    pub streams: Vec<Stream>,
    #[serde(flatten)]
    pub page: Page,
}

/// A stream, over all shards.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stream {
    pub app: String,
    pub name: String,
    pub live: bool,
    pub generation: u64,
    #[serde(serialize_with = "crate::time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: SystemTime,
    pub publisher_session: Option<String>,
    pub video: Option<Video>,
    pub audio: Option<Audio>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub bits_per_second_in: u64,
    pub bits_per_second_out: u64,
    pub gop_ms: u64,
    pub gop_packets: u64,
    pub viewers: u64,
    pub waiting: u64,
    pub timestamp_repairs: u64,
    pub timestamp_jumps: u64,
    pub cache_overflows: u64,
    pub last_dts_ms: i64,
    pub shards: Vec<StreamShard>,
}

impl Stream {
    pub fn key(&self) -> String {
        format!("{}/{}", self.app, self.name)
    }
}

/// A stream's part on one shard.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamShard {
    pub shard: usize,
    pub role: &'static str,
    pub viewers: u64,
    pub bytes_out: u64,
    pub ring_bytes: u64,
    pub log_bytes: u64,
}

/// A video track.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Video {
    pub codec: &'static str,
    pub width: u32,
    pub height: u32,
    pub frames_per_second: f64,
    pub packets: u64,
}

/// An audio track.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Audio {
    pub codec: &'static str,
    pub sample_rate_hz: u32,
    pub channels: u8,
    pub packets_per_second: f64,
    pub packets: u64,
}

/// `GET /sessions`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    /// This piece of the list: the living by age, then those that ended.
    pub sessions: Vec<Session>,
    #[serde(flatten)]
    pub page: Page,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    pub id: String,
    pub shard: usize,
    pub role: &'static str,
    pub protocol: &'static str,
    pub peer: String,
    pub user_agent: String,
    pub app: Option<String>,
    pub name: Option<String>,
    #[serde(serialize_with = "crate::time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: SystemTime,
    pub duration_ms: u64,
    pub latency_class: Option<&'static str>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub lag_ms: u64,
    pub lag_bytes: u64,
    pub skips: u64,
    pub bytes_skipped: u64,
    pub leniencies: u64,
    pub steps: Vec<Step>,
    pub ended: Option<String>,
    /// What went wrong, if something did.
    pub diagnosis: Option<Diagnosis>,
}

/// A step of a session's life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Step {
    pub step: &'static str,
    pub after_ms: f64,
}

/// `GET /server`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Server {
    #[serde(flatten)]
    pub about: About,
    pub streams: usize,
    pub sessions: usize,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub shards: Vec<Shard>,
}

/// `GET /shards`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shards {
    pub shards: Vec<Shard>,
}

/// A shard.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shard {
    pub shard: usize,
    pub cpu: Option<usize>,
    pub cpu_time_ms: u64,
    pub uptime_ms: u64,
    pub accepted: u64,
    pub refused: u64,
    pub handed_out: u64,
    pub handed_in: u64,
    pub panics: u64,
    pub mesh_drops: Drops,
    pub mirror_gaps: u64,
    pub late_ticks: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub leniencies: BTreeMap<&'static str, u64>,
    pub errors: BTreeMap<&'static str, u64>,
    pub limits_hit: BTreeMap<&'static str, u64>,
}

/// Messages that found no room, by kind.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Drops {
    pub media: u64,
    pub handoff: u64,
    pub control: u64,
    pub question: u64,
}

pub(super) fn server(about: &About, shards: &[ShardStats]) -> Server {
    let owned = shards.iter().flat_map(|shard| &shard.streams).filter(|stream| !stream.mirror && stream.live);
    let living = shards.iter().flat_map(|shard| &shard.sessions).filter(|session| session.ended.is_none());
    Server {
        about: about.clone(),
        streams: owned.count(),
        sessions: living.count(),
        bytes_in: shards.iter().map(|shard| shard.bytes_in).sum(),
        bytes_out: shards.iter().map(|shard| shard.bytes_out).sum(),
        shards: shards.iter().map(shard).collect(),
    }
}

pub(super) fn shard(stats: &ShardStats) -> Shard {
    Shard {
        shard: stats.shard,
        cpu: stats.cpu,
        cpu_time_ms: millis(stats.cpu_time),
        uptime_ms: millis(stats.age),
        accepted: stats.accepted,
        refused: stats.refused,
        handed_out: stats.handed_out,
        handed_in: stats.handed_in,
        panics: stats.panics,
        mesh_drops: Drops {
            media: stats.drops.media,
            handoff: stats.drops.handoff,
            control: stats.drops.control,
            question: stats.drops.question,
        },
        mirror_gaps: stats.mirror_gaps,
        late_ticks: stats.late_ticks,
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
        leniencies: stats.leniencies.iter().copied().collect(),
        errors: stats.errors.iter().copied().collect(),
        limits_hit: stats.limits_hit.iter().copied().collect(),
    }
}
