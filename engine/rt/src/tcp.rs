//! TCP: binding, accepting, reading, writing, and moving a connection between shards.
//!
//! Knows nothing of what the bytes mean. Invariants: accepted sockets are plain owned descriptors until
//! [`TcpStream::from_fd`]; a dropped accept or read has taken nothing; the shard's shared scratch is never
//! borrowed across an await.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, SockRef, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::shard::{Backend, current_backend, outside};
use crate::socket::{Socket, register};
use crate::{slice, sock, uring};

/// Binds and listens: `SO_REUSEADDR`, `SO_REUSEPORT` (every shard binds the same port), non-blocking,
/// close-on-exec. An unspecified IPv6 address (`[::]`) also serves IPv4 where the system allows it.
/// Needs no shard.
///
/// # Errors
/// The system's: the address is in use without `SO_REUSEPORT`, is not ours, or needs a privilege.
pub fn bind_tcp(addr: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // Refused where the system is set to IPv6 alone: then IPv6 alone it is.
        let _ = socket.set_only_v6(false);
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[derive(Debug)]
enum Listening {
    Uring { listener: std::net::TcpListener, wait: RefCell<Option<uring::Readable>> },
    Epoll(AsyncFd<std::net::TcpListener>),
}

/// A listener registered with this shard. One task accepts from it at a time.
#[derive(Debug)]
pub struct TcpListener {
    inner: Listening,
}

impl TcpListener {
    /// Registers a listener (of [`bind_tcp`]) with this shard.
    ///
    /// # Errors
    /// Outside a shard, or the system's.
    pub fn from_std(l: std::net::TcpListener) -> io::Result<Self> {
        l.set_nonblocking(true)?;
        let inner = match current_backend().ok_or_else(outside)? {
            Backend::Uring => Listening::Uring { listener: l, wait: RefCell::new(None) },
            Backend::Epoll => Listening::Epoll(register(l, Interest::READABLE)?),
        };
        Ok(Self { inner })
    }

    /// Waits for a connection. The descriptor is non-blocking, close-on-exec, and registered nowhere.
    ///
    /// # Errors
    /// The listener's own. With too many open files it fails at once each time: wait before the next call.
    pub async fn accept(&self) -> io::Result<(OwnedFd, SocketAddr)> {
        poll_fn(|cx| match &self.inner {
            Listening::Uring { listener, wait } => poll_accept_uring(listener, wait, cx),
            Listening::Epoll(listener) => poll_accept_epoll(listener, cx),
        })
        .await
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.inner {
            Listening::Uring { listener, .. } => listener.local_addr(),
            Listening::Epoll(listener) => listener.get_ref().local_addr(),
        }
    }
}

type Accepted = io::Result<(OwnedFd, SocketAddr)>;

fn poll_accept_uring(
    listener: &std::net::TcpListener,
    wait: &RefCell<Option<uring::Readable>>,
    cx: &mut Context<'_>,
) -> Poll<Accepted> {
    ready!(slice::poll_turn(cx));
    loop {
        match sock::accept_now(listener.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        // The wait is kept between calls: a dropped accept leaves it armed for the next.
        let mut slot = wait.borrow_mut();
        let readable = match slot.as_mut() {
            Some(readable) => readable,
            None => slot.insert(uring::Readable::new(listener.as_fd())?),
        };
        ready!(readable.poll(cx));
        *slot = None;
    }
}

fn poll_accept_epoll(listener: &AsyncFd<std::net::TcpListener>, cx: &mut Context<'_>) -> Poll<Accepted> {
    loop {
        let mut guard = ready!(listener.poll_read_ready(cx))?;
        match sock::accept_now(listener.get_ref().as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
            result => return Poll::Ready(result),
        }
    }
}

/// A TCP connection registered with this shard.
#[derive(Debug)]
pub struct TcpStream {
    inner: Socket,
}

impl TcpStream {
    /// Registers a connection with this shard. Any stream socket will do.
    ///
    /// # Errors
    /// Outside a shard, or the system's; the descriptor is closed then.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { inner: Socket::new(fd)? })
    }

    /// Takes the connection out of this shard, to be sent to another. No byte is lost: whatever was not
    /// read yet is still in the socket. The number of the descriptor may change.
    ///
    /// # Errors
    /// With too many open files; the connection is closed then.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.inner.into_fd()
    }

    /// Connects to `addr`. Wrap it in [`crate::timeout`]: the system's own time-out is minutes. Dropping
    /// the wait abandons the attempt.
    ///
    /// # Errors
    /// Outside a shard; refused, unreachable, timed out.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&addr.into()) {
            Ok(()) => return Self::from_fd(socket.into()),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let mut stream = Self::from_fd(socket.into())?;
        // An empty send answers EAGAIN until the connection stands, then 0, or its error.
        poll_fn(|cx| stream.inner.poll_send(cx, &[])).await?;
        match SockRef::from(&stream).take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Waits until there is something to read, reads it into `scratch` (at most its length), and passes
    /// it to `f`; answers the number of bytes and what `f` gave. Zero bytes, and an empty slice for `f`,
    /// are the end of the stream. A dropped wait has read nothing. `scratch` is borrowed only while `f`
    /// runs and must not be touched by it, so all connections of a shard can share one.
    ///
    /// # Errors
    /// The connection's (`f` is not called), or an empty or already borrowed `scratch`.
    pub async fn read_with<R>(
        &mut self,
        scratch: &RefCell<Vec<u8>>,
        f: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<(usize, R)> {
        let mut f = Some(f);
        poll_fn(|cx| {
            let Ok(mut buf) = scratch.try_borrow_mut() else {
                return Poll::Ready(Err(io::Error::other("the read scratch is borrowed")));
            };
            if buf.is_empty() {
                return Poll::Ready(Err(io::Error::other("the read scratch is empty")));
            }
            let n = ready!(self.inner.poll_recv(cx, &mut buf))?;
            match (f.take(), buf.get(..n)) {
                (Some(f), Some(bytes)) => Poll::Ready(Ok((n, f(bytes)))),
                _ => Poll::Ready(Err(io::Error::other("the read was polled after its end"))),
            }
        })
        .await
    }

    /// Sends all of `buf`, waiting for room as often as needed. When it is dropped midway, an unknown part
    /// has been sent: close the connection then.
    ///
    /// # Errors
    /// The connection's; an unknown part has been sent.
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            let n = match sock::send_now(self.as_fd(), rest) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.inner.poll_send(cx, rest)).await?
                }
                result => result?,
            };
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(n..).unwrap_or_default();
        }
        Ok(())
    }

    /// The descriptor's number, valid while this connection lives.
    #[must_use]
    pub fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open for as long as `self` lives, and the borrow ends before that.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }
}
