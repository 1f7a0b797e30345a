//! What the two sides of a request say to each other: how a viewer wants to join, why one was refused or stopped.

use std::fmt;
use std::str::FromStr;

/// How much delay a viewer trades for cost and smoothness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LatencyClass {
    /// Each packet leaves at once; the smallest backlog.
    Live,
    /// A few packets a write.
    #[default]
    Normal,
    /// Many packets a write; the largest backlog.
    Bulk,
}

impl LatencyClass {
    /// All, in order of [`Self::index`].
    pub const ALL: [Self; 3] = [Self::Live, Self::Normal, Self::Bulk];

    /// 0, 1, 2.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name in config, queries and statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

impl FromStr for LatencyClass {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|class| class.name() == s).ok_or(())
    }
}

/// Where a viewer starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinStart {
    /// With the cached GOP (`true`), from the next keyframe (`false`), or as the server is configured.
    pub gop: Option<bool>,
    /// Asked latency class, or as the server is configured.
    pub class: Option<LatencyClass>,
}

/// Why a publish or play request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The application or stream name breaks a rule.
    BadName,
    /// Somebody else publishes under this name.
    AlreadyPublishing,
    /// Admission said no.
    NotAllowed,
    /// No such stream, and none came in the waiting time.
    NotFound,
    /// A configured limit is reached.
    Limit,
    /// The server is draining.
    ShuttingDown,
    /// The server could not answer in time.
    Unavailable,
}

impl Refusal {
    /// Stable word for logs, statistics and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadName => "bad name",
            Self::AlreadyPublishing => "already publishing",
            Self::NotAllowed => "not allowed",
            Self::NotFound => "not found",
            Self::Limit => "limit reached",
            Self::ShuttingDown => "shutting down",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the server ends a session that was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The publisher left and did not come back in time.
    StreamEnded,
    /// Another publisher took over.
    Replaced,
    /// Nothing was received for too long.
    Idle,
    /// The viewer could not keep up for too long.
    TooSlow,
    /// The server is draining.
    ShuttingDown,
    /// An operator ended it.
    Kicked,
    /// A limit was reached in the middle of the session.
    Limit,
}

impl StopReason {
    /// Stable word for logs, statistics and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StreamEnded => "stream ended",
            Self::Replaced => "replaced by another publisher",
            Self::Idle => "idle",
            Self::TooSlow => "too slow",
            Self::ShuttingDown => "server shutting down",
            Self::Kicked => "kicked",
            Self::Limit => "limit reached",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
