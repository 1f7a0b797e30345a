//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 clause 1.6.2.1).

use crate::bits::BitReader;

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

const SPECTRAL_BAND_REPLICATION: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;

/// Marks of the extensions that follow the config where decoders that know none of them do not look.
const SYNC_REPLICATION: u32 = 0x2b7;
const SYNC_STEREO: u32 = 0x548;

/// Sample rate (of the output, so doubled by spectral band replication where that is announced) and channels, 0 where
/// nothing tells their number.
pub fn describe(config: &[u8]) -> Option<(u32, u8)> {
    let mut r = BitReader::new(config);
    let outer = object_type(&mut r)?;
    let core_rate = rate(&mut r)?;
    let layout = r.bits(4)?;
    let mut inner = outer;
    let mut output = Output { rate: core_rate, stereo: outer == PARAMETRIC_STEREO };
    if matches!(outer, SPECTRAL_BAND_REPLICATION | PARAMETRIC_STEREO) {
        output.rate = rate(&mut r)?;
        inner = object_type(&mut r)?;
    }
    let channels = match layout {
        // Told by a program config element; a config that is cut off in it is still of use.
        0 => program_config(&mut r, inner).unwrap_or(0),
        n @ 1..=6 => u8::try_from(n).ok()?,
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        _ => return None,
    };
    if inner == outer && layout != 0 {
        output = trailing_extensions(&mut r, inner).unwrap_or(output);
    }
    Some((output.rate, if output.stereo && channels == 1 { 2 } else { channels }))
}

/// What a decoder puts out beyond what the core codes.
#[derive(Clone, Copy)]
struct Output {
    rate: u32,
    stereo: bool,
}

/// Extensions announced behind the config, which older decoders overlook (clause 1.6.5.2).
fn trailing_extensions(r: &mut BitReader<'_>, object_type: u32) -> Option<Output> {
    general_audio(r, object_type)?;
    if r.bits(11)? != SYNC_REPLICATION || r.bits(5)? != SPECTRAL_BAND_REPLICATION || !r.bit()? {
        return None;
    }
    let rate = rate(r)?;
    let stereo = r.bits(11) == Some(SYNC_STEREO) && r.bit() == Some(true);
    Some(Output { rate, stereo })
}

/// GASpecificConfig, of the object types that need no extension of it.
fn general_audio(r: &mut BitReader<'_>, object_type: u32) -> Option<()> {
    if !(1..=4).contains(&object_type) {
        return None;
    }
    r.skip(1)?;
    if r.bit()? {
        r.skip(14)?;
    }
    (!r.bit()?).then_some(())
}

/// Number of channels that a program config element lists (clause 4.4.1.1).
fn program_config(r: &mut BitReader<'_>, object_type: u32) -> Option<u8> {
    general_audio(r, object_type)?;
    r.skip(4 + 2 + 4)?;
    let elements = r.bits(4)? + r.bits(4)? + r.bits(4)?;
    let low_frequency = r.bits(2)?;
    r.skip(3 + 4)?;
    for mixdown_bits in [4, 4, 3] {
        if r.bit()? {
            r.skip(mixdown_bits)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..elements {
        channels += if r.bit()? { 2 } else { 1 };
        r.skip(4)?;
    }
    u8::try_from(channels).ok()
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
        assert_eq!(describe(&[0x17, 0x80, 0x5d, 0xc0, 0x08]), Some((48_000, 1)));
        assert_eq!(describe(&[]), None);
        assert_eq!(describe(&[0xff]), None);
        // Rate index 13 is reserved.
        assert_eq!(describe(&[0x16, 0x90]), None);
    }

    #[test]
    fn tells_what_replication_and_parametric_stereo_put_out() {
        // HE-AAC: 24 kHz inside, 48 kHz out; version 2: 22.05 kHz mono inside, 44.1 kHz stereo out.
        assert_eq!(describe(&[0x2b, 0x11, 0x88, 0x00]), Some((48_000, 2)));
        assert_eq!(describe(&[0xeb, 0x8a, 0x08, 0x00]), Some((44_100, 2)));
        // The same, announced behind an AAC-LC config.
        assert_eq!(describe(&[0x13, 0x10, 0x56, 0xe5, 0x98]), Some((48_000, 2)));
        assert_eq!(describe(&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80]), Some((44_100, 2)));
        // Not announced after all: the flag is 0.
        assert_eq!(describe(&[0x13, 0x10, 0x56, 0xe5, 0x18]), Some((24_000, 2)));
    }

    #[test]
    fn tells_channels_beyond_stereo() {
        for (layout, channels) in [(3, 3), (6, 6), (7, 8), (11, 7), (12, 8), (13, 24), (14, 8)] {
            assert_eq!(describe(&[0x11, 0x80 | layout << 3]), Some((48_000, channels)), "{layout}");
        }
        assert_eq!(describe(&[0x11, 0x80 | 8 << 3]), None);
        // ffmpeg, four channels by a program config element.
        let quad = [0x11, 0x80, 0x04, 0xc4, 0x04, 0x00, 0x21, 0x10, 0x0d];
        assert_eq!(describe(&quad), Some((48_000, 4)));
        assert_eq!(describe(&quad[..4]), Some((48_000, 0)));
    }

    #[test]
    fn any_two_changed_bytes_are_harmless() {
        let config = [0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80];
        for (at, byte) in (0..config.len()).flat_map(|at| (0..=255_u8).map(move |byte| (at, byte))) {
            let mut changed = config;
            changed[at] = byte;
            changed[0] ^= byte.rotate_left(3);
            let _ = describe(&changed);
        }
    }
}
