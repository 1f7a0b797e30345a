//! Waiting for the first of two futures, and for one future or the clock.
//!
//! Knows nothing of back-ends. Invariants: no allocation; the first argument is always polled first, and
//! when it is ready the second is not polled at all, so nothing the second would yield is lost.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Which of two futures was ready first, and what it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first argument was ready.
    Left(A),
    /// The second argument was ready and the first was not.
    Right(B),
}

/// Waits for the first of two futures and drops the other. Biased to the first, without allocation.
pub async fn either<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Either<A, B> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|cx| {
        if let Poll::Ready(value) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        b.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Gives `f` the time `d`; `None` when it was not ready by then (and was dropped).
pub async fn timeout<T>(d: Duration, f: impl Future<Output = T>) -> Option<T> {
    match either(f, crate::time::sleep(d)).await {
        Either::Left(value) => Some(value),
        Either::Right(()) => None,
    }
}
