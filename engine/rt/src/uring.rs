//! The io_uring back-end: the only file that names glommio.
//!
//! Knows nothing of TCP: a socket here is any stream socket. Invariants: every task runs in slices (see
//! `slice.rs`), since glommio's own preemption cannot be used; reads are readiness polls
//! followed by a plain `recv`, so no byte is ever in the hands of the kernel for a future that was
//! dropped; a listener is only ever polled for readiness.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use glommio::{LocalExecutorBuilder, Placement};

use crate::{slice, sock};

/// glommio's own preemption is off in effect. With it on, a timer that expires between the executor's look
/// at its I/O and its first task makes it go to sleep with tasks ready to run, until some I/O comes or for
/// ever (seen here on a loaded machine; named and mended as glommio/glommio#53, not in any release). The
/// slices of `slice.rs` do its work.
const PREEMPT: Duration = Duration::from_secs(24 * 3600);

/// Registered buffer memory of each ring. glommio takes no less; sockets here never use it.
pub(crate) const IO_MEMORY: usize = 64 << 10;

/// Entries of each submission queue. More requests wait in glommio's own queue.
const RING_DEPTH: usize = 256;

/// How long a yield waits: long enough to be pending when first polled, so that the reactor must run, and
/// short enough to be over at its first look (measured: about 8 µs a yield; from 500 ns on, about 40 µs,
/// since an idle executor then goes to sleep for it).
const YIELD: Duration = Duration::from_nanos(300);

/// Makes an executor on the calling thread and runs `main` to its end.
pub(crate) fn run<Fut>(name: &str, main: impl FnOnce() -> Fut) -> Result<(), String>
where
    Fut: Future<Output = Result<(), String>>,
{
    // Unbound: the thread was pinned already, and glommio's own pinning reads /sys, which may be absent.
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name(name)
        .io_memory(IO_MEMORY)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT)
        .make()
        .map_err(|error| format!("the io_uring executor cannot start: {error}"))?;
    executor.run(async move {
        let turner = glommio::spawn_local(slice::turn(yield_now)).detach();
        let result = slice::sliced(main()).await;
        turner.cancel();
        turner.await;
        slice::clear();
        result
    })
}

/// Runs `future` detached on this thread's executor.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    drop(glommio::spawn_local(slice::sliced(future)).detach());
}

/// Waits for `d`, which must not be zero.
pub(crate) async fn sleep(d: Duration) {
    glommio::timer::Timer::new(d).await;
}

/// One turn through the reactor. glommio's own yield returns to the task queue without it.
pub(crate) async fn yield_now() {
    let pended = Cell::new(false);
    let mut wait = YIELD;
    while !pended.get() {
        let mut timer = pin!(glommio::timer::Timer::new(wait));
        poll_fn(|cx| {
            let poll = timer.as_mut().poll(cx);
            pended.set(pended.get() || poll.is_pending());
            poll
        })
        .await;
        // Ready at the first poll: this thread was off its CPU for longer than the wait. Ask for more.
        wait = wait.saturating_mul(4);
    }
}

/// Whether the executor has looked at its I/O since this was last asked: a run of its scheduler ends only
/// when no task is ready, and then comes I/O.
pub(crate) fn turned() -> bool {
    glommio::executor().executor_stats().scheduler_runs() > 0
}

/// A stream socket registered with this thread's executor.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: glommio::net::TcpStream,
}

impl Socket {
    /// Takes over the socket. Must be called inside an io_uring shard.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        // SAFETY: `into_raw_fd` gives up ownership of an open descriptor, which the stream takes over.
        let inner = unsafe { glommio::net::TcpStream::from_raw_fd(fd.into_raw_fd()) };
        Self { inner }
    }

    /// Duplicates the descriptor and lets this one go: the executor may keep a poll on the old number.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is open for as long as `self` lives, which outlasts the borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) };
        fd.try_clone_to_owned()
    }

    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(slice::poll_turn(cx));
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }

    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(slice::poll_turn(cx));
        // SAFETY: the descriptor is open for as long as `self` lives, which outlasts the borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) };
        // First without glommio: its own send would raise SIGPIPE on a connection that was reset.
        match sock::send_now(fd, buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

/// A wait for a descriptor that no `recv` can take from (a listener) to become readable.
///
/// A new glommio socket starts a poll for readability at once, and its first read is pending until that
/// poll is done; what that read then answers (`ENOTCONN`) says no more than "ready". So one wait is one
/// duplicate of the descriptor.
#[derive(Debug)]
pub(crate) struct Readable {
    socket: Socket,
}

impl Readable {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { socket: Socket::new(fd.try_clone_to_owned()?) })
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0u8; 1];
        self.socket.poll_recv(cx, &mut byte).map(|_| ())
    }
}
