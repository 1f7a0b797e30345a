//! Logging in, tokens, users.

use super::super::guard::Peer;
use super::super::page::{Page, Paging};
use super::super::problem::{Body, Failure, Path, Query};
use super::super::{Api, App};
use super::Fails;
use crate::accounts::{AccountError, Given, Principal, Proof, Role, TokenInfo, UserInfo};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use utoipa::ToSchema;

/// Life of a token of a login that names none.
const LOGIN_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Who logs in.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Login {
    username: String,
    password: String,
    /// Life of the token; 12 hours if not given.
    #[schema(minimum = 1, maximum = 316_224_000)]
    expires_in_s: Option<u64>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Issued {
    /// To be sent as `Authorization: Bearer …`. Shown this once.
    pub token: String,
    /// What it is.
    #[serde(flatten)]
    info: Token,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    id: String,
    user: String,
    role: Role,
    label: String,
    #[serde(serialize_with = "crate::time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    created_at: SystemTime,
    #[serde(serialize_with = "crate::time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: SystemTime,
}

impl From<TokenInfo> for Token {
    fn from(info: TokenInfo) -> Self {
        let TokenInfo { id, user, role, label, created, expires } = info;
        Self { id, user, role, label, created_at: created, expires_at: expires }
    }
}

/// A piece of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
    #[serde(flatten)]
    page: Page,
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What its owner calls it.
    #[serde(default)]
    #[schema(max_length = 64)]
    label: String,
    /// What it may do; as much as its owner if not given.
    role: Option<Role>,
    /// Its life.
    #[schema(minimum = 1, maximum = 316_224_000)]
    expires_in_s: u64,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    name: String,
    role: Role,
    /// Networks that they may come from; empty: any.
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpNet>,
}

impl From<UserInfo> for User {
    fn from(info: UserInfo) -> Self {
        Self { name: info.name, role: info.role, addresses: info.addresses }
    }
}

/// A piece of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Users {
    users: Vec<User>,
    #[serde(flatten)]
    page: Page,
}

/// A user to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// 1 to 64 of `A-Z a-z 0-9 - _ . @`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.@-]+$")]
    name: String,
    /// 8 to 256 bytes.
    #[schema(min_length = 8, max_length = 256)]
    password: String,
    role: Role,
    /// Networks that they may come from, such as `10.0.0.0/8`; none: any.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpNet>,
}

/// What a user is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedUser {
    /// A new one; ends all tokens of the user.
    #[schema(min_length = 8, max_length = 256)]
    password: Option<String>,
    role: Role,
    /// Networks that they may come from; an empty list: any; not given: as before.
    #[schema(value_type = Option<Vec<String>>)]
    addresses: Option<Vec<IpNet>>,
}

/// Log in
///
/// Gives a token. Failures are slowed down, from an address more than for a name.
#[utoipa::path(post, path = "/api/v1/login", tag = "accounts", security(()), request_body = Login,
    responses((status = 200, body = Issued), Fails))]
pub(super) async fn login(
    State(api): App,
    Extension(peer): Extension<Peer>,
    Body(body): Body<Login>,
) -> Result<Json<Issued>, Failure> {
    let life = body.expires_in_s.map_or(LOGIN_LIFE, Duration::from_secs);
    let issued = enter(&api, peer, body.username, body.password, false, life).await?;
    Ok(Json(issued))
}

/// Checks a name and a password, or its MD5, and makes a token.
pub(in super::super) async fn enter(
    api: &Arc<Api>,
    peer: Peer,
    name: String,
    password: String,
    md5: bool,
    life: Duration,
) -> Result<Issued, Failure> {
    let from = peer.address.ip();
    let issued = api.slowly(move |api| {
        let given = if md5 { Given::Md5(&password) } else { Given::Password(&password) };
        let who = api.accounts.login(&name, given, from)?;
        api.accounts.issue(&who.user, None, "login", life, Proof::Login)
    });
    let (info, token) = issued.await?.map_err(failure)?;
    Ok(Issued { token, info: info.into() })
}

/// Who I am
#[utoipa::path(get, path = "/api/v1/me", tag = "accounts", responses((status = 200, body = User), Fails))]
pub(super) async fn me(Extension(who): Extension<Principal>) -> Json<User> {
    Json(User { name: who.user, role: who.role, addresses: Vec::new() })
}

/// Tokens
///
/// One's own, and of those what can do no more than the token that asks; an admin sees all.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "accounts", params(Paging),
    responses((status = 200, body = Tokens), Fails))]
pub(super) async fn tokens(
    State(api): App,
    Extension(who): Extension<Principal>,
    Query(paging): Query<Paging>,
) -> Result<Json<Tokens>, Failure> {
    let (tokens, page) = paging.of(api.accounts.tokens(own(&who), who.role))?;
    Ok(Json(Tokens { tokens: tokens.into_iter().map(Into::into).collect(), page }))
}

/// Make a token
///
/// For oneself, with one's own role or less. What a login's token makes lives on its own; what such a token makes then lives no
/// longer than that one, and ends with it.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "accounts", request_body = NewToken,
    responses((status = 201, body = Issued), Fails))]
pub(super) async fn issue(
    State(api): App,
    Extension(who): Extension<Principal>,
    Body(body): Body<NewToken>,
) -> Result<(StatusCode, Json<Issued>), Failure> {
    if body.role.unwrap_or(who.role) > who.role {
        return Err(Failure::Forbidden("a token cannot do more than the one that makes it"));
    }
    let (role, life) = (Some(body.role.unwrap_or(who.role)), Duration::from_secs(body.expires_in_s));
    let Some(with) = who.token else {
        return Err(Failure::Forbidden("a token is made with a token: log in"));
    };
    let issued =
        api.slowly(move |api| api.accounts.issue(&who.user, role, &body.label, life, Proof::Token(&with)));
    let (info, token) = issued.await?.map_err(failure)?;
    Ok((StatusCode::CREATED, Json(Issued { token, info: info.into() })))
}

/// End a token
///
/// One's own, if it can do no more than the one that asks; an admin ends any. Those that were made with it end too.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "accounts",
    params(("id" = String, Path, description = "Number of the token")),
    responses((status = 204, description = "It is ended"), Fails))]
pub(super) async fn revoke(
    State(api): App,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    api.slowly(move |api| api.accounts.revoke(&id, own(&who), who.role)).await?.map_err(failure)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Users
#[utoipa::path(get, path = "/api/v1/users", tag = "accounts", params(Paging),
    responses((status = 200, body = Users), Fails))]
pub(super) async fn users(State(api): App, Query(paging): Query<Paging>) -> Result<Json<Users>, Failure> {
    let (users, page) = paging.of(api.accounts.users())?;
    Ok(Json(Users { users: users.into_iter().map(Into::into).collect(), page }))
}

/// Make a user
#[utoipa::path(post, path = "/api/v1/users", tag = "accounts", request_body = NewUser,
    responses((status = 201, body = User), Fails))]
pub(super) async fn add_user(
    State(api): App,
    Body(body): Body<NewUser>,
) -> Result<(StatusCode, Json<User>), Failure> {
    let NewUser { name, password, role, addresses } = body;
    let added =
        api.slowly(move |api| api.accounts.put_user(&name, Some(&password), role, Some(addresses), true));
    Ok((StatusCode::CREATED, Json(added.await?.map_err(failure)?.into())))
}

/// Change a user
#[utoipa::path(put, path = "/api/v1/users/{name}", tag = "accounts", request_body = ChangedUser,
    params(("name" = String, Path, description = "Name of the user")),
    responses((status = 200, body = User), Fails))]
pub(super) async fn change_user(
    State(api): App,
    Path(name): Path<String>,
    Body(body): Body<ChangedUser>,
) -> Result<Json<User>, Failure> {
    let ChangedUser { password, role, addresses } = body;
    let changed =
        api.slowly(move |api| api.accounts.put_user(&name, password.as_deref(), role, addresses, false));
    Ok(Json(changed.await?.map_err(failure)?.into()))
}

/// Remove a user
///
/// With all tokens of the user.
#[utoipa::path(delete, path = "/api/v1/users/{name}", tag = "accounts",
    params(("name" = String, Path, description = "Name of the user")),
    responses((status = 204, description = "It is removed"), Fails))]
pub(super) async fn remove_user(State(api): App, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    api.slowly(move |api| api.accounts.remove_user(&name)).await?.map_err(failure)?;
    Ok(StatusCode::NO_CONTENT)
}

fn own(who: &Principal) -> Option<&str> {
    (who.role < Role::Admin).then_some(who.user.as_str())
}

fn failure(error: AccountError) -> Failure {
    match error {
        AccountError::Wrong => Failure::Unauthorized,
        AccountError::TooSoon(wait) => Failure::TooManyFailures(wait),
        AccountError::Unknown => Failure::NotFound("there is no such user or token"),
        AccountError::Taken => Failure::Conflict("there is such a user already"),
        AccountError::Invalid(why) => Failure::BadRequest(why.into()),
        AccountError::LastAdmin => Failure::Conflict("somebody must stay who may change things"),
        AccountError::Full => Failure::Limit("there are too many users or tokens"),
        AccountError::Disk(why) => Failure::Disk(why),
    }
}
