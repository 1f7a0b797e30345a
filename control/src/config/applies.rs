//! Which keys can change while the server runs.

use super::table::Key;

/// Whom a changed value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Everybody, at once.
    ToAll,
    /// Those who come from then on.
    ToNew,
    /// Nobody until the server is started again.
    AtRestart,
}

impl Applies {
    /// Its word in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ToAll => "to_all",
            Self::ToNew => "to_new",
            Self::AtRestart => "at_restart",
        }
    }
}

impl Key {
    /// Whom a changed value is for.
    pub fn applies(&self) -> Applies {
        match (self.section, self.name) {
            ("server", "name_bytes" | "request_timeout_ms" | "request_bytes") => Applies::ToNew,
            ("server", "drain_limit_ms") => Applies::ToAll,
            ("rtmp" | "rtmps" | "http" | "https", "enabled" | "port") => Applies::AtRestart,
            ("admin", "enabled" | "bind" | "port" | "data_dir") | ("mirror", "queue") => Applies::AtRestart,
            ("server" | "log" | "tls", _) => Applies::AtRestart,
            ("rtmp" | "http" | "auth", _) | ("publish" | "play", "allow" | "class") => Applies::ToNew,
            _ => Applies::ToAll,
        }
    }

    /// Whether its value, or a part of it, is not to be shown: secrets, keys that publishers push with, addresses that may
    /// have a password in them.
    pub fn is_secret(&self) -> bool {
        self.name.contains("secret")
            || matches!(self.path, "auth.keys" | "auth.names")
            || self.holds_addresses()
    }

    /// Whether it holds addresses of other servers.
    pub fn holds_addresses(&self) -> bool {
        matches!(self.path, "auth.jwks" | "notify.url" | "notify.targets")
    }
}
