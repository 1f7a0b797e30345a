//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 clause 1.6.2.1).

use crate::bits::BitReader;

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Sample rate (of the output, so doubled by spectral band replication where that is announced) and channels.
pub fn describe(config: &[u8]) -> Option<(u32, u8)> {
    let mut r = BitReader::new(config);
    let object_type = object_type(&mut r)?;
    let mut sample_rate = rate(&mut r)?;
    let channels = match r.bits(4)? {
        // 0: told by a program config element in the stream.
        n @ 0..=6 => u8::try_from(n).ok()?,
        7 | 12 => 8,
        11 => 7,
        _ => return None,
    };
    // Spectral band replication, and with parametric stereo.
    let mut out_channels = channels;
    if matches!(object_type, 5 | 29) {
        sample_rate = rate(&mut r)?;
        if object_type == 29 && channels == 1 {
            out_channels = 2;
        }
    }
    Some((sample_rate, out_channels))
}

fn object_type(r: &mut BitReader<'_>) -> Option<u32> {
    match r.bits(5)? {
        31 => Some(32 + r.bits(6)?),
        n => Some(n),
    }
}

fn rate(r: &mut BitReader<'_>) -> Option<u32> {
    match r.bits(4)? {
        15 => r.bits(24),
        n => RATES.get(usize::try_from(n).ok()?).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_rate_and_channels() {
        assert_eq!(describe(&[0x12, 0x10]), Some((44_100, 2)));
        assert_eq!(describe(&[0x11, 0x88]), Some((48_000, 1)));
        // HE-AAC: 24 kHz inside, 48 kHz out; version 2 with parametric stereo.
        assert_eq!(describe(&[0x2b, 0x11, 0x88]), Some((48_000, 2)));
        assert_eq!(describe(&[0xeb, 0x09, 0x88]), Some((48_000, 2)));
        assert_eq!(describe(&[0x17, 0x80, 0x5d, 0xc0, 0x08]), Some((48_000, 1)));
        assert_eq!(describe(&[]), None);
        assert_eq!(describe(&[0xff]), None);
    }
}
