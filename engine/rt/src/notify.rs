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
    /// Number of the newest wait.
    newest: Cell<u64>,
}

/// A wait under way; dropped, it takes its waker with it, for a waker keeps a whole task's memory.
struct Wait<'a> {
    inner: &'a Inner,
    number: u64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.inner.newest.get() == self.number {
            self.inner.waker.borrow_mut().take();
        }
    }
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
        let number = self.inner.newest.get().wrapping_add(1);
        self.inner.newest.set(number);
        let _wait = Wait { inner: &self.inner, number };
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    struct Count;

    impl Wake for Count {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_dropped_wait_keeps_no_waker() {
        let notify = Notify::new();
        let (first, second) = (Arc::new(Count), Arc::new(Count));
        {
            let waker = Waker::from(Arc::clone(&first));
            let mut wait = pin!(notify.wait());
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(Arc::strong_count(&first), 3);
        }
        assert_eq!(Arc::strong_count(&first), 1);
        // The drop of an older wait leaves the newest alone.
        let waker = Waker::from(Arc::clone(&first));
        let mut older = Box::pin(notify.wait());
        assert!(older.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let waker = Waker::from(Arc::clone(&second));
        let mut newest = Box::pin(notify.wait());
        assert!(newest.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(older);
        assert_eq!(Arc::strong_count(&second), 3);
        notify.notify();
        assert!(newest.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
}
