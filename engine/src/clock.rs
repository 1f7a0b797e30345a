//! The one clock of the process: every shard counts from the same zero, so moments travel between them.

use media::Moment;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// Where the clock began, as both of the system's clocks show it.
static ZERO: OnceLock<(Instant, SystemTime)> = OnceLock::new();

fn zero() -> (Instant, SystemTime) {
    *ZERO.get_or_init(|| (Instant::now(), SystemTime::now()))
}

/// Now, since the clock was first read.
pub fn now() -> Moment {
    Moment(u64::try_from(zero().0.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// A moment as a date: the same each time, also when the system's date was corrected meanwhile.
pub fn date(moment: Moment) -> SystemTime {
    let began = zero().1;
    began.checked_add(Duration::from_micros(moment.0)).unwrap_or(began)
}
