//! The routes, one file for each resource, and the document that is made of them.

mod accounts;
mod audit;
mod config;
mod events;
mod health;
mod server;
mod sessions;
mod streams;

pub(super) use accounts::enter;
pub(super) use streams::parsed;

use super::problem::{Failure, Problem, ProblemDetail};
use super::{Api, guard, nms};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Router, middleware};
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What any route may fail with.
#[derive(IntoResponses)]
#[allow(dead_code)] // Read by the derive alone.
enum Fails {
    /// The request is wrong, or not allowed.
    #[response(status = "4XX")]
    Request(Problem),
    /// The server could not answer in time.
    #[response(status = "5XX")]
    Server(Problem),
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Shardcast",
        description = "Admin API of the live media server. Sizes are in bytes and times in milliseconds, as the names say; \
                       dates are ISO 8601 in UTC. Lists that can be long take `limit` and `offset`. Errors have one shape with a \
                       stable `code`. Fields may be added to answers; none changes its meaning.",
        license(name = "Apache-2.0 OR MIT"),
    ),
    paths(streams::one, streams::close, streams::kick_publisher),
    components(schemas(Problem, ProblemDetail)),
    security(("token" = [])),
    tags(
        (name = "health"), (name = "server"), (name = "streams"), (name = "sessions"), (name = "events"),
        (name = "config"), (name = "accounts"), (name = "audit"),
    ),
)]
struct Document;

pub(super) fn router(api: &Arc<Api>) -> Router {
    let (documented, mut document) = documented().split_for_parts();
    document.components.get_or_insert_default().add_security_scheme(
        "token",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    Router::new()
        .merge(documented)
        // An application may have several levels, which a documented path cannot say.
        .route("/api/v1/streams/{*key}", get(streams::one).delete(streams::close))
        .route("/api/v1/publishers/{*key}", delete(streams::kick_publisher))
        .route("/api/v1/openapi.json", get(async move || (json, document.to_string())))
        .merge(nms::router())
        .fallback(async || Failure::NotFound("there is no such resource"))
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        // The guard has read it, and bounds it.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(api), guard::guard))
        .with_state(Arc::clone(api))
}

fn documented() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics))
        .routes(routes!(server::server))
        .routes(routes!(server::shards))
        .routes(routes!(streams::list))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::one, sessions::kick))
        .routes(routes!(events::recent))
        .routes(routes!(events::sse))
        .routes(routes!(events::ws))
        .routes(routes!(config::all, config::patch))
        .routes(routes!(config::check))
        .routes(routes!(config::reload))
        .routes(routes!(accounts::login))
        .routes(routes!(accounts::me))
        .routes(routes!(accounts::tokens, accounts::issue))
        .routes(routes!(accounts::revoke))
        .routes(routes!(accounts::users, accounts::add_user))
        .routes(routes!(accounts::change_user, accounts::remove_user))
        .routes(routes!(audit::recent))
}

/// Figures for Prometheus
///
/// In its text format (OpenMetrics 1.0).
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), Fails))]
async fn metrics(State(api): super::App) -> Result<Response, Failure> {
    let shards = api.stats().await?;
    // What waits for callback targets is read from a file.
    let text = tokio::task::spawn_blocking(move || api.metrics.text(&shards, &api));
    let text = text.await.map_err(|_| Failure::Busy)?;
    Ok(([(axum::http::header::CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], text).into_response())
}
