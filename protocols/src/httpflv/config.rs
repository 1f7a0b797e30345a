//! What the sessions are told. Resolved: nothing here can be wrong.

use crate::container::flv::{FlvLimits, Form};
use crate::http::{BodyLimits, Cors};
use crate::ws::FrameLimits;
use std::time::Duration;

/// Shared by all sessions of a listener.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest application and longest name, in bytes.
    pub name_bytes: usize,
    /// Spelling of codecs for players that do not ask for one; HTTP announces nothing.
    pub form: FormChoice,
    /// Which pages of other origins may play.
    pub cors: Cors,
    /// Time between pings to a WebSocket peer; proxies close idle connections after a minute. Zero: none.
    pub ping_interval: Duration,
    /// Bounds on what a peer sends around its FLV.
    pub limits: Limits,
    /// Bounds on the FLV of publishers.
    pub flv: FlvLimits,
}

/// Spelling of codecs that have two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FormChoice {
    /// The older numbers.
    #[default]
    Legacy,
    /// By fourCC.
    Fourcc,
}

impl FormChoice {
    /// For the muxer.
    pub const fn form(self) -> Form {
        match self {
            Self::Legacy => Form::LEGACY,
            Self::Fourcc => Form::ENHANCED,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name_bytes: 255,
            form: FormChoice::default(),
            cors: Cors::default(),
            ping_interval: Duration::from_secs(20),
            limits: Limits::default(),
            flv: FlvLimits::default(),
        }
    }
}

/// Bounds on what a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes kept while the verdict is awaited: what one read brings.
    pub waiting_bytes: usize,
    /// Bytes a viewer over HTTP may send after its request, all to be ignored: there is no use for any.
    pub viewer_bytes: usize,
    /// Pings of a peer that are answered in a second: no peer needs more than one.
    pub pongs_per_second: u32,
    /// Chunked bodies.
    pub body: BodyLimits,
    /// WebSocket frames.
    pub frames: FrameLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting_bytes: 256 * 1024,
            viewer_bytes: 4 * 1024,
            pongs_per_second: 8,
            body: BodyLimits::default(),
            frames: FrameLimits::default(),
        }
    }
}
