//! AC-3 and E-AC-3: the start of a frame (ETSI TS 102 366 clauses 4.3, 4.4 and E.1.2).

use crate::bits::BitReader;

const SYNC_WORD: u32 = 0x0b77;
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Channels of each coding mode, without the one of low frequencies.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// Bit stream identifications up to this one are AC-3, those above it E-AC-3.
const LAST_AC3: u8 = 10;

/// Sample rate and channels from the first bytes of a frame of either.
pub fn describe(frame: &[u8]) -> Option<(u32, u8)> {
    let mut r = BitReader::new(frame);
    if r.bits(16)? != SYNC_WORD {
        return None;
    }
    if frame.get(5)? >> 3 > LAST_AC3 { enhanced(&mut r) } else { basic(&mut r) }
}

fn basic(r: &mut BitReader<'_>) -> Option<(u32, u8)> {
    r.skip(16)?;
    let rate = rate(r.bits(2)?)?;
    r.skip(6 + 5 + 3)?;
    let mode = r.bits(3)?;
    if mode & 1 != 0 && mode != 1 {
        r.skip(2)?;
    }
    if mode & 4 != 0 {
        r.skip(2)?;
    }
    if mode == 2 {
        r.skip(2)?;
    }
    Some((rate, channels(mode, r.bit()?)?))
}

fn enhanced(r: &mut BitReader<'_>) -> Option<(u32, u8)> {
    r.skip(2 + 3 + 11)?;
    let code = r.bits(2)?;
    let second = r.bits(2)?;
    let rate = if code == 3 { rate(second)? / 2 } else { rate(code)? };
    Some((rate, channels(r.bits(3)?, r.bit()?)?))
}

fn rate(code: u32) -> Option<u32> {
    RATES.get(usize::try_from(code).ok()?).copied()
}

fn channels(mode: u32, low_frequency: bool) -> Option<u8> {
    CHANNELS.get(usize::try_from(mode).ok()?).map(|channels| channels + u8::from(low_frequency))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ffmpeg, 48 kHz 5.1 and 44.1 kHz stereo.
    const BASIC: [u8; 12] = [0x0b, 0x77, 0xd0, 0xf8, 0x1e, 0x40, 0xeb, 0xf8, 0x40, 0x3e, 0xff, 0x99];
    const ENHANCED: [u8; 12] = [0x0b, 0x77, 0x01, 0xa0, 0x74, 0x87, 0xc0, 0x00, 0x20, 0x84, 0x01, 0x00];

    #[test]
    fn tells_rate_and_channels() {
        assert_eq!(describe(&BASIC), Some((48_000, 6)));
        assert_eq!(describe(&ENHANCED), Some((44_100, 2)));
    }

    #[test]
    fn any_prefix_and_any_changed_byte_is_harmless() {
        for frame in [BASIC, ENHANCED] {
            assert_eq!(describe(&frame[..5]), None);
            for (at, byte) in (0..frame.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut changed = frame;
                changed[at] = byte;
                let _ = describe(&changed[..at + 1]);
                let _ = describe(&changed);
            }
        }
    }
}
