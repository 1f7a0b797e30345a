//! What one run of a scenario against one server gave. This is the JSON line of a result, and what tables and plots
//! are made from.

use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};

/// The outcome of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Which server, e.g. `shardcast`, `nginx-rtmp`, `floor`.
    pub server: String,
    /// Its version.
    pub version: String,
    /// The scenario as it was run.
    pub scenario: Scenario,
    /// When, as seconds since 1970.
    pub at: u64,
    /// The machine: processor, number of cores, kernel.
    pub machine: String,
    /// Commit of the tree the harness was built in.
    pub commit: String,
    /// What the viewers saw while it was counted.
    pub viewers: Viewers,
    /// What the server used while it was counted.
    pub used: Used,
}

/// What the viewers saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Viewers {
    /// Viewers that were to be there.
    pub asked: u64,
    /// That got a whole keyframe.
    pub joined: u64,
    /// Refused, or whose connection failed or ended early.
    pub failed: u64,
    /// Viewers that were silent for the whole time.
    pub silent: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Packets received and compared.
    pub packets: u64,
    /// Packets that did not come (a jump in the sequence).
    pub gaps: u64,
    /// Packets that came again.
    pub repeats: u64,
    /// Packets that came late.
    pub reordered: u64,
    /// Packets with a byte or a stamp that is not what was published.
    pub corrupt: u64,
    /// Times that a viewer got nothing for a second.
    pub stalls: u64,
    /// Connect to the last byte of the first keyframe, in milliseconds.
    pub join_ms: Spread,
    /// Publisher's write to viewer's read of the packet's last byte, in milliseconds.
    pub delay_ms: Spread,
    /// The whole distribution of `delay_ms`: (milliseconds, share of packets at or below).
    pub delay_curve: Vec<(f64, f64)>,
    /// Share of one core that the generator itself used (past 0.9 its figures are doubtful).
    pub generator_load: f64,
    /// How long the generator's rounds took, in milliseconds: 1 if it keeps up; delays cannot be told finer.
    #[serde(default)]
    pub generator_round_ms: Spread,
    /// Viewers that left and were replaced while it was counted.
    #[serde(default)]
    pub churned: u64,
    /// Slow and stalled readers whose connection the server ended, seen at the latest when they read on in the end.
    #[serde(default)]
    pub slow_closed: u64,
    /// Packets that the server left out for slow readers.
    #[serde(default)]
    pub skipped_by_slow: u64,
    /// The first faults (gaps, repeats, reorderings, corruption), in words.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why the first of the failed viewers failed.
    #[serde(default)]
    pub refused_notes: Vec<String>,
}

/// A distribution in short.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// What the server's processes used while it was counted, from the operating system's accounting.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Used {
    /// Seconds that were counted.
    pub seconds: f64,
    /// CPU seconds, user.
    pub cpu_user: f64,
    /// CPU seconds, system.
    pub cpu_system: f64,
    /// Resident memory before the first viewer, in KiB.
    pub idle_kib: u64,
    /// Resident memory at the end of the count, in KiB.
    pub loaded_kib: u64,
    /// System calls, where they can be counted.
    pub system_calls: Option<u64>,
    /// System calls per GiB delivered, counted for a moment before the rest was, since counting them costs; where they
    /// can be.
    #[serde(default)]
    pub calls_per_gib: Option<f64>,
    /// Resident memory at the beginning of the count and every half minute of it, in KiB.
    #[serde(default)]
    pub memory_kib: Vec<u64>,
}

impl Outcome {
    /// GiB delivered while it was counted.
    pub fn gib(&self) -> f64 {
        self.viewers.bytes as f64 / f64::from(1 << 30)
    }

    /// CPU seconds per GiB delivered.
    pub fn cpu_per_gib(&self) -> f64 {
        (self.used.cpu_user + self.used.cpu_system) / self.gib().max(f64::MIN_POSITIVE)
    }

    /// Resident memory per viewer above the idle server, in KiB.
    pub fn kib_per_viewer(&self) -> f64 {
        self.used.loaded_kib.saturating_sub(self.used.idle_kib) as f64 / (self.viewers.asked.max(1)) as f64
    }
}
