//! What the connecting side is told once.

use crate::Query;
use crate::container::flv::TagLimits;
use crate::rtmp::capability::FormChoice;
use crate::rtmp::chunk::ChunkLimits;
use crate::rtmp::handshake::{HandshakeForm, Scheme};
use media::StreamKey;

/// Which stream of which server, and how to ask for it.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Stream.
    pub key: StreamKey,
    /// Query behind the stream name.
    pub query: Query,
    /// Host with its port if that is not the usual one, as it stands in `tcUrl`.
    pub host: String,
    /// Whether TLS is below: only the scheme in `tcUrl` depends on it.
    pub secure: bool,
    /// Which handshake is offered.
    pub handshake: HandshakeForm,
    /// FourCC codes that are announced; none: as clients did before Enhanced RTMP.
    pub fourccs: Vec<String>,
    /// Spelling of HEVC and Opus for what is published from packets.
    pub form: FormChoice,
    /// `flashVer`.
    pub agent: String,
    /// Chunk size for what is sent, 1 to 65536 bytes.
    pub chunk_size: u32,
    /// Bounds of what the server may send.
    pub chunks: ChunkLimits,
    /// Bounds of the media it sends.
    pub tags: TagLimits,
}

impl Dial {
    /// With what suits most servers: digest handshake, no codes announced, chunks of 4096 bytes as OBS sends.
    pub fn new(host: &str, key: StreamKey) -> Self {
        Self {
            key,
            query: Query::default(),
            host: host.to_owned(),
            secure: false,
            handshake: HandshakeForm::Digest(Scheme::DigestFirst),
            fourccs: Vec::new(),
            form: FormChoice::Auto,
            agent: "FMLE/3.0 (compatible; Shardcast)".to_owned(),
            chunk_size: 4096,
            chunks: ChunkLimits::default(),
            tags: TagLimits::default(),
        }
    }

    pub(super) fn tc_url(&self) -> String {
        let scheme = if self.secure { "rtmps" } else { "rtmp" };
        format!("{scheme}://{}/{}", self.host, self.key.app())
    }
}
