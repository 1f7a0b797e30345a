//! One stream socket registered with whichever back-end runs this thread.
//!
//! Knows nothing of addresses or listeners. Invariants: both back-ends wait for readiness and then make a
//! plain non-blocking call, so a wait that is dropped has consumed nothing.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::shard::{Backend, current_backend, outside};
use crate::{sock, uring};

/// Registers `inner`, one of the owned sockets below, with the epoll back-end of this thread.
pub(crate) fn register<T: AsRawFd + Owned>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `Owned` types keep one descriptor open, with the same number, until they are dropped, and
    // `AsyncFd` owns the value and takes it out of the reactor before it drops or gives it back.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(Into::into)
}

/// Types that own one descriptor, whose number never changes while they live.
pub(crate) trait Owned {}
impl Owned for OwnedFd {}
impl Owned for std::net::TcpListener {}

#[derive(Debug)]
pub(crate) enum Socket {
    Uring(uring::Socket),
    Epoll(AsyncFd<OwnedFd>),
}

impl Socket {
    /// Registers the socket and makes it non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let backend = current_backend().ok_or_else(outside)?;
        SockRef::from(&fd).set_nonblocking(true)?;
        match backend {
            Backend::Uring => Ok(Self::Uring(uring::Socket::new(fd))),
            Backend::Epoll => Ok(Self::Epoll(register(fd, Interest::READABLE | Interest::WRITABLE)?)),
        }
    }

    /// Takes the socket out of the executor.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Self::Uring(socket) => socket.into_fd(),
            Self::Epoll(socket) => Ok(socket.into_inner()),
        }
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Uring(socket) => socket.as_raw_fd(),
            Self::Epoll(socket) => socket.get_ref().as_raw_fd(),
        }
    }

    /// One `recv` when there is something to receive; 0 is the end of the stream.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let socket = match self {
            Self::Uring(socket) => return socket.poll_recv(cx, buf),
            Self::Epoll(socket) => socket,
        };
        loop {
            let mut guard = ready!(socket.poll_read_ready(cx))?;
            match sock::recv_now(socket.get_ref().as_fd(), buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Ok(n) => {
                    // A short read took all there was: the next bytes raise a new edge.
                    if n > 0 && n < buf.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// One `send` when there is room.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let socket = match self {
            Self::Uring(socket) => return socket.poll_send(cx, buf),
            Self::Epoll(socket) => socket,
        };
        loop {
            let mut guard = ready!(socket.poll_write_ready(cx))?;
            match sock::send_now(socket.get_ref().as_fd(), buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                result => return Poll::Ready(result),
            }
        }
    }
}
