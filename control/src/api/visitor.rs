//! A connection that came over a media port, as a byte stream of the control thread's runtime.

use engine::{Transport, Visitor};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// What one receive may bring, in bytes.
const RECEIVE_BYTES: usize = 16 * 1024;

/// See the module.
pub struct VisitorStream {
    transport: Transport,
    /// The same socket again: tells when it is ready, and nothing else.
    watch: TcpStream,
    /// Received and not yet read.
    received: Vec<u8>,
    taken: usize,
    /// Its place among the connections.
    _place: Box<dyn Send>,
}

impl VisitorStream {
    /// Takes a connection over.
    ///
    /// # Errors
    /// If the runtime cannot watch its socket.
    pub fn new(visitor: Visitor) -> io::Result<Self> {
        let (transport, received, place) = visitor.into_parts();
        let socket = std::net::TcpStream::from(transport.fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        let watch = TcpStream::from_std(socket)?;
        Ok(Self { transport, watch, received, taken: 0, _place: place })
    }
}

impl AsyncRead for VisitorStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let there = this.received.get(this.taken..).unwrap_or_default();
        if !there.is_empty() {
            let n = there.len().min(out.remaining());
            out.put_slice(there.get(..n).unwrap_or_default());
            this.taken += n;
            if this.taken == this.received.len() {
                (this.received, this.taken) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let n = out.remaining().min(RECEIVE_BYTES);
        let room = out.initialize_unfilled_to(n);
        // First without asking whether the socket is ready: inside TLS there may be more than came last.
        let mut received = this.transport.recv(room);
        while is_blocked(&received) {
            ready!(this.watch.poll_read_ready(cx))?;
            received = this.watch.try_io(Interest::READABLE, || this.transport.recv(room));
        }
        Poll::Ready(received.map(|n| out.advance(n)))
    }
}

impl AsyncWrite for VisitorStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            ready!(this.watch.poll_write_ready(cx))?;
            let send = || this.transport.send(&[IoSlice::new(bytes)]);
            let sent = this.watch.try_io(Interest::WRITABLE, send);
            if !is_blocked(&sent) {
                return Poll::Ready(sent);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.watch.poll_write_ready(cx))?;
            let flush = || match this.transport.flush() {
                Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
                flushed => flushed.map(|_| ()),
            };
            let flushed = this.watch.try_io(Interest::WRITABLE, flush);
            if !is_blocked(&flushed) {
                return Poll::Ready(flushed);
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(self.get_mut().transport.close())
    }
}

fn is_blocked<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
