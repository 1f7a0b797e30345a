//! What the control side holds of the engine: questions come out of it, answers, drains and requests for statistics
//! go into it. Everything is a message; nothing here waits for a shard longer than it says.

use crate::config::Config;
use crate::event::Event;
use crate::mesh::{Mail, Outbox};
use crate::shard::Shard;
use crate::visitor::Visitor;
use crate::{SessionId, ShardStats};
use crossbeam_channel::{Receiver, bounded};
use media::{LatencyClass, Refusal, StopReason, StreamKey};
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
    pub query: Box<[(String, String)]>,
    /// From where.
    pub peer: SocketAddr,
    /// `rtmp`, `http-flv`, ….
    pub protocol: &'static str,
    /// What the peer says it is.
    pub user_agent: Arc<str>,
    /// Host of the URL as the peer wrote it.
    pub host: Box<str>,
}

/// What an allowed session is told beside the yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The stream it gets, if that is another than it asked for.
    pub key: Option<StreamKey>,
    /// Latency class of a viewer, whatever it asked for.
    pub class: Option<LatencyClass>,
}

/// What is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// One session.
    Session(SessionId),
    /// The publisher of a stream; its viewers wait for the next one as after a broken connection.
    Publisher(StreamKey),
    /// A stream with all that belongs to it.
    Stream(StreamKey),
}

/// The engine, as the control side sees it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shards: Arc<[Outbox]>,
    pub(crate) questions: Receiver<Arc<Question>>,
    pub(crate) events: Receiver<Event>,
    pub(crate) visitors: Receiver<Visitor>,
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

    /// What happened, in order. Whoever reads it must read all: while too much waits, nobody is admitted. Ends with
    /// the last shard.
    pub const fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Connections whose requests are for the control side.
    pub const fn visitors(&self) -> &Receiver<Visitor> {
        &self.visitors
    }

    /// Answers a question: `Ok` lets the session go on.
    /// An answer that comes after the session has gone, or has gone on to ask something else, is dropped.
    pub fn answer(&self, question: &Arc<Question>, verdict: Result<Grant, Refusal>) {
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

    /// How many shards answer within `wait`. Blocks the calling thread.
    pub fn ping(&self, wait: Duration) -> usize {
        let (reply, answers) = bounded(self.shards.len().max(1));
        self.each(move |_| {
            // There is room for all.
            let _ = reply.try_send(());
        });
        let deadline = Instant::now() + wait;
        let mut answered = 0;
        while answered < self.shards.len() && answers.recv_deadline(deadline).is_ok() {
            answered += 1;
        }
        answered
    }

    /// Ends sessions, as an operator's decision, and waits until every shard has begun to, but no longer than `wait`. Gives how
    /// many sessions that were. Blocks the calling thread.
    pub fn stop(&self, which: &Which, reason: StopReason, wait: Duration) -> usize {
        let (reply, answers) = bounded(self.shards.len().max(1));
        for shard in self.shards.iter() {
            shard.send_control(Mail::Stop { which: which.clone(), reason, reply: reply.clone() });
        }
        drop(reply);
        let deadline = Instant::now() + wait;
        let mut stopped = 0;
        while let Ok(sessions) = answers.recv_deadline(deadline) {
            stopped += sessions;
        }
        stopped
    }

    /// Runs something on every shard, soon.
    pub fn each(&self, run: impl Fn(&Shard) + Send + Sync + 'static) {
        let run = Arc::new(run);
        for shard in self.shards.iter() {
            shard.send_control(Mail::Run(Arc::clone(&run) as Arc<dyn Fn(&Shard) + Send + Sync>));
        }
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
