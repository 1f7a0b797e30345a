//! Timers of a shard.
//!
//! Knows nothing of tasks. Invariants: a timer never fires early; `yield_now` always passes through the
//! reactor once, so that I/O and other tasks get their turn on both back-ends. Outside a shard a timer
//! never fires.

use std::time::{Duration, Instant};

use crate::shard::{Backend, current_backend};
use crate::uring;

/// The longest single wait handed to a back-end; a longer one waits again.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Waits for at least `d`. Zero is one [`yield_now`]. The clock's grain is about 1 ms with epoll and
/// finer with io_uring.
pub async fn sleep(d: Duration) {
    match Instant::now().checked_add(d) {
        Some(t) if d > Duration::ZERO => sleep_until(t).await,
        Some(_) => yield_now().await,
        None => std::future::pending().await,
    }
}

/// Waits until `t`; returns after one [`yield_now`] when it has passed already.
pub async fn sleep_until(t: Instant) {
    let mut waited = false;
    loop {
        let left = t.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        waited = true;
        let step = left.min(LONGEST);
        match current_backend() {
            Some(Backend::Uring) => uring::sleep(step).await,
            Some(Backend::Epoll) => tokio::time::sleep(step).await,
            None => std::future::pending().await,
        }
    }
    if !waited {
        yield_now().await;
    }
}

/// Lets every other ready task run and the executor look at its I/O and timers, then goes on.
pub async fn yield_now() {
    match current_backend() {
        Some(Backend::Uring) => uring::yield_now().await,
        Some(Backend::Epoll) => tokio::task::yield_now().await,
        None => {}
    }
}
