//! The connecting side of the handshake: for relays, load tests and tests.

use super::digest::{Digest, PACKET, Packet, Scheme, Signer};
use super::{Collector, VERSION, check_version};
use crate::Error;
use crate::rtmp::noise::Noise;

/// Version that a digest C1 claims: a late Flash Player.
const CLAIMED_VERSION: [u8; 4] = [9, 0, 124, 2];

/// Which handshake the connecting side offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeForm {
    /// The specified one: random bytes, echoed.
    Simple,
    /// With a digest, at the scheme's place.
    Digest(Scheme),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ConnectingHandshake {
    noise: Noise,
    sent: Option<Digest>,
    answer: Collector,
    replied: bool,
    proven: bool,
}

impl ConnectingHandshake {
    /// Appends C0 and C1 to `out` and waits for the answer.
    pub fn new(form: HandshakeForm, seed: u64, out: &mut Vec<u8>) -> Self {
        let mut noise = Noise::new(seed);
        let mut c1 = [0; PACKET];
        if let Some(random) = c1.get_mut(8..) {
            noise.fill(random);
        }
        let sent = match form {
            HandshakeForm::Simple => None,
            HandshakeForm::Digest(scheme) => {
                if let Some(version) = c1.get_mut(4..8) {
                    version.copy_from_slice(&CLAIMED_VERSION);
                }
                Some(Signer::Player.sign(&mut c1, scheme))
            }
        };
        out.push(VERSION);
        out.extend_from_slice(&c1);
        Self { noise, sent, answer: Collector::new(1 + PACKET), replied: false, proven: false }
    }

    /// Takes bytes from `input`, appends C2 to `out` when it is due; `true` once S2 is complete. What follows stays in
    /// `input`.
    ///
    /// # Errors
    /// `unsupported` for RTMPE, `malformed` for another version.
    pub fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        if !self.replied {
            if let Some(&version) = self.answer.held.first().or_else(|| input.first()) {
                check_version(version)?;
            }
            if !self.answer.take(input) {
                return Ok(false);
            }
            let s1 = self.answer.packet(1)?;
            out.extend_from_slice(&self.reply(s1));
            self.answer = Collector::new(PACKET);
            self.replied = true;
        }
        if !self.answer.take(input) {
            return Ok(false);
        }
        if let Some(digest) = &self.sent {
            self.proven = Signer::Server.answers(&self.answer.packet(0)?, digest);
        }
        Ok(true)
    }

    /// Whether the server proved that it read the digest; known after the handshake, `false` for the simple form.
    pub const fn is_proven(&self) -> bool {
        self.proven
    }

    /// Bytes of the peer that are held.
    pub const fn buffered_bytes(&self) -> usize {
        self.answer.held.len()
    }

    fn reply(&mut self, s1: Packet) -> Packet {
        let found = self.sent.and_then(|_| Signer::Server.find(&s1));
        let Some((_, digest)) = found else { return s1 };
        let mut c2 = [0; PACKET];
        self.noise.fill(&mut c2);
        Signer::Player.answer(&mut c2, &digest);
        c2
    }
}
