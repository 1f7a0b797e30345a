//! Many shards' counts into one answer: a stream is on its owner and on its mirrors.

use super::diagnosis::diagnose;
use super::view;
use crate::access::Names;
use crate::time::millis;
use engine::{SessionStats, ShardStats, StreamStats, TrackStats};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// All streams, by name.
pub(super) fn streams(shards: &[ShardStats], now: SystemTime) -> Vec<view::Stream> {
    let mut parts: BTreeMap<&str, Vec<&StreamStats>> = BTreeMap::new();
    for stream in shards.iter().flat_map(|shard| &shard.streams) {
        parts.entry(stream.key.as_str()).or_default().push(stream);
    }
    parts.into_values().filter_map(|parts| stream(&parts, now)).collect()
}

/// The sessions that are wanted; living ones before ended ones, newest last.
pub(super) fn sessions(shards: &[ShardStats], wanted: impl Fn(&SessionStats) -> bool) -> Vec<&SessionStats> {
    let all = shards.iter().flat_map(|shard| &shard.sessions);
    let mut all: Vec<&SessionStats> = all.filter(|session| wanted(session)).collect();
    all.sort_by_key(|session| (session.ended.is_some(), std::cmp::Reverse(session.age), session.id));
    all
}

fn stream(parts: &[&StreamStats], now: SystemTime) -> Option<view::Stream> {
    // What only the owner knows is taken from it; a mirror alone is on its way out, or in.
    let owner = parts.iter().find(|part| !part.mirror).or_else(|| parts.first())?;
    let sum = |count: fn(&StreamStats) -> u64| parts.iter().map(|part| count(part)).sum();
    Some(view::Stream {
        app: owner.key.app().to_owned(),
        name: owner.key.name().to_owned(),
        live: owner.live,
        generation: owner.generation,
        started_at: now.checked_sub(owner.age).unwrap_or(now),
        publisher_session: owner.publisher.map(|id| id.to_string()),
        video: owner.video.map(video),
        audio: owner.audio.map(audio),
        bytes_in: owner.bytes_in,
        bytes_out: sum(|part| part.bytes_out),
        bits_per_second_in: owner.bitrate_in,
        bits_per_second_out: sum(|part| part.bitrate_out),
        gop_ms: owner.gop_ms,
        gop_packets: owner.gop_packets,
        viewers: sum(|part| part.viewers),
        waiting: sum(|part| part.waiting),
        timestamp_repairs: owner.stamp_repairs,
        timestamp_jumps: owner.stamp_jumps,
        cache_overflows: owner.cache_overflows,
        last_dts_ms: owner.last_dts_ms,
        shards: parts.iter().map(|part| stream_shard(part)).collect(),
    })
}

const fn stream_shard(part: &StreamStats) -> view::StreamShard {
    view::StreamShard {
        shard: part.shard,
        role: if part.mirror { "mirror" } else { "owner" },
        viewers: part.viewers,
        bytes_out: part.bytes_out,
        ring_bytes: part.ring_bytes,
        log_bytes: part.log_bytes,
    }
}

fn video(track: TrackStats) -> view::Video {
    view::Video {
        codec: track.codec.name(),
        width: track.width,
        height: track.height,
        frames_per_second: f64::from(track.rate_milli) / 1000.0,
        packets: track.packets,
    }
}

fn audio(track: TrackStats) -> view::Audio {
    view::Audio {
        codec: track.codec.name(),
        sample_rate_hz: track.sample_rate,
        channels: track.channels,
        packets_per_second: f64::from(track.rate_milli) / 1000.0,
        packets: track.packets,
    }
}

/// One session, as it is shown.
pub(super) fn session(
    stats: &SessionStats,
    denied: Option<&str>,
    names: &Names,
    now: SystemTime,
) -> view::Session {
    let key = stats.key.as_ref().map(|key| names.shown(key));
    view::Session {
        id: stats.id.to_string(),
        shard: stats.shard,
        role: stats.role.name(),
        protocol: stats.protocol,
        peer: stats.peer.to_string(),
        user_agent: stats.user_agent.clone(),
        app: key.map(|key| key.app().to_owned()),
        name: key.map(|key| key.name().to_owned()),
        started_at: now.checked_sub(stats.age).unwrap_or(now),
        duration_ms: millis(stats.age),
        latency_class: stats.class.map(media::LatencyClass::name),
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
        lag_ms: stats.lag_ms,
        lag_bytes: stats.lag_bytes,
        skips: stats.skips,
        bytes_skipped: stats.bytes_skipped,
        leniencies: stats.leniencies,
        steps: stats
            .steps
            .iter()
            .map(|step| view::Step {
                step: step.name,
                after_ms: (step.after.as_secs_f64() * 1e6).round() / 1e3,
            })
            .collect(),
        ended: stats.ended.clone(),
        diagnosis: diagnose(stats, denied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::StreamKey;
    use std::time::Duration;

    fn part(name: &str, shard: usize, mirror: bool, viewers: u64) -> StreamStats {
        StreamStats {
            key: StreamKey::parse("live", name, 64).unwrap(),
            shard,
            mirror,
            live: true,
            generation: 1,
            age: Duration::from_secs(5),
            publisher: None,
            video: None,
            audio: None,
            bytes_in: 1000,
            bytes_out: 10 * viewers,
            bitrate_in: 800,
            bitrate_out: 80 * viewers,
            gop_ms: 0,
            gop_packets: 0,
            ring_bytes: 0,
            log_bytes: 0,
            cache_overflows: 0,
            viewers,
            waiting: 0,
            mirrors: 0,
            stamp_repairs: 0,
            stamp_jumps: 0,
            last_dts_ms: 0,
        }
    }

    #[test]
    fn a_stream_and_its_mirrors_are_one_entry() {
        let shards = [
            ShardStats { streams: vec![part("a", 0, true, 2)], ..ShardStats::default() },
            ShardStats {
                streams: vec![part("a", 1, false, 3), part("b", 1, false, 1)],
                ..ShardStats::default()
            },
        ];
        let all = streams(&shards, SystemTime::now());
        assert_eq!(all.len(), 2);
        let a = all.first().unwrap();
        assert_eq!((a.key().as_str(), a.viewers, a.bytes_in, a.bytes_out), ("live/a", 5, 1000, 50));
        assert_eq!(a.shards.iter().map(|s| s.role).collect::<Vec<_>>(), ["mirror", "owner"]);
    }
}
