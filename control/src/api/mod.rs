//! The admin API: what the shards counted, what happened, and what an operator may do about it.
//!
//! Runs on the control thread, and costs the media path one message a shard and question. Bounded: connections, bodies,
//! questions at a time, and how long each may take; whoever finds no place is told to come again.
//!
//! - [`Api`] is what the handlers share; `routes` has one file for each resource.
//! - `guard` decides who may ask what, before any handler runs.
//! - `serve` takes connections: from an address of its own, and from the media ports.

mod diagnosis;
mod guard;
mod merge;
mod nms;
mod page;
mod problem;
mod routes;
mod serve;
mod view;
mod visitor;

pub use guard::Anonymous;

use crate::access::Names;
use crate::accounts::Accounts;
use crate::admission::Denials;
use crate::audit::Audit;
use crate::config::live::Live;
use crate::events::Events;
use crate::metrics::{Metrics, Report};
use axum::Router;
use engine::{Handle, ShardStats, Which};
use ipnet::IpNet;
use media::StopReason;
use problem::Failure;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;

/// How long the shards may take to answer.
const WAIT: Duration = Duration::from_secs(2);
/// How long the shards' answer is good for those who ask whether they live.
const READY_FOR: Duration = Duration::from_secs(1);
/// Passwords that are checked at a time; each takes 19 MiB.
const CHECKERS: usize = 2;

/// Paths that the control side serves on the media ports too: a whole path, or the beginning of some if it ends in a slash.
pub const PATHS: &[&str] = &["/api/", "/metrics", "/healthz", "/readyz"];

/// What the server says of itself.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct About {
    /// Version of the program.
    pub version: &'static str,
    /// Executor of the shards.
    pub backend: String,
    /// When it started.
    #[serde(serialize_with = "crate::time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: SystemTime,
    /// Number of the process.
    pub pid: u32,
}

/// Who may reach the API, and how it behaves.
#[derive(Clone, Debug)]
pub struct Access {
    /// What may be asked without a token.
    pub anonymous: Anonymous,
    /// From where; empty: from anywhere.
    pub allow: Vec<IpNet>,
    /// Whether Node Media Server's routes are served.
    pub nms: bool,
    /// Connections at a time.
    pub max_connections: usize,
}

/// What all handlers share.
pub struct Api {
    /// The engine.
    pub handle: Handle,
    /// Of the server.
    pub about: About,
    /// Users and tokens.
    pub accounts: Accounts,
    /// What happened.
    pub events: Arc<Events>,
    /// What operators did.
    pub audit: Audit,
    /// Configuration.
    pub config: Arc<Live>,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// Why sessions were refused.
    pub denials: Arc<Denials>,
    /// What may be shown of names, now.
    pub names: Box<dyn Fn() -> Arc<Names> + Send + Sync>,
    /// Tells figures of parts that the API does not know.
    pub more_metrics: MoreMetrics,
    access: Box<dyn Fn() -> Access + Send + Sync>,
    askers: Semaphore,
    checkers: Semaphore,
    last: Mutex<Option<(Instant, Arc<Vec<ShardStats>>)>>,
    /// When all shards answered last.
    ready: tokio::sync::Mutex<Option<Instant>>,
    draining: AtomicBool,
}

/// Parts of an [`Api`].
pub struct Parts {
    /// The engine.
    pub handle: Handle,
    /// Of the server.
    pub about: About,
    /// Users and tokens.
    pub accounts: Accounts,
    /// What happened.
    pub events: Arc<Events>,
    /// What operators did.
    pub audit: Audit,
    /// Configuration.
    pub config: Arc<Live>,
    /// Figures for Prometheus.
    pub metrics: Metrics,
    /// Why sessions were refused.
    pub denials: Arc<Denials>,
    /// What may be shown of names, now.
    pub names: Box<dyn Fn() -> Arc<Names> + Send + Sync>,
    /// Tells figures of parts that the API does not know.
    pub more_metrics: MoreMetrics,
    /// Who may reach it, now.
    pub access: Box<dyn Fn() -> Access + Send + Sync>,
}

/// Tells figures.
pub type MoreMetrics = Box<dyn Fn(Report<'_>) + Send + Sync>;

type App = axum::extract::State<Arc<Api>>;

impl Api {
    /// Of its parts.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            handle,
            about,
            accounts,
            events,
            audit,
            config,
            metrics,
            denials,
            names,
            more_metrics,
            access,
        } = parts;
        Arc::new(Self {
            handle,
            about,
            accounts,
            events,
            audit,
            config,
            metrics,
            denials,
            names,
            more_metrics,
            access,
            askers: Semaphore::new(1),
            checkers: Semaphore::new(CHECKERS),
            last: Mutex::default(),
            ready: tokio::sync::Mutex::default(),
            draining: AtomicBool::new(false),
        })
    }

    fn access(&self) -> Access {
        (self.access)()
    }

    /// What the shards counted, asked after this was called. Those who ask at the same time share an answer, so any number of
    /// them costs the shards one question after the other.
    async fn stats(self: &Arc<Self>) -> Result<Arc<Vec<ShardStats>>, Failure> {
        let came = Instant::now();
        let place = tokio::time::timeout(2 * WAIT, self.askers.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Failure::Busy) };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((asked, shards)) = last
            && asked >= came
        {
            return Ok(shards);
        }
        let (handle, asked) = (self.handle.clone(), Instant::now());
        let shards = tokio::task::spawn_blocking(move || handle.stats(WAIT)).await.unwrap_or_default();
        if shards.len() < self.handle.shards() {
            return Err(Failure::ShardsSilent);
        }
        let shards = Arc::new(shards);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, Arc::clone(&shards)));
        Ok(shards)
    }

    /// The server is being stopped: it is not ready any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether all shards answer. Anybody may ask, as often as they like: the shards are asked once in a while, and for nothing
    /// that costs.
    async fn ready(self: &Arc<Self>) -> Result<(), Failure> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Failure::Draining);
        }
        let mut last = tokio::time::timeout(2 * WAIT, self.ready.lock()).await.map_err(|_| Failure::Busy)?;
        if last.is_some_and(|last| last.elapsed() < READY_FOR) {
            return Ok(());
        }
        let handle = self.handle.clone();
        let answered = tokio::task::spawn_blocking(move || handle.ping(WAIT)).await.unwrap_or_default();
        if answered < self.handle.shards() {
            return Err(Failure::ShardsSilent);
        }
        *last = Some(Instant::now());
        Ok(())
    }

    /// Ends sessions; gives how many.
    async fn stop(self: &Arc<Self>, which: Which) -> usize {
        let handle = self.handle.clone();
        let stopped =
            tokio::task::spawn_blocking(move || handle.stop(&which, StopReason::Kicked, WAIT)).await;
        stopped.unwrap_or_default()
    }

    /// Runs something that takes long, a few at a time.
    async fn slowly<T: Send + 'static>(
        self: &Arc<Self>,
        run: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let place = tokio::time::timeout(WAIT, self.checkers.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(Failure::Busy) };
        let api = Arc::clone(self);
        tokio::task::spawn_blocking(move || run(&api)).await.map_err(|_| Failure::Busy)
    }

    /// All routes.
    fn router(self: &Arc<Self>) -> Router {
        routes::router(self)
    }
}
