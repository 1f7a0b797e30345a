//! A server under test, as the generator sees it: where to publish and play, and whose processes to account for.

use std::net::SocketAddr;

/// See the module.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name in results.
    pub name: String,
    /// Version in results.
    pub version: String,
    /// Where RTMP is spoken.
    pub rtmp: SocketAddr,
    /// Where HTTP is spoken, if it is.
    pub http: Option<SocketAddr>,
    /// Application of the streams, as its configuration wants it; a stream's key is `{app}/s{number}`.
    pub app: String,
    /// Process whose tree is accounted for; `None`: nothing is.
    pub pid: Option<u32>,
    /// It makes the streams itself: nobody publishes to it.
    pub feeds_itself: bool,
}
