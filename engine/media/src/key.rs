//! Stream keys: `app/name`, checked once at the door.

use std::fmt;
use std::sync::Arc;

/// Application and name of a stream. Cheap to clone; its text is `app/name`.
///
/// The application may have several levels (`live/studio1`); the name has one. No part is empty, `.` or `..`; there
/// is no control character, no white space and none of `\ ? # % & " ' < > | *` anywhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    text: Arc<str>,
    app_len: u16,
}

/// Why a name was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The application or the name is missing, or a level of it is.
    Empty,
    /// Longer than allowed.
    TooLong,
    /// A forbidden character, or a level that is `.` or `..`.
    Forbidden,
}

impl StreamKey {
    /// Upper bound of [`Self::parse`]'s limit, in bytes, for application and name together.
    pub const MAX_BYTES: usize = 1024;

    /// Checks application and name against the rules; `max_bytes` bounds each of the two.
    ///
    /// # Errors
    /// [`KeyError`] names the broken rule.
    pub fn parse(app: &str, name: &str, max_bytes: usize) -> Result<Self, KeyError> {
        if app.len() > max_bytes || name.len() > max_bytes || app.len() + name.len() > Self::MAX_BYTES {
            return Err(KeyError::TooLong);
        }
        for level in app.split('/').chain([name]) {
            if level.is_empty() {
                return Err(KeyError::Empty);
            }
            if level == "." || level == ".." || level.chars().any(forbidden) {
                return Err(KeyError::Forbidden);
            }
        }
        let app_len = u16::try_from(app.len()).map_err(|_| KeyError::TooLong)?;
        Ok(Self { text: Arc::from(format!("{app}/{name}")), app_len })
    }

    /// Application.
    pub fn app(&self) -> &str {
        self.text.get(..usize::from(self.app_len)).unwrap_or_default()
    }

    /// Name inside the application.
    pub fn name(&self) -> &str {
        self.text.get(usize::from(self.app_len) + 1..).unwrap_or_default()
    }

    /// `app/name`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same on every run and machine, so that the owner of a stream is a pure function (FNV-1a, 64 bit,
    /// with a final mix so that the low bits are good for a modulus).
    pub fn stable_hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ (hash >> 33)
    }
}

fn forbidden(c: char) -> bool {
    // What stands for bytes that are no UTF-8: two such names would look alike.
    c == char::REPLACEMENT_CHARACTER || c.is_control() || c.is_whitespace() || "/\\?#%&\"'<>|*".contains(c)
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_levels_in_the_application_and_splits_them_back() {
        let key = StreamKey::parse("live/studio1", "cam-2_äö", 64).unwrap();
        assert_eq!(
            (key.app(), key.name(), key.as_str()),
            ("live/studio1", "cam-2_äö", "live/studio1/cam-2_äö")
        );
    }

    #[test]
    fn refuses_what_could_name_something_else() {
        for (app, name, why) in [
            ("", "a", KeyError::Empty),
            ("a", "", KeyError::Empty),
            ("a//b", "c", KeyError::Empty),
            ("..", "c", KeyError::Forbidden),
            ("a/../b", "c", KeyError::Forbidden),
            ("a", "..", KeyError::Forbidden),
            ("a", "b/c", KeyError::Forbidden),
            ("a", "b\0", KeyError::Forbidden),
            ("a", "b%2fc", KeyError::Forbidden),
            ("a", "b c", KeyError::Forbidden),
            ("a", "b\u{fffd}", KeyError::Forbidden),
        ] {
            assert_eq!(StreamKey::parse(app, name, 64), Err(why), "{app:?} {name:?}");
        }
        assert_eq!(StreamKey::parse("a", &"n".repeat(65), 64), Err(KeyError::TooLong));
        assert!(StreamKey::parse("a", &"n".repeat(64), 64).is_ok());
        assert_eq!(StreamKey::parse("a", &"n".repeat(65536), usize::MAX), Err(KeyError::TooLong));
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        let key = StreamKey::parse("live", "demo", 64).unwrap();
        assert_eq!(key.stable_hash(), StreamKey::parse("live", "demo", 64).unwrap().stable_hash());
        let owners: Vec<u64> = (0..64)
            .map(|i| StreamKey::parse("live", &format!("s{i}"), 64).unwrap().stable_hash() % 2)
            .collect();
        let ones = owners.iter().sum::<u64>();
        assert!((16..=48).contains(&ones), "{ones} of 64 on shard 1");
    }
}
