//! Connections from many source addresses, made without waiting.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Connections from one source address: fewer than the 28,000 ports that the system gives out by itself.
const A_SOURCE: usize = 20_000;

/// Starts a connection; it is made, or has failed, when the socket becomes writable. `number` chooses the source
/// address if the server is on this machine: 127.0.0.2 and on.
///
/// # Errors
/// The system's.
pub fn start(to: SocketAddr, number: usize, receive_buffer: Option<usize>) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = source(to, number) {
        // The port is free for this pair of addresses, though another connection had it a moment ago.
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(source))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn source(to: SocketAddr, number: usize) -> Option<SocketAddr> {
    let IpAddr::V4(address) = to.ip() else { return None };
    if !address.is_loopback() {
        return None;
    }
    let [high, low] = u16::try_from(number / A_SOURCE).unwrap_or(u16::MAX).saturating_add(2).to_be_bytes();
    Some(SocketAddr::from((Ipv4Addr::new(127, 0, high, low), 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_change_before_ports_run_out() {
        let to = SocketAddr::from(([127, 0, 0, 1], 8000));
        let ip = |number| source(to, number).unwrap().ip().to_string();
        assert_eq!(ip(0), "127.0.0.2");
        assert_eq!(ip(A_SOURCE - 1), "127.0.0.2");
        assert_eq!(ip(A_SOURCE), "127.0.0.3");
        assert_eq!(ip(A_SOURCE * 254), "127.0.1.0");
        assert_eq!(source(SocketAddr::from(([10, 0, 0, 1], 80)), 0), None);
    }
}
