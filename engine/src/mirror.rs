//! Mirrors: a stream on a shard that does not own it, fed by the owner with one batch a shard.
//!
//! The owner never waits for a mirror: a batch that finds the queue full is dropped and counted, and the mirror goes on
//! at the next keyframe. Going hot and going cool have hysteresis: hot at the threshold, cool below half of it.

use crate::mesh::{Feed, Mail};
use crate::shard::{Shard, bump};
use crate::stream::{Follower, Phase, Stream};
use media::{Kind, StopReason, StreamKey};
use std::cell::RefCell;
use std::rc::Rc;

/// Most shards that follow one stream: all others.
type Streams = Rc<RefCell<Stream>>;

impl Shard {
    /// On a mirror: asks the owner for the stream.
    pub(crate) fn ask_owner(&self, key: &StreamKey, wait: bool) {
        self.tell(self.owner(key), Mail::Follow { key: key.clone(), from: self.index(), wait });
    }

    /// On the owner: a shard wants to mirror.
    pub(crate) fn follow(&self, key: &StreamKey, from: usize, wait: bool) {
        let stream = match self.stream(key) {
            Some(stream) => Some(stream),
            None if wait && !self.is_draining() => self.stream_or_new(key).ok(),
            None => None,
        };
        let Some(stream) = stream.filter(|s| wait || s.borrow().is_there()) else {
            self.tell(from, Mail::Ended { key: key.clone() });
            return;
        };
        // What is collected for the others is older than the snapshot and must not come after it.
        self.feed_followers(&stream);
        {
            let mut s = stream.borrow_mut();
            s.followers.retain(|f| f.shard != from);
            s.followers.push(Follower { shard: from, broken: false, viewers: 0 });
        }
        if stream.borrow().is_there() {
            self.start_follower(&stream, from);
        }
    }

    /// On the owner: a mirror has no viewers left.
    pub(crate) fn unfollow(&self, key: &StreamKey, from: usize) {
        if let Some(stream) = self.stream(key) {
            stream.borrow_mut().followers.retain(|f| f.shard != from);
            self.weigh(&stream);
        }
    }

    /// On the owner: the stream begins, or begins again.
    pub(crate) fn start_followers(&self, stream: &Streams) {
        let shards: Vec<usize> = stream.borrow().followers.iter().map(|f| f.shard).collect();
        for shard in shards {
            self.start_follower(stream, shard);
        }
    }

    /// On the owner: one batch to each mirror.
    pub(crate) fn feed_followers(&self, stream: &Streams) {
        let mut stream = stream.borrow_mut();
        if stream.feed.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut stream.feed);
        let Stream { key, info, followers, .. } = &mut *stream;
        for follower in followers {
            let mail = if follower.broken {
                let Some(entry) = entry_of(&batch, info.video.is_some()) else { continue };
                let again = [Feed::Gap, Feed::Info(info.clone())].into_iter();
                again.chain(batch.iter().skip(entry).cloned()).collect()
            } else {
                batch.clone()
            };
            let sent = self
                .inner()
                .outboxes
                .get(follower.shard)
                .is_some_and(|outbox| outbox.send(Mail::Feed { key: key.clone(), batch: mail }).is_ok());
            follower.broken = !sent;
            if !sent {
                self.count_drop(|drops| drops.media += 1);
            }
        }
    }

    /// On a mirror: a batch came.
    pub(crate) fn feed(&self, key: &StreamKey, batch: Vec<Feed>) {
        let Some(stream) = self.stream(key).filter(|s| s.borrow().mirror) else {
            return; // Unfollowed meanwhile.
        };
        let now = self.now();
        {
            let mut stream = stream.borrow_mut();
            for feed in batch {
                match feed {
                    Feed::Start { info, generation } => {
                        stream.set_info(info);
                        stream.gap();
                        stream.generation = generation;
                        stream.came(now);
                    }
                    Feed::Info(info) => stream.set_info(info),
                    Feed::Packet(packet) => stream.accept(now, packet),
                    Feed::Gap => {
                        bump(&self.inner().counters.mirror_gaps);
                        stream.gap();
                    }
                }
            }
        }
        self.flush_at_once(&stream);
    }

    /// On a mirror: the owner has the stream no more, or never had it.
    pub(crate) fn mirror_ended(&self, key: &StreamKey) {
        if let Some(stream) = self.stream(key).filter(|s| s.borrow().mirror) {
            self.end_stream(&stream, StopReason::StreamEnded);
        }
    }

    /// On the owner: how many viewers a mirror has.
    pub(crate) fn mirror_viewers(&self, key: &StreamKey, from: usize, viewers: usize) {
        if let Some(stream) = self.stream(key) {
            if let Some(follower) = stream.borrow_mut().followers.iter_mut().find(|f| f.shard == from) {
                follower.viewers = viewers;
            }
            self.weigh(&stream);
        }
    }

    /// On the owner: whether the stream has become hot, or cool.
    pub(crate) fn weigh(&self, stream: &Streams) {
        let threshold = self.config().mirror.threshold;
        let mut stream = stream.borrow_mut();
        // Of one that is over nothing is said: its name may be another's by now.
        if stream.mirror || stream.phase == Phase::Ended || threshold == 0 || self.count() == 1 {
            return;
        }
        let audience = stream.audience();
        let hot = if stream.hot { audience > threshold / 2 } else { audience >= threshold };
        if hot != stream.hot {
            stream.hot = hot;
            tracing::info!(stream = %stream.key, audience, hot, "stream went {}", if hot { "hot" } else { "cool" });
            self.spread_hot(&stream.key, hot);
        }
    }

    pub(crate) fn spread_hot(&self, key: &StreamKey, hot: bool) {
        for shard in (0..self.count()).filter(|shard| *shard != self.index()) {
            self.tell(shard, Mail::Hot { key: key.clone(), hot });
        }
    }

    fn start_follower(&self, stream: &Streams, shard: usize) {
        let mut stream = stream.borrow_mut();
        let mail = Mail::Feed { key: stream.key.clone(), batch: stream.snapshot() };
        let sent = self.inner().outboxes.get(shard).is_some_and(|outbox| outbox.send(mail).is_ok());
        if !sent {
            self.count_drop(|drops| drops.media += 1);
            // It asks again when its viewers do.
            stream.followers.retain(|f| f.shard != shard);
            let key = stream.key.clone();
            drop(stream);
            self.tell(shard, Mail::Ended { key });
        }
    }
}

/// Where in a batch a mirror that lost something can go on.
fn entry_of(batch: &[Feed], has_video: bool) -> Option<usize> {
    batch.iter().position(|feed| match feed {
        Feed::Packet(packet) if has_video => packet.kind == Kind::Video && packet.flags.keyframe,
        Feed::Packet(_) => true,
        _ => false,
    })
}
