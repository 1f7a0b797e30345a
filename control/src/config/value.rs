//! What a key may hold: values as they were written, the kinds of keys, and the step from one to the other.
//!
//! It does not know which keys there are. Files that have types (TOML, YAML) are held to them; text from INI files, the
//! environment and the command line is converted by the key's kind.

use super::pattern::Pattern;
use crate::access::{KeyEntry, Names};
use crate::hooks::Target;
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Longest piece of a written value shown in an error, in characters: the line stays a line.
const SHOWN_CHARS: usize = 120;

/// Stands for what is not shown.
pub const HIDDEN: &str = "***";

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// Text without a type: INI, environment, command line.
    Untyped(String),
    /// Text from a file that has types.
    Text(String),
    /// A whole number.
    Number(i128),
    /// A number that is not whole.
    Fraction(f64),
    /// True or false.
    Flag(bool),
    /// Several values.
    List(Vec<Self>),
    /// Nothing, or something that no key can be.
    Other(&'static str),
}

/// A value that was checked against its key's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// Text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

/// The value of a key that nobody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// Text.
    Text(&'static str),
    /// Several texts.
    List(&'static [&'static str]),
}

/// What a text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A path to a file, or nothing.
    File,
    /// An IP address.
    Address,
    /// `app/name` with `*`.
    Pattern,
    /// CPU numbers and ranges.
    Cpus,
    /// Any text.
    Plain,
    /// Letters, digits, `-` and `_`.
    Word,
    /// `app=secret`.
    Pair,
    /// `publish|play|both PATTERN KEY`.
    StreamKey,
    /// `app/key=app/name`.
    NamePair,
    /// An address that begins with `http`, or nothing.
    Url,
    /// Such an address with `actions=`, `streams=` and `secret=` behind it.
    Target,
    /// A network: an address, or an address with the length of its prefix.
    Network,
    /// `echo`, `none`, `*` or an origin.
    AllowOrigin,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Flag,
    /// A whole number in a range, both ends included.
    Number {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// One of some words.
    Choice(&'static [&'static str]),
    /// One text.
    Text(Rule),
    /// Several texts, at most so many.
    List(Rule, usize),
    /// Several of some words, each once.
    Words(&'static [&'static str]),
}

/// Longest text of any key, in bytes: longer than any path or name in use.
const MAX_TEXT_BYTES: usize = 1024;

impl Rule {
    fn accepts(self, text: &str) -> bool {
        let plain = text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
        plain
            && match self {
                Self::File => true,
                Self::Address => text.parse::<IpAddr>().is_ok(),
                Self::Pattern => Pattern::parse(text).is_some(),
                Self::Cpus => cpus(text).is_some(),
                Self::Network => network(text).is_some(),
                Self::Plain => true,
                Self::Word => {
                    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                }
                Self::Pair => {
                    text.split_once('=').is_some_and(|(app, secret)| !app.is_empty() && !secret.is_empty())
                }
                Self::StreamKey => KeyEntry::parse(text).is_some(),
                Self::NamePair => Names::default().add(text).is_some(),
                Self::Url => {
                    text.is_empty() || Target::parse(text, Duration::ZERO).is_ok_and(|t| t.url == text)
                }
                Self::Target => Target::parse(text, Duration::ZERO).is_ok(),
                Self::AllowOrigin => {
                    matches!(text, "echo" | "none" | "*")
                        || (text.contains("://") && text.chars().all(|c| c.is_ascii_graphic()))
                }
            }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::File => "the path of a file",
            Self::Address => "an IP address such as 0.0.0.0 or ::",
            Self::Pattern => "a pattern such as live/* (printable, at most 256 bytes)",
            Self::Cpus => "CPU numbers or ranges such as 0-3 or 6 (0 to 1023)",
            Self::AllowOrigin => "echo, none, * or an origin such as https://example.org",
            Self::Plain => "text",
            Self::Word => "letters, digits, - and _",
            Self::Pair => "app=secret",
            Self::StreamKey => "publish, play or both, a pattern, and a key",
            Self::NamePair => "app/key=app/name",
            Self::Url => "an address such as http://10.0.0.1:8008/notify",
            Self::Target => "an address with actions=, streams= and secret= behind it",
            Self::Network => "a network such as 10.0.0.0/8 or an IP address",
        }
    }

    const fn what_many(self) -> &'static str {
        match self {
            Self::File => "paths of files",
            Self::Address => "IP addresses such as 0.0.0.0 or ::",
            Self::Pattern => "patterns such as live/* (printable, at most 256 bytes each)",
            Self::Cpus => "CPU numbers or ranges such as 0-3,6 (0 to 1023)",
            Self::AllowOrigin => "origins",
            Self::Plain => "texts",
            Self::Word => "words of letters, digits, - and _",
            Self::Pair => "app=secret",
            Self::StreamKey => "entries such as publish live/* KEY",
            Self::NamePair => "pairs such as live/k3y=live/room",
            Self::Url => "addresses",
            Self::Target => "entries such as http://10.0.0.1/hook actions=postPlay/donePlay streams=live/*",
            Self::Network => "networks such as 10.0.0.0/8 or IP addresses",
        }
    }
}

impl Kind {
    /// Checks and converts; `None` if the value is not allowed.
    pub fn accept(&self, raw: &Raw) -> Option<Value> {
        match (self, raw) {
            (Self::Flag, Raw::Flag(flag)) => Some(Value::Flag(*flag)),
            (Self::Flag, Raw::Untyped(text)) => flag(text.trim()).map(Value::Flag),
            (Self::Number { min, max }, raw) => {
                let number = match raw {
                    Raw::Number(number) => u64::try_from(*number).ok()?,
                    Raw::Untyped(text) => text.trim().parse().ok()?,
                    _ => return None,
                };
                (*min..=*max).contains(&number).then_some(Value::Number(number))
            }
            (Self::Choice(words), Raw::Text(text) | Raw::Untyped(text)) => {
                words.contains(&text.trim()).then(|| Value::Text(text.trim().to_owned()))
            }
            (Self::Text(rule), Raw::Text(text) | Raw::Untyped(text)) => {
                rule.accepts(text.trim()).then(|| Value::Text(text.trim().to_owned()))
            }
            (Self::List(rule, most), raw) => list(*rule, *most, raw),
            (Self::Words(words), raw) => {
                let Value::List(items) = list(Rule::Plain, words.len(), raw)? else { return None };
                let before = |at: usize| items.iter().take(at);
                let once = items.iter().enumerate().all(|(at, item)| before(at).all(|other| other != item));
                let known = items.iter().all(|item| words.contains(&item.as_str()));
                (once && known).then_some(Value::List(items))
            }
            _ => None,
        }
    }

    /// What is allowed, to stand behind "must be".
    pub fn allowed(&self) -> String {
        match self {
            Self::Flag => "true or false".into(),
            Self::Number { min, max } => format!("a whole number from {min} to {max}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Text(rule) => rule.what().into(),
            Self::List(rule, most) => format!("a list of at most {most} {}", rule.what_many()),
            Self::Words(words) => format!("a list of {}, each at most once", words.join(", ")),
        }
    }

    /// The same for a table, shorter.
    pub fn range(&self) -> String {
        match self {
            Self::Flag => "true, false".into(),
            Self::Number { min, max } => format!("{min} to {max}"),
            Self::Choice(words) => words.join(", "),
            Self::Text(rule) => rule.what().into(),
            Self::List(rule, _) => format!("list of {}", rule.what_many()),
            Self::Words(words) => format!("list of {}", words.join(", ")),
        }
    }
}

impl Value {
    /// Whether this text is in it.
    pub fn has(&self, text: &str) -> bool {
        match self {
            Self::Flag(_) | Self::Number(_) => false,
            Self::Text(own) => own.contains(text),
            Self::List(items) => items.iter().any(|item| item.contains(text)),
        }
    }
}

impl Preset {
    /// As a value.
    pub fn value(&self) -> Value {
        match self {
            Self::Flag(flag) => Value::Flag(*flag),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text((*text).to_owned()),
            Self::List(list) => Value::List(list.iter().map(|text| (*text).to_owned()).collect()),
        }
    }
}

/// A network; an address alone is one of itself.
///
/// IPv4 networks that are written inside IPv6 (`::ffff:10.0.0.0/104`) are IPv4: addresses are compared as such.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let net: IpNet = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let mapped =
        |address: IpAddr, prefix: u8| IpNet::new(address.to_canonical(), prefix.checked_sub(96)?).ok();
    match net {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
            mapped(net.addr(), net.prefix_len()).or(Some(net))
        }
        _ => Some(net),
    }
}

/// The CPUs of `0-3` or `6`; of several, divided by commas.
pub(super) fn cpus(text: &str) -> Option<Vec<usize>> {
    const MAX_CPU: usize = 1023;
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > MAX_CPU {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn list(rule: Rule, most: usize, raw: &Raw) -> Option<Value> {
    let items: Vec<String> = match raw {
        Raw::List(items) => items
            .iter()
            .map(|item| match item {
                Raw::Text(text) | Raw::Untyped(text) => Some(text.trim().to_owned()),
                Raw::Number(number) => Some(number.to_string()),
                _ => None,
            })
            .collect::<Option<_>>()?,
        Raw::Text(text) | Raw::Untyped(text) => {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        }
        Raw::Number(number) => vec![number.to_string()],
        _ => return None,
    };
    (items.len() <= most && items.iter().all(|item| rule.accepts(item))).then_some(Value::List(items))
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Untyped(text) => {
                let shown: String = text.chars().take(SHOWN_CHARS).collect();
                let more = if shown.len() < text.len() { "…" } else { "" };
                write!(f, "{:?}{more}", shown)
            }
            Self::Number(number) => write!(f, "{number}"),
            Self::Fraction(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().take(8).enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(if items.len() > 8 { ", …]" } else { "]" })
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for Value {
    /// As TOML has it, which is also how JSON has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", serde_json::Value::from(item.as_str()))?;
                }
                f.write_str("]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untyped(text: &str) -> Raw {
        Raw::Untyped(text.into())
    }

    #[test]
    fn numbers_keep_to_their_range_and_type() {
        let kind = Kind::Number { min: 128, max: 65536 };
        for (raw, expected) in [
            (Raw::Number(128), Some(128)),
            (Raw::Number(65536), Some(65536)),
            (Raw::Number(127), None),
            (Raw::Number(65537), None),
            (Raw::Number(-1), None),
            (Raw::Number(i128::MAX), None),
            (Raw::Fraction(200.0), None),
            (Raw::Text("200".into()), None),
            (untyped(" 200 "), Some(200)),
            (untyped("2e2"), None),
            (untyped(""), None),
            (Raw::Flag(true), None),
        ] {
            assert_eq!(kind.accept(&raw), expected.map(Value::Number), "{raw}");
        }
    }

    #[test]
    fn flags_are_words_only_where_there_are_no_types() {
        for (raw, expected) in [
            (Raw::Flag(true), Some(true)),
            (untyped("on"), Some(true)),
            (untyped("1"), Some(true)),
            (untyped("no"), Some(false)),
            (untyped("0"), Some(false)),
            (untyped("maybe"), None),
            (Raw::Text("true".into()), None),
            (Raw::Number(1), None),
        ] {
            assert_eq!(Kind::Flag.accept(&raw), expected.map(Value::Flag), "{raw}");
        }
    }

    #[test]
    fn lists_come_as_lists_or_with_commas() {
        let kind = Kind::List(Rule::Address, 2);
        let both = Some(Value::List(vec!["127.0.0.1".into(), "::1".into()]));
        assert_eq!(kind.accept(&untyped("127.0.0.1, ::1,")), both);
        assert_eq!(kind.accept(&Raw::List(vec![untyped("127.0.0.1"), Raw::Text("::1".into())])), both);
        assert_eq!(kind.accept(&untyped("")), Some(Value::List(vec![])));
        assert_eq!(kind.accept(&untyped("localhost")), None);
        assert_eq!(kind.accept(&untyped("::1,::2,::3")), None);
        assert_eq!(kind.accept(&Raw::List(vec![Raw::Flag(true)])), None);
        let cpus = Kind::List(Rule::Cpus, 8);
        assert!(cpus.accept(&Raw::List(vec![Raw::Number(0), Raw::Text("2-3".into())])).is_some());
    }

    #[test]
    fn networks_of_ipv4_inside_ipv6_are_ipv4() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).map(|net| net.to_string()).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(network("10.0.0.0/33"), None);
    }

    #[test]
    fn cpu_ranges() {
        assert_eq!(cpus("0-3,6"), Some(vec![0, 1, 2, 3, 6]));
        assert_eq!(cpus("5"), Some(vec![5]));
        for wrong in ["", "3-1", "a", "-1", "1-", "1024", "0,,1"] {
            assert_eq!(cpus(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_of_a_value_is_one_short_line() {
        let shown = Raw::Text(format!("a\n{}", "x".repeat(5000))).to_string();
        assert!(shown.starts_with("\"a\\nxxx") && shown.ends_with("…") && shown.len() < 140, "{shown}");
        let many = Raw::List(vec![Raw::Number(1); 100]).to_string();
        assert_eq!(many, "[1, 1, 1, 1, 1, 1, 1, 1, …]");
    }
}
