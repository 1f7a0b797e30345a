//! The incremental reader of request heads: collects lines until the blank one, then has the whole parsed at once, so
//! that the work is linear however the bytes are cut.
//!
//! Invariants: never holds more than [`HeadLimits::head_bytes`]; every limit is checked while bytes come, not only
//! once the head is complete. RFC 9112, sections 2 to 5.

use super::request::{Request, parse};
use crate::Error;
use bytes::Bytes;

/// Bounds of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Whole head, in bytes: what common servers take; browsers with full cookies stay below.
    pub head_bytes: usize,
    /// Number of header lines.
    pub headers: usize,
    /// Request target, in bytes: application, name and a signed query fit several times.
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes: 16 * 1024, headers: 64, target_bytes: 4 * 1024 }
    }
}

/// Empty lines before a request that are passed over, as RFC 9112, 2.2 asks for at least one.
const MAX_BLANK_LINES: usize = 4;

/// Room for the method, the version and the blanks of a request line, in bytes.
const LINE_EXTRA_BYTES: usize = 64;

/// A head that is refused, and the status that tells the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadError {
    /// 400, 414, 431, 501 or 505.
    pub status: u16,
    /// What is wrong.
    pub error: Error,
}

impl HeadError {
    pub(super) const fn bad(what: &'static str) -> Self {
        Self { status: 400, error: Error::malformed(what) }
    }
}

/// Reads request heads. After an error it reads nothing more.
#[derive(Debug)]
pub struct RequestReader {
    limits: HeadLimits,
    held: Vec<u8>,
    /// Up to here `held` was looked at.
    scanned: usize,
    /// Where the line that is being read starts.
    line: usize,
    /// Complete lines, the request line included.
    lines: usize,
    blanks: usize,
    failed: Option<HeadError>,
}

const LINE_TOO_LONG: HeadError = HeadError { status: 414, error: Error::limit("request line too long") };

impl RequestReader {
    /// For one connection.
    pub const fn new(limits: HeadLimits) -> Self {
        Self { limits, held: Vec::new(), scanned: 0, line: 0, lines: 0, blanks: 0, failed: None }
    }

    /// Takes bytes. Once a head is complete: the request, and all bytes behind its head. The reader is then ready for
    /// the next head.
    ///
    /// # Errors
    /// [`HeadError`] with the status to answer; the connection is to be closed after it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(Request, Bytes)>, HeadError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let read = self.read(bytes);
        if let Err(error) = read {
            self.failed = Some(error);
            self.held = Vec::new();
        }
        read
    }

    /// Bytes held of an unfinished head.
    pub const fn buffered_bytes(&self) -> usize {
        self.held.len()
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<Option<(Request, Bytes)>, HeadError> {
        loop {
            // One more than allowed is enough to know that there are too many.
            let room = self.limits.head_bytes.saturating_add(1).saturating_sub(self.held.len());
            let (taken, beyond) = bytes.split_at(room.min(bytes.len()));
            self.held.extend_from_slice(taken);
            if let Some(end) = self.scan()? {
                let mut rest = self.held.split_off(end);
                rest.extend_from_slice(beyond);
                let head = Bytes::from(std::mem::take(&mut self.held));
                *self = Self::new(self.limits);
                return parse(head, self.limits).map(|request| Some((request, Bytes::from(rest))));
            }
            if self.lines == 0 && self.line_is_too_long(self.held.len()) {
                return Err(LINE_TOO_LONG);
            }
            if self.held.len() > self.limits.head_bytes {
                return Err(HeadError { status: 431, error: Error::limit("request head too long") });
            }
            if beyond.is_empty() {
                return Ok(None);
            }
            // Empty lines made room; they are few.
            bytes = beyond;
        }
    }

    const fn line_is_too_long(&self, bytes: usize) -> bool {
        bytes > self.limits.target_bytes.saturating_add(LINE_EXTRA_BYTES)
    }

    /// Looks at the new bytes, line by line; where the head ends, if it does.
    fn scan(&mut self) -> Result<Option<usize>, HeadError> {
        loop {
            let new = self.held.get(self.scanned..).unwrap_or_default();
            let Some(at) = new.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.held.len();
                self.check_start()?;
                return Ok(None);
            };
            let end = self.scanned + at + 1;
            let line = self.held.get(self.line..end).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r\n") else {
                return Err(HeadError::bad("line of a head without carriage return"));
            };
            if line.is_empty() && self.lines > 0 {
                return if end > self.limits.head_bytes {
                    Err(HeadError { status: 431, error: Error::limit("request head too long") })
                } else {
                    Ok(Some(end))
                };
            }
            if line.is_empty() {
                self.pass_blank(end)?;
                continue;
            }
            self.check_start()?;
            // As for a line that has not ended yet, so that it does not matter where the bytes were cut.
            if self.lines == 0 && self.line_is_too_long(end.saturating_sub(1)) {
                return Err(LINE_TOO_LONG);
            }
            if self.lines > 0 && matches!(self.held.get(self.line), Some(b' ' | b'\t')) {
                return Err(HeadError::bad("folded header"));
            }
            self.lines += 1;
            if self.lines > self.limits.headers.saturating_add(1) {
                return Err(HeadError { status: 431, error: Error::limit("too many headers") });
            }
            self.scanned = end;
            self.line = end;
        }
    }

    fn pass_blank(&mut self, end: usize) -> Result<(), HeadError> {
        self.blanks += 1;
        if self.blanks > MAX_BLANK_LINES {
            return Err(HeadError::bad("empty lines instead of a request"));
        }
        self.held.drain(..end);
        (self.scanned, self.line) = (0, 0);
        Ok(())
    }

    /// Tells at the first byte that this is something else: TLS, RTMP, ….
    fn check_start(&self) -> Result<(), HeadError> {
        match self.held.first() {
            Some(byte) if self.lines == 0 && !byte.is_ascii_alphabetic() && *byte != b'\r' => {
                Err(HeadError::bad("not an HTTP request"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{BodyFraming, Method, Version};

    const HEAD: &[u8] = b"POST /live/a%20b.flv?x=1&y=%2f HTTP/1.1\r\nHost: h:80\r\nuser-agent: Some/1\r\nContent-Length: 5\r\n\r\n";

    fn read(bytes: &[u8]) -> Result<Option<(Request, Bytes)>, HeadError> {
        RequestReader::new(HeadLimits::default()).push(bytes)
    }

    #[test]
    fn nothing_is_lost_behind_empty_lines() {
        let limits = HeadLimits { head_bytes: 64, headers: 8, target_bytes: 32 };
        // As long as allowed, the empty line before it not counted, and all in one piece with what follows.
        let head = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(64 - 16 - 3 - 4));
        assert_eq!(head.len(), 64);
        let (request, rest) =
            RequestReader::new(limits).push(format!("\r\n\r\n{head}rest").as_bytes()).unwrap().unwrap();
        assert_eq!((request.path.as_str(), &rest[..]), ("/", &b"rest"[..]));
        let longer = head.replacen("b", "bb", 1);
        let refused = RequestReader::new(limits).push(format!("\r\n{longer}").as_bytes()).unwrap_err();
        assert_eq!(refused.status, 431);
    }

    fn status(head: &[u8]) -> u16 {
        let whole = match read(head) {
            Err(error) => error.status,
            Ok(Some(_)) => 200,
            Ok(None) => 0,
        };
        let mut reader = RequestReader::new(HeadLimits::default());
        let mut stepwise = 0;
        for byte in head {
            match reader.push(&[*byte]) {
                Ok(None) => {}
                Ok(Some(_)) => stepwise = 200,
                Err(error) => {
                    stepwise = error.status;
                    break;
                }
            }
        }
        assert_eq!(whole, stepwise, "{}", String::from_utf8_lossy(head));
        whole
    }

    #[test]
    fn a_head_cut_anywhere_is_the_same_head() {
        let mut all = HEAD.to_vec();
        all.extend_from_slice(b"FLV\x01\x05rest");
        for cut in 0..=all.len() {
            let mut reader = RequestReader::new(HeadLimits::default());
            let (first, second) = all.split_at(cut);
            let (request, rest, extra) = match reader.push(first).unwrap() {
                Some((request, rest)) => (request, rest, second),
                None => {
                    let (request, rest) = reader.push(second).unwrap().unwrap();
                    (request, rest, &b""[..])
                }
            };
            assert_eq!([&rest[..], extra].concat(), b"FLV\x01\x05rest");
            assert_eq!((request.method, request.version), (Method::Post, Version::Http11));
            assert_eq!(request.path, "/live/a b.flv");
            assert_eq!(request.query.value("y"), Some("/"));
            assert_eq!(request.headers.text("USER-AGENT"), Some("Some/1"));
            assert_eq!((request.host(), request.body), ("h:80", BodyFraming::Length(5)));
            assert_eq!(reader.buffered_bytes(), 0);
        }
    }

    #[test]
    fn the_reader_goes_on_with_the_next_head() {
        let mut reader = RequestReader::new(HeadLimits::default());
        let two = [&b"GET /a HTTP/1.1\r\n\r\n"[..], b"GET /b HTTP/1.1\r\n\r\n"].concat();
        let (first, rest) = reader.push(&two).unwrap().unwrap();
        let (second, rest) = reader.push(&rest).unwrap().unwrap();
        assert_eq!((first.path.as_str(), second.path.as_str(), rest.len()), ("/a", "/b", 0));
    }

    #[test]
    fn endless_heads_are_refused_with_little_held() {
        for (start, expected) in [(&b"GET /"[..], 414), (b"GET / HTTP/1.1\r\nA: ", 431)] {
            let mut reader = RequestReader::new(HeadLimits::default());
            assert!(reader.push(start).unwrap().is_none());
            let mut most = 0;
            let refused = (0..1024).find_map(|_| {
                let refused = reader.push(&[b'a'; 1024]).err();
                most = most.max(reader.buffered_bytes());
                refused
            });
            assert_eq!(refused.unwrap().status, expected);
            assert!(most <= 16 * 1024, "{most}");
            assert_eq!(reader.push(b"x").unwrap_err().status, expected);
        }
        let mebibyte = [&b"GET / HTTP/1.1\r\nA: "[..], &vec![b'a'; 1 << 20], b"\r\n\r\n"].concat();
        assert_eq!(read(&mebibyte).unwrap_err().status, 431);
        assert_eq!(
            status(&[b"GET / HTTP/1.1\r\n", "A: b\r\n".repeat(10_000).as_bytes(), b"\r\n"].concat()),
            431
        );
    }

    #[test]
    fn limits_are_exact() {
        let head = |n: usize| ["GET / HTTP/1.1\r\n", &"A: b\r\n".repeat(n), "\r\n"].concat().into_bytes();
        assert_eq!((status(&head(64)), status(&head(65))), (200, 431));
        let target = |n: usize| ["GET /", &"a".repeat(n - 1), " HTTP/1.1\r\n\r\n"].concat().into_bytes();
        assert_eq!((status(&target(4096)), status(&target(4097))), (200, 414));
        let long =
            |n: usize| ["GET / HTTP/1.1\r\nA: ", &"a".repeat(n - 23), "\r\n\r\n"].concat().into_bytes();
        assert_eq!(long(16 * 1024).len(), 16 * 1024);
        assert_eq!((status(&long(16 * 1024)), status(&long(16 * 1024 + 1))), (200, 431));
    }

    #[test]
    fn what_follows_a_head_is_not_counted_as_head() {
        let all = [HEAD, &vec![7; 100_000]].concat();
        assert_eq!(read(&all).unwrap().unwrap().1, &vec![7; 100_000][..]);
    }

    #[test]
    fn other_protocols_are_told_at_the_first_byte() {
        for first in [0x16, 0x03, 0x00, b' ', b'/', 0xff] {
            assert_eq!(read(&[first]).unwrap_err().status, 400, "{first}");
        }
    }

    #[test]
    fn heads_that_could_be_read_in_two_ways_are_refused() {
        let ok = |lines: &str| status(format!("POST /a HTTP/1.1\r\n{lines}\r\n").as_bytes());
        for (lines, expected) in [
            ("Content-Length: 5\r\n", 200),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", 200),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
            ("Content-Length: 5, 5\r\n", 400),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: +5\r\n", 400),
            ("Content-Length: -5\r\n", 400),
            ("Content-Length: 0x5\r\n", 400),
            ("Content-Length: 5 5\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 18446744073709551615\r\n", 200),
            ("Content-Length: 18446744073709551616\r\n", 400),
            ("Content-Length : 5\r\n", 400),
            ("Content-Length\t: 5\r\n", 400),
            (" Content-Length: 5\r\n", 400),
            ("A: b\r\n Content-Length: 5\r\n", 400),
            ("A: b\r\n\tc\r\n", 400),
            ("A: b\rContent-Length: 5\r\n", 400),
            ("A: b\nContent-Length: 5\r\n", 400),
            ("A: b\0c\r\n", 400),
            ("Transfer-Encoding: chunked\r\n", 200),
            ("Transfer-Encoding: CHUNKED\r\n", 200),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: chunked, gzip\r\n", 400),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: identity\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n", 400),
            ("Transfer-Encoding: \u{b}chunked\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Transfer-Encoding : chunked\r\n", 400),
            ("Host: a\r\nHost: b\r\n", 400),
            (": b\r\n", 400),
            ("A\r\n", 400),
        ] {
            assert_eq!(ok(lines), expected, "{lines:?}");
        }
        assert_eq!(status(b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(status(b"POST /a HTTP/1.1\nHost: a\n\n"), 400);
    }

    #[test]
    fn request_lines() {
        for (line, expected) in [
            ("GET / HTTP/1.1", 200),
            ("GET / HTTP/1.0", 200),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/1.2", 505),
            ("PRI * HTTP/2.0", 505),
            ("GET /", 400),
            ("GET", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            ("GET / http/1.1", 505),
            ("G@T / HTTP/1.1", 400),
            ("GET a HTTP/1.1", 400),
            ("GET * HTTP/1.1", 400),
            ("OPTIONS * HTTP/1.1", 200),
            ("GET http://h:1/a.flv HTTP/1.1", 200),
            ("GET ftp://h/a.flv HTTP/1.1", 400),
            ("CONNECT h:443 HTTP/1.1", 400),
            ("GET /a%2fb HTTP/1.1", 400),
            ("GET /a%2Fb HTTP/1.1", 400),
            ("GET /a%00b HTTP/1.1", 400),
            ("GET /a%0ab HTTP/1.1", 400),
            ("GET /a%7fb HTTP/1.1", 400),
            ("GET /a%c2%80b HTTP/1.1", 400),
            ("GET /a%ffb HTTP/1.1", 400),
            ("GET /a%2 HTTP/1.1", 400),
            ("GET /a%zz HTTP/1.1", 400),
            ("GET /../a HTTP/1.1", 400),
            ("GET /a/.. HTTP/1.1", 400),
            ("GET /a/%2e%2E/b HTTP/1.1", 400),
            ("GET /a..b HTTP/1.1", 200),
            ("GET /a%252fb HTTP/1.1", 200),
            ("BREW / HTTP/1.1", 200),
        ] {
            assert_eq!(status(format!("{line}\r\n\r\n").as_bytes()), expected, "{line:?}");
        }
        assert_eq!(status(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 200);
        assert_eq!(status(b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 400);
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let (request, _) =
            read(b"GET http://h:1/a.flv?b#c HTTP/1.1\r\nHost: other\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.host(), request.path.as_str()), ("h:1", "/a.flv"));
        assert_eq!(request.query.value("b"), Some(""));
        let (request, _) = read(b"GET http://h?a=1 HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.host(), request.path.as_str(), request.query.value("a")), ("h", "/", Some("1")));
    }

    #[test]
    fn connections_are_kept_as_the_version_says() {
        let kept = |text: &str| read(text.as_bytes()).unwrap().unwrap().0.keep_alive;
        assert!(kept("GET / HTTP/1.1\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.1\r\nConnection: foo, Close\r\n\r\n"));
        assert!(!kept("GET / HTTP/1.0\r\n\r\n"));
        assert!(kept("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_any_cut(bytes: Vec<u8>, cut: usize) {
            let cut = cut.min(bytes.len());
            let mut reader = RequestReader::new(HeadLimits::default());
            let start = [b"GET / HTTP/1.1\r\n", &bytes[..cut]].concat();
            let first = reader.push(&start).map(|done| done.is_some());
            let second = reader.push(&bytes[cut..]).map(|done| done.is_some());
            if first.is_err() {
                proptest::prop_assert_eq!(first, second);
            }
        }
    }
}
