//! The one clock of the process: every shard counts from the same zero, so moments travel between them.

use media::Moment;
use std::sync::OnceLock;
use std::time::Instant;

static ZERO: OnceLock<Instant> = OnceLock::new();

/// Now, since the clock was first read.
pub fn now() -> Moment {
    let zero = *ZERO.get_or_init(Instant::now);
    Moment(u64::try_from(zero.elapsed().as_micros()).unwrap_or(u64::MAX))
}
