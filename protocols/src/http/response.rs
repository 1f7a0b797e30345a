//! Writers of heads: responses, and the requests of the connecting side.
//!
//! No clock: a `Date` is a header like others, given by whoever has one. Values that would break out of their line are
//! left out.

use super::Version;

/// Writes a response head.
#[derive(Debug)]
pub struct ResponseHead(Vec<u8>);

/// Writes a request head.
#[derive(Debug)]
pub struct RequestHead(Vec<u8>);

impl ResponseHead {
    /// Status line.
    pub fn new(status: u16) -> Self {
        Self(format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes())
    }

    /// One header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        field(&mut self.0, name, value);
        self
    }

    /// Length of the body, in bytes.
    #[must_use]
    pub fn length(self, bytes: usize) -> Self {
        self.header("Content-Length", &bytes.to_string())
    }

    /// Whether the connection carries on, as the peer of this version has to be told.
    #[must_use]
    pub fn connection(self, keep: bool, version: Version) -> Self {
        match (keep, version) {
            (true, Version::Http11) => self,
            (true, Version::Http10) => self.header("Connection", "keep-alive"),
            (false, _) => self.header("Connection", "close"),
        }
    }

    /// The head with its blank line.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}

impl RequestHead {
    /// Request line and host; `target` and `host` as they stand in the URL, already encoded.
    pub fn new(method: &str, target: &str, host: &str) -> Self {
        let mut bytes = Vec::new();
        let target = if is_target(target) { target } else { "/" };
        for part in [method, " ", target, " HTTP/1.1\r\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        field(&mut bytes, "Host", host);
        Self(bytes)
    }

    /// One header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        field(&mut self.0, name, value);
        self
    }

    /// The head with its blank line.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}

/// A whole small answer in plain text, with more headers in front if `more` writes some. Without `body_too` the head
/// alone, as for HEAD.
pub fn text(
    status: u16,
    body: &str,
    body_too: bool,
    (keep, version): (bool, Version),
    more: impl FnOnce(ResponseHead) -> ResponseHead,
) -> Vec<u8> {
    let head = ResponseHead::new(status)
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("Cache-Control", "no-store")
        .length(body.len());
    let mut bytes = more(head).connection(keep, version).finish();
    if body_too {
        bytes.extend_from_slice(body.as_bytes());
    }
    bytes
}

/// The usual words of a status.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return;
    }
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn is_target(target: &str) -> bool {
    target.starts_with('/') && !target.bytes().any(|byte| byte.is_ascii_control() || byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_break_out_of_its_line() {
        let head = ResponseHead::new(200).header("A", "b\r\nC: d").header("E", "f").finish();
        assert_eq!(head, b"HTTP/1.1 200 OK\r\nE: f\r\n\r\n");
        let head = RequestHead::new("GET", "/a\r\nb", "h\n").finish();
        assert_eq!(head, b"GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_text_answer_says_whether_the_connection_is_kept() {
        let answer = text(404, "no", true, (true, Version::Http11), |head| head);
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nno"
        );
        let answer = text(404, "no", false, (false, Version::Http10), |head| head);
        assert!(answer.ends_with(b"Content-Length: 2\r\nConnection: close\r\n\r\n"));
        let answer = text(404, "no", false, (true, Version::Http10), |head| head);
        assert!(answer.ends_with(b"Connection: keep-alive\r\n\r\n"));
    }
}
