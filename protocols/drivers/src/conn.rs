//! A connection while a session's task reads and writes it: the socket, with TLS around it or not.

use crate::tls::{Tls, TlsTransport};
use engine::Transport;
use rt::TcpStream;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// A peer that takes nothing for this long while the server has something to say is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// As much may come to a hushed connection before it wakes somebody after all.
const HUSHED_BYTES: u32 = 48 * 1024;

/// How long, and over how many bytes, a closing connection waits for the peer to close too.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 4 << 20;

/// See the module.
pub(crate) struct Conn {
    stream: TcpStream,
    tls: Option<Box<Tls>>,
    /// Opened bytes not yet given to the session.
    plain: Vec<u8>,
}

/// A connection off its core's reactor: plain data.
pub(crate) struct Parked {
    fd: OwnedFd,
    tls: Option<Box<Tls>>,
    plain: Vec<u8>,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes, given to the session.
    Bytes(usize),
    /// Nothing for the session yet (a handshake inside TLS); write, then read again.
    Nothing,
    /// The peer sends no more.
    Eof,
}

impl Conn {
    pub fn new(fd: OwnedFd, tls: Option<Box<Tls>>) -> io::Result<Self> {
        Parked { fd, tls, plain: Vec::new() }.unpark()
    }

    /// Waits for bytes and gives them to `take`. Cancelled, it loses nothing.
    pub async fn read(&mut self, scratch: &RefCell<Vec<u8>>, take: impl FnOnce(&[u8])) -> io::Result<Got> {
        let Some(tls) = &mut self.tls else {
            let read = |bytes: &[u8]| {
                if !bytes.is_empty() {
                    take(bytes);
                }
            };
            let (n, ()) = self.stream.read_with(scratch, read).await?;
            return Ok(if n == 0 { Got::Eof } else { Got::Bytes(n) });
        };
        if self.plain.is_empty() {
            if tls.is_eof() {
                return Ok(Got::Eof);
            }
            let plain = &mut self.plain;
            let (n, opened) = self.stream.read_with(scratch, |sealed| tls.open(sealed, plain)).await?;
            opened?;
            if n == 0 {
                return Ok(Got::Eof);
            }
        }
        if self.plain.is_empty() {
            return Ok(Got::Nothing);
        }
        let plain = std::mem::take(&mut self.plain);
        take(&plain);
        Ok(Got::Bytes(plain.len()))
    }

    /// Sends all of it, and what TLS has to say. Not to be cancelled.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = rt::timeout(WRITE_TIMEOUT, self.write_all(bytes)).await;
        sent.unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads nothing")))
    }

    /// Says that nothing more will be sent, and lets the peer read the last words: a socket closed over bytes that were
    /// not read is reset, and takes what was sent with it.
    pub async fn close(&mut self, scratch: &RefCell<Vec<u8>>) {
        if let Some(tls) = &mut self.tls {
            tls.close();
            // The connection ends either way.
            let _ = self.write(&[]).await;
        }
        if rt::shutdown_write(self.stream.as_fd()).is_err() {
            return;
        }
        let drain = async {
            let mut left = LINGER_BYTES;
            while let Ok((n, ())) = self.stream.read_with(scratch, |_| ()).await {
                left = left.saturating_sub(n);
                if n == 0 || left == 0 {
                    return;
                }
            }
        };
        rt::timeout(LINGER, drain).await;
    }

    /// While hushed, what comes wakes nobody; the end of it tells of all that came. A hint: where it does not work, wakes
    /// cost what they cost.
    pub fn hush(&self, on: bool) {
        // On io_uring nobody is woken who does not wait.
        if rt::current_backend() == Some(rt::Backend::Epoll) {
            let _ = rt::set_receive_low_water(self.stream.as_fd(), if on { HUSHED_BYTES } else { 1 });
        }
    }

    /// Whether TLS has something to say of its own.
    pub fn has_words(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.pending().is_empty())
    }

    pub const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub fn park(self) -> io::Result<Parked> {
        Ok(Parked { fd: self.stream.into_fd()?, tls: self.tls, plain: self.plain })
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return if bytes.is_empty() { Ok(()) } else { self.stream.write_all(bytes).await };
        };
        loop {
            if !tls.pending().is_empty() {
                let pending = tls.pending().to_vec();
                self.stream.write_all(&pending).await?;
                tls.sent(pending.len());
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let n = tls.seal(bytes)?;
            bytes = bytes.get(n..).unwrap_or_default();
        }
    }
}

impl Parked {
    pub fn unpark(self) -> io::Result<Conn> {
        Ok(Conn { stream: TcpStream::from_fd(self.fd)?, tls: self.tls, plain: self.plain })
    }

    /// For the engine to write to.
    pub fn into_transport(self) -> Transport {
        match self.tls {
            None => Transport::Plain(self.fd),
            Some(tls) => Transport::Sealed(Box::new(TlsTransport { fd: self.fd, tls, plain: self.plain })),
        }
    }
}
