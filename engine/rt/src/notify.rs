//! A shard-local edge: one task says "look again", another waits for it.
//!
//! Knows nothing of back-ends, threads or atomics. Invariants: a `notify` with nobody waiting is kept
//! (one, not a count); a wait that was dropped takes nothing with it; one waiter at a time, the newest
//! replaces the one before.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Inner {
    set: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// An edge that one task sets and one task waits for, both on the same shard. Clones share the edge.
#[derive(Clone, Default)]
pub struct Notify {
    inner: Rc<Inner>,
}

impl Notify {
    /// An edge that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the edge and wakes the waiter, if there is one. Setting it twice is the same as once.
    pub fn notify(&self) {
        if !self.inner.set.replace(true) {
            let waker = self.inner.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits until the edge is set, and clears it. Returns at once when it was set already.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.inner.set.replace(false) {
                return Poll::Ready(());
            }
            let mut slot = self.inner.waker.borrow_mut();
            match slot.as_mut() {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *slot = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Clears the edge and says whether it was set.
    pub fn take(&self) -> bool {
        self.inner.set.replace(false)
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("set", &self.inner.set.get()).finish()
    }
}
