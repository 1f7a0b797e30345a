//! Stands in for the io_uring back-end where glommio does not build (anything but 64-bit Linux).
//!
//! Invariant: nothing here can be reached, since a shard that asks for io_uring fails at its start.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

/// Registered buffer memory of each ring.
pub(crate) const IO_MEMORY: usize = 64 << 10;

/// Always the error: there is no such executor here.
pub(crate) fn run<Fut>(_name: &str, _main: impl FnOnce() -> Fut) -> Result<(), String>
where
    Fut: Future<Output = Result<(), String>>,
{
    Err("the io_uring executor is not built for this machine; use epoll".to_owned())
}

pub(crate) fn spawn(_future: impl Future<Output = ()> + 'static) {}

pub(crate) async fn sleep(_d: Duration) {}

pub(crate) async fn yield_now() {}

pub(crate) fn turned() -> bool {
    true
}

/// Has no values.
#[derive(Debug)]
pub(crate) struct Socket(Infallible);

impl Socket {
    pub(crate) fn new(_fd: OwnedFd) -> Self {
        // Only an io_uring shard gets here, and `run` starts none.
        std::process::abort()
    }

    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        match self.0 {}
    }

    pub(crate) fn poll_recv(&mut self, _cx: &mut Context<'_>, _buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(crate) fn poll_send(&mut self, _cx: &mut Context<'_>, _buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        match self.0 {}
    }
}

/// Has no values.
#[derive(Debug)]
pub(crate) struct Readable(Infallible);

impl Readable {
    pub(crate) fn new(_fd: BorrowedFd<'_>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        match self.0 {}
    }
}
