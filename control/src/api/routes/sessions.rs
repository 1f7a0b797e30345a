//! Sessions: look, kick.

use super::super::page::Paging;
use super::super::problem::{Failure, Path, Query};
use super::super::{App, merge, view};
use super::Fails;
use super::streams::Ended;
use crate::access::Names;
use axum::Json;
use axum::extract::State;
use engine::{Role, SessionId, SessionStats, Which};
use serde::Deserialize;
use std::time::SystemTime;
use utoipa::{IntoParams, ToSchema};

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WantedRole {
    Undecided,
    Publisher,
    Viewer,
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only of this stream: `app/name`.
    stream: Option<String>,
    /// Only of this protocol, such as `rtmp`, `http-flv`, `ws-flv`.
    protocol: Option<String>,
    /// Only from this IP address.
    address: Option<String>,
    /// Only of this role.
    #[param(inline)]
    role: Option<WantedRole>,
    /// Only those that ended (or that live).
    ended: Option<bool>,
}

impl Wanted {
    fn takes(&self, session: &SessionStats, names: &Names) -> bool {
        let role = match session.role {
            Role::Undecided => WantedRole::Undecided,
            Role::Publisher => WantedRole::Publisher,
            Role::Viewer => WantedRole::Viewer,
        };
        let stream = || session.key.as_ref().map(|key| names.shown(key).as_str());
        self.stream.as_ref().is_none_or(|wanted| stream() == Some(wanted))
            && self.protocol.as_ref().is_none_or(|wanted| session.protocol == wanted)
            && self.address.as_ref().is_none_or(|wanted| session.peer.ip().to_string() == *wanted)
            && self.role.is_none_or(|wanted| wanted == role)
            && self.ended.is_none_or(|ended| ended == session.ended.is_some())
    }
}

/// All sessions
///
/// The living ones, and the last that ended. Each has the steps it came through; what went wrong stands in `diagnosis`.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(Paging, Wanted),
    responses((status = 200, body = view::Sessions), Fails))]
pub(super) async fn list(
    State(api): App,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<view::Sessions>, Failure> {
    let shards = api.stats().await?;
    let names = (api.names)();
    let wanted = |session: &SessionStats| wanted.takes(session, &names);
    let (sessions, page) = paging.of(merge::sessions(&shards, wanted))?;
    let now = SystemTime::now();
    let shown =
        |session: &SessionStats| merge::session(session, api.denials.of(session.id).as_deref(), &names, now);
    Ok(Json(view::Sessions { sessions: sessions.into_iter().map(shown).collect(), page }))
}

/// One session
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "Number of the session")),
    responses((status = 200, body = view::Session), Fails))]
pub(super) async fn one(State(api): App, Path(id): Path<String>) -> Result<Json<view::Session>, Failure> {
    let id = parsed(&id)?;
    let shards = api.stats().await?;
    let found = shards.iter().flat_map(|shard| &shard.sessions).find(|session| session.id == id);
    let session = found.ok_or(Failure::NotFound("there is no such session"))?;
    Ok(Json(merge::session(session, api.denials.of(id).as_deref(), &(api.names)(), SystemTime::now())))
}

/// Kick a session
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "Number of the session")),
    responses((status = 200, body = Ended), Fails))]
pub(super) async fn kick(State(api): App, Path(id): Path<String>) -> Result<Json<Ended>, Failure> {
    match api.stop(Which::Session(parsed(&id)?)).await {
        0 => Err(Failure::NotFound("there is no such session")),
        sessions_ended => Ok(Json(Ended { sessions_ended })),
    }
}

fn parsed(id: &str) -> Result<SessionId, Failure> {
    id.parse().map(SessionId).map_err(|_| Failure::NotFound("there is no such session"))
}
