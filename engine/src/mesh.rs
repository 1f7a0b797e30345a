//! How shards talk: one bounded queue for each ordered pair, one reserved lane for control, one doorbell a shard.
//!
//! Invariants worth naming:
//! - Nobody ever waits for a queue: `try_send` or drop, and every drop is counted by kind.
//! - What travels between one pair of shards arrives in order. The control lane is not ordered with it.
//! - A message that is dropped drops what it owns: a connection on its way is closed, never leaked.

use crate::config::Config;
use crate::handle::{Grant, Which};
use crate::shard::Shard;
use crate::{Question, ShardStats};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use media::{Packet, Refusal, StopReason, StreamInfo, StreamKey};
use rt::{Doorbell, Ringer};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Length of the control lane of a shard, in messages.
const CONTROL_LANE: usize = 4096;

/// A connection with its state, on its way to the shard that owns its stream.
pub trait Arrival: Send {
    /// Goes on living on this shard.
    fn land(self: Box<Self>, shard: &Shard);
}

/// Part of a stream on its way to a mirror.
#[derive(Clone)]
pub(crate) enum Feed {
    /// The stream is there: what a joining viewer must know.
    Start { info: StreamInfo, generation: u64 },
    /// The tracks or the metadata changed.
    Info(StreamInfo),
    /// A packet, its stamps final.
    Packet(Packet),
    /// Packets before this were dropped; the next is a keyframe.
    Gap,
}

/// One message.
pub(crate) enum Mail {
    Verdict {
        question: Arc<Question>,
        verdict: Result<Grant, Refusal>,
    },
    Stats {
        reply: Sender<ShardStats>,
    },
    Drain {
        limit: Duration,
    },
    Stop {
        which: Which,
        reason: StopReason,
        reply: Sender<usize>,
    },
    Run(Arc<dyn Fn(&Shard) + Send + Sync>),
    Configure(Box<Config>),
    Arrive(Box<dyn Arrival>),
    /// `life` numbers the mirrors that a shard makes: what is said of one never meets another of the same stream.
    Follow {
        key: StreamKey,
        from: usize,
        life: u64,
        wait: bool,
    },
    Unfollow {
        key: StreamKey,
        from: usize,
        life: u64,
    },
    Feed {
        key: StreamKey,
        life: u64,
        batch: Vec<Feed>,
    },
    Ended {
        key: StreamKey,
        life: u64,
    },
    Hot {
        key: StreamKey,
        hot: bool,
    },
    MirrorViewers {
        key: StreamKey,
        from: usize,
        life: u64,
        viewers: usize,
    },
}

/// The way to one shard.
#[derive(Clone)]
pub(crate) struct Outbox {
    pair: Option<Sender<Mail>>,
    control: Sender<Mail>,
    ringer: Ringer,
}

impl Outbox {
    /// By the reserved lane; `false` if it was full and the message is gone.
    pub fn send_control(&self, mail: Mail) -> bool {
        self.deliver(&self.control, mail).is_ok()
    }

    /// By the queue of the pair; gives the message back if it is full.
    pub fn send(&self, mail: Mail) -> Result<(), Mail> {
        self.deliver(self.pair.as_ref().unwrap_or(&self.control), mail)
    }

    fn deliver(&self, lane: &Sender<Mail>, mail: Mail) -> Result<(), Mail> {
        match lane.try_send(mail) {
            Ok(()) => {
                self.ringer.ring();
                Ok(())
            }
            Err(TrySendError::Full(mail) | TrySendError::Disconnected(mail)) => Err(mail),
        }
    }
}

/// All that comes to one shard.
pub(crate) struct Inbox {
    pairs: Vec<Receiver<Mail>>,
    control: Receiver<Mail>,
    doorbell: Doorbell,
    /// Pair to look at next: each in its turn, so that a busy one does not starve the others.
    turn: usize,
}

impl Inbox {
    /// Waits until somebody rang. Drain with [`Self::take`] after it.
    pub async fn wait(&mut self) -> io::Result<()> {
        self.doorbell.wait().await
    }

    /// The next message that is there, control first.
    pub fn take(&mut self) -> Option<Mail> {
        if let Ok(mail) = self.control.try_recv() {
            return Some(mail);
        }
        let count = self.pairs.len();
        for _ in 0..count {
            let pair = self.pairs.get(self.turn)?;
            self.turn = (self.turn + 1) % count;
            if let Ok(mail) = pair.try_recv() {
                return Some(mail);
            }
        }
        None
    }
}

/// A shard's ends of the mesh: what comes to it, and the ways to all.
pub(crate) type Member = (Inbox, Vec<Outbox>);

/// Queues for `shards` shards: for each its ends; and the outboxes of an outsider.
pub(crate) fn mesh(shards: usize, queue: usize) -> io::Result<(Vec<Member>, Vec<Outbox>)> {
    let mut outsider = Vec::with_capacity(shards);
    let mut inboxes = Vec::with_capacity(shards);
    for _ in 0..shards {
        let (ringer, doorbell) = rt::doorbell()?;
        let (to_control, control) = bounded(CONTROL_LANE);
        outsider.push(Outbox { pair: None, control: to_control, ringer });
        inboxes.push(Inbox { pairs: Vec::with_capacity(shards), control, doorbell, turn: 0 });
    }
    let mut members: Vec<Member> = inboxes.into_iter().map(|inbox| (inbox, Vec::new())).collect();
    for from in 0..shards {
        let mut outboxes = Vec::with_capacity(shards);
        for (to, outbox) in outsider.iter().enumerate() {
            let (sender, receiver) = bounded(queue.max(1));
            if let Some((inbox, _)) = members.get_mut(to) {
                inbox.pairs.push(receiver);
            }
            outboxes.push(Outbox { pair: Some(sender), ..outbox.clone() });
        }
        if let Some((_, slot)) = members.get_mut(from) {
            *slot = outboxes;
        }
    }
    Ok((members, outsider))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Owned(Arc<AtomicUsize>);
    impl Drop for Owned {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl Arrival for Owned {
        fn land(self: Box<Self>, _: &Shard) {}
    }

    #[test]
    fn a_full_queue_gives_back_and_leaves_the_control_lane_open() {
        let (mut members, outsider) = mesh(2, 3).unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let to_one = members[0].1[1].clone();
        for i in 0..5 {
            let sent = to_one.send(Mail::Arrive(Box::new(Owned(Arc::clone(&dropped))))).is_ok();
            assert_eq!(sent, i < 3);
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        assert!(to_one.send_control(Mail::Drain { limit: Duration::ZERO }));
        assert!(outsider[1].send_control(Mail::Drain { limit: Duration::ZERO }));
        let inbox = &mut members[1].0;
        let kinds: Vec<bool> =
            std::iter::from_fn(|| inbox.take()).map(|m| matches!(m, Mail::Arrive(_))).collect();
        assert_eq!(kinds, [false, false, true, true, true]);
        assert_eq!(dropped.load(Ordering::Relaxed), 5);
        assert!(members[0].0.take().is_none());
    }

    #[test]
    fn a_busy_pair_does_not_starve_the_others() {
        let (mut members, _) = mesh(3, 8).unwrap();
        let key = |name: &str| StreamKey::parse("a", name, 64).unwrap();
        for _ in 0..8 {
            assert!(members[0].1[2].send(Mail::Ended { key: key("busy"), life: 0 }).is_ok());
        }
        assert!(members[1].1[2].send(Mail::Ended { key: key("other"), life: 0 }).is_ok());
        let inbox = &mut members[2].0;
        let taken: Vec<bool> = std::iter::from_fn(|| inbox.take())
            .map(|mail| matches!(mail, Mail::Ended { key: found, .. } if found == key("other")))
            .collect();
        assert!(taken.iter().take(2).any(|other| *other), "{taken:?}");
    }
}
