//! The routes that users of Node Media Server know, behind `admin.nms_api`: a login with the MD5 of a password, the token in a
//! bare `authorization` header, and version 2's views of server and streams. They stand on the same functions as our own.

use super::guard::{Peer, RealStatus};
use super::problem::{Body, Failure, Path};
use super::routes::{self, parsed};
use super::{Api, App, merge};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use engine::{Role, SessionStats, ShardStats, Which};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Life of a token.
const LIFE: Duration = Duration::from_secs(24 * 3600);

pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/login", post(login))
        .route("/api/server", get(server))
        .route("/api/streams", get(streams))
        .route("/api/streams/{*key}", get(stream).delete(stop))
}

/// Whether a path is one of these.
pub(super) fn is_ours(path: &str) -> bool {
    path.starts_with("/api/") && !path.starts_with("/api/v1/")
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

/// `{code, data, error}`: the code is in the body, the status is always 200.
async fn login(
    State(api): App,
    Extension(peer): Extension<Peer>,
    body: Result<Body<Login>, Failure>,
) -> Result<Response, Failure> {
    switched_on(&api)?;
    let entered = match body {
        Ok(Body(Login { username, password })) => {
            routes::enter(&api, peer, username, password, true, LIFE).await
        }
        Err(failure) => Err(failure),
    };
    let (code, said) = match entered {
        Ok(issued) => (200, json!({ "data": { "token": issued.token } })),
        Err(Failure::Unauthorized) => (401, json!({ "error": "wrong username or password" })),
        Err(Failure::TooManyFailures(_)) => (429, json!({ "error": "too many failed logins" })),
        Err(Failure::BadRequest(why)) => (400, json!({ "error": why })),
        Err(Failure::TooLarge | Failure::NotJson) => (400, json!({ "error": "not JSON, or too large" })),
        Err(_) => (503, json!({ "error": "busy" })),
    };
    Ok((Extension(RealStatus(code)), Json(with(said, [("code", json!(code))]))).into_response())
}

async fn server(State(api): App) -> Result<Json<Value>, Failure> {
    switched_on(&api)?;
    let shards = api.stats().await?;
    let living = || all_sessions(&shards).filter(|session| session.ended.is_none());
    let count = |kind: &str| living().filter(|session| kind_of(session) == kind).count();
    let sum = |of: fn(&ShardStats) -> u64| shards.iter().map(of).sum::<u64>();
    let uptime = SystemTime::now().duration_since(api.about.started_at).unwrap_or_default();
    let memory = |name: &str| proc_number("/proc/meminfo", name).saturating_mul(1024);
    let resident = proc_number("/proc/self/status", "VmRSS:").saturating_mul(1024);
    Ok(Json(json!({
        "os": {
            "arch": std::env::consts::ARCH,
            "platform": std::env::consts::OS,
            "release": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        },
        "cpu": {
            "num": std::thread::available_parallelism().map_or(1, usize::from),
            "load": load(),
            "model": cpu_model(),
            "speed": 0,
        },
        // Their spelling.
        "mem": { "totle": memory("MemTotal:"), "free": memory("MemAvailable:") },
        "net": { "inbytes": sum(|shard| shard.bytes_in), "outbytes": sum(|shard| shard.bytes_out) },
        "nodejs": { "uptime": uptime.as_secs(), "version": "", "mem": { "rss": resident } },
        "clients": {
            "accepted": sum(|shard| shard.accepted),
            "active": living().count(),
            "idle": living().filter(|session| session.role == Role::Undecided).count(),
            "rtmp": count("rtmp"),
            "http": count("http"),
            "ws": count("ws"),
        },
        "version": api.about.version,
    })))
}

async fn streams(State(api): App) -> Result<Json<Value>, Failure> {
    switched_on(&api)?;
    let shards = api.stats().await?;
    let mut apps: Map<String, Value> = Map::new();
    let mut sessions: HashMap<&str, Vec<&SessionStats>> = HashMap::new();
    for session in all_sessions(&shards).filter(|session| session.ended.is_none()) {
        if let Some(key) = &session.key {
            sessions.entry(key.as_str()).or_default().push(session);
        }
    }
    for stream in merge::streams(&shards, SystemTime::now()) {
        let key = stream.key();
        let own = || sessions.get(key.as_str()).into_iter().flatten().copied();
        let publisher = own().find(|session| session.role == Role::Publisher);
        let viewers = own().filter(|session| session.role == Role::Viewer);
        let entry = json!({
            "publisher": publisher.map(|session| with(client(session, &stream.app, &stream.name), [
                ("bytes", json!(session.bytes_in)),
                ("audio", json!(stream.audio.as_ref().map(|audio| json!({
                    "codec": audio.codec, "profile": "", "samplerate": audio.sample_rate_hz, "channels": audio.channels,
                })))),
                ("video", json!(stream.video.as_ref().map(|video| json!({
                    "codec": video.codec, "width": video.width, "height": video.height,
                    "profile": "", "level": 0, "fps": video.frames_per_second,
                })))),
            ])),
            "subscribers": viewers.map(|session| with(client(session, &stream.app, &stream.name), [
                ("bytes", json!(session.bytes_out)),
                ("protocol", json!(kind_of(session))),
            ])).collect::<Vec<_>>(),
        });
        let app = apps.entry(stream.app.clone()).or_insert_with(|| json!({}));
        if let Some(app) = app.as_object_mut() {
            app.insert(stream.name.clone(), entry);
        }
    }
    Ok(Json(Value::Object(apps)))
}

async fn stream(State(api): App, Path(key): Path<String>) -> Result<Json<Value>, Failure> {
    switched_on(&api)?;
    let shards = api.stats().await?;
    let found = merge::streams(&shards, SystemTime::now()).into_iter().find(|stream| stream.key() == key);
    let Some(stream) = found.filter(|stream| stream.live) else {
        return Ok(Json(json!({
            "isLive": false, "viewers": 0, "duration": 0, "bitrate": 0, "startTime": null, "arguments": {},
        })));
    };
    let duration = SystemTime::now().duration_since(stream.started_at).unwrap_or_default().as_secs();
    Ok(Json(json!({
        "isLive": true,
        "viewers": stream.viewers,
        "duration": duration,
        "bitrate": stream.bits_per_second_in / 1000,
        "startTime": crate::time::iso8601(stream.started_at),
        "arguments": {},
    })))
}

async fn stop(State(api): App, Path(key): Path<String>) -> Result<Response, Failure> {
    switched_on(&api)?;
    let stopped = match parsed(&key) {
        Ok(key) => api.stop(Which::Publisher(key)).await,
        Err(_) => 0,
    };
    Ok(if stopped > 0 {
        Json("ok").into_response()
    } else {
        (StatusCode::NOT_FOUND, Json(json!({ "error": "stream not found" }))).into_response()
    })
}

fn switched_on(api: &Api) -> Result<(), Failure> {
    if api.access().nms { Ok(()) } else { Err(Failure::NotFound("there is no such resource")) }
}

fn all_sessions(shards: &[ShardStats]) -> impl Iterator<Item = &SessionStats> {
    shards.iter().flat_map(|shard| &shard.sessions)
}

fn client(session: &SessionStats, app: &str, stream: &str) -> Value {
    let since = SystemTime::now().checked_sub(session.age).unwrap_or_else(SystemTime::now);
    json!({
        "app": app,
        "stream": stream,
        "clientId": session.id.to_string(),
        "connectCreated": crate::time::iso8601(since),
        "ip": session.peer.ip().to_string(),
    })
}

fn with<const N: usize>(mut object: Value, more: [(&str, Value); N]) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    object
}

fn kind_of(session: &SessionStats) -> &'static str {
    match session.protocol {
        protocol if protocol.starts_with("rtmp") => "rtmp",
        protocol if protocol.starts_with("ws") => "ws",
        _ => "http",
    }
}

/// The number behind a name in a file of `/proc`; 0 if there is none.
fn proc_number(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(String::new, |(_, model)| model.trim().to_owned())
}
