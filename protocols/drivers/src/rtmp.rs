//! RTMP connections: one session for the connection's life.

use crate::bridge::{Alarm, Bridge, Left};
use crate::config::{CodecForm, Config};
use crate::conn::Conn;
use crate::local::Local;
use crate::table::AnySession;
use engine::SessionGuard;
use protocols::container::flv::TagLimits;
use protocols::rtmp::chunk::ChunkLimits;
use protocols::rtmp::{self, FormChoice, ServerSession};
use std::rc::Rc;
use std::sync::Arc;

/// What every RTMP session is told.
pub(crate) fn session_config(config: &Config) -> Arc<rtmp::Config> {
    let chunks = ChunkLimits {
        media_bytes: config.message_bytes,
        partial_bytes: config.message_bytes.saturating_mul(2),
        ..ChunkLimits::default()
    };
    let limits = rtmp::Limits {
        chunks,
        name_bytes: config.name_bytes,
        tags: TagLimits::default(),
        ..Default::default()
    };
    Arc::new(rtmp::Config {
        chunk_size: config.rtmp_chunk_size,
        form: match config.rtmp_codec_form {
            CodecForm::Auto => FormChoice::Auto,
            CodecForm::Fourcc => FormChoice::Fourcc,
            CodecForm::Legacy => FormChoice::Legacy,
        },
        // Watched for the whole way to the request, TLS included.
        handshake_timeout: None,
        limits,
        ..Default::default()
    })
}

pub(crate) async fn serve(local: Rc<Local>, conn: Conn, guard: SessionGuard) {
    let now = local.shard.now();
    let [a, b, c, d, e, f, g, h, ..] = local.random();
    let seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let session = AnySession::Rtmp(Box::new(ServerSession::new(Arc::clone(&local.rtmp), seed, now)));
    let left = Bridge { local, conn, session, guard, alarm: Alarm::default() }.run(now).await;
    debug_assert!(matches!(left, Left::Gone), "an RTMP session lives as long as its connection");
}
