//! For load balancers and supervisors.

use super::super::App;
use super::super::problem::Failure;
use super::Fails;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// State of the process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    pub status: &'static str,
}

/// Whether the process lives
///
/// Answers as long as the control thread does.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = Health), Fails))]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the server serves
///
/// Answers 200 while every shard answers in time and the server is not draining; the shards are asked once a second at most.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses((status = 200, body = Health), Fails))]
pub(super) async fn readyz(State(api): App) -> Result<Json<Health>, Failure> {
    api.ready().await?;
    Ok(Json(Health { status: "ok" }))
}
