//! The way to a peer once the engine writes to it: a plain socket, or something that seals bytes before they leave.

use media::{Moment, StopReason};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A byte stream that is not the bare socket: TLS.
pub trait Sealed: Send {
    /// The socket below.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Seals and sends. As with a socket, returns how many bytes were taken; `WouldBlock` if none could be. Takes less than
    /// it was offered only if the socket is full, for the next try waits until the socket is writable again.
    ///
    /// # Errors
    /// Those of the socket and of the seal.
    fn send(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Receives what was opened; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; those of the socket and of the seal.
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Whether everything taken has left for the socket; tries to send what has not.
    ///
    /// # Errors
    /// Those of the socket.
    fn flush(&mut self) -> io::Result<bool>;

    /// Says that nothing more will be sent, as far as the socket takes it.
    fn finish(&mut self);
}

/// See the module.
pub enum Transport {
    /// The bare socket.
    Plain(OwnedFd),
    /// Through a seal.
    Sealed(Box<dyn Sealed>),
}

impl Transport {
    /// The socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(fd) => fd.as_fd(),
            Self::Sealed(sealed) => sealed.fd(),
        }
    }

    /// Sends what the socket takes now; returns how many bytes that were.
    ///
    /// # Errors
    /// `WouldBlock` if it takes none; those of the socket and of the seal.
    pub fn send(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(fd) => rt::send_gather(fd.as_fd(), bufs),
            Self::Sealed(sealed) => sealed.send(bufs),
        }
    }

    /// Receives what is there; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; those of the socket and of the seal.
    pub fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(fd) => rt::recv_now(fd.as_fd(), buf),
            Self::Sealed(sealed) => sealed.recv(buf),
        }
    }

    /// Whether everything taken has left for the socket; tries to send what has not.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Sealed(sealed) => sealed.flush(),
        }
    }

    /// Ends the sending side; receiving goes on.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn close(&mut self) -> io::Result<()> {
        if let Self::Sealed(sealed) = self {
            sealed.finish();
        }
        rt::shutdown_write(self.fd())
    }
}

/// What a viewer's protocol makes of the bytes that come from its peer.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Goes on.
    Open,
    /// The peer ended it properly, or broke a rule (named).
    Ended(Option<&'static str>),
}

/// The protocol's side of a viewer: sees what the peer sends, may answer between two units.
pub trait Peer {
    /// Bytes came. Answers are appended to `out`.
    fn bytes(&mut self, now: Moment, bytes: &[u8], out: &mut Vec<u8>) -> PeerState;

    /// Time passed: called about once a second.
    fn tick(&mut self, now: Moment, out: &mut Vec<u8>) -> PeerState;

    /// The server ends it: the protocol's goodbye is appended to `out`.
    fn stop(&mut self, now: Moment, reason: StopReason, out: &mut Vec<u8>);
}
