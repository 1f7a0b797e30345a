//! Plain non-blocking calls on a raw descriptor, for loops that serve many sockets without a task each.
//!
//! Knows nothing of back-ends or tasks, so it may be called from any thread. Invariants: no call here
//! blocks (`MSG_DONTWAIT`), none raises `SIGPIPE` (`MSG_NOSIGNAL`), and a signal in between is retried.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use socket2::{SockAddr, SockRef};

/// Most buffers that one `sendmsg` takes (Linux: `UIO_MAXIOV`).
const MAX_SLICES: usize = 1024;

const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Repeats a call that a signal interrupted; turns its -1 into the error.
fn retry(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        let rc = call();
        if let Ok(n) = usize::try_from(rc) {
            return Ok(n);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends many buffers with one `sendmsg`; answers how many bytes went. Looks at the first 1,024 buffers.
///
/// # Errors
/// `WouldBlock` when the send buffer is full; otherwise the socket's error.
pub fn send_gather(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = bufs.len().min(MAX_SLICES);
    // SAFETY: `msghdr` is plain data for which all-zero bytes are valid (null pointers, zero lengths).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` is guaranteed to have the layout of `iovec`; `sendmsg` only reads through it.
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = count as _;
    // SAFETY: `message` points at `count` valid slices that outlive the call; the descriptor is open for
    // as long as it is borrowed.
    retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, FLAGS) })
}

/// Sends one buffer; answers how many bytes went.
///
/// # Errors
/// `WouldBlock` when the send buffer is full; otherwise the socket's error.
pub fn send_now(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a live slice, which the call only reads.
    retry(|| unsafe { libc::send(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), FLAGS) })
}

/// Receives what is there into `buf`; 0 is the end of the stream (or an empty `buf`).
///
/// # Errors
/// `WouldBlock` when nothing is there; otherwise the socket's error.
pub fn recv_now(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a live, exclusively borrowed slice.
    retry(|| unsafe { libc::recv(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), libc::MSG_DONTWAIT) })
}

/// Takes one waiting connection; it is non-blocking and close-on-exec. The listener must be non-blocking.
///
/// # Errors
/// `WouldBlock` when none waits. One that was aborted while it waited is skipped.
pub(crate) fn accept_now(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    loop {
        // SAFETY: the closure passes accept4 a storage and a length that describe that storage; on success
        // the kernel has filled both, and the descriptor returned is new and owned by nobody else.
        let result = unsafe {
            SockAddr::try_init(|storage, length| {
                let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                match libc::accept4(fd.as_raw_fd(), storage.cast(), length, flags) {
                    -1 => Err(io::Error::last_os_error()),
                    raw => Ok(OwnedFd::from_raw_fd(raw)),
                }
            })
        };
        match result {
            Ok((fd, address)) => {
                let address = address.as_socket();
                let address = address.ok_or_else(|| io::Error::other("the peer has no internet address"))?;
                return Ok((fd, address));
            }
            Err(error) if skippable(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Errors of accept that belong to the connection that was lost, not to the listener (accept(2)).
fn skippable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}

/// Sends small writes at once (`TCP_NODELAY`).
///
/// # Errors
/// The system's.
pub fn set_nodelay(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_nodelay(on)
}

/// Asks for a send buffer of `bytes` (`SO_SNDBUF`; Linux doubles it, and stops growing it by itself).
///
/// # Errors
/// The system's.
pub fn set_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    SockRef::from(&fd).set_send_buffer_size(bytes)
}

/// Asks for a receive buffer of `bytes` (`SO_RCVBUF`; Linux doubles it).
///
/// # Errors
/// The system's.
pub fn set_recv_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    SockRef::from(&fd).set_recv_buffer_size(bytes)
}

/// Calls the socket writable only while fewer than `bytes` are queued and unsent (`TCP_NOTSENT_LOWAT`).
///
/// # Errors
/// The system's.
pub fn set_notsent_lowat(fd: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_notsent_lowat(bytes)
}

/// Calls the socket readable only once `bytes` are there (`SO_RCVLOWAT`), or its end. Lowering it tells of what is there.
///
/// # Errors
/// The system's.
pub fn set_receive_low_water(fd: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: the option takes one int, which `value` is and lives through the call; the descriptor is open for as
    // long as it is borrowed.
    let rc = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            length,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closing discards what is unsent and resets the connection (`SO_LINGER` of 0 seconds).
///
/// # Errors
/// The system's.
pub fn set_linger_zero(fd: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&fd).set_linger(Some(Duration::ZERO))
}

/// Ends our sending side once what is queued has gone (a FIN); reading goes on.
///
/// # Errors
/// The system's; `NotConnected` when the peer has reset.
pub fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&fd).shutdown(Shutdown::Write)
}

/// Bytes handed to the socket that the peer has not acknowledged yet (`SIOCOUTQ`).
///
/// # Errors
/// The system's.
pub fn unsent_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut value: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (the same number as SIOCOUTQ) writes one int to the pointer, which is valid.
    let rc = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut value) };
    if rc == 0 { Ok(usize::try_from(value).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// Address of the peer.
///
/// # Errors
/// `NotConnected` when the peer has reset; otherwise the system's.
pub fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let address = SockRef::from(&fd).peer_addr()?;
    address.as_socket().ok_or_else(|| io::Error::other("the peer has no internet address"))
}

/// Address of our end.
///
/// # Errors
/// The system's.
pub fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let address = SockRef::from(&fd).local_addr()?;
    address.as_socket().ok_or_else(|| io::Error::other("the socket has no internet address"))
}
