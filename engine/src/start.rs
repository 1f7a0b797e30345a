//! Bringing the shards up: a thread and an executor each, pinned, waited for.

use crate::config::Config;
use crate::handle::Handle;
use crate::mesh::{Mail, Outbox, mesh};
use crate::shard::{Parts, Shard};
use crossbeam_channel::{RecvTimeoutError, bounded};
use rt::{Backend, ShardSpec, ShardThread};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// Questions to the control side that may wait.
const QUESTIONS: usize = 8192;

/// Connections for the control side that may wait.
const VISITORS: usize = 1024;

/// What a set of shards is started with.
pub struct Engine {
    /// Executor.
    pub backend: Backend,
    /// One shard for each; `None` is not pinned.
    pub cores: Vec<Option<usize>>,
    /// Configuration.
    pub config: Config,
    /// How long the shards may take to come up.
    pub timeout: Duration,
}

/// Running shards.
pub struct Started {
    /// For the control side.
    pub handle: Handle,
    /// Their threads.
    pub threads: Vec<ShardThread>,
}

/// Why the shards did not come up.
#[derive(Debug)]
pub struct StartError {
    /// Which shard.
    pub shard: usize,
    /// Why, in one line.
    pub why: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} did not come up: {}", self.shard, self.why)
    }
}

impl std::error::Error for StartError {}

/// Starts the shards. `serve` runs once on each, to set up its listeners; it says why if it cannot.
///
/// # Errors
/// The first shard that failed, or that was not up in time.
pub fn start<F>(engine: Engine, serve: F) -> Result<Started, StartError>
where
    F: Fn(&Shard) -> Result<(), String> + Send + Sync + 'static,
{
    let count = engine.cores.len();
    let failed = |shard: usize, why: String| StartError { shard, why };
    let (members, outsider) =
        mesh(count, engine.config.mirror.queue).map_err(|error| failed(0, format!("doorbell: {error}")))?;
    let (ask, questions) = bounded(QUESTIONS);
    // Bounded by admission: past its limit nobody new is allowed, and each session adds a start and an end.
    let (tell, events) = crossbeam_channel::unbounded();
    let (show_in, visitors) = bounded(VISITORS);
    let (report, reports) = bounded(count.max(1));
    let serve = Arc::new(serve);
    let connections = Arc::new(AtomicUsize::new(0));
    let mut threads = Vec::with_capacity(count);
    for (index, ((inbox, outboxes), cpu)) in members.into_iter().zip(engine.cores).enumerate() {
        let parts = Parts {
            index,
            cpu,
            config: engine.config,
            outboxes,
            questions: ask.clone(),
            events: tell.clone(),
            visitors: show_in.clone(),
            connections: Arc::clone(&connections),
        };
        let (report, serve) = (report.clone(), Arc::clone(&serve));
        let spec = ShardSpec { name: format!("shard-{index}"), cpu, backend: engine.backend };
        let main = move || async move {
            let shard = match Shard::new(parts) {
                Ok(shard) => shard,
                Err(error) => {
                    let _ = report.send((index, Err(error.to_string())));
                    return;
                }
            };
            let served = serve(&shard);
            let ready = served.is_ok();
            let _ = report.send((index, served));
            if ready {
                shard.run(inbox).await;
            }
        };
        match rt::spawn_shard(spec, main) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                end_all(&outsider);
                return Err(failed(index, error.to_string()));
            }
        }
    }
    drop((report, tell, show_in));
    if let Err(error) = wait_for_all(count, engine.timeout, &reports, &mut threads) {
        end_all(&outsider);
        return Err(error);
    }
    Ok(Started { handle: Handle { shards: outsider.into(), questions, events, visitors }, threads })
}

/// The shards that did come up end; they serve nobody yet.
fn end_all(shards: &[Outbox]) {
    for shard in shards {
        shard.send_control(Mail::Drain { limit: Duration::ZERO });
    }
}

fn wait_for_all(
    count: usize,
    timeout: Duration,
    reports: &crossbeam_channel::Receiver<(usize, Result<(), String>)>,
    threads: &mut Vec<ShardThread>,
) -> Result<(), StartError> {
    let deadline = Instant::now() + timeout;
    let mut missing: Vec<usize> = (0..count).collect();
    while !missing.is_empty() {
        match reports.recv_deadline(deadline) {
            Ok((shard, Ok(()))) => missing.retain(|index| *index != shard),
            Ok((shard, Err(why))) => return Err(StartError { shard, why }),
            Err(RecvTimeoutError::Timeout) => {
                let shard = missing.first().copied().unwrap_or_default();
                return Err(StartError { shard, why: format!("not ready after {} ms", timeout.as_millis()) });
            }
            Err(RecvTimeoutError::Disconnected) => return Err(ended_early(&missing, threads)),
        }
    }
    Ok(())
}

fn ended_early(missing: &[usize], threads: &mut Vec<ShardThread>) -> StartError {
    let shard = missing.first().copied().unwrap_or_default();
    let why = if shard < threads.len() {
        threads.swap_remove(shard).join().err().unwrap_or_else(|| "its thread ended".into())
    } else {
        "its thread ended".into()
    };
    StartError { shard, why }
}
