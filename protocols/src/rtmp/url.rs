//! From what `connect`, `publish` and `play` carry to a stream key, a query and a host, and back.
//!
//! Peers put the same URL together in many ways: the query in the application, in `tcUrl` or behind the stream name; the
//! application's second level behind the stream name; `_definst_`, doubled slashes, `mp4:` in front, `.flv` behind.
//! All of them come to one key here. The text of a key is never percent-decoded, so an encoded slash stays
//! forbidden.

use crate::Query;
use media::{KeyError, StreamKey};
use std::fmt::Write;

/// Longest host kept, in bytes: what DNS allows, and a port.
const MAX_HOST_BYTES: usize = 264;
/// Prefixes that name a file format.
const FORMAT_PREFIXES: [&str; 4] = ["mp4:", "flv:", "f4v:", "mp3:"];
/// The level that Flash-era players add when an application has no instance.
const DEFAULT_INSTANCE: &str = "_definst_";

/// Where a connection stands: its application, as far as `connect` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    app: String,
    query: Query,
    host: String,
}

/// One stream, asked for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which.
    pub key: StreamKey,
    /// Query of all places; the stream name's wins over the application's, and that over `tcUrl`'s.
    pub query: Query,
}

impl Place {
    /// From the two fields of the `connect` command.
    pub fn from_connect(app: &str, tc_url: &str) -> Self {
        let (host, url_query) = split_tc_url(tc_url);
        let (path, app_query) = split_query(app);
        let (path, dotted) = split_dotted(path);
        let mut query = Query::default();
        merge(&mut query, url_query);
        merge(&mut query, app_query);
        for (name, value) in dotted {
            set(&mut query, name.to_owned(), value.to_owned());
        }
        // Without a stream name the whole path may be in `app`, the query in its middle: `live?k=v/stream`.
        let tail = app_query.rsplit_once('/').map_or("", |(_, tail)| tail);
        let app = if tail.is_empty() { path.to_owned() } else { format!("{path}?{tail}") };
        Self { app, query, host: cut(host, MAX_HOST_BYTES).to_owned() }
    }

    /// The stream of a name in this application. `max_bytes` bounds application and name each.
    ///
    /// # Errors
    /// As [`StreamKey::parse`].
    pub fn address(&self, stream: &str, max_bytes: usize) -> Result<Address, KeyError> {
        if stream.len() > StreamKey::MAX_BYTES * 8 {
            return Err(KeyError::TooLong);
        }
        let (name, name_query) = split_query(stream);
        let mut query = self.query.clone();
        let (app, tail) = self.app.split_once('?').unwrap_or((&self.app, ""));
        let name = if name.is_empty() { take_back(&mut query, tail) } else { name };
        let name = FORMAT_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        let mut levels: Vec<&str> = levels(app).chain(levels(name)).collect();
        let last = levels.pop().unwrap_or_default();
        let key = StreamKey::parse(&levels.join("/"), last.strip_suffix(".flv").unwrap_or(last), max_bytes)?;
        merge(&mut query, name_query);
        Ok(Address { key, query })
    }

    /// The host of `tcUrl`, as the peer wrote it, with its port; empty if there is none.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let pairs = self.query.0.iter().map(|(name, value)| name.capacity() + value.capacity() + 48);
        self.app.capacity() + self.host.capacity() + pairs.sum::<usize>()
    }
}

/// The stream name with its query, as the connecting side sends it.
pub fn stream_name(key: &StreamKey, query: &Query) -> String {
    let mut out = key.name().to_owned();
    for (index, (name, value)) in query.0.iter().enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        encode(name, &mut out);
        out.push('=');
        encode(value, &mut out);
    }
    out
}

fn levels(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|level| !level.is_empty() && *level != DEFAULT_INSTANCE)
}

/// Host with port, and query, of `rtmp://host:port/app?query`.
fn split_tc_url(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (host, split_query(path).1)
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// `app...vhost...name`, as SRS and its encoders write it: the path and the pairs.
fn split_dotted(path: &str) -> (&str, Vec<(&str, &str)>) {
    let mut parts = path.split("...");
    let app = parts.next().unwrap_or_default();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if pairs.len() < Query::MAX_PAIRS {
            pairs.push((name, value));
        }
    }
    (app, pairs)
}

fn merge(query: &mut Query, text: &str) {
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(query, decode(name), decode(value));
    }
}

/// Sets a value; past the bound new names are left out.
fn set(query: &mut Query, name: String, value: String) {
    if let Some(pair) = query.0.iter_mut().find(|(there, _)| *there == name) {
        pair.1 = value;
    } else if query.0.len() < Query::MAX_PAIRS {
        query.0.push((name, value));
    }
}

/// The stream name that was read as the end of a query's value.
fn take_back<'a>(query: &mut Query, tail: &'a str) -> &'a str {
    for (_, value) in &mut query.0 {
        if let Some(head) = value.strip_suffix(tail).and_then(|head| head.strip_suffix('/')) {
            value.truncate(head.len());
        }
    }
    tail
}

fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(byte.unwrap_or(*first));
        rest = tail.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// At most `max` bytes, cut between two characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(app: &str, tc_url: &str, stream: &str) -> Result<(String, Vec<(String, String)>), KeyError> {
        let address = Place::from_connect(app, tc_url).address(stream, 255)?;
        Ok((address.key.to_string(), address.query.0))
    }

    fn key(app: &str, stream: &str) -> String {
        address(app, "rtmp://h/live", stream).unwrap().0
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_spelling_comes_to_one_key() {
        for (app, stream) in [
            ("live", "demo"),
            ("live/", "demo"),
            ("/live", "/demo"),
            ("//live//", "//demo"),
            ("live", "demo.flv"),
            ("live", "flv:demo"),
            ("live", "mp4:demo"),
            ("live", "mp4:/demo.flv"),
            ("live/_definst_", "demo"),
            ("live", "_definst_/demo"),
            ("live?a=1", "demo?b=2"),
            ("live...vhost...example.org", "demo"),
            ("live/demo", ""),
            ("live?k=v/demo", ""),
            ("", "live/demo"),
        ] {
            assert_eq!(key(app, stream), "live/demo", "{app} {stream}");
        }
        assert_eq!(key("live/a", "b/c"), "live/a/b/c");
        assert_eq!(key("live", "a/b"), "live/a/b");
    }

    #[test]
    fn queries_of_all_places_are_merged_and_the_stream_name_wins() {
        let (_, query) =
            address("live?a=app&b=app", "rtmp://h/live?a=url&b=url&c=url", "demo?a=name&d=%2f%41%zz&e&=x")
                .unwrap();
        let query = Query(query);
        for (name, value) in [("a", "name"), ("b", "app"), ("c", "url"), ("d", "/A%zz"), ("e", ""), ("", "x")]
        {
            assert_eq!(query.value(name), Some(value), "{name}");
        }
        assert_eq!(query.0.len(), 6);
    }

    #[test]
    fn a_query_before_the_last_slash_stays_the_query() {
        let expected = ("live/demo".to_owned(), pairs(&[("sign", "a/b")]));
        assert_eq!(address("live?sign=a/b", "", "demo").unwrap(), expected);
        assert_eq!(address("live", "", "demo?sign=a/b").unwrap(), expected);
        assert_eq!(address("live?sign=a/b/demo", "", "").unwrap(), expected);
    }

    #[test]
    fn dotted_pairs_become_a_query() {
        let (_, query) = address("live...vhost...example.org...token...7", "", "demo").unwrap();
        assert_eq!(query, pairs(&[("vhost", "example.org"), ("token", "7")]));
    }

    #[test]
    fn the_host_is_kept_as_written() {
        for (url, host) in [
            ("rtmp://example.org/live", "example.org"),
            ("rtmp://example.org:1935/live?x=/y", "example.org:1935"),
            ("rtmps://[::1]:443/live", "[::1]:443"),
            ("rtmp://user:pass@example.org/live", "example.org"),
            ("rtmp://example.org", "example.org"),
            ("rtmp://example.org?a=b", "example.org"),
            ("live", ""),
            ("", ""),
        ] {
            assert_eq!(Place::from_connect("live", url).host(), host, "{url}");
        }
        let long = format!("rtmp://{}/live", "ä".repeat(5000));
        assert!(Place::from_connect("live", &long).host().len() <= MAX_HOST_BYTES);
    }

    #[test]
    fn bad_names_are_refused() {
        let long = "n".repeat(65536);
        let just_long = "n".repeat(256);
        for (app, stream) in [
            ("live", ""),
            ("", "demo"),
            ("", ""),
            ("live", ".."),
            ("live", "../x"),
            ("..", "x"),
            ("live", "."),
            ("live", "a\0b"),
            ("live", "a%2fb"),
            ("live", "a b"),
            ("live", ".flv"),
            ("live", "a\\b"),
            ("live", &long),
            ("live", &just_long),
            (&just_long, "demo"),
        ] {
            assert!(address(app, "rtmp://h/live", stream).is_err(), "{app:.9} {stream:.9}");
        }
        assert!(address("live", "", &"n".repeat(255)).is_ok());
    }

    #[test]
    fn pairs_are_bounded() {
        let text: String = (0..1000).map(|i| format!("k{i}=v&")).collect();
        let (_, query) = address(&format!("live?{text}"), "", "demo?late=1").unwrap();
        assert_eq!(query.len(), Query::MAX_PAIRS);
    }

    #[test]
    fn a_name_with_a_query_is_read_back() {
        let key = StreamKey::parse("live", "demo", 255).unwrap();
        let query = Query(pairs(&[("sign", "1-a/b&c=d"), ("ü", "%")]));
        let name = stream_name(&key, &query);
        let back = Place::from_connect("live", "").address(&name, 255).unwrap();
        assert_eq!((back.key, back.query), (key, query));
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_an_error(app in ".{0,60}", url in ".{0,60}", stream in ".{0,60}") {
            if let Ok(address) = Place::from_connect(&app, &url).address(&stream, 255) {
                prop_assert!(!address.key.name().is_empty());
                prop_assert!(address.query.0.len() <= Query::MAX_PAIRS);
            }
        }
    }
}
