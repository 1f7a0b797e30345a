//! Who may ask what. One place decides, before any handler runs; what is not named here needs a token.
//!
//! A request of another site's page is refused whatever it carries. Every request of a known user that is not a mere question
//! is noted in the audit log, refused ones too, and every login whose password was looked at. What strangers ask is counted
//! alone: they must not be able to fill the log.

use super::problem::Failure;
use super::{Access, Api, nms};
use crate::accounts::{AccountError, Given, Principal, Role, may_come};
use crate::audit::Action;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a request may take from its head to its answer; feeds begin within it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest body, in bytes: a configuration file with every key is a tenth of it.
const MAX_BODY: usize = 256 * 1024;
/// So much of a larger one is read and thrown away.
const MAX_SKIPPED: usize = 16 << 20;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 256;
/// Longest path that is noted, in characters.
const MAX_NOTED: usize = 256;

/// What may be asked without a token at the API's own address. At the media ports nothing may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anonymous {
    /// Nothing.
    None,
    /// The metrics.
    Metrics,
    /// All that a viewer may read.
    Read,
}

/// What came of a request whose status does not say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RealStatus(pub u16);

/// Where a connection came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Address.
    pub address: SocketAddr,
    /// It came to the API's own address.
    pub own_address: bool,
}

/// What a path needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Metrics,
    At(Role),
}

fn needs(method: &Method, path: &str) -> Needs {
    let asks = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/healthz" | "/readyz" | "/api/v1/openapi.json" | "/api/v1/login" | "/api/login" => Needs::Nothing,
        "/metrics" => Needs::Metrics,
        "/api/v1/audit" | "/api/v1/users" => Needs::At(Role::Admin),
        // Own tokens; the handlers look whose they are.
        "/api/v1/tokens" => Needs::At(Role::Viewer),
        _ if path.starts_with("/api/v1/tokens/") => Needs::At(Role::Viewer),
        _ if path.starts_with("/api/v1/users/") => Needs::At(Role::Admin),
        "/api/v1/config" if !asks => Needs::At(Role::Admin),
        _ if asks => Needs::At(Role::Viewer),
        _ => Needs::At(Role::Operator),
    }
}

pub(super) async fn guard(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Failure::Forbidden("unknown peer").into_response();
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Basic ")).map(str::to_owned);
    let who = match may_ask(&api.access(), request.headers(), peer) {
        Err(failure) => Err(failure),
        Ok(()) => {
            let by_password = basic(&api, given, peer, &path).await;
            let token = token(&request, &path);
            let by_token = || token.and_then(|token| api.accounts.check(&token, peer.address.ip()));
            by_password.map(|who| who.or_else(by_token))
        }
    };
    let user = who.as_ref().ok().and_then(Option::as_ref).map(|who| who.user.clone());
    let found = who.and_then(|who| admit(&api.access(), peer, who, needs(&method, &path)));
    let is_login = matches!(path.as_str(), "/api/v1/login" | "/api/login");
    let (mut detail, mut login) = (String::new(), String::new());
    let mut response = match found {
        Err(failure) => failure.into_response(),
        Ok(who) => {
            if let Some(who) = who {
                request.extensions_mut().insert(who);
            }
            request.extensions_mut().insert(peer);
            let answered = async {
                match with_body(request).await {
                    Ok((request, body)) => {
                        if !matches!(method, Method::GET | Method::HEAD) {
                            (login, detail) = about(&path, &body);
                        }
                        next.run(request).await
                    }
                    Err(failure) => failure.into_response(),
                }
            };
            let answered = tokio::time::timeout(TIMEOUT, answered).await;
            answered.unwrap_or_else(|_| Failure::Timeout.into_response())
        }
    };
    if nms::is_ours(&path) && response.status() == StatusCode::UNAUTHORIZED {
        // Their clients answer a challenge with name and password.
        let challenge = HeaderValue::from_static("Basic realm=\"Shardcast\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if matches!(method, Method::GET | Method::HEAD) {
        return response;
    }
    let status = response.extensions().get::<RealStatus>().map_or(response.status().as_u16(), |real| real.0);
    let user = match user {
        Some(user) => user,
        None if is_login && status == 200 => login,
        // A wrong password: whose it was to be is no more than a claim.
        None if is_login && status == 401 => {
            detail = format!("username {login}");
            String::new()
        }
        None => {
            api.metrics.refused_stranger();
            return response;
        }
    };
    let action = format!("{method} {path}").chars().take(MAX_NOTED).collect();
    let peer = peer.address.ip().to_string();
    api.audit.note(Action { at: SystemTime::now(), user, peer, action, detail, status });
    response
}

/// Who a body names, and what it is about: for the audit log, without values, for those may be secret.
fn about(path: &str, body: &[u8]) -> (String, String) {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Default::default() };
    let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_NOTED).collect::<String>();
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(&cut).unwrap_or_default();
    let detail = match fields.get("values") {
        Some(Value::Object(values)) if path.starts_with("/api/v1/config") => {
            cut(&values.keys().map(String::as_str).collect::<Vec<_>>().join(" "))
        }
        _ if path.starts_with("/api/v1/users") => {
            format!("{} {}", text("name"), text("role")).trim().to_owned()
        }
        _ if path.starts_with("/api/v1/tokens") => text("label"),
        _ => String::new(),
    };
    (text("username"), detail)
}

/// Reads the body before anything else happens. One that is too large is read on for a while: a connection that is closed over
/// bytes that were not read is reset, and takes the answer with it.
async fn with_body(request: Request) -> Result<(Request, Bytes), Failure> {
    let (head, body) = request.into_parts();
    let (mut stream, mut bytes, mut seen) = (body.into_data_stream(), Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Failure::BadRequest(error.to_string()))?;
        seen = seen.saturating_add(chunk.len());
        if seen <= MAX_BODY {
            bytes.extend_from_slice(&chunk);
        } else if seen > MAX_SKIPPED {
            break;
        }
    }
    if seen > MAX_BODY {
        return Err(Failure::TooLarge);
    }
    let bytes = Bytes::from(bytes);
    Ok((Request::from_parts(head, Body::from(bytes.clone())), bytes))
}

/// Whether anybody may ask from there; looked at before any password is.
fn may_ask(access: &Access, headers: &HeaderMap, peer: Peer) -> Result<(), Failure> {
    if !may_come(&access.allow, peer.address.ip()) {
        return Err(Failure::Forbidden("this address may not use the API"));
    }
    if is_cross_site(headers) {
        return Err(Failure::CrossSite);
    }
    Ok(())
}

/// Who asks, if they may.
fn admit(
    access: &Access,
    peer: Peer,
    who: Option<Principal>,
    needs: Needs,
) -> Result<Option<Principal>, Failure> {
    let role = who.as_ref().map(|who| who.role).or_else(|| without_token(access, peer));
    let free = peer.own_address && access.anonymous >= Anonymous::Metrics;
    match (needs, role) {
        (Needs::Nothing, _) => Ok(who),
        (Needs::Metrics, _) if free => Ok(who),
        (Needs::Metrics, Some(_)) => Ok(who),
        (Needs::At(needed), Some(role)) if role >= needed => {
            // Whoever comes without a name is one for the handlers too.
            Ok(Some(who.unwrap_or_else(|| Principal { user: String::new(), role, token: None })))
        }
        (Needs::At(_), Some(_)) if who.is_some() => Err(Failure::Forbidden("your role does not allow that")),
        _ => Err(Failure::Unauthorized),
    }
}

/// Node Media Server's version 2 takes name and password with each request; so do its routes here.
async fn basic(
    api: &Arc<Api>,
    given: Option<String>,
    peer: Peer,
    path: &str,
) -> Result<Option<Principal>, Failure> {
    if !nms::is_ours(path) || !api.access().nms {
        return Ok(None);
    }
    let encoded = given.filter(|text| text.len() <= 512);
    let decoded = encoded.and_then(|text| STANDARD.decode(text.trim()).ok());
    let Some((name, password)) = decoded
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned())))
    else {
        return Ok(None);
    };
    let from = peer.address.ip();
    match api.slowly(move |api| api.accounts.login(&name, Given::Password(&password), from)).await? {
        Ok(who) => Ok(Some(who)),
        Err(AccountError::TooSoon(wait)) => Err(Failure::TooManyFailures(wait)),
        Err(_) => Err(Failure::Unauthorized),
    }
}

fn without_token(access: &Access, peer: Peer) -> Option<Role> {
    (peer.own_address && access.anonymous == Anonymous::Read).then_some(Role::Viewer)
}

/// The token of a request. Node Media Server's clients send it bare. Browsers cannot give a WebSocket a header, so the live
/// feeds take it from the query too.
fn token(request: &Request, path: &str) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let of_header = header.map(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().to_owned(),
        _ => value.trim().to_owned(),
    });
    let of_query = || {
        let query = request.uri().query().filter(|_| path.starts_with("/api/v1/events/"))?;
        query.split('&').find_map(|pair| pair.strip_prefix("access_token=")).map(str::to_owned)
    };
    of_header.or_else(of_query).filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_BYTES)
}

/// Whether a browser says that another site's page asks.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if matches!(text("sec-fetch-site"), Some("cross-site" | "same-site" | "?")) {
        return true;
    }
    let Some(origin) = text("origin") else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != text("host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_needs_a_token() {
        for (method, path, needed) in [
            (Method::GET, "/healthz", Needs::Nothing),
            (Method::POST, "/api/v1/login", Needs::Nothing),
            (Method::GET, "/metrics", Needs::Metrics),
            (Method::GET, "/api/v1/streams", Needs::At(Role::Viewer)),
            (Method::DELETE, "/api/v1/streams/a/b", Needs::At(Role::Operator)),
            (Method::GET, "/api/v1/config", Needs::At(Role::Viewer)),
            (Method::PATCH, "/api/v1/config", Needs::At(Role::Admin)),
            (Method::POST, "/api/v1/config/check", Needs::At(Role::Operator)),
            (Method::GET, "/api/v1/users", Needs::At(Role::Admin)),
            (Method::GET, "/api/v1/audit", Needs::At(Role::Admin)),
            (Method::DELETE, "/api/v1/users/eve", Needs::At(Role::Admin)),
            (Method::GET, "/anything", Needs::At(Role::Viewer)),
            (Method::POST, "/anything", Needs::At(Role::Operator)),
        ] {
            assert_eq!(needs(&method, path), needed, "{method} {path}");
        }
    }

    #[test]
    fn other_sites_pages_are_known() {
        let of = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
            is_cross_site(&pairs.collect::<HeaderMap>())
        };
        assert!(!of(&[]) && !of(&[("host", "a:8000"), ("origin", "http://a:8000")]));
        assert!(!of(&[("sec-fetch-site", "same-origin")]) && !of(&[("sec-fetch-site", "none")]));
        assert!(of(&[("host", "a:8000"), ("origin", "http://b:8000")]));
        assert!(of(&[("host", "a:8000"), ("origin", "null")]) && of(&[("origin", "http://a")]));
        assert!(of(&[("sec-fetch-site", "cross-site")]) && of(&[("sec-fetch-site", "same-site")]));
    }
}
