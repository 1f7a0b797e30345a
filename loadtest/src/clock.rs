//! The clock of marks: microseconds, monotonic in this process, and comparable with other processes of this machine as
//! long as nobody sets its time between their starts.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, in microseconds since about 1970.
pub fn now_us() -> u64 {
    static ZERO: OnceLock<(Instant, u64)> = OnceLock::new();
    let (zero, offset) = ZERO.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), u64::try_from(since.as_micros()).unwrap_or(0))
    });
    offset.saturating_add(u64::try_from(zero.elapsed().as_micros()).unwrap_or(u64::MAX))
}
