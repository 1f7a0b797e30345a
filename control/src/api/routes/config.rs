//! The configuration: what is in force and where it comes from; check, patch, reload.

use super::super::App;
use super::super::problem::{Body, Failure};
use super::Fails;
use crate::config::Raw;
use crate::config::live::{Change, ChangeError, raw, shown};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    /// Section and name, with a dot between.
    key: &'static str,
    /// What is in force; secrets are `***`.
    value: Value,
    /// Where that was written.
    origin: String,
    /// What it means.
    help: &'static str,
    /// What is allowed.
    allowed: String,
    /// Whom a change is for: `to_all`, `to_new` (those who come from then on), `at_restart`.
    applies: &'static str,
}

/// All keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entries {
    /// In the order of the example file.
    entries: Vec<Entry>,
}

/// New values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Values {
    /// By key: `{"gop.cache": false}`.
    #[schema(value_type = Object)]
    values: Map<String, Value>,
}

/// What became of a change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed {
    /// Keys whose new value is in force.
    applied: Vec<&'static str>,
    /// Keys whose new value needs a restart; the old one stays in force.
    needs_restart: Vec<&'static str>,
}

impl From<Change> for Changed {
    fn from(change: Change) -> Self {
        Self { applied: change.applied, needs_restart: change.needs_restart }
    }
}

/// The configuration in force
#[utoipa::path(get, path = "/api/v1/config", tag = "config", responses((status = 200, body = Entries), Fails))]
pub(super) async fn all(State(api): App) -> Json<Entries> {
    let now = api.config.now();
    let entries = now.entries().map(|(key, value, origin)| Entry {
        key: key.path,
        value: shown(key, value),
        origin: origin.to_string(),
        help: key.help,
        allowed: key.kind.range(),
        applies: key.applies().word(),
    });
    Json(Entries { entries: entries.collect() })
}

/// Change values
///
/// Lays values over the file, the environment and the arguments until the process ends; a reload keeps them, and `null` takes one
/// away again. All are checked before any is changed. A key that is read at the start alone is refused: it belongs into the file.
#[utoipa::path(patch, path = "/api/v1/config", tag = "config", request_body = Values,
    responses((status = 200, body = Changed), Fails))]
pub(super) async fn patch(State(api): App, Body(body): Body<Values>) -> Result<Json<Changed>, Failure> {
    let values = written(body);
    changed(api.slowly(move |api| api.config.patch(values)).await?)
}

/// Check values
///
/// What would come of a change; nothing is changed.
#[utoipa::path(post, path = "/api/v1/config/check", tag = "config", request_body = Values,
    responses((status = 200, body = Changed), Fails))]
pub(super) async fn check(State(api): App, Body(body): Body<Values>) -> Result<Json<Changed>, Failure> {
    let values = written(body);
    changed(api.slowly(move |api| api.config.check(&values)).await?)
}

/// Reload
///
/// Reads the file, the environment and the arguments again, as SIGHUP does.
#[utoipa::path(post, path = "/api/v1/config/reload", tag = "config", responses((status = 200, body = Changed), Fails))]
pub(super) async fn reload(State(api): App) -> Result<Json<Changed>, Failure> {
    changed(api.slowly(|api| api.config.reload()).await?)
}

fn written(body: Values) -> Vec<(String, Raw)> {
    body.values.into_iter().map(|(key, value)| (key, raw(&value))).collect()
}

fn changed(result: Result<Change, ChangeError>) -> Result<Json<Changed>, Failure> {
    result.map(|change| Json(change.into())).map_err(|error| Failure::BadRequest(error.to_string()))
}
