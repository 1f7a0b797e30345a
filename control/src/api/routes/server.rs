//! The server and its shards.

use super::super::problem::Failure;
use super::super::{App, view};
use super::Fails;
use axum::Json;
use axum::extract::State;

/// The server
///
/// Version, totals, and its shards.
#[utoipa::path(get, path = "/api/v1/server", tag = "server", responses((status = 200, body = view::Server), Fails))]
pub(super) async fn server(State(api): App) -> Result<Json<view::Server>, Failure> {
    let shards = api.stats().await?;
    Ok(Json(view::server(&api.about, &shards)))
}

/// The shards
///
/// One for each CPU core that serves media.
#[utoipa::path(get, path = "/api/v1/shards", tag = "server", responses((status = 200, body = view::Shards), Fails))]
pub(super) async fn shards(State(api): App) -> Result<Json<view::Shards>, Failure> {
    let shards = api.stats().await?;
    Ok(Json(view::Shards { shards: shards.iter().map(view::shard).collect() }))
}
