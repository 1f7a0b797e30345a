//! Opus and FLAC: rate and channels from their headers (RFC 7845 clause 5.1, RFC 9639 clause 8.2).

use crate::bits::BitReader;

/// Output rate, which is always 48 kHz, and channels from an `OpusHead`.
pub fn describe(head: &[u8]) -> Option<(u32, u8)> {
    let rest = head.strip_prefix(b"OpusHead")?;
    Some((48_000, *rest.get(1)?))
}

/// Rate and channels from `fLaC` and a STREAMINFO block, or from the block alone.
pub fn describe_flac(config: &[u8]) -> Option<(u32, u8)> {
    let block = config.strip_prefix(b"fLaC").and_then(|rest| rest.get(4..)).unwrap_or(config);
    let mut r = BitReader::new(block);
    r.skip(16 + 16 + 24 + 24)?;
    let sample_rate = r.bits(20)?;
    let channels = r.bits(3)? + 1;
    Some((sample_rate, u8::try_from(channels).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_rate_and_channels() {
        assert_eq!(describe(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"), Some((48_000, 2)));
        assert_eq!(describe(b"OpusHead"), None);
        let block = [0x10, 0, 0x10, 0, 0, 0, 1, 0, 0, 2, 0x0a, 0xc4, 0x42, 0xf0];
        let with_marker = [b"fLaC\x80\0\0\x22".as_slice(), &block].concat();
        assert_eq!(describe_flac(&block), Some((44_100, 2)));
        assert_eq!(describe_flac(&with_marker), Some((44_100, 2)));
    }
}
