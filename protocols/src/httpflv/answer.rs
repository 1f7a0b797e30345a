//! What is answered: heads of media, refusals in HTTP's words, the words for a stop.

use super::config::Config;
use crate::container::flv::Framing;
use crate::http::{BodyFraming, Method, Request, ResponseHead, Version, origin, text};
use crate::ws::{Upgrade, close_codes};
use crate::{Error, ErrorKind};
use media::{Refusal, StopReason};

/// Methods of a stream's path.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, OPTIONS";
/// When to try again what is refused for now, in seconds.
const RETRY_AFTER: &str = "5";

/// What every answer depends on, kept from the request.
pub(super) struct Reply {
    pub version: Version,
    /// Whether the connection carries on after an answer given now.
    pub keep: bool,
    /// Whether the peer wants it to.
    keep_alive: bool,
    head_only: bool,
    origin: Option<Box<str>>,
}

impl Reply {
    pub fn new(request: &Request) -> Self {
        // A push that names no length is followed by something all the same.
        let unread = match request.body {
            BodyFraming::Length(0) => false,
            BodyFraming::None => matches!(request.method, Method::Post | Method::Put),
            _ => true,
        };
        Self {
            version: request.version,
            keep: request.keep_alive && !unread,
            keep_alive: request.keep_alive,
            head_only: request.method == Method::Head,
            origin: origin(request).map(Into::into),
        }
    }

    /// From now on answers are given behind the whole body.
    pub fn body_read(&mut self, body: BodyFraming) {
        self.keep = self.keep_alive && matches!(body, BodyFraming::Length(_) | BodyFraming::Chunked);
    }

    /// A small answer in plain text.
    pub fn text(&self, status: u16, why: &str, config: &Config) -> Vec<u8> {
        let body = format!("{why}\n");
        text(status, &body, !self.head_only, (self.keep, self.version), |head| {
            let head = config.cors.write(head, self.origin.as_deref());
            match status {
                405 => head.header("Allow", METHODS),
                426 => head.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13"),
                503 => head.header("Retry-After", RETRY_AFTER),
                _ => head,
            }
        })
    }

    /// The head in front of FLV bytes.
    pub fn media(&self, framing: Framing, config: &Config) -> Vec<u8> {
        let head =
            ResponseHead::new(200).header("Content-Type", "video/x-flv").header("Cache-Control", "no-store");
        let head = config.cors.write(head, self.origin.as_deref());
        if self.head_only {
            return head.connection(self.keep, self.version).finish();
        }
        let head = match framing {
            Framing::HttpChunk => head.header("Transfer-Encoding", "chunked"),
            Framing::Raw | Framing::WsFrame => head,
        };
        // A body without an end of its own choosing is the last of its connection.
        head.connection(false, self.version).finish()
    }

    /// The head that makes the connection a WebSocket.
    pub fn switch(upgrade: &Upgrade) -> Vec<u8> {
        let head = ResponseHead::new(101)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Accept", &upgrade.accept);
        let head = match upgrade.protocol {
            Some(protocol) => head.header("Sec-WebSocket-Protocol", protocol),
            None => head,
        };
        head.finish()
    }
}

/// Status of a refused request. `push`: to publish.
pub(super) const fn refusal_status(refusal: Refusal, push: bool) -> u16 {
    match refusal {
        Refusal::BadName if push => 400,
        Refusal::BadName | Refusal::NotFound => 404,
        Refusal::NotAllowed => 403,
        Refusal::AlreadyPublishing => 409,
        Refusal::Limit | Refusal::ShuttingDown | Refusal::Unavailable => 503,
    }
}

/// Status for a request that the server ends before it is complete.
pub(super) const fn stop_status(reason: StopReason) -> u16 {
    match reason {
        StopReason::Replaced => 409,
        StopReason::Idle => 408,
        StopReason::Kicked => 403,
        StopReason::StreamEnded | StopReason::TooSlow | StopReason::ShuttingDown | StopReason::Limit => 503,
    }
}

/// Close code of a WebSocket that the server ends.
pub(super) const fn stop_code(reason: StopReason) -> u16 {
    match reason {
        StopReason::StreamEnded => close_codes::NORMAL,
        StopReason::ShuttingDown => close_codes::GOING_AWAY,
        StopReason::Replaced | StopReason::Idle | StopReason::Kicked => close_codes::POLICY,
        StopReason::TooSlow | StopReason::Limit => close_codes::TRY_AGAIN_LATER,
    }
}

/// Status for a body that cannot be read on.
pub(super) const fn error_status(error: Error) -> u16 {
    match error.kind {
        ErrorKind::Malformed | ErrorKind::Misbehaved => 400,
        ErrorKind::Unsupported => 415,
        ErrorKind::Limit => 413,
    }
}

/// Close code for a content that cannot be read on.
pub(super) const fn error_code(error: Error) -> u16 {
    match error.kind {
        ErrorKind::Malformed => close_codes::INVALID_DATA,
        ErrorKind::Misbehaved => close_codes::POLICY,
        ErrorKind::Unsupported => close_codes::UNSUPPORTED,
        ErrorKind::Limit => close_codes::TOO_BIG,
    }
}
