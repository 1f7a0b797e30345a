//! Questions to targets: may this session publish or play? And the one HTTP connection pool that all callbacks share.

use super::body::{Fields, millis};
use super::target::Target;
use crate::access::Caps;
use engine::{Action, Question};
use hmac::{Hmac, Mac};
use media::{LatencyClass, StreamKey};
use serde::Deserialize;
use sha2::Sha256;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// Questions that are open at a time; more are treated as if the target could not be reached.
const MAX_OPEN: usize = 1_000;
/// Most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;
/// Idle connections that are kept to a target.
const IDLE_CONNECTIONS: usize = 16;
/// Longest application and name in an answer, in bytes.
const NAME_BYTES: usize = 512;

/// What the targets say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All that were asked allow it.
    Allow {
        /// The stream it gets in place of the one it asked for.
        name: Option<StreamKey>,
        /// Latency class of a viewer.
        class: Option<LatencyClass>,
        /// Who it is.
        user: Option<String>,
        /// Limits in place of the configured ones.
        caps: Caps,
    },
    /// One refuses it; why, for operators.
    Refuse(String),
    /// One did not answer, and that is no yes; why, for operators.
    Unreachable(String),
}

/// A verdict in an answer's body; all of it may be missing.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    allow: Option<bool>,
    name: Option<String>,
    class: Option<String>,
    user: Option<String>,
    limits: Option<Caps>,
}

/// Sends callbacks. Cheap to clone.
#[derive(Clone)]
pub struct Asker {
    http: reqwest::Client,
    open: Arc<Semaphore>,
    asked: Arc<AtomicU64>,
}

impl Asker {
    /// With a connection pool of its own.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        // Fails only if somebody has set it up before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .no_proxy()
            .user_agent(concat!("shardcast/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("callbacks: {error}"))?;
        Ok(Self { http, open: Arc::new(Semaphore::new(MAX_OPEN)), asked: Arc::default() })
    }

    /// Questions asked so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Asks all targets that want to be asked, one after the other, until one does not allow it. One that cannot be reached
    /// is passed over if `unreachable_allows`.
    pub async fn ask(&self, targets: &[Target], question: &Question, unreachable_allows: bool) -> Answer {
        let action = action_of(question);
        let fields = Fields::of_question(question, action, SystemTime::now());
        let body = fields.text();
        let mut all = Said::default();
        for target in targets.iter().filter(|target| target.wants(action, question.key.as_str())) {
            let Ok(_place) = self.open.try_acquire() else {
                // Whatever the configuration says: otherwise a flood would open the door.
                return Answer::Unreachable("too many questions are open".into());
            };
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.post(target, body.clone(), None).await {
                Ok((200, answer)) => match verdict(&answer) {
                    // The first that says something of a thing decides it.
                    Ok(said) => all = all.or(said),
                    Err(why) => return Answer::Refuse(format!("callback: {}: {why}", target.name())),
                },
                Ok((status, _)) => {
                    return Answer::Refuse(format!("callback: {} answered {status}", target.name()));
                }
                Err(why) if unreachable_allows => {
                    let target = target.name();
                    tracing::warn!(session = %question.session, target, why, "passed over, for it does not answer");
                }
                Err(why) => return Answer::Unreachable(format!("callback: {}: {why}", target.name())),
            }
        }
        let Said { name, class, user, caps } = all;
        Answer::Allow { name, class, user, caps }
    }

    /// Reads what is at an address, up to a mebibyte.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn get(&self, url: &str, timeout: Duration) -> Result<String, String> {
        const MAX_BYTES: usize = 1 << 20;
        let response = self.http.get(url).timeout(timeout).send().await.map_err(|error| shortly(&error))?;
        let mut response = response.error_for_status().map_err(|error| shortly(&error))?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| shortly(&error))? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err("it is too large".into());
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).map_err(|_| "it is not text".into())
    }

    /// Sends a body; gives status and answer.
    pub(super) async fn post(
        &self,
        target: &Target,
        body: String,
        event: Option<u64>,
    ) -> Result<(u16, Vec<u8>), String> {
        let mut request = self.http.post(&target.url).timeout(target.timeout);
        request = request.header("content-type", "application/json");
        if let Some(event) = event {
            request = request.header("x-shardcast-event-id", event);
        }
        if !target.secret.is_empty() {
            let timestamp = millis(SystemTime::now());
            request = request
                .header("x-shardcast-timestamp", timestamp)
                .header("x-shardcast-signature", signature(&target.secret, timestamp, &body));
        }
        let mut response = request.body(body).send().await.map_err(|error| shortly(&error))?;
        let status = response.status().as_u16();
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                // What is longer cannot be read, and so is no yes.
                Ok(Some(chunk)) => answer.extend(chunk.iter().take(MAX_ANSWER.saturating_sub(answer.len()))),
                Ok(None) => break,
                // A fact was taken when the status said so.
                Err(_) if event.is_some() => break,
                Err(error) => return Err(shortly(&error)),
            }
            if answer.len() >= MAX_ANSWER {
                break;
            }
        }
        Ok((status, answer))
    }
}

/// `sha256=` and the HMAC of `timestamp.body`, in hexadecimal.
pub(super) fn signature(secret: &str, timestamp: u64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// What a question is called.
pub const fn action_of(question: &Question) -> &'static str {
    match question.action {
        Action::Publish => "prePublish",
        Action::Play => "prePlay",
    }
}

/// What an allowed session is told beside the yes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    name: Option<StreamKey>,
    class: Option<LatencyClass>,
    user: Option<String>,
    caps: Caps,
}

impl Said {
    fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            class: self.class.or(other.class),
            user: self.user.or(other.user),
            caps: self.caps.or(other.caps),
        }
    }
}

/// Reads the body of a 200. One that is no JSON object says nothing more than yes; one that is, and cannot be understood, is not
/// taken for a yes.
fn verdict(answer: &[u8]) -> Result<Said, String> {
    if !answer.trim_ascii_start().starts_with(b"{") {
        return Ok(Said::default());
    }
    let body: Body =
        serde_json::from_slice(answer).map_err(|error| format!("its verdict cannot be read: {error}"))?;
    if body.allow == Some(false) {
        return Err("said no".into());
    }
    let known = |what, text: Option<String>, known: bool| match text {
        Some(text) if !known => Err(format!("its verdict has a {what} that cannot be: {text:?}")),
        _ => Ok(()),
    };
    let name = body.name.as_deref().and_then(key);
    let class = body.class.as_deref().and_then(latency_class);
    known("name", body.name, name.is_some())?;
    known("class", body.class, class.is_some())?;
    Ok(Said { name, class, user: body.user, caps: body.limits.unwrap_or_default() })
}

fn key(text: &str) -> Option<StreamKey> {
    let (app, name) = text.rsplit_once('/')?;
    StreamKey::parse(app, name, NAME_BYTES).ok()
}

fn latency_class(name: &str) -> Option<LatencyClass> {
    LatencyClass::ALL.into_iter().find(|class| class.name() == name)
}

/// The innermost reason, without the address, which may hold a secret.
fn shortly(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}

/// Longest wait between two tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_cannot_be_read_is_no_yes() {
        for yes in
            ["", "ok", "[]", "{}", r#"{"allow":true}"#, r#"{"code":200,"msg":"x"}"#, r#"{"allow":null}"#]
        {
            assert_eq!(verdict(yes.as_bytes()), Ok(Said::default()), "{yes}");
        }
        let all = verdict(br#" {"name":"a/b","class":"bulk","user":"eve"}"#).unwrap();
        assert_eq!(all.name.unwrap().as_str(), "a/b");
        assert_eq!((all.class, all.user.as_deref()), (Some(LatencyClass::Bulk), Some("eve")));
        let caps = verdict(br#"{"limits":{"per_user":1,"per_stream":50}}"#).unwrap().caps;
        assert_eq!(caps, Caps { per_address: None, per_user: Some(1), per_stream: Some(50) });
        for no in [
            r#"{"allow":false}"#,
            r#"{"allow":"no"}"#,
            r#"{"allow":false"#,
            r#"{"allow":true,"name":"nothing"}"#,
            r#"{"class":"fastest"}"#,
            r#"{"limits":{"per_user":-1}}"#,
            r#"{"limits":{"per_everything":1}}"#,
        ] {
            assert!(verdict(no.as_bytes()).is_err(), "{no}");
        }
        let long = format!(r#"{{"why":"{}","allow":false}}"#, "x".repeat(MAX_ANSWER));
        assert!(verdict(long.as_bytes().get(..MAX_ANSWER).unwrap()).is_err());
    }

    #[test]
    fn signatures_are_those_of_other_programs() {
        // printf '1.what do ya want for nothing?' | openssl dgst -sha256 -hmac Jefe
        let signed = signature("Jefe", 1, "what do ya want for nothing?");
        assert_eq!(signed, "sha256=a9049465ce89cfb8e9aac62333abda66f80e3403f51f57f6bae3c3a4485eca38");
    }
}
