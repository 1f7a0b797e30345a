//! The read-only admin API: what the shards counted, merged when somebody asks.
//!
//! Bounded: one question to the shards at a time for each of a few askers; whoever finds no place is told to come
//! again. Runs on the control thread and costs the media path one message a shard and question.

mod merge;
mod view;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use engine::{Handle, ShardStats};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// How long the shards may take to answer.
const WAIT: Duration = Duration::from_secs(2);
/// Questions to the shards at a time.
const ASKERS: usize = 4;

/// What the server says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// Version of the program.
    pub version: &'static str,
    /// Executor of the shards.
    pub backend: String,
    /// When it started.
    #[serde(serialize_with = "view::time")]
    pub started_at: SystemTime,
    /// Number of the process.
    pub pid: u32,
}

struct Shared {
    handle: Handle,
    about: About,
    askers: Semaphore,
}

/// Paths that the control side serves on the media ports too: a whole path, or the beginning of some if it ends in a slash.
pub const PATHS: &[&str] = &["/api/", "/metrics", "/healthz", "/readyz"];

type App = State<Arc<Shared>>;

/// Serves the API on a listener until the process ends.
///
/// # Errors
/// The listener's.
pub async fn serve(listener: TcpListener, handle: Handle, about: About) -> std::io::Result<()> {
    let shared = Shared { handle, about, askers: Semaphore::new(ASKERS) };
    axum::serve(listener, router(Arc::new(shared))).await
}

fn router(shared: Arc<Shared>) -> Router {
    let known = Router::new()
        .route("/server", get(server))
        .route("/streams", get(streams))
        .route("/streams/{*key}", get(stream))
        .route("/sessions", get(sessions))
        .method_not_allowed_fallback(async || failure(Failure::MethodNotAllowed));
    Router::new()
        .nest("/api/v1", known)
        .fallback(async || failure(Failure::NotFound("there is no such resource")))
        .with_state(shared)
}

async fn server(State(shared): App) -> Response {
    answer(&shared, |shards| view::server(&shared.about, shards)).await
}

async fn streams(State(shared): App) -> Response {
    answer(&shared, |shards| view::Streams { streams: merge::streams(&shards, SystemTime::now()) }).await
}

async fn stream(State(shared): App, Path(key): Path<String>) -> Response {
    let shards = match ask(&shared).await {
        Ok(shards) => shards,
        Err(why) => return failure(why),
    };
    let found = merge::streams(&shards, SystemTime::now()).into_iter().find(|stream| stream.key() == key);
    found.map_or_else(
        || failure(Failure::NotFound("there is no such stream")),
        |stream| Json(stream).into_response(),
    )
}

async fn sessions(State(shared): App) -> Response {
    answer(&shared, |shards| view::Sessions { sessions: merge::sessions(&shards, SystemTime::now()) }).await
}

async fn answer<T: Serialize>(shared: &Arc<Shared>, show: impl FnOnce(Vec<ShardStats>) -> T) -> Response {
    match ask(shared).await {
        Ok(shards) => Json(show(shards)).into_response(),
        Err(why) => failure(why),
    }
}

async fn ask(shared: &Arc<Shared>) -> Result<Vec<ShardStats>, Failure> {
    let Ok(_place) = shared.askers.try_acquire() else { return Err(Failure::Busy) };
    let handle = shared.handle.clone();
    let shards = tokio::task::spawn_blocking(move || handle.stats(WAIT)).await.unwrap_or_default();
    if shards.len() < shared.handle.shards() {
        return Err(Failure::ShardsSilent);
    }
    Ok(shards)
}

/// What can go wrong, with its stable code.
#[derive(Clone, Copy, Debug)]
enum Failure {
    NotFound(&'static str),
    MethodNotAllowed,
    Busy,
    ShardsSilent,
}

fn failure(failure: Failure) -> Response {
    let (status, code, message) = match failure {
        Failure::NotFound(message) => (StatusCode::NOT_FOUND, "not_found", message),
        Failure::MethodNotAllowed => {
            (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this resource can only be read")
        }
        Failure::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many questions at a time; ask again"),
        Failure::ShardsSilent => {
            (StatusCode::SERVICE_UNAVAILABLE, "shards_silent", "a shard did not answer in time; ask again")
        }
    };
    let body = Json(view::Problem { error: view::ProblemDetail { code, message } });
    match failure {
        Failure::MethodNotAllowed => (status, [(header::ALLOW, "GET, HEAD")], body).into_response(),
        Failure::Busy | Failure::ShardsSilent => (status, [(header::RETRY_AFTER, "1")], body).into_response(),
        Failure::NotFound(_) => (status, body).into_response(),
    }
}
