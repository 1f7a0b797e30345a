//! What the control side holds of the engine: questions come out of it, answers, drains and requests for statistics
//! go into it. Everything is a message; nothing here waits for a shard longer than it says.

use crate::config::Config;
use crate::mesh::{Mail, Outbox};
use crate::{SessionId, ShardStats};
use crossbeam_channel::{Receiver, bounded};
use media::{Refusal, StreamKey};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a session asks to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send media under a name.
    Publish,
    /// Receive the media of a name.
    Play,
}

/// Somebody asks to publish or play; no media passes before [`Handle::answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks; to be named in the answer.
    pub session: SessionId,
    /// Shard on which the session waits.
    pub shard: usize,
    /// What for.
    pub action: Action,
    /// Which stream.
    pub key: StreamKey,
    /// URL query.
    pub query: Vec<(String, String)>,
    /// From where.
    pub peer: SocketAddr,
    /// `rtmp`, `http-flv`, ….
    pub protocol: &'static str,
    /// What the peer says it is.
    pub user_agent: String,
    /// Host of the URL as the peer wrote it.
    pub host: String,
}

/// The engine, as the control side sees it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shards: Arc<[Outbox]>,
    pub(crate) questions: Receiver<Arc<Question>>,
}

impl Handle {
    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Questions of all shards. Whoever reads them must answer each.
    pub fn questions(&self) -> &Receiver<Arc<Question>> {
        &self.questions
    }

    /// Answers a question: `Ok` lets the session go on.
    /// An answer that comes after the session has gone, or has gone on to ask something else, is dropped.
    pub fn answer(&self, question: &Arc<Question>, verdict: Result<(), Refusal>) {
        if let Some(shard) = self.shards.get(question.shard) {
            shard.send_control(Mail::Verdict { question: Arc::clone(question), verdict });
        }
    }

    /// Asks every shard for its statistics and waits for all, but no longer than `wait`: a shard that did not
    /// answer is missing from the result. Blocks the calling thread.
    pub fn stats(&self, wait: Duration) -> Vec<ShardStats> {
        let (reply, answers) = bounded(self.shards.len().max(1));
        for shard in self.shards.iter() {
            shard.send_control(Mail::Stats { reply: reply.clone() });
        }
        drop(reply);
        let deadline = Instant::now() + wait;
        let mut all = Vec::with_capacity(self.shards.len());
        while let Ok(stats) = answers.recv_deadline(deadline) {
            all.push(stats);
        }
        all.sort_by_key(|stats: &ShardStats| stats.shard);
        all
    }

    /// Sends every shard a new configuration: limits and times apply from then on, to new and living sessions; the
    /// length of the mesh's queues stays.
    pub fn configure(&self, config: Config) {
        for shard in self.shards.iter() {
            shard.send_control(Mail::Configure(Box::new(config)));
        }
    }

    /// Tells every shard to stop accepting, to say goodbye to every session, and to end when the last is gone or after
    /// `limit`.
    pub fn drain(&self, limit: Duration) {
        for shard in self.shards.iter() {
            shard.send_control(Mail::Drain { limit });
        }
    }
}
