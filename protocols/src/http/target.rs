//! The request target: authority, path and query. RFC 9112, 3.2 and RFC 3986.
//!
//! Invariant: the path is decoded exactly once, and nothing in it can mean another level or another place than it
//! shows.

use super::head::HeadError;
use super::request::Method;
use crate::Query;

pub(super) struct Target<'a> {
    pub authority: Option<&'a str>,
    pub path: String,
    pub query: Query,
}

pub(super) fn parse(written: &str, method: Method) -> Result<Target<'_>, HeadError> {
    let bad = HeadError::bad("request target");
    let (authority, rest) = if written.starts_with('/') {
        (None, written)
    } else if written == "*" && method == Method::Options {
        return Ok(Target { authority: None, path: "*".into(), query: Query::default() });
    } else {
        let rest = strip_scheme(written).ok_or(bad)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        (Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host)), rest)
    };
    // A fragment is not sent by the rules; some players send it.
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if path.is_empty() { "/".to_owned() } else { decode_path(path)? };
    Ok(Target { authority, path, query: parse_query(query) })
}

fn strip_scheme(written: &str) -> Option<&str> {
    let (scheme, rest) = written.split_once("://")?;
    ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}

fn decode_path(path: &str) -> Result<String, HeadError> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let byte = escaped(tail).ok_or(HeadError::bad("percent sign without two digits"))?;
        if byte == b'/' {
            return Err(HeadError::bad("encoded slash"));
        }
        out.push(byte);
        rest = tail.get(2..).unwrap_or_default();
    }
    let path = String::from_utf8(out).map_err(|_| HeadError::bad("path is not UTF-8"))?;
    if path.chars().any(char::is_control) {
        return Err(HeadError::bad("control character in path"));
    }
    if path.split('/').any(|level| level == "..") {
        return Err(HeadError::bad("path leads upwards"));
    }
    Ok(path)
}

/// Pairs of a query. A plus sign stays one, since signatures carry it; a wrong escape stays as it is.
pub(super) fn parse_query(text: &str) -> Query {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(Query::MAX_PAIRS);
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_lossy(name), decode_lossy(value))
    };
    Query(pairs.map(pair).collect())
}

fn decode_lossy(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = (*first == b'%').then(|| escaped(tail)).flatten();
        out.push(byte.unwrap_or(*first));
        rest = tail.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// At most `most` bytes, cut between two characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let ends = (0..=most.min(text.len())).rev();
    ends.into_iter().find_map(|end| text.get(..end)).unwrap_or_default()
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(value(*high)? << 4 | value(*low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_keep_order_and_signs() {
        let query = parse_query("a=1&&b&sign=x+y%2Bz%zz&a=2&=v&%41=%e4");
        let pairs: Vec<_> = query.0.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [("a", "1"), ("b", ""), ("sign", "x+y+z%zz"), ("a", "2"), ("", "v"), ("A", "\u{fffd}")]
        );
        assert_eq!(query.value("a"), Some("2"));
        assert_eq!(parse_query(&"a&".repeat(1000)).0.len(), Query::MAX_PAIRS);
    }

    proptest::proptest! {
        #[test]
        fn decoded_paths_are_harmless(text in "/[ -~ä%./]{0,40}") {
            if let Ok(path) = decode_path(&text) {
                proptest::prop_assert!(!path.split('/').any(|level| level == ".."));
                proptest::prop_assert_eq!(path.matches('/').count(), text.matches('/').count());
            }
        }
    }
}
