//! Connections from many source addresses, made without waiting.
//!
//! Ports are chosen here: the kernel's own search for one takes milliseconds once some ten thousand are taken.

use crate::clock::now_us;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Connections from one source address: fewer than half of the ports, so that those of connections that ended a moment
/// ago can rest.
const A_SOURCE: usize = 20_000;
/// Ports that are used, above those of common servers.
const FIRST_PORT: u32 = 12_000;
const PORTS: u32 = 52_000;
/// Ports tried for one connection.
const TRIES: usize = 200;

/// Starts a connection; it is made, or has failed, when the socket becomes writable. `number` chooses the source
/// address if the server is on this machine: 127.0.0.2 and on.
///
/// # Errors
/// The system's.
pub fn start(to: SocketAddr, number: usize, receive_buffer: Option<usize>) -> io::Result<OwnedFd> {
    let mut result = attempt(to, number, receive_buffer);
    for _ in 0..TRIES {
        match &result {
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            _ => break,
        }
        result = attempt(to, number, receive_buffer);
    }
    result
}

fn attempt(to: SocketAddr, number: usize, receive_buffer: Option<usize>) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = source(to, number) {
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(SocketAddr::from((source, next_port()))))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn source(to: SocketAddr, number: usize) -> Option<Ipv4Addr> {
    let IpAddr::V4(address) = to.ip() else { return None };
    if !address.is_loopback() {
        return None;
    }
    let [high, low] = u16::try_from(number / A_SOURCE).unwrap_or(u16::MAX).saturating_add(2).to_be_bytes();
    Some(Ipv4Addr::new(127, 0, high, low))
}

/// Another each time, all in turn; another process begins elsewhere.
fn next_port() -> u16 {
    static BEGIN: OnceLock<u32> = OnceLock::new();
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let begin = BEGIN.get_or_init(|| u32::try_from(now_us() / 10 % u64::from(PORTS)).unwrap_or(0));
    let at = TAKEN.fetch_add(1, Ordering::Relaxed).wrapping_add(*begin) % PORTS;
    u16::try_from(FIRST_PORT + at).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_change_before_ports_run_out() {
        let to = SocketAddr::from(([127, 0, 0, 1], 8000));
        let ip = |number| source(to, number).unwrap().to_string();
        assert_eq!(ip(0), "127.0.0.2");
        assert_eq!(ip(A_SOURCE - 1), "127.0.0.2");
        assert_eq!(ip(A_SOURCE), "127.0.0.3");
        assert_eq!(ip(A_SOURCE * 254), "127.0.1.0");
        assert_eq!(source(SocketAddr::from(([10, 0, 0, 1], 80)), 0), None);
    }

    #[test]
    fn many_connections_at_once_find_ports() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let all: Vec<_> = (0..400).map(|number| start(to, number, None).unwrap()).collect();
        assert_eq!(all.len(), 400);
    }
}
