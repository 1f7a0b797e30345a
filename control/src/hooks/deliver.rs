//! Brings facts from the spool to their targets: one task a target, a few requests at a time, one for each stream.

use super::ask::{Asker, LONGEST_PAUSE};
use super::spool::{Counts, Due, Spool};
use super::target::Target;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Requests that are open at a time, to one target.
const IN_FLIGHT: usize = 8;
/// Pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Looks at the spool are not nearer together than this.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
/// Pause when the spool cannot be read.
const BROKEN_PAUSE: Duration = Duration::from_secs(1);

/// What happened at one target.
#[derive(Debug, Default)]
struct Stats {
    delivered: AtomicU64,
    failed: AtomicU64,
    in_flight: AtomicU64,
}

/// The same, to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetCounts {
    /// Address without what may be secret.
    pub name: String,
    /// Facts that were taken.
    pub delivered: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Requests that are open.
    pub in_flight: u64,
    /// What waits, and what was given up.
    pub spool: Counts,
}

/// The worker of an address. It stays while its settings change: what it sends is not to be sent by a second one too.
struct Running {
    target: watch::Sender<Target>,
    stats: Arc<Stats>,
    /// Nobody is told there any more: nothing may be taken for it.
    ended: Arc<AtomicBool>,
    task: AbortHandle,
}

struct Inner {
    spool: Arc<Spool>,
    asker: Asker,
    runtime: Handle,
    news: watch::Sender<u64>,
    running: Mutex<BTreeMap<String, Running>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Deliverer(Arc<Inner>);

impl Deliverer {
    /// Delivers on this runtime.
    pub fn new(spool: Arc<Spool>, asker: Asker, runtime: Handle) -> Self {
        let (news, _) = watch::channel(0);
        Self(Arc::new(Inner { spool, asker, runtime, news, running: Mutex::default() }))
    }

    /// Who is told from now on. What waits for others is given up.
    ///
    /// # Errors
    /// The spool's.
    pub fn set_targets(&self, targets: &[Target]) -> Result<(), String> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = |url: &String| targets.iter().any(|target| target.url == *url);
        let set_ended = |running: &BTreeMap<String, Running>, ended: bool| {
            for (_, known) in running.iter().filter(|(url, _)| !stays(url)) {
                known.ended.store(ended, Ordering::SeqCst);
            }
        };
        set_ended(&running, true);
        let given_up = self.0.spool.keep_targets(targets).inspect_err(|_| set_ended(&running, false))?;
        running.retain(|url, known| {
            let stays = stays(url);
            if !stays {
                known.task.abort();
            }
            stays
        });
        if given_up > 0 {
            tracing::warn!(
                facts = given_up,
                "callbacks to targets that are no longer configured are given up"
            );
        }
        for target in targets {
            if let Some(known) = running.get(&target.url) {
                known.target.send_replace(target.clone());
                continue;
            }
            let (stats, ended) = (Arc::new(Stats::default()), Arc::new(AtomicBool::new(false)));
            let (send, settings) = watch::channel(target.clone());
            let work = Work {
                url: target.url.clone(),
                target: settings,
                spool: Arc::clone(&self.0.spool),
                asker: self.0.asker.clone(),
                stats: Arc::clone(&stats),
                ended: Arc::clone(&ended),
                jitter: RandomState::new(),
            };
            let task = self.0.runtime.spawn(work.run(self.0.news.subscribe())).abort_handle();
            running.insert(target.url.clone(), Running { target: send, stats, ended, task });
        }
        Ok(())
    }

    /// Who is told.
    pub fn targets(&self) -> Vec<Target> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().map(|known| known.target.borrow().clone()).collect()
    }

    /// Whether nobody is told.
    pub fn is_idle(&self) -> bool {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// There is something new in the spool.
    pub fn wake(&self) {
        self.0.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What happened at each target.
    pub fn counts(&self) -> Vec<TargetCounts> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named: HashMap<String, usize> = HashMap::new();
        let of = |(url, known): (&String, &Running)| {
            let mut name = known.target.borrow().name().to_owned();
            let same = named.entry(name.clone()).or_default();
            *same += 1;
            if *same > 1 {
                // They differ in what is not shown.
                name = format!("{name} ({same})");
            }
            TargetCounts {
                name,
                delivered: known.stats.delivered.load(Ordering::Relaxed),
                failed: known.stats.failed.load(Ordering::Relaxed),
                in_flight: known.stats.in_flight.load(Ordering::Relaxed),
                spool: self.0.spool.counts(url).unwrap_or_default(),
            }
        };
        running.iter().map(of).collect()
    }
}

struct Work {
    url: String,
    target: watch::Receiver<Target>,
    spool: Arc<Spool>,
    asker: Asker,
    stats: Arc<Stats>,
    ended: Arc<AtomicBool>,
    jitter: RandomState,
}

impl Work {
    async fn run(self, mut news: watch::Receiver<u64>) {
        let work = Arc::new(self);
        let mut flying: JoinSet<()> = JoinSet::new();
        loop {
            news.mark_unchanged();
            let room = IN_FLIGHT.saturating_sub(flying.len());
            let wait = match work.look(room).await {
                Ok((due, wait)) => {
                    for fact in due {
                        flying.spawn(Arc::clone(&work).send(fact));
                    }
                    wait
                }
                Err(error) => {
                    tracing::error!(%error, "the spool of callbacks cannot be read");
                    Some(BROKEN_PAUSE)
                }
            };
            let full = flying.len() >= IN_FLIGHT;
            tokio::select! {
                Some(_) = flying.join_next() => {}
                changed = news.changed(), if !full => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep(wait), if !full => {}
            }
        }
    }

    /// What is due, and when to look again.
    async fn look(self: &Arc<Self>, room: usize) -> Result<(Vec<Due>, Option<Duration>), String> {
        let work = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || {
            let due = if room == 0 { Vec::new() } else { work.spool.take(&work.url, room, &work.ended)? };
            Ok((due, work.spool.next(&work.url)?))
        });
        looked.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn send(self: Arc<Self>, fact: Due) {
        self.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        let target = self.target.borrow().clone();
        let answer = self.asker.post(&target, fact.body.clone(), Some(fact.event)).await;
        self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
        let failed = match answer {
            Ok((200..=299, _)) => None,
            Ok((status, _)) => Some(format!("answered {status}")),
            Err(why) => Some(why),
        };
        let work = Arc::clone(&self);
        // Noted in any case: a fact that stays busy would hold up its stream.
        while let Err(error) = work.note(fact.clone(), failed.clone()).await {
            tracing::error!(%error, "the spool of callbacks cannot be written");
            tokio::time::sleep(BROKEN_PAUSE).await;
        }
    }

    async fn note(self: &Arc<Self>, fact: Due, failed: Option<String>) -> Result<(), String> {
        let work = Arc::clone(self);
        let noted = tokio::task::spawn_blocking(move || {
            let url = &work.url;
            let Some(why) = failed else {
                work.spool.done(url, &fact)?;
                work.stats.delivered.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            };
            work.stats.failed.fetch_add(1, Ordering::Relaxed);
            let pause = pause(fact.attempts, work.jitter.hash_one((fact.id, fact.attempts)));
            let given_up = work.spool.again(url, &fact, pause)?;
            let target = work.target.borrow().name().to_owned();
            let (stream, event) = (fact.stream.as_str(), fact.event);
            if given_up {
                tracing::error!(target, stream, event, why, "a callback is given up");
            } else if fact.attempts == 0 {
                tracing::warn!(target, stream, event, why, "a callback was not taken; it is tried again");
            }
            Ok(())
        });
        noted.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait.max(SHORTEST_WAIT)).await,
        None => std::future::pending().await,
    }
}

/// Doubles with each failure up to a bound; a quarter of it is chance, so that many streams do not come back at once.
fn pause(attempts: u32, chance: u64) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << attempts.min(16)).min(LONGEST_PAUSE);
    let share = u32::try_from(chance % 256).unwrap_or(0);
    whole - whole / 1024 * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_bound_and_differ() {
        assert_eq!(pause(0, 0), FIRST_PAUSE);
        assert_eq!(pause(1, 0), FIRST_PAUSE * 2);
        assert_eq!((pause(16, 0), pause(u32::MAX, 0)), (LONGEST_PAUSE, LONGEST_PAUSE));
        assert!(pause(3, 255) < pause(3, 0) && pause(3, 255) > pause(2, 0));
    }
}
