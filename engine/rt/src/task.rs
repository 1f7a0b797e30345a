//! Tasks of a shard: spawned, cancelled, and kept from taking the shard down when they panic.
//!
//! Knows nothing of sockets. Invariants: a panic in a task (while polled or while dropped) is caught and
//! told to this thread's hook; when a shard's main returns, every task left is woken and dropped inside
//! the executor, so that what it owns (sockets, timers) is given back while the executor still runs.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::shard::{Backend, current_backend};
use crate::{time, uring};

/// Turns of the executor that tasks get to go away after main has returned.
const DROP_TURNS: usize = 64;

type Hook = Rc<dyn Fn(&str)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static LIVE: RefCell<HashMap<u64, Rc<Control>>> = RefCell::new(HashMap::new());
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// What a [`Task`] and its future share.
#[derive(Default)]
struct Control {
    cancelled: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Control {
    fn cancel(&self) {
        if !self.cancelled.replace(true) {
            let waker = self.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// Sets what is told the text of each panic caught in a task of this thread. Without one it goes to
/// standard error. A panic inside the hook itself is swallowed.
pub fn set_panic_hook(f: impl Fn(&str) + 'static) {
    let old = HOOK.with(|hook| hook.borrow_mut().replace(Rc::new(f)));
    drop(old);
}

fn report(text: &str) {
    let hook = HOOK.try_with(|hook| hook.borrow().clone()).ok().flatten();
    match hook {
        Some(hook) => {
            let _ = catch_unwind(AssertUnwindSafe(|| hook(text)));
        }
        None => eprintln!("rt: a task panicked: {text}"),
    }
}

/// The message of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// A future whose panics, polled or dropped, go to `tell` instead of up the stack.
struct Catching<F: Future<Output = ()>, T: FnMut(String)> {
    future: Option<F>,
    tell: T,
}

impl<F: Future<Output = ()>, T: FnMut(String)> Catching<F, T> {
    /// Drops the future in place, catching what its drop panics with.
    fn clear(&mut self) {
        let future = &mut self.future;
        // Assigning drops the old value where it stands; it is not moved.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| *future = None)) {
            (self.tell)(panic_text(payload.as_ref()));
        }
    }
}

impl<F: Future<Output = ()>, T: FnMut(String)> Future for Catching<F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is pinned with `self`: it is only polled through the pin made below and
        // dropped in place by `clear`, never moved. `tell` is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(future) = this.future.as_mut() else { return Poll::Ready(()) };
        // SAFETY: see above; `this.future` stays where it is until it is dropped.
        let future = unsafe { Pin::new_unchecked(future) };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {}
            Err(payload) => (this.tell)(panic_text(payload.as_ref())),
        }
        this.clear();
        Poll::Ready(())
    }
}

impl<F: Future<Output = ()>, T: FnMut(String)> Drop for Catching<F, T> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Runs `future`; a panic in it ends it and goes to `tell`.
pub(crate) async fn catching(future: impl Future<Output = ()>, tell: impl FnMut(String)) {
    Catching { future: Some(future), tell }.await;
}

/// Takes a task out of the list of live ones, however it ends.
struct Entry(u64);

impl Drop for Entry {
    fn drop(&mut self) {
        let gone = LIVE.try_with(|live| live.borrow_mut().remove(&self.0));
        if let Ok(Some(control)) = gone {
            let waker = control.waker.borrow_mut().take();
            drop(waker);
        }
    }
}

/// The whole of a spawned task: the caught future, and the way to cancel it. Fields drop in this order.
/// Written out, since nested `async fn`s keep their arguments twice, and this is in every task.
struct Guarded<F: Future<Output = ()>> {
    caught: Catching<F, fn(String)>,
    control: Rc<Control>,
    _entry: Entry,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `caught` is pinned with `self`: it is only polled through the pin made below, or cleared
        // in place, never moved. The other fields are not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if !this.control.cancelled.get() {
            // SAFETY: see above.
            let caught = unsafe { Pin::new_unchecked(&mut this.caught) };
            if caught.poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        if this.control.cancelled.get() {
            this.caught.clear();
            return Poll::Ready(());
        }
        let mut slot = this.control.waker.borrow_mut();
        match slot.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *slot = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// A spawned task. Dropping it lets the task run on; it ends by itself or with the shard.
pub struct Task {
    control: Option<Rc<Control>>,
}

impl Task {
    /// Ends the task at its next turn: its future is dropped at the await where it stands. Does nothing
    /// to a task that has ended.
    pub fn cancel(self) {
        if let Some(control) = self.control {
            control.cancel();
        }
    }

    /// Whether the task has ended (returned, panicked, or was cancelled and dropped).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // Its own future holds one reference and the list of live tasks another.
        self.control.as_ref().is_none_or(|control| Rc::strong_count(control) == 1)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("finished", &self.is_finished()).finish()
    }
}

/// Runs `f` as a task of this shard. It runs on when the [`Task`] is dropped. A panic inside it is caught
/// and told to the hook of [`set_panic_hook`]. Outside a shard `f` is dropped and the hook is told so.
pub fn spawn<F: Future<Output = ()> + 'static>(f: F) -> Task {
    let Some(backend) = current_backend() else {
        report("spawn was called outside a shard; the task was dropped");
        return Task { control: None };
    };
    let id = NEXT.get();
    NEXT.set(id.wrapping_add(1));
    let control = Rc::new(Control::default());
    LIVE.with(|live| live.borrow_mut().insert(id, Rc::clone(&control)));
    let caught = Catching { future: Some(f), tell: (|text: String| report(&text)) as fn(String) };
    let future = Guarded { caught, control: Rc::clone(&control), _entry: Entry(id) };
    match backend {
        Backend::Uring => uring::spawn(future),
        Backend::Epoll => drop(tokio::task::spawn_local(future)),
    }
    Task { control: Some(control) }
}

/// Number of tasks of this thread that have not ended.
#[must_use]
pub(crate) fn live() -> usize {
    LIVE.with(|live| live.borrow().len())
}

/// Cancels every task and gives them some turns to go away. Run by a shard whose main has returned.
pub(crate) async fn drop_all() {
    for _ in 0..DROP_TURNS {
        let all: Vec<_> = LIVE.with(|live| live.borrow().values().map(Rc::clone).collect());
        if all.is_empty() {
            break;
        }
        for control in &all {
            control.cancel();
        }
        drop(all);
        time::yield_now().await;
    }
    // Lets the executor hand what the tasks gave back (closed polls) to the kernel.
    time::yield_now().await;
    let left = live();
    if left > 0 {
        report(&format!("{left} tasks did not end with their shard"));
    }
}
