//! The handshake: three packets each way before the first chunk. Adobe RTMP 1.0 section 5.2, and the digest form.
//!
//! Knows no chunk and no command. Both sides are incremental: bytes go in cut anywhere, what follows the handshake
//! in the same bytes stays in the caller's slice.
//!
//! Invariants: at most one packet of the peer is held; nothing after the handshake is taken.

mod connecting;
mod digest;
mod serving;
#[cfg(test)]
mod tests;

pub use connecting::{ConnectingHandshake, HandshakeForm};
pub use digest::{PACKET, Scheme};
pub use serving::ServingHandshake;

use crate::Error;
use digest::Packet;

/// The only version offered.
const VERSION: u8 = 3;
/// The encrypted form.
const VERSION_RTMPE: u8 = 6;

const fn check_version(version: u8) -> Result<(), Error> {
    match version {
        VERSION => Ok(()),
        VERSION_RTMPE => Err(Error::unsupported("RTMPE")),
        _ => Err(Error::malformed("handshake version")),
    }
}

/// Collects a fixed number of bytes from slices cut anywhere.
#[derive(Clone, Debug)]
struct Collector {
    held: Vec<u8>,
    wanted: usize,
}

impl Collector {
    const fn new(wanted: usize) -> Self {
        Self { held: Vec::new(), wanted }
    }

    /// Takes from `input` what is missing; whether all is there.
    fn take(&mut self, input: &mut &[u8]) -> bool {
        let missing = self.wanted.saturating_sub(self.held.len()).min(input.len());
        if let Some((head, tail)) = input.split_at_checked(missing) {
            self.held.reserve_exact(self.wanted.saturating_sub(self.held.len()));
            self.held.extend_from_slice(head);
            *input = tail;
        }
        self.held.len() == self.wanted
    }

    /// The packet that starts at `at`.
    fn packet(&self, at: usize) -> Result<Packet, Error> {
        let bytes = self.held.get(at..at + PACKET).ok_or(Error::malformed("truncated"))?;
        bytes.try_into().map_err(|_| Error::malformed("truncated"))
    }
}
