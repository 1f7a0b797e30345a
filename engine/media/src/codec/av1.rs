//! AV1: the configuration record and the sequence header inside it.
//!
//! AV1 codec ISO media file format binding, clause 2.3; AV1 bitstream specification, clauses 5.3 and 5.5.

use crate::VideoParams;
use crate::bits::BitReader;

const SEQUENCE_HEADER: u32 = 1;

/// Size, and frame rate where the sequence tells it, from a configuration record.
pub fn describe(record: &[u8]) -> Option<VideoParams> {
    let (head, obus) = record.split_first_chunk::<4>()?;
    if head.first()? != &0x81 {
        return None;
    }
    let mut r = BitReader::new(obus);
    r.skip(1)?;
    let kind = r.bits(4)?;
    let extension = r.bit()?;
    let has_size = r.bit()?;
    r.skip(1)?;
    if kind != SEQUENCE_HEADER {
        return None;
    }
    if extension {
        r.skip(8)?;
    }
    if has_size {
        for _ in 0..8 {
            if r.bits(8)? & 0x80 == 0 {
                break;
            }
        }
    }
    sequence_header(&mut r)
}

fn sequence_header(r: &mut BitReader<'_>) -> Option<VideoParams> {
    r.skip(3)?; // seq_profile
    r.skip(1)?; // still_picture
    let mut frame_rate_milli = 0;
    if r.bit()? {
        r.skip(5)?; // reduced_still_picture_header: one level
    } else {
        let timing = if r.bit()? { Some(timing(r)?) } else { None };
        operating_points(r, timing.and_then(|timing| timing.delay_bits))?;
        frame_rate_milli = timing.map_or(0, |timing| timing.frame_rate_milli);
    }
    let width_bits = r.bits(4)? + 1;
    let height_bits = r.bits(4)? + 1;
    let width = r.bits(width_bits)?.checked_add(1)?;
    let height = r.bits(height_bits)?.checked_add(1)?;
    Some(VideoParams { width, height, frame_rate_milli })
}

#[derive(Clone, Copy)]
struct Timing {
    frame_rate_milli: u32,
    /// Width of the delays in each operating point, with a decoder model.
    delay_bits: Option<u32>,
}

fn timing(r: &mut BitReader<'_>) -> Option<Timing> {
    let (units, scale) = (r.bits(32)?, r.bits(32)?);
    // Without equal intervals the rate is not told.
    let ticks = if r.bit()? { r.ue()?.checked_add(1)? } else { 0 };
    let frame_rate_milli = super::rate_milli(scale, units, ticks).unwrap_or(0);
    let mut delay_bits = None;
    if r.bit()? {
        delay_bits = Some(r.bits(5)? + 1);
        r.skip(32 + 10)?;
    }
    Some(Timing { frame_rate_milli, delay_bits })
}

fn operating_points(r: &mut BitReader<'_>, delay_bits: Option<u32>) -> Option<()> {
    let display_delay = r.bit()?;
    for _ in 0..=r.bits(5)? {
        r.skip(12)?;
        if r.bits(5)? > 7 {
            r.skip(1)?;
        }
        if let Some(bits) = delay_bits
            && r.bit()?
        {
            r.skip(usize::try_from(bits).ok()?.checked_mul(2)?.checked_add(1)?)?;
        }
        if display_delay && r.bit()? {
            r.skip(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SVT-AV1, 320x240.
    const RECORD: &[u8] = &[
        0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xff, 0xbc, 0x02, 0xf8, 0x00, 0x40,
    ];

    #[test]
    fn tells_the_size() {
        let video = describe(RECORD).unwrap();
        assert_eq!((video.width, video.height), (320, 240));
    }

    /// Hand-built: 30000/1001 in equal intervals, a decoder model with 10-bit delays, two operating points, the
    /// second with a level above 7 and so with a tier, 640x360.
    const TIMED: &[u8] = &[
        0x81, 0x00, 0x00, 0x00, 0x0a, 0x1c, 0x04, 0x00, 0x00, 0x0f, 0xa4, 0x00, 0x01, 0xd4, 0xc3, 0xa4, 0x00,
        0x00, 0x00, 0x05, 0x29, 0x84, 0x40, 0x0b, 0x00, 0xc0, 0x30, 0x80, 0x13, 0x52, 0x62, 0x7f, 0xb3, 0x80,
    ];

    #[test]
    fn tells_the_rate_behind_a_decoder_model() {
        let video = describe(TIMED).unwrap();
        assert_eq!((video.width, video.height, video.frame_rate_milli), (640, 360, 29_970));
    }

    #[test]
    fn any_prefix_and_any_changed_byte_is_harmless() {
        for record in [RECORD, TIMED] {
            for (at, byte) in (0..record.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut changed = record.to_vec();
                changed[at] = byte;
                let _ = describe(&changed[..at]);
                let _ = describe(&changed);
            }
        }
    }
}
