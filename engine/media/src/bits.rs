//! Bits, most significant first, as codecs' headers are written.

/// Reads bits from a slice; past its end there is `None`, never a panic.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// At the first bit.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// One bit.
    pub fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Up to 32 bits as a number.
    pub fn bits(&mut self, n: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..n.min(32) {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    /// Passes over bits.
    pub fn skip(&mut self, n: usize) -> Option<()> {
        self.at = self.at.checked_add(n)?;
        (self.at <= self.bytes.len().checked_mul(8)?).then_some(())
    }

    /// Exponential Golomb code, unsigned (H.264 clause 9.1).
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        (1_u32 << zeros).checked_sub(1)?.checked_add(rest)
    }

    /// Exponential Golomb code, signed.
    pub fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let half = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { half } else { -half })
    }
}

/// Most bytes of a NAL unit's payload that are unescaped: headers are far shorter.
const MAX_RBSP_BYTES: usize = 1024;

/// The start of a NAL unit's payload without its emulation prevention bytes (H.264 clause 7.4.1).
pub fn rbsp(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len().min(MAX_RBSP_BYTES));
    let mut zeros = 0;
    for &byte in nal.iter().take(MAX_RBSP_BYTES) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_codes_and_ends() {
        let mut r = BitReader::new(&[0b1010_0110, 0b0100_0010]);
        assert_eq!((r.bits(1), r.ue(), r.ue(), r.ue()), (Some(1), Some(1), Some(2), Some(3)));
        assert_eq!(r.bits(5), None);
        assert_eq!(BitReader::new(&[0; 8]).ue(), None);
        assert_eq!(BitReader::new(&[0b0110_0000]).se(), Some(-1));
        assert_eq!(BitReader::new(&[0]).skip(9), None);
    }

    #[test]
    fn takes_emulation_prevention_out() {
        assert_eq!(rbsp(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
        assert!(rbsp(&vec![0; 1 << 20]).len() <= MAX_RBSP_BYTES);
    }
}
