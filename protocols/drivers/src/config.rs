//! What the drivers are told: where to listen, what to offer, what to bound. Resolved and typed.

use crate::tls::Certificates;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a listening port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// RTMP.
    Rtmp,
    /// HTTP: FLV over HTTP and WebSocket, and the pages.
    Http,
}

/// One listening address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// What it speaks.
    pub speaks: Speaks,
    /// Inside TLS.
    pub tls: bool,
    /// Where.
    pub addr: SocketAddr,
}

/// A file served as it is: the pages inside the binary.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Path, with the leading slash.
    pub path: &'static str,
    /// Media type.
    pub content_type: &'static str,
    /// Content.
    pub bytes: &'static [u8],
}

/// Which spelling of HEVC and Opus players get that did not announce what they understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodecForm {
    /// FourCC if the player announced it, the older numbers otherwise.
    #[default]
    Auto,
    /// Always by fourCC.
    Fourcc,
    /// Always the older numbers: video 12, audio 13.
    Legacy,
}

/// All the drivers are told.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub listeners: Vec<ListenerConfig>,
    /// Certificate and key, if any listener is inside TLS.
    pub certificates: Option<Arc<Certificates>>,
    /// Length of the accept queue of each listener.
    pub backlog: u32,
    /// Time from accept to a complete publish or play request (TLS and RTMP handshakes included).
    pub request_timeout: Duration,
    /// Bytes a connection may send before its publish or play request is complete.
    pub request_bytes: usize,
    /// How long an idle HTTP connection is kept for another request.
    pub keep_alive: Duration,
    /// Longest application and longest name, in bytes.
    pub name_bytes: usize,
    /// Chunk size that RTMP players are sent, in bytes.
    pub rtmp_chunk_size: u32,
    /// Largest message or tag accepted, in bytes.
    pub message_bytes: usize,
    /// Codec form over RTMP.
    pub rtmp_codec_form: CodecForm,
    /// Codec form over HTTP-FLV and WebSocket-FLV.
    pub http_codec_form: CodecForm,
    /// `Access-Control-Allow-Origin`: `None` echoes the origin, otherwise this value; empty sends none.
    pub http_allow_origin: Option<String>,
    /// Time between WebSocket pings to an idle peer.
    pub ws_ping: Duration,
    /// Paths that the control side serves: a whole path, or the beginning of some if it ends in a slash.
    pub control_paths: &'static [&'static str],
    /// Pages.
    pub assets: &'static [Asset],
}
