//! What can go wrong, in one shape with a stable code, and extractors that fail in it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::time::Duration;

/// An error.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// The error.
    pub error: ProblemDetail,
}

/// Its code and words.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ProblemDetail {
    /// Stable: `bad_request`, `unauthorized`, `forbidden`, `cross_site`, `not_found`, `method_not_allowed`, `conflict`,
    /// `too_large`, `unsupported_media_type`, `too_many_failures`, `limit`, `busy`, `draining`, `shards_silent`, `timeout`, `disk`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// What a handler fails with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    BadRequest(String),
    Unauthorized,
    Forbidden(&'static str),
    CrossSite,
    NotFound(&'static str),
    MethodNotAllowed,
    Conflict(&'static str),
    TooLarge,
    NotJson,
    TooManyFailures(Duration),
    Limit(&'static str),
    Busy,
    Draining,
    ShardsSilent,
    Timeout,
    Disk(String),
}

impl Failure {
    fn told(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, "bad_request", message),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "a valid token is needed: POST /api/v1/login".into(),
            ),
            Self::Forbidden(message) => (StatusCode::FORBIDDEN, "forbidden", message.into()),
            Self::CrossSite => {
                (StatusCode::FORBIDDEN, "cross_site", "requests of other sites' pages are refused".into())
            }
            Self::NotFound(message) => (StatusCode::NOT_FOUND, "not_found", message.into()),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this resource does not know that method".into(),
            ),
            Self::Conflict(message) => (StatusCode::CONFLICT, "conflict", message.into()),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large".into()),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be application/json".into(),
            ),
            Self::TooManyFailures(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_failures", "too many failed logins; wait".into())
            }
            Self::Limit(message) => (StatusCode::CONFLICT, "limit", message.into()),
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many questions at a time; ask again".into())
            }
            Self::Draining => {
                (StatusCode::SERVICE_UNAVAILABLE, "draining", "the server is being stopped".into())
            }
            Self::ShardsSilent => (
                StatusCode::SERVICE_UNAVAILABLE,
                "shards_silent",
                "a shard did not answer in time; ask again".into(),
            ),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long".into()),
            Self::Disk(message) => (StatusCode::SERVICE_UNAVAILABLE, "disk", message),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let wait = match &self {
            Self::TooManyFailures(wait) => Some(wait.as_secs().saturating_add(1)),
            Self::Busy | Self::ShardsSilent => Some(1),
            _ => None,
        };
        let unauthorized = self == Self::Unauthorized;
        let (status, code, message) = self.told();
        let mut response = (status, Json(Problem { error: ProblemDetail { code, message } })).into_response();
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        if unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejected: JsonRejection) -> Self {
        match rejected.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::NotJson,
            _ => Self::BadRequest(rejected.body_text()),
        }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejected: QueryRejection) -> Self {
        Self::BadRequest(rejected.body_text())
    }
}

impl From<PathRejection> for Failure {
    fn from(rejected: PathRejection) -> Self {
        Self::BadRequest(rejected.body_text())
    }
}

/// JSON body.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Failure))]
pub struct Body<T>(pub T);

/// Query.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Failure))]
pub struct Query<T>(pub T);

/// Path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Failure))]
pub struct Path<T>(pub T);
