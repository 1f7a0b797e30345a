//! "Why is there no picture?": the first step of a session that failed, why, whose fault it is, and what to do.
//!
//! Made of what a session's record says: the steps it came through and why it ended. Words are for a support engineer.

use engine::{Role, SessionStats};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// A viewer that has seen nothing after this is told of.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fault {
    /// The encoder, player or network of the peer.
    Peer,
    /// Whoever configured or operates the server.
    Operator,
    /// This server.
    Server,
}

/// What went wrong first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Diagnosis {
    /// The step that failed: `handshake`, `request`, `admission`, `publisher`, `first_packet`, `first_media_out`, `delivery`.
    pub failed_step: &'static str,
    /// Whose fault.
    pub fault: Fault,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub advice: &'static str,
}

type Words = (&'static str, Fault, &'static str);

/// What went wrong, if something did. `denied`: what admission noted for operators.
pub(super) fn diagnose(session: &SessionStats, denied: Option<&str>) -> Option<Diagnosis> {
    let ended = session.ended.as_deref();
    let (failed_step, fault, advice) = match (ended, session.role) {
        (Some(why), _) if why.starts_with("refused: ") => refused(why),
        (Some("internal error"), _) => {
            ("delivery", Fault::Server, "a fault of this server: report it with the log")
        }
        (Some("kicked"), _) => ("delivery", Fault::Operator, "an operator ended it: the audit log says who"),
        (Some("server shutting down"), _) => ("delivery", Fault::Operator, "the server was stopped"),
        (Some(why), Role::Undecided) => undecided(session, why)?,
        (None, Role::Undecided) => return None,
        (_, Role::Publisher) => publisher(session, ended)?,
        (_, Role::Viewer) => viewer(session, ended)?,
    };
    let why = match (denied, ended) {
        (Some(denied), _) => denied.to_owned(),
        (None, Some(ended)) => ended.strip_prefix("refused: ").unwrap_or(ended).to_owned(),
        (None, None) => "it has not come so far yet".to_owned(),
    };
    Some(Diagnosis { failed_step, fault, why, advice })
}

fn refused(why: &str) -> Words {
    match why.trim_start_matches("refused: ") {
        "bad name" => ("request", Fault::Peer, "correct the application or stream name in the URL"),
        "already publishing" => (
            "admission",
            Fault::Peer,
            "another encoder publishes under this name: stop it, or set publish.on_conflict",
        ),
        "not allowed" => (
            "admission",
            Fault::Peer,
            "correct the signature, key or token in the URL, or the auth and allow settings",
        ),
        "not found" => (
            "publisher",
            Fault::Operator,
            "nobody publishes under this name: start the encoder, check app and name, or set play.wait_ms",
        ),
        "limit reached" => {
            ("admission", Fault::Operator, "a limit was reached: limits_hit of the shards names it")
        }
        "shutting down" => ("admission", Fault::Operator, "the server is being stopped"),
        _ => (
            "admission",
            Fault::Server,
            "the decision did not come in time: look at the callback targets and the server's load",
        ),
    }
}

/// It ended before it asked for anything.
fn undecided(session: &SessionStats, why: &str) -> Option<Words> {
    if session.bytes_in == 0
        || why == "request served"
        || why == "no request in time" && session.bytes_out > 0
    {
        // A probe of a load balancer, a browser's spare connection, a page that was read.
        return None;
    }
    let handshake = session.protocol.starts_with("rtmp") && !reached(session, "handshake");
    Some(if handshake {
        (
            "handshake",
            Fault::Peer,
            "the peer does not speak RTMP, or its network cuts it off: check port and TLS",
        )
    } else {
        (
            "request",
            Fault::Peer,
            "the peer left, or broke a rule, before it asked to publish or play: see why",
        )
    })
}

fn publisher(session: &SessionStats, ended: Option<&str>) -> Option<Words> {
    if !reached(session, "first packet") {
        let silent = (
            "first_packet",
            Fault::Peer,
            "the encoder was allowed but sent no media: check its codecs, and that it really started",
        );
        return (ended.is_some() || session.age > PATIENCE).then_some(silent);
    }
    match ended? {
        "idle" => {
            Some(("delivery", Fault::Peer, "the encoder stopped sending: check its input and its network"))
        }
        "replaced by another publisher" => Some((
            "delivery",
            Fault::Operator,
            "another encoder took the name over: publish.on_conflict = replace",
        )),
        why if is_normal(why) => None,
        why => Some(broken(why)),
    }
}

fn viewer(session: &SessionStats, ended: Option<&str>) -> Option<Words> {
    let waits = session.steps.last().is_some_and(|step| step.name == "waits for publisher");
    if waits && ended.is_none_or(is_normal) {
        let absent = (
            "publisher",
            Fault::Operator,
            "nobody publishes under this name: start the encoder, and check app and name",
        );
        return (session.age > PATIENCE).then_some(absent);
    }
    if !reached(session, "first media out") {
        let dark = (
            "first_media_out",
            Fault::Peer,
            "the stream gave nothing to start with: its encoder sends no keyframe, or no codec configuration",
        );
        return (ended.is_some_and(|why| !is_normal(why)) || session.age > PATIENCE).then_some(dark);
    }
    match ended? {
        "too slow" => Some((
            "delivery",
            Fault::Peer,
            "the viewer's network did not take the stream: offer a lower bit rate, or raise the latency budgets",
        )),
        why if is_normal(why) => None,
        why => Some(broken(why)),
    }
}

fn broken(why: &str) -> Words {
    if why.starts_with("socket: ") {
        ("delivery", Fault::Peer, "the connection broke: the peer or the network between")
    } else {
        ("delivery", Fault::Peer, "the peer broke a rule of the protocol: see why")
    }
}

fn is_normal(why: &str) -> bool {
    matches!(why, "peer closed" | "ended by peer" | "stream ended" | "request served" | "connection ended")
}

fn reached(session: &SessionStats, step: &str) -> bool {
    session.steps.iter().any(|reached| reached.name == step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{SessionId, Step};

    fn session(role: Role, steps: &[&'static str], ended: Option<&str>) -> SessionStats {
        SessionStats {
            id: SessionId(1),
            shard: 0,
            role,
            protocol: "rtmp",
            peer: "10.0.0.1:1".parse().unwrap(),
            user_agent: String::new(),
            key: None,
            age: Duration::from_secs(60),
            class: None,
            bytes_in: 100,
            bytes_out: 0,
            lag_ms: 0,
            lag_bytes: 0,
            skips: 0,
            bytes_skipped: 0,
            leniencies: 0,
            steps: steps.iter().map(|name| Step { name, after: Duration::ZERO }).collect(),
            ended: ended.map(str::to_owned),
        }
    }

    #[test]
    fn the_first_step_that_failed_is_named_with_its_fault() {
        use Role::{Publisher, Undecided, Viewer};
        let played: &[&str] = &["handshake", "request", "admission", "playing", "first media out"];
        let published: &[&str] = &["handshake", "request", "admission", "first packet"];
        for (role, steps, ended, expected) in [
            (Undecided, &[][..], Some("peer closed"), Some(("handshake", Fault::Peer))),
            (Undecided, &["handshake"][..], Some("no request in time"), Some(("request", Fault::Peer))),
            (Viewer, &published[..3], Some("refused: not found"), Some(("publisher", Fault::Operator))),
            (Viewer, &published[..3], Some("refused: not allowed"), Some(("admission", Fault::Peer))),
            (Publisher, &published[..3], Some("refused: unavailable"), Some(("admission", Fault::Server))),
            (Publisher, &published[..3], None, Some(("first_packet", Fault::Peer))),
            (Publisher, published, Some("idle"), Some(("delivery", Fault::Peer))),
            (Viewer, &played[..4], None, Some(("first_media_out", Fault::Peer))),
            (Viewer, &["request", "waits for publisher"][..], None, Some(("publisher", Fault::Operator))),
            (Viewer, played, Some("too slow"), Some(("delivery", Fault::Peer))),
            (Viewer, played, Some("kicked"), Some(("delivery", Fault::Operator))),
            (Viewer, played, Some("internal error"), Some(("delivery", Fault::Server))),
            (Viewer, played, Some("socket: broken pipe"), Some(("delivery", Fault::Peer))),
            (Viewer, played, Some("peer closed"), None),
            (Viewer, played, None, None),
            (Publisher, published, Some("ended by peer"), None),
        ] {
            let found = diagnose(&session(role, steps, ended), None);
            assert_eq!(found.map(|d| (d.failed_step, d.fault)), expected, "{role:?} {steps:?} {ended:?}");
        }
    }

    #[test]
    fn what_admission_noted_is_told() {
        let refused = session(Role::Viewer, &["request"], Some("refused: not allowed"));
        assert_eq!(diagnose(&refused, Some("sign: expired")).unwrap().why, "sign: expired");
        assert_eq!(diagnose(&refused, None).unwrap().why, "not allowed");
    }
}
