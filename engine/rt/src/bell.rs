//! Doorbells: waking a shard from any thread.
//!
//! Knows nothing of queues. Invariants: the bell is a byte on a socket pair, written only when the flag
//! was not set, so at most one byte is under way for each time it is answered; the flag is cleared, by a
//! read-modify-write, after the byte was taken and before `wait` returns, so whatever was queued before a
//! ring that found the flag set is seen by the drain that follows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::sock;
use crate::socket::Socket;

type Shared = Rc<RefCell<Socket>>;

thread_local! {
    /// Registered bells of this thread. Kept here so that a `Doorbell` stays `Send`.
    static BELLS: RefCell<HashMap<u64, Shared>> = RefCell::new(HashMap::new());
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The side that rings; clone it and use it from any thread.
#[derive(Clone)]
pub struct Ringer {
    rung: Arc<AtomicBool>,
    socket: Arc<UnixStream>,
}

impl Ringer {
    /// Wakes the shard that waits, or makes its next wait return at once. Put what it should find in its
    /// queue first. Costs one atomic swap when it was rung already, else one `send`; never blocks.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It fails only when the waiting side is gone: then nobody is to be woken.
            let _ = sock::send_now(self.socket.as_fd(), &[1]);
        }
    }
}

impl fmt::Debug for Ringer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ringer").field("rung", &self.rung.load(Ordering::Relaxed)).finish()
    }
}

/// The side that waits. It may be sent to its shard; from its first wait on it belongs to that thread.
pub struct Doorbell {
    key: u64,
    rung: Arc<AtomicBool>,
    socket: Option<UnixStream>,
}

/// A new doorbell: the side that rings, and the side that waits. Needs no shard.
///
/// # Errors
/// With too many open files.
pub fn doorbell() -> io::Result<(Ringer, Doorbell)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let rung = Arc::new(AtomicBool::new(false));
    let ringer = Ringer { rung: Arc::clone(&rung), socket: Arc::new(ours) };
    let key = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok((ringer, Doorbell { key, rung, socket: Some(theirs) }))
}

impl Doorbell {
    /// Waits until it is rung. Drain the whole queue after each return: many rings may be one wake. A
    /// dropped wait keeps the ring for the next.
    ///
    /// # Errors
    /// Outside a shard; on another thread than its first wait; `UnexpectedEof` when every ringer is gone.
    pub async fn wait(&mut self) -> io::Result<()> {
        let socket = self.register()?;
        poll_fn(|cx| {
            let mut bytes = [0u8; 16];
            socket.borrow_mut().poll_recv(cx, &mut bytes).map(|result| match result? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {
                    // A swap, not a store: it reads what the ringers wrote, so their queue entries are seen.
                    self.rung.swap(false, Ordering::AcqRel);
                    Ok(())
                }
            })
        })
        .await
    }

    fn register(&mut self) -> io::Result<Shared> {
        if let Some(socket) = self.socket.take() {
            let socket = Rc::new(RefCell::new(Socket::new(socket.into())?));
            BELLS.with(|bells| bells.borrow_mut().insert(self.key, socket));
        }
        BELLS
            .with(|bells| bells.borrow().get(&self.key).map(Rc::clone))
            .ok_or_else(|| io::Error::other("the doorbell belongs to another thread"))
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        let socket = BELLS.try_with(|bells| bells.borrow_mut().remove(&self.key));
        drop(socket);
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("rung", &self.rung.load(Ordering::Relaxed)).finish()
    }
}
