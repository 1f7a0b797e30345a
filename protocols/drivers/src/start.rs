//! Listeners on every shard, and the engine under them.

use crate::config::{Config, ListenerConfig};
use crate::local::Local;
use crate::table;
use engine::{Engine, Handle, Shard};
use rt::{Backend, Either, ShardThread, TcpListener};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pause after an accept that failed for want of something (file descriptors, memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server is started with.
pub struct Start {
    /// Executor.
    pub backend: Backend,
    /// One shard for each; `None` is not pinned.
    pub cores: Vec<Option<usize>>,
    /// Engine's configuration.
    pub engine: engine::Config,
    /// Drivers' configuration.
    pub drivers: Config,
    /// How long the shards may take to come up.
    pub startup_timeout: Duration,
}

/// A running server.
pub struct Running {
    /// For the control side.
    pub handle: Handle,
    /// Where it listens; a configured port 0 is resolved.
    pub addresses: Vec<(ListenerConfig, SocketAddr)>,
    threads: Vec<ShardThread>,
}

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be listened on.
    Bind {
        /// Which.
        listener: ListenerConfig,
        /// Why.
        error: io::Error,
    },
    /// A shard did not come up.
    Shard {
        /// Which.
        index: usize,
        /// Why, in one line.
        why: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { listener, error } => write!(f, "cannot listen on {}: {error}", listener.addr),
            Self::Shard { index, why } => write!(f, "shard {index} did not come up: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Running {
    /// What connections that come from now on are told. Addresses, certificates and the length of queues stay.
    pub fn configure(handle: &Handle, config: Config) {
        let config = Arc::new(config);
        handle.each(move |shard| {
            Local::install(shard, Arc::clone(&config));
        });
    }

    /// Whether a shard's thread has ended.
    pub fn any_ended(&self) -> bool {
        self.threads.iter().any(ShardThread::is_finished)
    }

    /// Waits for all shards to end.
    ///
    /// # Errors
    /// The first that failed.
    pub fn join(self) -> Result<(), String> {
        self.threads.into_iter().map(ShardThread::join).fold(Ok(()), Result::and)
    }
}

type Bound = (ListenerConfig, std::net::TcpListener);

/// Binds all addresses once for each shard, then starts the shards.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub fn start(start: Start) -> Result<Running, StartError> {
    let shards = start.cores.len();
    let mut addresses = Vec::new();
    let mut sets: Vec<Vec<Bound>> = (0..shards).map(|_| Vec::new()).collect();
    for listener in &start.drivers.listeners {
        let mut addr = listener.addr;
        check_free(*listener, addr)?;
        for set in &mut sets {
            let bind = |error| StartError::Bind { listener: *listener, error };
            let bound = rt::bind_tcp(addr, start.drivers.backlog).map_err(bind)?;
            addr = bound.local_addr().map_err(bind)?;
            set.push((*listener, bound));
        }
        addresses.push((*listener, addr));
    }
    let sets: Arc<Mutex<Vec<Option<Vec<Bound>>>>> =
        Arc::new(Mutex::new(sets.into_iter().map(Some).collect()));
    let config = Arc::new(start.drivers);
    let serve = move |shard: &Shard| {
        let taken = {
            let mut sets = sets.lock().unwrap_or_else(PoisonError::into_inner);
            sets.get_mut(shard.index()).and_then(Option::take)
        };
        let local = Local::install(shard, Arc::clone(&config));
        for (listener, bound) in taken.unwrap_or_default() {
            let bound = TcpListener::from_std(bound).map_err(|error| format!("listener: {error}"))?;
            rt::spawn(accept(Rc::clone(&local), listener, bound));
        }
        Ok(())
    };
    let engine = Engine {
        backend: start.backend,
        cores: start.cores,
        config: start.engine,
        timeout: start.startup_timeout,
    };
    let started = engine::start(engine, serve)
        .map_err(|error| StartError::Shard { index: error.shard, why: error.why })?;
    Ok(Running { handle: started.handle, addresses, threads: started.threads })
}

/// `SO_REUSEPORT` would let a second server of the same user share the port in silence: ask without it first.
fn check_free(listener: ListenerConfig, addr: SocketAddr) -> Result<(), StartError> {
    if addr.port() == 0 {
        return Ok(());
    }
    std::net::TcpListener::bind(addr).map(drop).map_err(|error| StartError::Bind { listener, error })
}

async fn accept(local: Rc<Local>, listener: ListenerConfig, bound: TcpListener) {
    let mut warned = false;
    let drained = local.shard.on_drain();
    loop {
        // The end of this closes the port.
        let Either::Right(accepted) = rt::either(drained.wait(), bound.accept()).await else { return };
        match accepted {
            Ok((fd, peer)) => {
                warned = false;
                // What is in force now.
                let local = Local::here().unwrap_or_else(|| Rc::clone(&local));
                table::serve(&local, listener, fd, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                local.shard.count_limit("accept");
                if !warned {
                    tracing::warn!(addr = %listener.addr, %error, "cannot accept; raise the limit of file descriptors if it says so");
                    warned = true;
                }
                rt::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
