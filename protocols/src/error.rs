//! What can be wrong with what a peer sent. Small `Copy` values: the driver adds who, where and whose fault.
//! "Not enough bytes yet" is no error.

use std::fmt;

/// Four kinds of wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The bytes do not follow the format.
    Malformed,
    /// The bytes are well formed, but not allowed in this state.
    Misbehaved,
    /// A part of the protocol that is not offered here.
    Unsupported,
    /// More than a configured bound.
    Limit,
}

/// One error: its kind and which rule was broken, as a fixed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Error {
    /// Kind.
    pub kind: ErrorKind,
    /// Which rule, in a few words: `chunk type 3 before any type 0`.
    pub what: &'static str,
}

impl Error {
    /// The bytes do not follow the format.
    pub const fn malformed(what: &'static str) -> Self {
        Self { kind: ErrorKind::Malformed, what }
    }

    /// Well formed, but not allowed now.
    pub const fn misbehaved(what: &'static str) -> Self {
        Self { kind: ErrorKind::Misbehaved, what }
    }

    /// Not offered here.
    pub const fn unsupported(what: &'static str) -> Self {
        Self { kind: ErrorKind::Unsupported, what }
    }

    /// Past a bound.
    pub const fn limit(what: &'static str) -> Self {
        Self { kind: ErrorKind::Limit, what }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ErrorKind::Malformed => "malformed",
            ErrorKind::Misbehaved => "misbehaved",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Limit => "limit",
        };
        write!(f, "{kind}: {}", self.what)
    }
}

impl std::error::Error for Error {}
