//! Time: media stamps, moments of the process's clock, and the unwrapping of short counters.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of the monotonic clock: microseconds since the process's chosen zero. Given to state machines as an
/// argument, never read by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `after` later, saturating.
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Time since an earlier moment; zero if it is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds since the clock's zero.
    pub const fn millis(self) -> u64 {
        self.0 / 1000
    }
}

/// A media stamp in microseconds. The only place where stamps are rounded is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    pub const fn from_micros(us: i64) -> Self {
        Self(us)
    }

    /// From milliseconds, saturating.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// Microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds, rounded to the nearest (half up).
    pub const fn millis(self) -> i64 {
        self.0.saturating_add(500).div_euclid(1000)
    }
}

impl Add for Timestamp {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Timestamp {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000) / 1000)
    }
}

/// Makes a 32-bit counter that wraps into one that does not, by serial arithmetic: each value lies within half the
/// range of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrap32 {
    last: Option<i64>,
}

impl Unwrap32 {
    /// The value without wraps. The first is taken as it is.
    pub fn unwrap(&mut self, raw: u32) -> i64 {
        let full = match self.last {
            None => i64::from(raw),
            Some(last) => {
                // The low 32 bits of the difference, read as signed, are the step.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
                let step = raw.wrapping_sub(last as u32) as i32;
                last.saturating_add(i64::from(step))
            }
        };
        self.last = Some(full);
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_the_nearest_millisecond_once() {
        assert_eq!(Timestamp::from_micros(1499).millis(), 1);
        assert_eq!(Timestamp::from_micros(1500).millis(), 2);
        assert_eq!(Timestamp::from_micros(-1500).millis(), -1);
        assert_eq!(Timestamp::from_micros(-1501).millis(), -2);
    }

    #[test]
    fn unwraps_forwards_and_backwards_over_the_edge() {
        let mut unwrap = Unwrap32::default();
        assert_eq!(unwrap.unwrap(u32::MAX - 1), i64::from(u32::MAX) - 1);
        assert_eq!(unwrap.unwrap(3), i64::from(u32::MAX) + 4);
        assert_eq!(unwrap.unwrap(u32::MAX), i64::from(u32::MAX));
    }
}
