//! Random-looking bytes for the handshake, from a seed that the caller draws.
//!
//! The handshake's random fields only have to differ from one connection to the next; they protect nothing. So this
//! is SplitMix64, not a cipher.

/// A stream of bytes from a seed.
#[derive(Clone, Copy, Debug)]
pub struct Noise(u64);

impl Noise {
    /// Equal seeds give equal bytes.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Overwrites all of `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        for piece in out.chunks_mut(8) {
            let word = self.word().to_le_bytes();
            for (to, from) in piece.iter_mut().zip(word) {
                *to = from;
            }
        }
    }

    const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
