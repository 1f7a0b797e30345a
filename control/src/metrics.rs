//! Figures for Prometheus, made when they are asked for.
//!
//! Labels have few values: shards, protocols, roles, names of rules and limits. Streams get series of their own only up to a
//! limit; how many are left out is told.

use crate::api::Api;
use engine::{JOIN_BUCKETS_MS, ShardStats, StreamStats};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Streams that get series of their own.
const MAX_STREAMS: usize = 500;
/// Borders of how far viewers are behind, in milliseconds.
const LAG_MS: [u64; 9] = [10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

type Labels = Vec<(&'static str, String)>;

/// What the control side counts itself.
#[derive(Debug, Default)]
pub struct Metrics {
    refused_connections: AtomicU64,
    refused_strangers: AtomicU64,
}

impl Metrics {
    /// An API connection found no place.
    pub fn refused_connection(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody who is nobody asked for more than to read.
    pub fn refused_stranger(&self) {
        self.refused_strangers.fetch_add(1, Ordering::Relaxed);
    }

    /// All figures as text.
    pub fn text(&self, shards: &[ShardStats], api: &Api) -> String {
        let mut out = Out(Registry::with_prefix("shardcast"));
        self.server(&mut out, api);
        of_shards(&mut out, shards);
        of_sessions(&mut out, shards);
        of_streams(&mut out, shards);
        out.text()
    }

    fn server(&self, out: &mut Out, api: &Api) {
        let labels = vec![("version", api.about.version.to_owned()), ("backend", api.about.backend.clone())];
        out.gauge("build", "Version and executor; always 1", [(labels, 1)]);
        let started = api.about.started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        out.gauge(
            "start_time_seconds",
            "When the process started, since 1970",
            [(vec![], started.as_secs())],
        );
        let (failed, too_soon) = api.accounts.failures();
        out.counter(
            "login_failures",
            "Logins that failed, and those that came too soon after a failure",
            [(vec![("why", "wrong".into())], failed), (vec![("why", "too_soon".into())], too_soon)],
        );
        let refused = self.refused_connections.load(Ordering::Relaxed);
        out.counter("api_connections_refused", "API connections that found no place", [(vec![], refused)]);
        let strangers = self.refused_strangers.load(Ordering::Relaxed);
        out.counter(
            "api_strangers_refused",
            "Requests to change something that came without a valid token",
            [(vec![], strangers)],
        );
        out.gauge(
            "events_waiting",
            "Events not yet read by the control side",
            [(vec![], api.handle.events().len() as u64)],
        );
        (api.more_metrics)(&mut |name, help, kind, rows| match kind {
            Kind::Counter => out.counter(name, help, rows.iter().cloned()),
            Kind::Gauge => out.gauge(name, help, rows.iter().cloned()),
        });
    }
}

/// Kind of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows only.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Takes a figure: its name, what it is, its kind, and its rows by labels.
pub type Report<'a> =
    &'a mut dyn FnMut(&'static str, &'static str, Kind, &[(Vec<(&'static str, String)>, u64)]);

struct Out(Registry);

impl Out {
    fn gauge(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge>::default();
        self.0.register(name, help, family.clone());
        for (labels, value) in rows {
            family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    fn counter(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        self.0.register(name, help, family.clone());
        for (labels, value) in rows {
            family.get_or_create(&labels).inc_by(value);
        }
    }

    fn text(self) -> String {
        let mut text = String::new();
        // Into a string: cannot fail.
        let _ = text::encode(&mut text, &self.0);
        text
    }
}

fn of_shards(out: &mut Out, shards: &[ShardStats]) {
    type Count = (&'static str, &'static str, fn(&ShardStats) -> u64);
    const COUNTS: [Count; 10] = [
        ("shard_cpu_ms", "CPU time of the shard's thread", |s| crate::time::millis(s.cpu_time)),
        ("shard_accepted", "Connections accepted", |s| s.accepted),
        ("shard_refused", "Connections closed at once", |s| s.refused),
        ("shard_handed_out", "Connections given to another shard", |s| s.handed_out),
        ("shard_handed_in", "Connections taken over from another shard", |s| s.handed_in),
        ("shard_panics", "Sessions that panicked", |s| s.panics),
        ("shard_mirror_gaps", "Mirrors that had to go on at a keyframe", |s| s.mirror_gaps),
        ("shard_late_ticks", "Flush ticks that came late", |s| s.late_ticks),
        ("shard_received_bytes", "Bytes received", |s| s.bytes_in),
        ("shard_sent_bytes", "Bytes sent", |s| s.bytes_out),
    ];
    for (name, help, of) in COUNTS {
        out.counter(
            name,
            help,
            shards.iter().map(|shard| (vec![("shard", shard.shard.to_string())], of(shard))),
        );
    }
    let drops = shards.iter().flat_map(|shard| {
        let labels = |kind: &str| vec![("shard", shard.shard.to_string()), ("kind", kind.to_owned())];
        [
            (labels("media"), shard.drops.media),
            (labels("handoff"), shard.drops.handoff),
            (labels("control"), shard.drops.control),
            (labels("question"), shard.drops.question),
        ]
    });
    out.counter("mesh_drops", "Messages between shards that found no room", drops);
    type Names = fn(&ShardStats) -> &Vec<(&'static str, u64)>;
    let named: [(&str, &str, Names); 3] = [
        ("leniencies", "Broken rules that were accepted", |s| &s.leniencies),
        ("peer_errors", "Sessions that ended because of what the peer did", |s| &s.errors),
        ("limits_hit", "Limits that were reached", |s| &s.limits_hit),
    ];
    for (name, help, of) in named {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (rule, count) in shards.iter().flat_map(of) {
            *sums.entry(rule).or_default() += count;
        }
        out.counter(
            name,
            help,
            sums.into_iter().map(|(rule, count)| (vec![("rule", rule.to_owned())], count)),
        );
    }
    out.0.register("join_ms", "Time from a viewer's request to its first media", joins(shards));
}

fn joins(shards: &[ShardStats]) -> Histogram {
    let mut buckets: Vec<(f64, u64)> = JOIN_BUCKETS_MS.iter().map(|border| (*border as f64, 0)).collect();
    buckets.push((f64::MAX, 0));
    let mut sum_us = 0_u64;
    for shard in shards {
        for (bucket, count) in buckets.iter_mut().zip(shard.joins.counts) {
            bucket.1 += count;
        }
        sum_us = sum_us.saturating_add(shard.joins.sum_us);
    }
    Histogram { sum: sum_us as f64 / 1000.0, buckets }
}

fn of_sessions(out: &mut Out, shards: &[ShardStats]) {
    let mut sessions: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut lags: Vec<(f64, u64)> = LAG_MS.iter().map(|border| (*border as f64, 0)).collect();
    lags.push((f64::MAX, 0));
    let mut sum = 0_u64;
    for session in shards.iter().flat_map(|shard| &shard.sessions).filter(|session| session.ended.is_none()) {
        *sessions.entry((session.protocol, session.role.name())).or_default() += 1;
        if session.class.is_some() {
            let at = LAG_MS.partition_point(|border| *border < session.lag_ms);
            if let Some(bucket) = lags.get_mut(at) {
                bucket.1 += 1;
            }
            sum = sum.saturating_add(session.lag_ms);
        }
    }
    let rows = sessions.into_iter().map(|((protocol, role), count)| {
        (vec![("protocol", protocol.to_owned()), ("role", role.to_owned())], count)
    });
    out.gauge("sessions", "Living sessions", rows);
    out.0.register(
        "viewer_lag_ms",
        "How far the viewers of this moment are behind",
        Histogram { sum: sum as f64, buckets: lags },
    );
}

fn of_streams(out: &mut Out, shards: &[ShardStats]) {
    let all = || shards.iter().flat_map(|shard| &shard.streams);
    let owned = || all().filter(|stream| !stream.mirror);
    out.gauge(
        "streams",
        "Streams with a publisher",
        [(vec![], owned().filter(|stream| stream.live).count() as u64)],
    );
    let total = |of: fn(&StreamStats) -> u64| all().map(of).sum::<u64>();
    out.gauge("viewers", "Viewers of all streams", [(vec![], total(|s| s.viewers))]);
    out.gauge("waiting_viewers", "Viewers that wait for a publisher", [(vec![], total(|s| s.waiting))]);
    out.gauge(
        "mirrors",
        "Copies of streams on other shards",
        [(vec![], all().filter(|s| s.mirror).count() as u64)],
    );
    let mut by_name: BTreeMap<&str, Vec<&StreamStats>> = BTreeMap::new();
    for stream in all() {
        by_name.entry(stream.key.as_str()).or_default().push(stream);
    }
    let left_out = by_name.len().saturating_sub(MAX_STREAMS);
    out.gauge(
        "streams_without_series",
        "Streams that have no series of their own",
        [(vec![], left_out as u64)],
    );
    type Figure = (&'static str, &'static str, bool, fn(&StreamStats) -> u64);
    const FIGURES: [Figure; 7] = [
        ("stream_viewers", "Viewers of a stream", false, |s| s.viewers),
        ("stream_received_bytes", "Payload bytes received of a stream", true, |s| {
            if s.mirror { 0 } else { s.bytes_in }
        }),
        ("stream_sent_bytes", "Bytes sent of a stream", true, |s| s.bytes_out),
        ("stream_bits_per_second", "Bits a second received of a stream", false, |s| {
            if s.mirror { 0 } else { s.bitrate_in }
        }),
        ("stream_gop_ms", "Length of a stream's last GOP", false, |s| if s.mirror { 0 } else { s.gop_ms }),
        ("stream_timestamp_repairs", "Stamps of a stream that had to be changed", true, |s| s.stamp_repairs),
        ("stream_timestamp_jumps", "Jumps of a stream's stamps", true, |s| s.stamp_jumps),
    ];
    for (name, help, grows, of) in FIGURES {
        let rows = by_name.iter().take(MAX_STREAMS).map(|(key, parts)| {
            (vec![("stream", (*key).to_owned())], parts.iter().map(|part| of(part)).sum::<u64>())
        });
        if grows {
            out.counter(name, help, rows);
        } else {
            out.gauge(name, help, rows);
        }
    }
}

/// One that was counted elsewhere.
#[derive(Debug)]
struct Histogram {
    sum: f64,
    /// Each with what it holds alone; the last has no border.
    buckets: Vec<(f64, u64)>,
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
