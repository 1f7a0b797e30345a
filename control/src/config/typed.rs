//! From checked values to the types of the resolved settings.

use super::pattern::Pattern;
use super::value::{Value, cpus, network};
use engine::config::OnConflict;
use ipnet::IpNet;
use media::LatencyClass;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Takes a checked value. `None` means that the table gives a key a kind that its type cannot take; a test holds that it
/// does not.
pub(super) trait FromValue: Sized {
    /// Converts.
    fn from_value(value: &Value) -> Option<Self>;
}

/// Words of a key, each a variant.
macro_rules! words {
    ($( $(#[doc = $doc:literal])+ $Name:ident { $( $(#[doc = $help:literal])+ $Variant:ident = $word:literal, )+ } )+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name { $( $(#[doc = $help])+ $Variant, )+ }

        impl $Name {
            /// All, in order.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$Variant),+];
            /// All words, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$Variant => $word,)+ }
            }
        }

        impl FromValue for $Name {
            fn from_value(value: &Value) -> Option<Self> {
                match text(value)? { $($word => Some(Self::$Variant),)+ _ => None }
            }
        }
    )+ };
}

words! {
    /// Which executor the shards run on.
    Backend {
        /// io_uring where it works, epoll elsewhere.
        Auto = "auto",
        /// io_uring or nothing.
        IoUring = "io_uring",
        /// epoll.
        Epoll = "epoll",
    }
    /// How much is logged.
    LogLevel {
        /// Errors alone.
        Error = "error",
        /// And warnings.
        Warn = "warn",
        /// And what an operator wants to know.
        Info = "info",
        /// And what each session does.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
    /// How a log line looks.
    LogFormat {
        /// For people.
        Text = "text",
        /// For machines: one JSON object a line.
        Json = "json",
    }
    /// What may be asked of the admin API without a token.
    AnonymousReads {
        /// Nothing but health.
        None = "none",
        /// And the metrics.
        Metrics = "metrics",
        /// All that a viewer of the API may read.
        Read = "read",
    }
    /// A check of those who want to publish or play.
    CheckName {
        /// Networks.
        Addresses = "addresses",
        /// publish.allow and play.allow.
        Patterns = "patterns",
        /// Fixed keys.
        Keys = "keys",
        /// Signed addresses.
        Sign = "sign",
        /// Tokens.
        Jwt = "jwt",
        /// The callback targets.
        Callback = "callback",
    }
    /// What becomes of a question to a target that does not answer.
    Unreachable {
        /// Nobody gets in.
        Refuse = "refuse",
        /// Everybody gets in.
        Allow = "allow",
    }
    /// Spelling of HEVC and Opus for players that did not say what they understand.
    CodecForm {
        /// By fourCC if the player announced it, by the older numbers otherwise.
        Auto = "auto",
        /// Always by fourCC.
        Fourcc = "fourcc",
        /// Always the older numbers: video 12, audio 13.
        Legacy = "legacy",
    }
}

/// Words of the engine's own types.
pub(super) const ON_CONFLICT: &[&str] = &["refuse", "replace", "wait"];
/// As above.
pub(super) const CLASSES: &[&str] =
    &[LatencyClass::Live.name(), LatencyClass::Normal.name(), LatencyClass::Bulk.name()];

/// What callbacks are about.
pub(super) const ACTIONS: &[&str] =
    &["prePublish", "postPublish", "donePublish", "prePlay", "postPlay", "donePlay"];

/// CPUs to run on; empty: all of the affinity mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpus(pub Vec<usize>);

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn list<T>(value: &Value, item: impl Fn(&String) -> Option<T>) -> Option<Vec<T>> {
    if let Value::List(items) = value { items.iter().map(item).collect() } else { None }
}

macro_rules! number {
    ($($T:ty),+) => { $(
        impl FromValue for $T {
            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Number(number) = value { (*number).try_into().ok() } else { None }
            }
        }
    )+ };
}

number!(u16, u32, u64, usize);

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Flag(flag) = value { Some(*flag) } else { None }
    }
}

/// Milliseconds.
impl FromValue for Duration {
    fn from_value(value: &Value) -> Option<Self> {
        u64::from_value(value).map(Self::from_millis)
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        text(value).map(str::to_owned)
    }
}

impl FromValue for Option<PathBuf> {
    fn from_value(value: &Value) -> Option<Self> {
        text(value).map(|path| (!path.is_empty()).then(|| PathBuf::from(path)))
    }
}

impl FromValue for IpAddr {
    fn from_value(value: &Value) -> Option<Self> {
        text(value)?.parse().ok()
    }
}

impl FromValue for Vec<IpAddr> {
    fn from_value(value: &Value) -> Option<Self> {
        list(value, |item| item.parse().ok())
    }
}

impl FromValue for Vec<CheckName> {
    fn from_value(value: &Value) -> Option<Self> {
        list(value, |item| CheckName::ALL.into_iter().find(|check| check.word() == item))
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: &Value) -> Option<Self> {
        list(value, |item| Some(item.clone()))
    }
}

impl FromValue for Vec<IpNet> {
    fn from_value(value: &Value) -> Option<Self> {
        list(value, |item| network(item))
    }
}

impl FromValue for Vec<Pattern> {
    fn from_value(value: &Value) -> Option<Self> {
        list(value, |item| Pattern::parse(item))
    }
}

impl FromValue for Cpus {
    fn from_value(value: &Value) -> Option<Self> {
        let mut all = list(value, |item| cpus(item))?.concat();
        all.sort_unstable();
        all.dedup();
        Some(Self(all))
    }
}

impl FromValue for OnConflict {
    fn from_value(value: &Value) -> Option<Self> {
        match text(value)? {
            "refuse" => Some(Self::Refuse),
            "replace" => Some(Self::Replace),
            "wait" => Some(Self::Wait),
            _ => None,
        }
    }
}

impl FromValue for LatencyClass {
    fn from_value(value: &Value) -> Option<Self> {
        text(value)?.parse().ok()
    }
}
