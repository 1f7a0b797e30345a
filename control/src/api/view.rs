//! The API's answers as they are written: names with units, times in ISO 8601.

use super::About;
use engine::ShardStats;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Errors.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    pub error: ProblemDetail,
}

/// One error.
#[derive(Debug, Serialize)]
pub(super) struct ProblemDetail {
    pub code: &'static str,
    pub message: &'static str,
}

/// `GET /streams`.
#[derive(Debug, Serialize)]
pub(super) struct Streams {
    pub streams: Vec<Stream>,
}

/// A stream, over all shards.
#[derive(Debug, Serialize)]
pub(super) struct Stream {
    pub app: String,
    pub name: String,
    pub live: bool,
    pub generation: u64,
    #[serde(serialize_with = "time")]
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
#[derive(Debug, Serialize)]
pub(super) struct StreamShard {
    pub shard: usize,
    pub role: &'static str,
    pub viewers: u64,
    pub bytes_out: u64,
    pub ring_bytes: u64,
    pub log_bytes: u64,
}

/// A video track.
#[derive(Debug, Serialize)]
pub(super) struct Video {
    pub codec: &'static str,
    pub width: u32,
    pub height: u32,
    pub frames_per_second: f64,
    pub packets: u64,
}

/// An audio track.
#[derive(Debug, Serialize)]
pub(super) struct Audio {
    pub codec: &'static str,
    pub sample_rate_hz: u32,
    pub channels: u8,
    pub packets_per_second: f64,
    pub packets: u64,
}

/// `GET /sessions`.
#[derive(Debug, Serialize)]
pub(super) struct Sessions {
    pub sessions: Vec<Session>,
}

/// A session.
#[derive(Debug, Serialize)]
pub(super) struct Session {
    pub id: String,
    pub shard: usize,
    pub role: &'static str,
    pub protocol: &'static str,
    pub peer: String,
    pub user_agent: String,
    pub app: Option<String>,
    pub name: Option<String>,
    #[serde(serialize_with = "time")]
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
}

/// A step of a session's life.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub step: &'static str,
    pub after_ms: f64,
}

/// `GET /server`.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    #[serde(flatten)]
    pub about: About,
    pub streams: usize,
    pub sessions: usize,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub shards: Vec<Shard>,
}

/// A shard.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(super) struct Drops {
    pub media: u64,
    pub handoff: u64,
    pub control: u64,
    pub question: u64,
}

pub(super) fn server(about: &About, shards: Vec<ShardStats>) -> Server {
    let owned = shards.iter().flat_map(|shard| &shard.streams).filter(|stream| !stream.mirror && stream.live);
    let living = shards.iter().flat_map(|shard| &shard.sessions).filter(|session| session.ended.is_none());
    Server {
        about: about.clone(),
        streams: owned.count(),
        sessions: living.count(),
        bytes_in: shards.iter().map(|shard| shard.bytes_in).sum(),
        bytes_out: shards.iter().map(|shard| shard.bytes_out).sum(),
        shards: shards.into_iter().map(shard).collect(),
    }
}

fn shard(stats: ShardStats) -> Shard {
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
        leniencies: stats.leniencies.into_iter().collect(),
        errors: stats.errors.into_iter().collect(),
        limits_hit: stats.limits_hit.into_iter().collect(),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-01-31T23:59:59.123Z`, UTC.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
pub(super) fn time<S: Serializer>(at: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&iso8601(*at))
}

fn iso8601(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date, by eras of 400 years that begin in March (Howard Hinnant, "chrono-compatible date algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_iso_8601() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso8601(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
