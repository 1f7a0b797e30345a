//! Slices: how the io_uring back-end keeps busy tasks from keeping I/O and timers out.
//!
//! Knows nothing of sockets. A slice begins when the executor has looked at its I/O, and is over after
//! [`SLICE`]. A task that is polled when it is over is not run: it is put on a list, and so the executor
//! runs out of ready tasks and looks at its I/O; one task (`turn`) waits for just that, and then wakes the
//! list in order. Invariants: a task on the list is woken by `turn` and nobody needs to do more; no task
//! runs twice in a row past the end of a slice; without a busy slice nothing here costs more than a look at
//! the clock a poll. The epoll back-end has a budget of its own and uses none of this.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::notify::Notify;
use crate::uring;

/// How long tasks run before I/O and timers are looked at.
const SLICE: Duration = Duration::from_millis(2);

/// Of one shard's thread.
#[derive(Default)]
struct Slice {
    begun: Cell<Option<Instant>>,
    waiting: RefCell<Vec<Waker>>,
    over: Notify,
}

thread_local! {
    static THIS: Slice = Slice::default();
}

/// Whether the slice is over. Begins a new one when the executor has turned since.
fn is_over(slice: &Slice) -> bool {
    let now = Instant::now();
    match slice.begun.get() {
        Some(begun) if !uring::turned() => now.saturating_duration_since(begun) > SLICE,
        _ => {
            slice.begun.set(Some(now));
            false
        }
    }
}

/// Inside a task: pending, and woken at once, when the slice is over. Keeps a loop whose socket always has
/// more from running for ever.
pub(crate) fn poll_turn(cx: &mut Context<'_>) -> Poll<()> {
    THIS.with(|slice| {
        if is_over(slice) {
            cx.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
}

/// Around a task: pending, and woken after the executor's turn, when the slice is over.
fn poll_task(cx: &mut Context<'_>) -> Poll<()> {
    THIS.with(|slice| {
        if is_over(slice) {
            slice.waiting.borrow_mut().push(cx.waker().clone());
            slice.over.notify();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
}

/// Runs a future in slices.
pub(crate) struct Sliced<F> {
    future: F,
}

/// Runs `future` in slices.
pub(crate) fn sliced<F: Future>(future: F) -> Sliced<F> {
    Sliced { future }
}

impl<F: Future> Future for Sliced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        ready!(poll_task(cx));
        // SAFETY: `future` is pinned with `self` and is only reached through this pin.
        unsafe { self.map_unchecked_mut(|this| &mut this.future) }.poll(cx)
    }
}

/// The task that wakes those put off, once the executor has turned. Never ends; must not be sliced itself.
pub(crate) async fn turn<F: Future<Output = ()>>(reactor: impl Fn() -> F) -> Infallible {
    let over = THIS.with(|slice| slice.over.clone());
    loop {
        over.wait().await;
        reactor().await;
        let waiting = THIS.with(|slice| slice.waiting.take());
        for waker in waiting {
            waker.wake();
        }
    }
}

/// Forgets whoever is put off. For the end of a shard, while its executor still stands.
pub(crate) fn clear() {
    drop(THIS.with(|slice| slice.waiting.take()));
}
