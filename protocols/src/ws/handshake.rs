//! The opening handshake of the accepting side. RFC 6455, 4.2.

use crate::Error;
use crate::http::{Method, Request, Version};
use base64::Engine;
use tungstenite::handshake::derive_accept_key;

/// A checked wish to become a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The sub-protocol to answer with: one the peer offered, in the spelling of `known`.
    pub protocol: Option<&'static str>,
}

/// Why the handshake is refused, and the status that tells the peer. With 426 goes `Sec-WebSocket-Version: 13`, with
/// 405 `Allow: GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeError {
    /// 400, 405 or 426.
    pub status: u16,
    /// What is wrong.
    pub error: Error,
}

/// Checks the handshake of a request that has [`Request::websocket`] set. `known`: sub-protocols spoken here, best
/// first.
///
/// # Errors
/// [`UpgradeError`].
pub fn upgrade(request: &Request, known: &[&'static str]) -> Result<Upgrade, UpgradeError> {
    let refused = |status, what| Err(UpgradeError { status, error: Error::malformed(what) });
    if request.method != Method::Get {
        return refused(405, "WebSocket handshake not by GET");
    }
    if request.version != Version::Http11 {
        return refused(400, "WebSocket handshake in HTTP/1.0");
    }
    if !request.is_bodiless() {
        return refused(400, "WebSocket handshake with a body");
    }
    let mut versions = request.headers.all("sec-websocket-version");
    if versions.next() != Some(b"13") || versions.next().is_some() {
        return refused(426, "WebSocket version other than 13");
    }
    let mut keys = request.headers.all("sec-websocket-key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return refused(400, "WebSocket key missing or twice");
    };
    if base64::engine::general_purpose::STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return refused(400, "WebSocket key is not 16 bytes");
    }
    let offered = |name: &&&str| request.headers.list("sec-websocket-protocol").any(|o| o == name.as_bytes());
    Ok(Upgrade { accept: derive_accept_key(key), protocol: known.iter().find(offered).copied() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, RequestReader};

    fn request(line: &str, lines: &str) -> Request {
        let head = format!("{line}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n{lines}\r\n");
        RequestReader::new(HeadLimits::default()).push(head.as_bytes()).unwrap().unwrap().0
    }

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn the_example_of_the_rfc() {
        let head = request("GET /chat HTTP/1.1", &format!("{KEY}Sec-WebSocket-Version: 13\r\n"));
        assert!(head.websocket);
        assert_eq!(upgrade(&head, &[]).unwrap().accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_an_offered_and_known_protocol_is_chosen() {
        for (offered, chosen) in [
            ("publisher", Some("publisher")),
            ("x, post", Some("post")),
            ("post,publisher", Some("publisher")),
            ("x", None),
            ("Publisher", None),
            ("", None),
        ] {
            let lines = format!("{KEY}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {offered}\r\n");
            let found = upgrade(&request("GET / HTTP/1.1", &lines), &["publisher", "post"]).unwrap();
            assert_eq!(found.protocol, chosen, "{offered}");
        }
    }

    #[test]
    fn wrong_handshakes() {
        let version = "Sec-WebSocket-Version: 13\r\n";
        for (line, lines, status) in [
            ("POST / HTTP/1.1", format!("{KEY}{version}"), 405),
            ("GET / HTTP/1.0", format!("{KEY}{version}"), 400),
            ("GET / HTTP/1.1", format!("{KEY}{version}Content-Length: 1\r\n"), 400),
            ("GET / HTTP/1.1", KEY.to_owned(), 426),
            ("GET / HTTP/1.1", format!("{KEY}Sec-WebSocket-Version: 8\r\n"), 426),
            ("GET / HTTP/1.1", format!("{KEY}{version}{version}"), 426),
            ("GET / HTTP/1.1", version.to_owned(), 400),
            ("GET / HTTP/1.1", format!("{KEY}{KEY}{version}"), 400),
            ("GET / HTTP/1.1", format!("{version}Sec-WebSocket-Key: c2hvcnQ=\r\n"), 400),
            ("GET / HTTP/1.1", format!("{version}Sec-WebSocket-Key: !!!\r\n"), 400),
        ] {
            assert_eq!(upgrade(&request(line, &lines), &[]).unwrap_err().status, status, "{line} {lines:?}");
        }
    }
}
