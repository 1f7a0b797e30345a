//! What operators did.

use super::super::App;
use super::super::page::{Page, Paging};
use super::super::problem::{Failure, Query};
use super::Fails;
use crate::audit::Action;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// A piece of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Actions {
    /// Newest first.
    actions: Vec<Action>,
    #[serde(flatten)]
    page: Page,
}

/// The audit log
///
/// The last actions; all of them are in the log, and in `audit.jsonl` of `admin.data_dir`.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Paging),
    responses((status = 200, body = Actions), Fails))]
pub(super) async fn recent(State(api): App, Query(paging): Query<Paging>) -> Result<Json<Actions>, Failure> {
    let all = api.audit.recent().into_iter().rev().map(|action| (*action).clone()).collect();
    let (actions, page) = paging.of(all)?;
    Ok(Json(Actions { actions, page }))
}
