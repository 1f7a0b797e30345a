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
        let Some(stream) = self.stream(key) else { return };
        let mut stream = stream.borrow_mut();
        stream.told = self.now();
        let mail = Mail::Follow { key: key.clone(), from: self.index(), life: stream.life, wait };
        self.tell(stream.owner, mail);
    }

    /// On the owner: a shard wants to mirror. It asks again while it waits, for a message can be lost.
    pub(crate) fn follow(&self, key: &StreamKey, from: usize, life: u64, wait: bool) {
        let stream = match self.stream(key) {
            Some(stream) => Some(stream),
            None if wait && !self.is_draining() => self.stream_or_new(key).ok(),
            None => None,
        };
        let Some(stream) = stream.filter(|s| wait || s.borrow().is_there()) else {
            self.tell(from, Mail::Ended { key: key.clone(), life });
            return;
        };
        if stream.borrow().followers.iter().any(|f| f.shard == from && f.life == life) {
            return;
        }
        // What is collected for the others is older than the snapshot and must not come after it.
        self.feed_followers(&stream);
        {
            let mut s = stream.borrow_mut();
            s.followers.retain(|f| f.shard != from);
            s.followers.push(Follower { shard: from, life, broken: false, viewers: 0 });
            s.wake_publisher();
        }
        if stream.borrow().is_there() {
            self.start_follower(&stream, from, life);
        }
    }

    /// On the owner: a mirror has no viewers left.
    pub(crate) fn unfollow(&self, key: &StreamKey, from: usize, life: u64) {
        if let Some(stream) = self.stream(key) {
            stream.borrow_mut().followers.retain(|f| f.shard != from || f.life != life);
            self.weigh(&stream);
        }
    }

    /// On the owner: the stream begins, or begins again.
    pub(crate) fn start_followers(&self, stream: &Streams) {
        let followers: Vec<(usize, u64)> =
            stream.borrow().followers.iter().map(|f| (f.shard, f.life)).collect();
        for (shard, life) in followers {
            self.start_follower(stream, shard, life);
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
            let mail = Mail::Feed { key: key.clone(), life: follower.life, batch: mail };
            let sent =
                self.inner().outboxes.get(follower.shard).is_some_and(|outbox| outbox.send(mail).is_ok());
            follower.broken = !sent;
            if !sent {
                self.count_drop(|drops| drops.media += 1);
            }
        }
    }

    /// On a mirror: a batch came.
    pub(crate) fn feed(&self, key: &StreamKey, life: u64, batch: Vec<Feed>) {
        let Some(stream) = self.mirror_of(key, life) else {
            // Given up meanwhile; if the owner did not hear that, it does now.
            self.tell(self.owner(key), Mail::Unfollow { key: key.clone(), from: self.index(), life });
            return;
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
        self.touched(&stream);
        self.flush_at_once(&stream);
    }

    /// On a mirror: the owner has the stream no more, or never had it.
    pub(crate) fn mirror_ended(&self, key: &StreamKey, life: u64) {
        if let Some(stream) = self.mirror_of(key, life) {
            self.end_stream(&stream, StopReason::StreamEnded);
        }
    }

    /// On the owner: how many viewers a mirror has. One that is not listed has not heard of its end.
    pub(crate) fn mirror_viewers(&self, key: &StreamKey, from: usize, life: u64, viewers: usize) {
        let stream = self.stream(key);
        let known = stream.as_ref().is_some_and(|stream| {
            let mut stream = stream.borrow_mut();
            let follower = stream.followers.iter_mut().find(|f| f.shard == from && f.life == life);
            follower.map(|follower| follower.viewers = viewers).is_some()
        });
        match stream {
            Some(stream) if known => self.weigh(&stream),
            _ => self.tell(from, Mail::Ended { key: key.clone(), life }),
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

    fn mirror_of(&self, key: &StreamKey, life: u64) -> Option<Streams> {
        self.stream(key).filter(|stream| {
            let stream = stream.borrow();
            stream.mirror && stream.life == life
        })
    }

    fn start_follower(&self, stream: &Streams, shard: usize, life: u64) {
        let mut stream = stream.borrow_mut();
        let mail = Mail::Feed { key: stream.key.clone(), life, batch: stream.snapshot() };
        let sent = self.inner().outboxes.get(shard).is_some_and(|outbox| outbox.send(mail).is_ok());
        if !sent {
            self.count_drop(|drops| drops.media += 1);
            // It asks again when its viewers do.
            stream.followers.retain(|f| f.shard != shard || f.life != life);
            let key = stream.key.clone();
            drop(stream);
            self.tell(shard, Mail::Ended { key, life });
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::{Config, Engine, Started};
    use crossbeam_channel::{Sender, bounded};
    use std::time::Duration;

    /// Messages of the mesh, by hand, on a mirror whose owner is shard 0.
    async fn mirror_by_hand(shard: Shard, done: Sender<()>) {
        let key = (0..)
            .map(|n| StreamKey::parse("test", &format!("s{n}"), 64).unwrap())
            .find(|key| shard.owner(key) == 0)
            .unwrap();
        let stream = shard.stream_or_new(&key).unwrap();
        let life = stream.borrow().life;
        assert_eq!(life, 1);
        let start = || vec![Feed::Start { info: media::StreamInfo::default(), generation: 7 }];
        shard.feed(&key, life + 1, start());
        assert!(!stream.borrow().is_there(), "the feed of another mirror was taken");
        shard.feed(&key, life, start());
        assert!(stream.borrow().is_there());
        shard.mirror_ended(&key, life + 1);
        assert!(shard.stream(&key).is_some(), "the end of another mirror was taken");
        // The owner never heard of this mirror: when it is reminded of it, it says so.
        shard.touched(&stream);
        let waiting = crate::play::Waiting::new(&shard, Rc::clone(&stream));
        while shard.stream(&key).is_some() {
            rt::sleep(Duration::from_millis(20)).await;
        }
        drop(waiting);
        // One whose question is lost asks again.
        let (again, _) = (shard.stream_or_new(&key).unwrap(), ());
        assert_eq!(again.borrow().life, 2);
        let waiting = crate::play::Waiting::new(&shard, Rc::clone(&again));
        while shard.stream(&key).is_some() {
            rt::sleep(Duration::from_millis(20)).await;
        }
        drop(waiting);
        done.send(()).unwrap();
    }

    #[test]
    fn what_is_said_of_one_mirror_never_meets_another_and_lost_words_are_said_again() {
        let (done, finished) = bounded(1);
        let engine = Engine {
            backend: rt::Backend::Epoll,
            cores: vec![None; 2],
            config: Config::default(),
            timeout: Duration::from_secs(10),
        };
        let Started { handle, threads } = crate::start(engine, move |shard| {
            if shard.index() == 1 {
                rt::spawn(mirror_by_hand(shard.clone(), done.clone()));
            }
            Ok(())
        })
        .unwrap();
        let outcome = finished.recv_timeout(Duration::from_secs(30));
        let panics: u64 = handle.stats(Duration::from_secs(5)).iter().map(|s| s.panics).sum();
        handle.drain(Duration::ZERO);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!((outcome, panics), (Ok(()), 0));
    }
}
