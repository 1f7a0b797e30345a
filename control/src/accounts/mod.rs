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
use std::collections::{BTreeMap, HashSet};
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
/// Most of them of one user, so that nobody can take the others' places.
pub const MAX_TOKENS_OF_USER: usize = 200;
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
    /// The token that made it, unless that was a login's: it ends with it.
    #[serde(default)]
    parent: Option<String>,
    /// By name and password.
    #[serde(default)]
    login: bool,
}

/// How somebody comes to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof<'a> {
    /// With name and password. When the user has too many tokens, the oldest of this kind ends.
    Login,
    /// With a token that they have, by its number.
    Token(&'a str),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    users: BTreeMap<String, User>,
    tokens: BTreeMap<String, Token>,
}

impl State {
    /// A user who lost a role has lost it with all tokens.
    fn role_of(&self, token: &Token) -> Role {
        self.users.get(&token.user).map_or(token.role, |user| token.role.min(user.role))
    }

    /// Makes room for another token of a user.
    fn end_oldest_logins(&mut self, user: &str) {
        let own = |token: &Token| token.user == user;
        while self.tokens.values().filter(|token| own(token)).count() >= MAX_TOKENS_OF_USER {
            let logins = self.tokens.iter().filter(|(_, token)| own(token) && token.login);
            let Some(id) = logins.min_by_key(|(_, token)| token.created_s).map(|(id, _)| id.clone()) else {
                return;
            };
            self.tokens.remove(&id);
        }
    }
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
    /// Held while the state changes: the file is written without holding up those who are looked up.
    changing: Mutex<()>,
    file: Option<file::StateFile>,
    throttle: Throttle,
}

impl Accounts {
    /// Reads the accounts of a folder; without one they last as long as the process.
    ///
    /// # Errors
    /// One line, if the file is there but cannot be read.
    pub fn open(folder: Option<&Path>) -> Result<Self, String> {
        let file = folder.map(file::StateFile::new).transpose()?;
        let state: State =
            file.as_ref().map(file::StateFile::read).transpose()?.flatten().unwrap_or_default();
        Ok(Self { state: Mutex::new(state), changing: Mutex::default(), file, throttle: Throttle::default() })
    }

    /// If there is no user yet, makes one and gives its password, which nobody can read again: to be called when it can be
    /// shown.
    ///
    /// # Errors
    /// One line, if it cannot be written.
    pub fn first_user(&self) -> Result<Option<String>, String> {
        if !self.lock().users.is_empty() {
            return Ok(None);
        }
        let password = password::random();
        self.put_user(FIRST_USER, Some(&password), Role::Admin, Some(Vec::new()), true)
            .map_err(|error| format!("the first user cannot be made: {error:?}"))?;
        Ok(Some(password))
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

    /// Makes a token for a user; gives its secret, which nobody can read again. One made with a token that was made so itself
    /// ends with that one, at the latest.
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
        proof: Proof<'_>,
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
            if proof == Proof::Login {
                state.end_oldest_logins(user);
            }
            let of_user = state.tokens.values().filter(|token| token.user == user).count();
            if of_user >= MAX_TOKENS_OF_USER || state.tokens.len() >= MAX_TOKENS {
                return Err(AccountError::Full);
            }
            let (parent, until) = match proof {
                Proof::Login => (None, u64::MAX),
                Proof::Token(id) => {
                    let with = state.tokens.get(id).ok_or(AccountError::Unknown)?;
                    if with.login { (None, u64::MAX) } else { (Some(id.to_owned()), with.expires_s) }
                }
            };
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
                expires_s: now.saturating_add(life.as_secs().max(1)).min(until),
                parent,
                login: proof == Proof::Login,
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
        Some(Principal { user: token.user.clone(), role: state.role_of(token), token: Some(id.clone()) })
    }

    /// Whether somebody who came with a token may go on.
    pub fn still(&self, who: &Principal, from: IpAddr) -> bool {
        let Some(id) = &who.token else { return true };
        let state = self.lock();
        let token = state.tokens.get(id).filter(|token| token.expires_s > now_s());
        token
            .and_then(|token| state.users.get(&token.user))
            .is_some_and(|user| may_come(&user.addresses, from))
    }

    /// Tokens that are valid and can do no more than this role, of one user or of all.
    pub fn tokens(&self, of: Option<&str>, role: Role) -> Vec<TokenInfo> {
        let now = now_s();
        let state = self.lock();
        let valid =
            state.tokens.iter().filter(|(_, token)| token.expires_s > now && state.role_of(token) <= role);
        valid
            .filter(|(_, token)| of.is_none_or(|user| user == token.user))
            .map(|(id, t)| shown(id, t))
            .collect()
    }

    /// Ends a token that can do no more than this role, of anybody or only of one user, with those that were made with it.
    ///
    /// # Errors
    /// [`AccountError::Unknown`], [`AccountError::Disk`].
    pub fn revoke(&self, id: &str, of: Option<&str>, role: Role) -> Result<(), AccountError> {
        self.change(|state| {
            let own = state.tokens.get(id).is_some_and(|token| {
                state.role_of(token) <= role && of.is_none_or(|user| user == token.user)
            });
            if !own {
                return Err(AccountError::Unknown);
            }
            state.tokens.remove(id);
            let mut before = usize::MAX;
            while state.tokens.len() < before {
                before = state.tokens.len();
                let there: HashSet<String> = state.tokens.keys().cloned().collect();
                state
                    .tokens
                    .retain(|_, token| token.parent.as_ref().is_none_or(|parent| there.contains(parent)));
            }
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

    /// Makes a user (`new`) or changes one; password and addresses that are not given stay. A new password ends the tokens of the user. Takes long: not for the control
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
        addresses: Option<Vec<IpNet>>,
        new: bool,
    ) -> Result<UserInfo, AccountError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(plain) {
            return Err(AccountError::Invalid("name must be 1 to 64 of A-Z a-z 0-9 - _ . @"));
        }
        if password.is_some_and(|password| !PASSWORD_BYTES.contains(&password.len())) {
            return Err(AccountError::Invalid("password must be 8 to 256 bytes long"));
        }
        if addresses.as_ref().is_some_and(|addresses| addresses.len() > 64) {
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
            let addresses = addresses.or_else(|| known.map(|user| user.addresses)).unwrap_or_default();
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
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = self.lock().clone();
        let done = change(&mut changed)?;
        if let Some(file) = &self.file {
            file.write(&changed).map_err(AccountError::Disk)?;
        }
        *self.lock() = changed;
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
        let accounts = Accounts::open(None).unwrap();
        let password = accounts.first_user().unwrap().unwrap();
        (accounts, password)
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
        accounts.put_user("eve", Some("long enough"), Role::Operator, None, true).unwrap();
        let issue = |role| accounts.issue("eve", role, "t", Duration::from_secs(3600), Proof::Login);
        assert_eq!(
            issue(Some(Role::Admin)).unwrap_err(),
            AccountError::Invalid("role is more than the user's own")
        );
        let (info, secret) = issue(None).unwrap();
        assert_eq!(accounts.check(&secret, HERE).unwrap().role, Role::Operator);
        assert_eq!(accounts.check(&secret[..secret.len() - 1], HERE), None);
        accounts.put_user("eve", None, Role::Viewer, None, false).unwrap();
        assert_eq!(accounts.check(&secret, HERE).unwrap().role, Role::Viewer);
        assert_eq!(accounts.revoke(&info.id, Some("admin"), Role::Admin), Err(AccountError::Unknown));
        accounts.revoke(&info.id, Some("eve"), Role::Viewer).unwrap();
        assert_eq!(accounts.check(&secret, HERE), None);
        let (_, secret) = issue(None).unwrap();
        accounts.put_user("eve", Some("another one"), Role::Viewer, None, false).unwrap();
        assert_eq!(accounts.check(&secret, HERE), None);
        let (info, secret) = issue(None).unwrap();
        accounts.state.lock().unwrap().tokens.get_mut(&info.id).unwrap().expires_s = now_s();
        assert_eq!(accounts.check(&secret, HERE), None);
        assert!(accounts.tokens(Some("eve"), Role::Admin).is_empty());
    }

    #[test]
    fn a_user_comes_only_from_where_they_may() {
        let (accounts, _) = fresh();
        let net = vec!["10.0.0.0/8".parse().unwrap()];
        accounts.put_user("eve", Some("long enough"), Role::Viewer, Some(net), true).unwrap();
        let there: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
        assert!(accounts.login("eve", Given::Password("long enough"), HERE).is_err());
        assert!(accounts.login("eve", Given::Password("long enough"), there).is_ok());
        let (_, secret) = accounts.issue("eve", None, "", Duration::from_secs(60), Proof::Login).unwrap();
        assert!(accounts.check(&secret, HERE).is_none() && accounts.check(&secret, there).is_some());
    }

    #[test]
    fn somebody_stays_who_may_change_things() {
        let (accounts, _) = fresh();
        assert_eq!(accounts.remove_user("admin"), Err(AccountError::LastAdmin));
        let demoted = accounts.put_user("admin", None, Role::Viewer, None, false);
        assert_eq!(demoted, Err(AccountError::LastAdmin));
        assert_eq!(accounts.users().len(), 1);
        assert_eq!(accounts.remove_user("nobody"), Err(AccountError::Unknown));
    }

    #[test]
    fn the_file_keeps_them_and_tells_no_secret() {
        let folder = std::env::temp_dir().join(format!("shardcast-accounts-{}", std::process::id()));
        let accounts = Accounts::open(Some(&folder)).unwrap();
        let password = accounts.first_user().unwrap().unwrap();
        let (_, secret) =
            accounts.issue("admin", None, "kept", Duration::from_secs(60), Proof::Login).unwrap();
        drop(accounts);
        let written = std::fs::read_to_string(folder.join("accounts.json")).unwrap();
        assert!(!written.contains(&password) && !written.contains(&secret) && written.contains("argon2id"));
        let again = Accounts::open(Some(&folder)).unwrap();
        assert!(again.first_user().unwrap().is_none() && again.check(&secret, HERE).is_some());
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
                parent: None,
                login: false,
            };
            for n in 0..MAX_TOKENS {
                state.tokens.insert(format!("{n}"), token.clone());
            }
        }
        let more = accounts.put_user("more", Some("long enough"), Role::Viewer, None, true);
        assert_eq!(more, Err(AccountError::Full));
        let token = accounts.issue("admin", None, "", Duration::from_secs(60), Proof::Login);
        assert_eq!(token.unwrap_err(), AccountError::Full);
    }

    #[test]
    fn what_a_token_makes_ends_with_it() {
        let (accounts, _) = fresh();
        let make = |with: &str, seconds| {
            accounts.issue("admin", None, "", Duration::from_secs(seconds), Proof::Token(with)).unwrap()
        };
        let login = accounts.issue("admin", None, "", Duration::from_secs(60), Proof::Login).unwrap().0;
        let long = make(&login.id, 9_000).0;
        assert!(long.expires > login.expires, "a login makes what outlives it");
        let (child, _) = make(&long.id, 90_000);
        assert_eq!(child.expires, long.expires);
        let (_, secret) = make(&child.id, 10);
        let who = accounts.check(&secret, HERE).unwrap();
        accounts.revoke(&login.id, None, Role::Admin).unwrap();
        assert!(accounts.still(&who, HERE));
        accounts.revoke(&long.id, None, Role::Admin).unwrap();
        assert!(!accounts.still(&who, HERE) && accounts.check(&secret, HERE).is_none());
        assert!(accounts.tokens(None, Role::Admin).is_empty());
    }

    #[test]
    fn a_weak_token_neither_sees_nor_ends_a_strong_one() {
        let (accounts, _) = fresh();
        let issue =
            |role| accounts.issue("admin", role, "", Duration::from_secs(60), Proof::Login).unwrap().0;
        let (strong, weak) = (issue(None), issue(Some(Role::Viewer)));
        let seen = accounts.tokens(Some("admin"), Role::Viewer);
        assert_eq!(seen.iter().map(|token| &token.id).collect::<Vec<_>>(), [&weak.id]);
        assert_eq!(accounts.revoke(&strong.id, Some("admin"), Role::Viewer), Err(AccountError::Unknown));
    }

    #[test]
    fn one_users_logins_take_no_other_users_places() {
        let (accounts, _) = fresh();
        let issue = |proof| accounts.issue("admin", None, "", Duration::from_secs(60), proof);
        let kept = issue(Proof::Login).unwrap().0;
        let made = issue(Proof::Token(&kept.id)).unwrap().0;
        for _ in 0..MAX_TOKENS_OF_USER {
            issue(Proof::Login).unwrap();
        }
        let all = accounts.tokens(None, Role::Admin);
        assert_eq!(all.len(), MAX_TOKENS_OF_USER);
        assert!(all.iter().any(|token| token.id == made.id), "only logins make room");
    }
}
