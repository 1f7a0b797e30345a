//! Who may use the admin API: users, roles, and the bearer tokens they hold.
//!
//! Kept in one file, written whole and replaced at once. Passwords and tokens are kept as hashes only; the passwords'
//! are argon2id over the hexadecimal MD5 of the password, because users of Node Media Server send that and nothing else.
//! Checking a password takes tens of milliseconds and some memory: never on the control thread, never many at a time.

mod file;
mod password;
mod throttle;

pub use throttle::Wait;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;
use throttle::Throttle;

/// Most users.
pub const MAX_USERS: usize = 1_000;
/// Most tokens that are valid at a time.
pub const MAX_TOKENS: usize = 10_000;
/// Longest name of a user, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Passwords: in bytes, from and to.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=256;
/// Longest life of a token.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_secs(10 * 366 * 86_400);
/// Name of the user that is made when there is none.
const FIRST_USER: &str = "admin";

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read.
    Viewer,
    /// End sessions and streams, reload.
    Operator,
    /// Change the configuration, users and tokens; read the audit log.
    Admin,
}

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// Number of the token that they came with; none if they are not asked for one.
    pub token: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    hash: String,
    role: Role,
    /// From where they may come; empty: from anywhere.
    #[serde(default)]
    addresses: Vec<IpNet>,
}

/// A token.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    /// SHA-256 of the secret, in hexadecimal.
    hash: String,
    user: String,
    role: Role,
    label: String,
    created_s: u64,
    expires_s: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    users: BTreeMap<String, User>,
    tokens: BTreeMap<String, Token>,
}

/// A user, as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Networks that they may come from; empty: any.
    pub addresses: Vec<IpNet>,
}

/// A token, as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its number.
    pub id: String,
    /// Whose.
    pub user: String,
    /// What it may do.
    pub role: Role,
    /// What its owner calls it.
    pub label: String,
    /// Since when.
    pub created: SystemTime,
    /// Until when.
    pub expires: SystemTime,
}

/// Why something about accounts did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// Name or password is wrong, or the user may not come from there.
    Wrong,
    /// Too many failures: to be tried again after this.
    TooSoon(Duration),
    /// There is no such user or token.
    Unknown,
    /// There is one already.
    Taken,
    /// What was given breaks a rule, which is told.
    Invalid(&'static str),
    /// It would leave nobody who may change anything.
    LastAdmin,
    /// There is no room for more.
    Full,
    /// The file could not be written.
    Disk(String),
}

/// See the module.
pub struct Accounts {
    state: Mutex<State>,
    file: Option<file::StateFile>,
    throttle: Throttle,
}

impl Accounts {
    /// Reads the accounts of a folder; without one they last as long as the process. If there is no user yet, makes one and
    /// gives its password, which nobody can read again.
    ///
    /// # Errors
    /// One line, if the file is there but cannot be read, or cannot be written.
    pub fn open(folder: Option<&Path>) -> Result<(Self, Option<String>), String> {
        let file = folder.map(file::StateFile::new).transpose()?;
        let state: State =
            file.as_ref().map(file::StateFile::read).transpose()?.flatten().unwrap_or_default();
        let accounts = Self { state: Mutex::new(state), file, throttle: Throttle::default() };
        if !accounts.lock().users.is_empty() {
            return Ok((accounts, None));
        }
        let password = password::random();
        accounts
            .put_user(FIRST_USER, Some(&password), Role::Admin, Vec::new(), true)
            .map_err(|error| format!("the first user cannot be made: {error:?}"))?;
        Ok((accounts, Some(password)))
    }

    /// Checks a name and a password. Takes long: not for the control thread.
    ///
    /// # Errors
    /// [`AccountError::Wrong`] or [`AccountError::TooSoon`].
    pub fn login(&self, name: &str, given: Given<'_>, from: IpAddr) -> Result<Principal, AccountError> {
        self.throttle.check(from, name).map_err(|wait| AccountError::TooSoon(wait.0))?;
        let user = self.lock().users.get(name).cloned();
        // A name that does not exist takes as long as one that does.
        let hash = user.as_ref().map_or_else(password::nobodys, |user| user.hash.clone());
        let right = match given {
            Given::Password(password) => password::verify(&password::md5_hex(password), &hash),
            Given::Md5(md5) => password::verify(&md5.to_ascii_lowercase(), &hash),
        };
        match user.filter(|user| right && may_come(&user.addresses, from)) {
            Some(user) => {
                self.throttle.succeeded(from, name);
                Ok(Principal { user: name.to_owned(), role: user.role, token: None })
            }
            None => {
                self.throttle.failed(from, name);
                Err(AccountError::Wrong)
            }
        }
    }

    /// Failed logins so far, and those that came too soon to be looked at.
    pub fn failures(&self) -> (u64, u64) {
        self.throttle.counts()
    }

    /// Makes a token for a user; gives its secret, which nobody can read again.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], [`AccountError::Invalid`] (a role above the user's own, a life that is too long),
    /// [`AccountError::Full`], [`AccountError::Disk`].
    pub fn issue(
        &self,
        user: &str,
        role: Option<Role>,
        label: &str,
        life: Duration,
    ) -> Result<(TokenInfo, String), AccountError> {
        if life > MAX_TOKEN_LIFE || life.is_zero() {
            return Err(AccountError::Invalid("expires_in_s is out of range"));
        }
        if label.len() > MAX_NAME_BYTES || label.chars().any(char::is_control) {
            return Err(AccountError::Invalid("label is too long, or has control characters"));
        }
        let secret = format!("sct_{}", password::token());
        let (now, id) = (now_s(), password::id());
        let info = self.change(|state| {
            state.tokens.retain(|_, token| token.expires_s > now);
            if state.tokens.len() >= MAX_TOKENS {
                return Err(AccountError::Full);
            }
            let own = state.users.get(user).ok_or(AccountError::Unknown)?.role;
            let role = role.unwrap_or(own);
            if role > own {
                return Err(AccountError::Invalid("role is more than the user's own"));
            }
            let token = Token {
                hash: hash_of(&secret),
                user: user.to_owned(),
                role,
                label: label.to_owned(),
                created_s: now,
                expires_s: now.saturating_add(life.as_secs().max(1)),
            };
            let info = shown(&id, &token);
            state.tokens.insert(id, token);
            Ok(info)
        })?;
        Ok((info, secret))
    }

    /// Whose token this is, if it is valid and they may come from there.
    pub fn check(&self, secret: &str, from: IpAddr) -> Option<Principal> {
        let hash = hash_of(secret);
        let state = self.lock();
        let (id, token) = state
            .tokens
            .iter()
            .find(|(_, token)| bool::from(token.hash.as_bytes().ct_eq(hash.as_bytes())))?;
        let user = state.users.get(&token.user)?;
        if token.expires_s <= now_s() || !may_come(&user.addresses, from) {
            return None;
        }
        // A user who lost a role has lost it with all tokens.
        Some(Principal { user: token.user.clone(), role: token.role.min(user.role), token: Some(id.clone()) })
    }

    /// Tokens that are valid, of one user or of all.
    pub fn tokens(&self, of: Option<&str>) -> Vec<TokenInfo> {
        let now = now_s();
        let state = self.lock();
        let valid = state.tokens.iter().filter(|(_, token)| token.expires_s > now);
        valid
            .filter(|(_, token)| of.is_none_or(|user| user == token.user))
            .map(|(id, t)| shown(id, t))
            .collect()
    }

    /// Ends a token, of anybody or only of one user.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], [`AccountError::Disk`].
    pub fn revoke(&self, id: &str, of: Option<&str>) -> Result<(), AccountError> {
        self.change(|state| {
            let own = state.tokens.get(id).is_some_and(|token| of.is_none_or(|user| user == token.user));
            if !own {
                return Err(AccountError::Unknown);
            }
            state.tokens.remove(id);
            Ok(())
        })
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<UserInfo> {
        let state = self.lock();
        let info = |(name, user): (&String, &User)| UserInfo {
            name: name.clone(),
            role: user.role,
            addresses: user.addresses.clone(),
        };
        state.users.iter().map(info).collect()
    }

    /// Makes a user (`new`) or changes one. A new password ends the tokens of the user. Takes long: not for the control
    /// thread.
    ///
    /// # Errors
    /// [`AccountError::Invalid`], [`AccountError::Taken`], [`AccountError::Unknown`], [`AccountError::LastAdmin`],
    /// [`AccountError::Full`], [`AccountError::Disk`].
    pub fn put_user(
        &self,
        name: &str,
        password: Option<&str>,
        role: Role,
        addresses: Vec<IpNet>,
        new: bool,
    ) -> Result<UserInfo, AccountError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(plain) {
            return Err(AccountError::Invalid("name must be 1 to 64 of A-Z a-z 0-9 - _ . @"));
        }
        if password.is_some_and(|password| !PASSWORD_BYTES.contains(&password.len())) {
            return Err(AccountError::Invalid("password must be 8 to 256 bytes long"));
        }
        if addresses.len() > 64 {
            return Err(AccountError::Invalid("addresses must be at most 64 networks"));
        }
        let hash = password
            .map(|password| password::hash(&password::md5_hex(password)))
            .transpose()
            .map_err(AccountError::Disk)?;
        self.change(|state| {
            let known = state.users.get(name).cloned();
            let hash = match (&known, new, hash) {
                (Some(_), true, _) => return Err(AccountError::Taken),
                (None, false, _) => return Err(AccountError::Unknown),
                (None, true, None) => return Err(AccountError::Invalid("password is needed")),
                (None, true, Some(hash)) => hash,
                (Some(known), false, None) => known.hash.clone(),
                (Some(_), false, Some(hash)) => {
                    state.tokens.retain(|_, token| token.user != name);
                    hash
                }
            };
            if state.users.len() >= MAX_USERS && known.is_none() {
                return Err(AccountError::Full);
            }
            state.users.insert(name.to_owned(), User { hash, role, addresses: addresses.clone() });
            has_admin(state)?;
            Ok(UserInfo { name: name.to_owned(), role, addresses })
        })
    }

    /// Removes a user with all tokens.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], [`AccountError::LastAdmin`], [`AccountError::Disk`].
    pub fn remove_user(&self, name: &str) -> Result<(), AccountError> {
        self.change(|state| {
            state.users.remove(name).ok_or(AccountError::Unknown)?;
            state.tokens.retain(|_, token| token.user != name);
            has_admin(state)
        })
    }

    /// Changes the state and writes it; if either fails, nothing is changed.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let mut state = self.lock();
        let mut changed = state.clone();
        let done = change(&mut changed)?;
        if let Some(file) = &self.file {
            file.write(&changed).map_err(AccountError::Disk)?;
        }
        *state = changed;
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody gives to prove who they are.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// The password.
    Password(&'a str),
    /// Its MD5 in hexadecimal.
    Md5(&'a str),
}

fn has_admin(state: &State) -> Result<(), AccountError> {
    let admin = state.users.values().any(|user| user.role == Role::Admin);
    if admin { Ok(()) } else { Err(AccountError::LastAdmin) }
}

/// Whether an address is in one of the networks; an IPv4 address inside IPv6 is taken as what it is.
pub(crate) fn may_come(networks: &[IpNet], from: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(&from.to_canonical()))
}

fn shown(id: &str, token: &Token) -> TokenInfo {
    let at = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
    TokenInfo {
        id: id.to_owned(),
        user: token.user.clone(),
        role: token.role,
        label: token.label.clone(),
        created: at(token.created_s),
        expires: at(token.expires_s),
    }
}

fn hash_of(secret: &str) -> String {
    password::hex(&Sha256::digest(secret.as_bytes()))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn fresh() -> (Accounts, String) {
        let (accounts, password) = Accounts::open(None).unwrap();
        (accounts, password.unwrap())
    }

    #[test]
    fn the_first_password_is_random_and_works_in_both_forms() {
        let (accounts, password) = fresh();
        assert_ne!(password, fresh().1);
        assert!(accounts.login("admin", Given::Password(&password), HERE).is_ok());
        let md5 = password::md5_hex(&password).to_ascii_uppercase();
        assert_eq!(accounts.login("admin", Given::Md5(&md5), HERE).unwrap().role, Role::Admin);
        assert_eq!(accounts.login("admin", Given::Password("admin"), HERE), Err(AccountError::Wrong));
    }

    #[test]
    fn failures_are_slowed_and_counted() {
        let (accounts, _) = fresh();
        for _ in 0..20 {
            let _ = accounts.login("nobody", Given::Password("x"), HERE);
        }
        assert!(matches!(
            accounts.login("nobody", Given::Password("x"), HERE),
            Err(AccountError::TooSoon(_))
        ));
        let (looked_at, too_soon) = accounts.failures();
        assert!(looked_at < 10 && too_soon > 10, "{looked_at} {too_soon}");
    }

    #[test]
    fn tokens_end_by_revocation_expiry_new_password_and_loss_of_role() {
        let (accounts, _) = fresh();
        accounts.put_user("eve", Some("long enough"), Role::Operator, Vec::new(), true).unwrap();
        let issue = |role| accounts.issue("eve", role, "t", Duration::from_secs(3600));
        assert_eq!(
            issue(Some(Role::Admin)).unwrap_err(),
            AccountError::Invalid("role is more than the user's own")
        );
        let (info, secret) = issue(None).unwrap();
        assert_eq!(accounts.check(&secret, HERE).unwrap().role, Role::Operator);
        assert_eq!(accounts.check(&secret[..secret.len() - 1], HERE), None);
        accounts.put_user("eve", None, Role::Viewer, Vec::new(), false).unwrap();
        assert_eq!(accounts.check(&secret, HERE).unwrap().role, Role::Viewer);
        assert_eq!(accounts.revoke(&info.id, Some("admin")), Err(AccountError::Unknown));
        accounts.revoke(&info.id, Some("eve")).unwrap();
        assert_eq!(accounts.check(&secret, HERE), None);
        let (_, secret) = issue(None).unwrap();
        accounts.put_user("eve", Some("another one"), Role::Viewer, Vec::new(), false).unwrap();
        assert_eq!(accounts.check(&secret, HERE), None);
        let (info, secret) = issue(None).unwrap();
        accounts.state.lock().unwrap().tokens.get_mut(&info.id).unwrap().expires_s = now_s();
        assert_eq!(accounts.check(&secret, HERE), None);
        assert!(accounts.tokens(Some("eve")).is_empty());
    }

    #[test]
    fn a_user_comes_only_from_where_they_may() {
        let (accounts, _) = fresh();
        let net = vec!["10.0.0.0/8".parse().unwrap()];
        accounts.put_user("eve", Some("long enough"), Role::Viewer, net, true).unwrap();
        let there: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        assert!(accounts.login("eve", Given::Password("long enough"), HERE).is_err());
        assert!(accounts.login("eve", Given::Password("long enough"), there).is_ok());
        let (_, secret) = accounts.issue("eve", None, "", Duration::from_secs(60)).unwrap();
        assert!(accounts.check(&secret, HERE).is_none() && accounts.check(&secret, there).is_some());
    }

    #[test]
    fn somebody_stays_who_may_change_things() {
        let (accounts, _) = fresh();
        assert_eq!(accounts.remove_user("admin"), Err(AccountError::LastAdmin));
        let demoted = accounts.put_user("admin", None, Role::Viewer, Vec::new(), false);
        assert_eq!(demoted, Err(AccountError::LastAdmin));
        assert_eq!(accounts.users().len(), 1);
        assert_eq!(accounts.remove_user("nobody"), Err(AccountError::Unknown));
    }

    #[test]
    fn the_file_keeps_them_and_tells_no_secret() {
        let folder = std::env::temp_dir().join(format!("shardcast-accounts-{}", std::process::id()));
        let (accounts, password) = Accounts::open(Some(&folder)).unwrap();
        let password = password.unwrap();
        let (_, secret) = accounts.issue("admin", None, "kept", Duration::from_secs(60)).unwrap();
        drop(accounts);
        let written = std::fs::read_to_string(folder.join("accounts.json")).unwrap();
        assert!(!written.contains(&password) && !written.contains(&secret) && written.contains("argon2id"));
        let (again, password) = Accounts::open(Some(&folder)).unwrap();
        assert!(password.is_none() && again.check(&secret, HERE).is_some());
        std::fs::write(folder.join("accounts.json"), "{").unwrap();
        assert!(Accounts::open(Some(&folder)).err().unwrap().contains("accounts.json"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn users_and_tokens_are_bounded() {
        let (accounts, _) = fresh();
        {
            let mut state = accounts.state.lock().unwrap();
            let user = state.users.get("admin").unwrap().clone();
            for n in state.users.len()..MAX_USERS {
                state.users.insert(format!("u{n}"), user.clone());
            }
            let token = Token {
                hash: String::new(),
                user: "admin".into(),
                role: Role::Viewer,
                label: String::new(),
                created_s: 0,
                expires_s: u64::MAX,
            };
            for n in 0..MAX_TOKENS {
                state.tokens.insert(format!("{n}"), token.clone());
            }
        }
        let more = accounts.put_user("more", Some("long enough"), Role::Viewer, Vec::new(), true);
        assert_eq!(more, Err(AccountError::Full));
        let token = accounts.issue("admin", None, "", Duration::from_secs(60));
        assert_eq!(token.unwrap_err(), AccountError::Full);
    }
}
