//! One request head, owned: method, target, headers, and what they say of the body and the connection.
//!
//! RFC 9112, sections 3 and 6. Anything that lets two readers disagree about the length of the body is refused.

use super::head::{HeadError, HeadLimits};
use super::target;
use crate::{Error, Query};
use bytes::Bytes;

/// Request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are HTTP's own
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// Any other; its name is in [`Request::raw`].
    Other,
}

impl Method {
    fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// Protocol version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// 1.0: no chunked coding, closes unless asked otherwise.
    Http10,
    /// 1.1.
    Http11,
}

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyFraming {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection ends. Never what a request's head says; whoever serves the request may decide so.
    UntilEof,
}

/// Header fields in the order they came. Names compare without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Bytes, Bytes)>);

impl Headers {
    /// All values under a name, trimmed.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |(key, _): &&(Bytes, Bytes)| key.eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().filter(named).map(|(_, value)| value.trim_ascii())
    }

    /// The first value under a name, if it is text.
    pub fn text<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Elements of a comma-separated list, over all lines of that name; empty ones are left out.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let elements = self.all(name).flat_map(|value| value.split(|byte| *byte == b','));
        elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
    }

    /// Whether a list has an element, compared without case.
    pub fn has(&self, name: &str, element: &str) -> bool {
        self.list(name).any(|there| there.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// Number of fields.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One request head.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path, percent-decoded once; begins with `/` (or is `*` of OPTIONS). No level is `..`, no encoded slash, no
    /// control character.
    pub path: String,
    /// Query, decoded.
    pub query: Query,
    /// Version.
    pub version: Version,
    /// Header fields.
    pub headers: Headers,
    /// How its body is delimited.
    pub body: BodyFraming,
    /// Whether the peer wants the connection to carry further requests.
    pub keep_alive: bool,
    /// Whether it asks to become a WebSocket (`Connection: upgrade` and `Upgrade: websocket`); not yet checked.
    pub websocket: bool,
    authority: Option<Bytes>,
    raw: Bytes,
}

impl Request {
    /// Host with port as the peer wrote it, of the target or of the header; empty if none.
    pub fn host(&self) -> &str {
        match &self.authority {
            Some(authority) => std::str::from_utf8(authority).unwrap_or_default(),
            None => self.headers.text("host").unwrap_or_default(),
        }
    }

    /// The head as it came, with its blank line.
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Whether the head is followed by nothing of its own.
    pub const fn is_bodiless(&self) -> bool {
        matches!(self.body, BodyFraming::None | BodyFraming::Length(0))
    }
}

/// Parses a complete head.
pub(super) fn parse(raw: Bytes, limits: HeadLimits) -> Result<Request, HeadError> {
    let mut fields = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(&raw) {
        Ok(httparse::Status::Complete(n)) if n == raw.len() => {}
        Ok(_) => return Err(HeadError::bad("head ends before its blank line")),
        Err(error) => return Err(refused(error)),
    }
    let bad = HeadError::bad("request line");
    let (method, written, minor) = (head.method.ok_or(bad)?, head.path.ok_or(bad)?, head.version.ok_or(bad)?);
    if written.len() > limits.target_bytes {
        return Err(HeadError { status: 414, error: Error::limit("request target too long") });
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let method = Method::of(method);
    let target = target::parse(written, method)?;
    let owned =
        |header: &httparse::Header<'_>| (raw.slice_ref(header.name.as_bytes()), raw.slice_ref(header.value));
    let headers = Headers(head.headers.iter().map(owned).collect());
    if headers.all("host").nth(1).is_some() {
        return Err(HeadError::bad("several Host headers"));
    }
    let body = framing(&headers, version)?;
    let keep_alive = match version {
        Version::Http10 => headers.has("connection", "keep-alive"),
        Version::Http11 => !headers.has("connection", "close"),
    };
    let websocket = headers.has("connection", "upgrade") && headers.has("upgrade", "websocket");
    Ok(Request {
        method,
        path: target.path,
        query: target.query,
        version,
        body,
        keep_alive,
        websocket,
        authority: target.authority.map(|text| raw.slice_ref(text.as_bytes())),
        headers,
        raw: raw.clone(),
    })
}

const fn refused(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::Version => {
            HeadError { status: 505, error: Error::unsupported("HTTP version other than 1.0 and 1.1") }
        }
        httparse::Error::TooManyHeaders => HeadError { status: 431, error: Error::limit("too many headers") },
        httparse::Error::HeaderName => HeadError::bad("header name"),
        httparse::Error::HeaderValue => HeadError::bad("header value"),
        _ => HeadError::bad("request line or head"),
    }
}

/// RFC 9112, 6.3, without its leniencies.
fn framing(headers: &Headers, version: Version) -> Result<BodyFraming, HeadError> {
    let mut length = None;
    for value in headers.all("content-length") {
        let value = decimal(value).ok_or(HeadError::bad("Content-Length is no number"))?;
        if length.is_some_and(|there| there != value) {
            return Err(HeadError::bad("several Content-Lengths"));
        }
        length = Some(value);
    }
    if headers.all("transfer-encoding").next().is_none() {
        return Ok(length.map_or(BodyFraming::None, BodyFraming::Length));
    }
    if length.is_some() {
        return Err(HeadError::bad("Content-Length beside Transfer-Encoding"));
    }
    if version == Version::Http10 {
        return Err(HeadError::bad("Transfer-Encoding in HTTP/1.0"));
    }
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings = headers.list("transfer-encoding").count();
    if !headers.list("transfer-encoding").last().is_some_and(chunked) {
        return Err(HeadError::bad("the last transfer coding is not chunked"));
    }
    if headers.list("transfer-encoding").filter(|coding| chunked(coding)).count() > 1 {
        return Err(HeadError::bad("chunked twice"));
    }
    if codings > 1 {
        return Err(HeadError { status: 501, error: Error::unsupported("transfer coding") });
    }
    Ok(BodyFraming::Chunked)
}

/// Digits only, and no more than fit.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
