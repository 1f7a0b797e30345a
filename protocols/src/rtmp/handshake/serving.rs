//! The accepting side of the handshake: answers S0, S1 and S2 at once when C1 is complete; C2 is passed over
//! unread, as other servers do, because peers fill it in many ways.

use super::digest::{PACKET, Signer};
use super::{Collector, VERSION, check_version};
use crate::Error;
use crate::rtmp::noise::Noise;

/// Version that a digest S1 claims: ffmpeg checks S2 from 3 on, and the S2 written here stands up to it.
const CLAIMED_VERSION: [u8; 4] = [4, 5, 0, 1];

/// See the module.
#[derive(Clone, Debug)]
pub struct ServingHandshake {
    noise: Noise,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    Hello(Collector),
    Echo { left: usize },
    Done,
}

impl ServingHandshake {
    /// Waits for C0. The seed differs from connection to connection.
    pub const fn new(seed: u64) -> Self {
        Self { noise: Noise::new(seed), step: Step::Hello(Collector::new(1 + PACKET)) }
    }

    /// Takes bytes from `input`, appends the answer to `out`; `true` once the handshake is over. What follows it stays
    /// in `input`.
    ///
    /// # Errors
    /// `unsupported` for RTMPE, `malformed` for another version; both as soon as the first byte is there.
    pub fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            match &mut self.step {
                Step::Hello(hello) => {
                    if let Some(&version) = hello.held.first().or_else(|| input.first()) {
                        check_version(version)?;
                    }
                    if !hello.take(input) {
                        return Ok(false);
                    }
                    let c1 = hello.packet(1)?;
                    answer(&mut self.noise, &c1, out);
                    self.step = Step::Echo { left: PACKET };
                }
                Step::Echo { left } => {
                    let taken = (*left).min(input.len());
                    *input = input.get(taken..).unwrap_or_default();
                    *left -= taken;
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.step = Step::Done;
                }
                Step::Done => return Ok(true),
            }
        }
    }

    /// Bytes of the peer that are held.
    pub const fn buffered_bytes(&self) -> usize {
        match &self.step {
            Step::Hello(hello) => hello.held.len(),
            Step::Echo { .. } | Step::Done => 0,
        }
    }
}

fn answer(noise: &mut Noise, c1: &[u8; PACKET], out: &mut Vec<u8>) {
    let mut s1 = [0; PACKET];
    let mut s2 = *c1;
    if let Some(random) = s1.get_mut(8..) {
        noise.fill(random);
    }
    // A zero version means the simple form: no need to look for a digest.
    let claims_digest = c1.get(4..8).is_some_and(|version| version != [0; 4]);
    if let Some((scheme, digest)) = claims_digest.then(|| Signer::Player.find(c1)).flatten() {
        if let Some(version) = s1.get_mut(4..8) {
            version.copy_from_slice(&CLAIMED_VERSION);
        }
        Signer::Server.sign(&mut s1, scheme);
        noise.fill(&mut s2);
        Signer::Server.answer(&mut s2, &digest);
    }
    out.reserve(1 + 2 * PACKET);
    out.push(VERSION);
    out.extend_from_slice(&s1);
    out.extend_from_slice(&s2);
}
