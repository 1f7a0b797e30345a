//! The digest in the first handshake packet and the answer to it: HMAC-SHA256 over fixed keys.
//!
//! Not part of Adobe's specification; as FMS, librtmp, ffmpeg and SRS do it. Works on complete 1536-byte packets.
//!
//! Invariant: a position found here lies wholly inside the packet, because an offset is reduced modulo 728 and its
//! block is 764 bytes long.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Length of a handshake packet (C1, C2, S1, S2), in bytes.
pub const PACKET: usize = 1536;
/// Length of a digest, in bytes.
pub const DIGEST: usize = 32;
/// What stands in front of the digest in C2 and S2, in bytes.
const SIGNED: usize = PACKET - DIGEST;

/// A handshake packet.
pub type Packet = [u8; PACKET];
/// A digest.
pub type Digest = [u8; DIGEST];

const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e,
    0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];
const PLAYER_NAME: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER_NAME: &[u8] = b"Genuine Adobe Flash Media Server 001";

/// Whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The side that connects.
    Player,
    /// The side that accepts.
    Server,
}

/// Where the digest stands in C1 and S1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Digest block first: what most peers use.
    DigestFirst,
    /// Key block first.
    KeyFirst,
}

impl Scheme {
    /// Both, the likelier first.
    pub const ALL: [Self; 2] = [Self::DigestFirst, Self::KeyFirst];

    /// Where the four offset bytes stand.
    const fn offset_at(self) -> usize {
        match self {
            Self::DigestFirst => 8,
            Self::KeyFirst => 772,
        }
    }

    /// Where the digest stands in this packet.
    pub fn position(self, packet: &Packet) -> usize {
        let at = self.offset_at();
        let sum: usize = packet.iter().skip(at).take(4).map(|&byte| usize::from(byte)).sum();
        sum % 728 + at + 4
    }
}

impl Signer {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Player => PLAYER_NAME,
            Self::Server => SERVER_NAME,
        }
    }

    /// The digest that belongs into this packet at the scheme's place.
    fn digest_of(self, packet: &Packet, scheme: Scheme) -> Digest {
        let at = scheme.position(packet);
        let before = packet.get(..at).unwrap_or_default();
        let after = packet.get(at + DIGEST..).unwrap_or_default();
        hmac(self.name(), &[before, after])
    }

    /// Looks for this side's digest in either place.
    pub fn find(self, packet: &Packet) -> Option<(Scheme, Digest)> {
        Scheme::ALL.into_iter().find_map(|scheme| {
            let at = scheme.position(packet);
            let there: Digest = packet.get(at..at + DIGEST)?.try_into().ok()?;
            (there == self.digest_of(packet, scheme)).then_some((scheme, there))
        })
    }

    /// Writes this side's digest into a packet; gives it.
    pub fn sign(self, packet: &mut Packet, scheme: Scheme) -> Digest {
        let digest = self.digest_of(packet, scheme);
        let at = scheme.position(packet);
        if let Some(place) = packet.get_mut(at..at + DIGEST) {
            place.copy_from_slice(&digest);
        }
        digest
    }

    /// Ends a C2 or S2 with the proof that the other side's digest was read.
    pub fn answer(self, packet: &mut Packet, digest: &Digest) {
        let proof = self.proof(packet, digest);
        if let Some(place) = packet.get_mut(SIGNED..) {
            place.copy_from_slice(&proof);
        }
    }

    /// Whether a C2 or S2 of this side answers the digest.
    pub fn answers(self, packet: &Packet, digest: &Digest) -> bool {
        packet.get(SIGNED..) == Some(self.proof(packet, digest).as_slice())
    }

    fn proof(self, packet: &Packet, digest: &Digest) -> Digest {
        let mut key = self.name().to_vec();
        key.extend_from_slice(&KEY_TAIL);
        let key = hmac(&key, &[digest]);
        hmac(&key, &[packet.get(..SIGNED).unwrap_or_default()])
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest {
    // HMAC takes a key of any length, so the other branch is never taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; DIGEST] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
