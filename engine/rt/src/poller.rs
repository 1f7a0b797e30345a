//! Readiness of many sockets without a task each.
//!
//! Knows nothing of the back-ends: it is an epoll instance of its own, looked at with a time-out of zero,
//! so it works the same beside both. Invariants: edge-triggered, so an edge is told once, and a socket that
//! was not drained (or filled) up to `WouldBlock` is not told again; a batch is bounded.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Most edges that one call of [`Poller::poll`] tells.
const BATCH: usize = 1024;

/// What happened at one socket since it was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What [`Poller::add`] was given.
    pub token: u64,
    /// There is something to read, or the end of the stream.
    pub readable: bool,
    /// There is room to write again.
    pub writable: bool,
    /// The peer has ended its sending side, or the connection has failed or ended both ways.
    pub closed: bool,
}

/// An epoll instance for sockets that a loop serves by itself.
pub struct Poller {
    epoll: OwnedFd,
    events: RefCell<Vec<libc::epoll_event>>,
}

impl Poller {
    /// A poller without sockets.
    ///
    /// # Errors
    /// With too many open files.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `raw` is a new descriptor that nobody else owns.
        let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
        let events = RefCell::new(vec![libc::epoll_event { events: 0, u64: 0 }; BATCH]);
        Ok(Self { epoll, events })
    }

    /// Watches a socket for reading, writing and closing; its first edges are told at the next poll.
    ///
    /// # Errors
    /// `AlreadyExists` when it is watched; otherwise the system's.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token };
        self.control(libc::EPOLL_CTL_ADD, fd, &raw mut event)
    }

    /// Stops watching a socket. Do it before the socket is closed or moved: a duplicate of the descriptor
    /// elsewhere would keep it watched.
    ///
    /// # Errors
    /// `NotFound` when it is not watched; otherwise the system's.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut())
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        event: *mut libc::epoll_event,
    ) -> io::Result<()> {
        // SAFETY: `event` is a valid event, or null for the removal, which does not look at it; both
        // descriptors are open for as long as they are borrowed.
        let rc = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.as_raw_fd(), event) };
        if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Appends to `out` what happened since the last call, at most 1,024 edges, and answers how many.
    /// Never waits. As many as the bound may mean that there is more: call again.
    ///
    /// # Errors
    /// The system's.
    pub fn poll(&self, out: &mut Vec<Ready>) -> io::Result<usize> {
        let mut events = self.events.borrow_mut();
        let count = loop {
            let room = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
            // SAFETY: `events` is a live, exclusively borrowed array of at least `room` events.
            let rc = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), room, 0) };
            match usize::try_from(rc) {
                Ok(count) => break count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        };
        out.extend(events.iter().take(count).map(|event| {
            let bits = event.events.cast_signed();
            let failed = bits & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            Ready {
                token: event.u64,
                readable: failed || bits & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
                writable: failed || bits & libc::EPOLLOUT != 0,
                closed: failed || bits & libc::EPOLLRDHUP != 0,
            }
        }));
        Ok(count)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("fd", &self.epoll.as_raw_fd()).finish()
    }
}
