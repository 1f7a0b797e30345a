//! What happened: the last events, and live feeds of new ones.

use super::super::guard::Peer;
use super::super::page::{Page, Paging};
use super::super::problem::{Failure, Query};
use super::super::{Api, App};
use super::Fails;
use crate::accounts::Principal;
use crate::events::Numbered;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

/// A feed without events says that it lives.
const PING: Duration = Duration::from_secs(15);

/// How often a feed without events looks whether its reader's token is still good.
const TOKEN_LOOK: Duration = Duration::from_secs(1);

/// Which events.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only of this stream: `app/name`.
    stream: Option<String>,
    /// Only of this session.
    session: Option<String>,
    /// Only these, such as `postPublish`, `donePlay`.
    action: Option<String>,
    /// Only those after this number.
    after: Option<u64>,
}

impl Wanted {
    fn takes(&self, event: &Numbered) -> bool {
        self.stream.as_ref().is_none_or(|key| key == event.event.key.as_str())
            && self.session.as_ref().is_none_or(|id| *id == event.event.session.to_string())
            && self.action.as_ref().is_none_or(|action| action == event.action())
            && self.after.is_none_or(|after| event.id > after)
    }
}

/// A piece of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Recent {
    /// Newest first. `id` counts all events, `sequence` those of the stream.
    events: Vec<Value>,
    #[serde(flatten)]
    page: Page,
}

/// The last events
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(Paging, Wanted),
    responses((status = 200, body = Recent), Fails))]
pub(super) async fn recent(
    State(api): App,
    Query(paging): Query<Paging>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Recent>, Failure> {
    let mut all = api.events.recent(|event| wanted.takes(event));
    all.reverse();
    let (events, page) = paging.of(all)?;
    Ok(Json(Recent { events: events.iter().map(|event| event.shown()).collect(), page }))
}

/// New events as server-sent events
///
/// Each has its number as `id`. `after`, or the header `Last-Event-ID` of a reader that comes again, brings those since then that
/// are still kept. `missed` tells how many were lost. A token may be given as `access_token`; the feed ends with it.
#[utoipa::path(get, path = "/api/v1/events/sse", tag = "events", params(Wanted),
    responses((status = 200, body = String, content_type = "text/event-stream"), Fails))]
pub(super) async fn sse(
    State(api): App,
    Extension(who): Extension<Principal>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Query(mut wanted): Query<Wanted>,
) -> Sse<impl futures_core::Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    wanted.after = last.or(wanted.after);
    let feed = Feed::new(api, who, peer, wanted);
    let stream = futures_util::stream::unfold(feed, async |mut feed| {
        let event = match feed.next().await? {
            Next::Event(event) => Event::default()
                .event(event.action())
                .id(event.id.to_string())
                .data(event.shown().to_string()),
            Next::Missed(count) => Event::default().event("missed").data(count.to_string()),
        };
        Some((Ok(event), feed))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(PING))
}

/// New events over a WebSocket
///
/// A JSON object a message. `after` brings those since then that are still kept; `{"missed": N}` tells how many were lost.
/// Browsers give the token as `access_token`; the feed ends with it.
#[utoipa::path(get, path = "/api/v1/events/ws", tag = "events", params(Wanted),
    responses((status = 101, description = "The connection becomes a WebSocket"), Fails))]
pub(super) async fn ws(
    State(api): App,
    Extension(who): Extension<Principal>,
    Extension(peer): Extension<Peer>,
    Query(wanted): Query<Wanted>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|error| Failure::BadRequest(error.body_text()))?;
    let feed = Feed::new(api, who, peer, wanted);
    // Nothing is expected of the reader but pongs and the close.
    Ok(upgrade.max_message_size(4096).on_upgrade(async |socket| feed.write(socket).await))
}

struct Feed {
    api: Arc<Api>,
    who: Principal,
    peer: Peer,
    live: Receiver<Arc<Numbered>>,
    /// What happened before the reader came, and what of that is lost.
    before: VecDeque<Arc<Numbered>>,
    missed: u64,
    wanted: Wanted,
}

enum Next {
    Event(Arc<Numbered>),
    Missed(u64),
}

impl Feed {
    fn new(api: Arc<Api>, who: Principal, peer: Peer, mut wanted: Wanted) -> Self {
        // In this order: what happens between is in both, and told once.
        let live = api.events.live();
        let (mut before, mut missed) = (VecDeque::new(), 0);
        if let Some(after) = wanted.after {
            // Numbers begin anew with the process: one from before it has seen nothing of this one.
            let newest = api.events.recent(|_| true).last().map_or(0, |event| event.id);
            let after = if after > newest { 0 } else { after };
            let kept = api.events.recent(|event| event.id > after);
            let (first, last) = (kept.first().map(|event| event.id), kept.last().map(|event| event.id));
            missed = first.map_or(0, |first| first.saturating_sub(after).saturating_sub(1));
            before = kept.into_iter().filter(|event| wanted.takes(event)).collect();
            wanted.after = Some(last.unwrap_or(after));
        }
        Self { api, who, peer, live, before, missed, wanted }
    }

    /// `None`: there is no more, or not for this reader, whose token has ended.
    async fn next(&mut self) -> Option<Next> {
        loop {
            if !self.api.accounts.still(&self.who, self.peer.address.ip()) {
                return None;
            }
            if self.missed > 0 {
                return Some(Next::Missed(std::mem::take(&mut self.missed)));
            }
            if let Some(event) = self.before.pop_front() {
                return Some(Next::Event(event));
            }
            match tokio::time::timeout(TOKEN_LOOK, self.live.recv()).await {
                Ok(Ok(event)) if self.wanted.takes(&event) => {
                    if self.api.accounts.still(&self.who, self.peer.address.ip()) {
                        return Some(Next::Event(event));
                    }
                }
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(RecvError::Lagged(count))) => return Some(Next::Missed(count)),
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }

    async fn write(mut self, mut socket: WebSocket) {
        loop {
            let message = tokio::select! {
                next = self.next() => match next {
                    Some(Next::Event(event)) => Message::text(event.shown().to_string()),
                    Some(Next::Missed(count)) => Message::text(format!("{{\"missed\":{count}}}")),
                    None => return,
                },
                heard = socket.recv() => match heard {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return,
                },
                () = tokio::time::sleep(PING) => Message::Ping(Default::default()),
            };
            // One that reads nothing must not be kept for ever.
            if !matches!(tokio::time::timeout(PING, socket.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}
