//! Streams: look, kick the publisher, close.

use super::super::page::Paging;
use super::super::problem::{Failure, Path, Query};
use super::super::{App, merge, view};
use super::Fails;
use axum::Json;
use axum::extract::State;
use engine::Which;
use media::StreamKey;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;
use utoipa::{IntoParams, ToSchema};

/// Longest application and name that can be asked for, in bytes.
const NAME_BYTES: usize = 512;

/// Which streams.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only of this application.
    app: Option<String>,
    /// Only with (or without) a publisher.
    live: Option<bool>,
    /// Only those whose `app/name` contains this text.
    search: Option<String>,
}

/// Sessions that were ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ended {
    /// How many.
    pub sessions_ended: usize,
}

/// All streams
#[utoipa::path(get, path = "/api/v1/streams", tag = "streams", params(Paging, Wanted),
    responses((status = 200, body = view::Streams), Fails))]
pub(super) async fn list(
    State(api): App,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<view::Streams>, Failure> {
    let shards = api.stats().await?;
    let mut streams = merge::streams(&shards, SystemTime::now());
    streams.retain(|stream| {
        wanted.app.as_ref().is_none_or(|app| *app == stream.app)
            && wanted.live.is_none_or(|live| live == stream.live)
            && wanted.search.as_ref().is_none_or(|text| stream.key().contains(text))
    });
    let (streams, page) = paging.of(streams)?;
    Ok(Json(view::Streams { streams, page }))
}

/// One stream
///
/// The application may have several levels: what follows the last slash is the name.
#[utoipa::path(get, path = "/api/v1/streams/{key}", tag = "streams",
    params(("key" = String, Path, description = "Application and name, with a slash between")),
    responses((status = 200, body = view::Stream), Fails))]
pub(super) async fn one(State(api): App, Path(key): Path<String>) -> Result<Json<view::Stream>, Failure> {
    let shards = api.stats().await?;
    let found = merge::streams(&shards, SystemTime::now()).into_iter().find(|stream| stream.key() == key);
    found.map(Json).ok_or(Failure::NotFound("there is no such stream"))
}

/// Close a stream
///
/// Ends its publisher and its viewers.
#[utoipa::path(delete, path = "/api/v1/streams/{key}", tag = "streams",
    params(("key" = String, Path, description = "Application and name, with a slash between")),
    responses((status = 200, body = Ended), Fails))]
pub(super) async fn close(State(api): App, Path(key): Path<String>) -> Result<Json<Ended>, Failure> {
    let key = parsed(&key)?;
    let found = api.stats().await?.iter().flat_map(|shard| &shard.streams).any(|stream| stream.key == key);
    if !found {
        return Err(Failure::NotFound("there is no such stream"));
    }
    Ok(Json(Ended { sessions_ended: api.stop(Which::Stream(key)).await }))
}

/// Kick a publisher
///
/// Ends the publisher of a stream. Its viewers are kept for `publish.grace_ms`, as after a broken connection.
#[utoipa::path(delete, path = "/api/v1/publishers/{key}", tag = "streams",
    params(("key" = String, Path, description = "Application and name of the stream, with a slash between")),
    responses((status = 200, body = Ended), Fails))]
pub(super) async fn kick_publisher(State(api): App, Path(key): Path<String>) -> Result<Json<Ended>, Failure> {
    match api.stop(Which::Publisher(parsed(&key)?)).await {
        0 => Err(Failure::NotFound("nobody publishes that stream")),
        sessions_ended => Ok(Json(Ended { sessions_ended })),
    }
}

pub(in super::super) fn parsed(key: &str) -> Result<StreamKey, Failure> {
    let none = || Failure::NotFound("there is no such stream");
    let (app, name) = key.rsplit_once('/').ok_or_else(none)?;
    StreamKey::parse(app, name, NAME_BYTES).map_err(|_| none())
}
