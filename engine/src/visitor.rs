//! Connections that want the control side: whoever reads a request that is not for the media path gives its connection away.

use crate::session::Travelling;
use crate::shard::{SessionGuard, Shard};
use crate::transport::Transport;
use std::net::SocketAddr;

/// A connection for the control side, which reads and writes it from here on. It counts as a connection until it is dropped.
pub struct Visitor {
    /// The way to the peer; the socket does not block.
    pub transport: Transport,
    /// What was already received of its request.
    pub received: Vec<u8>,
    /// From where.
    pub peer: SocketAddr,
    /// Its place among the connections.
    session: Travelling,
}

impl Visitor {
    /// The way to the peer, what was received, and what has to be kept as long as the connection.
    pub fn into_parts(self) -> (Transport, Vec<u8>, Box<dyn Send>) {
        (self.transport, self.received, Box::new(self.session))
    }
}

impl Shard {
    /// Gives a connection to the control side. If too many wait there, it is closed and counted.
    pub fn show_in(&self, transport: Transport, received: Vec<u8>, session: SessionGuard) {
        let visitor = Visitor { transport, received, peer: session.peer(), session: session.travel() };
        if self.inner().visitors.try_send(visitor).is_err() {
            self.count_limit("visitors");
        }
    }
}
