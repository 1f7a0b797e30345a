//! AV1: the configuration record and the sequence header inside it.
//!
//! AV1 codec ISO media file format binding, clause 2.3; AV1 bitstream specification, clauses 5.3 and 5.5.

use crate::VideoParams;
use crate::bits::BitReader;

const SEQUENCE_HEADER: u32 = 1;

/// Size from a configuration record.
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
    if r.bit()? {
        r.skip(5)?; // reduced_still_picture_header: one level
    } else {
        operating_points(r)?;
    }
    let width_bits = r.bits(4)? + 1;
    let height_bits = r.bits(4)? + 1;
    let width = r.bits(width_bits)?.checked_add(1)?;
    let height = r.bits(height_bits)?.checked_add(1)?;
    Some(VideoParams { width, height, frame_rate_milli: 0 })
}

fn operating_points(r: &mut BitReader<'_>) -> Option<()> {
    let timing = r.bit()?;
    let mut decoder_model = None;
    if timing {
        r.skip(64)?;
        if r.bit()? {
            r.ue()?;
        }
        if r.bit()? {
            let delay_bits = r.bits(5)? + 1;
            r.skip(32 + 10)?;
            decoder_model = Some(delay_bits);
        }
    }
    let display_delay = r.bit()?;
    for _ in 0..=r.bits(5)? {
        r.skip(12)?;
        if r.bits(5)? > 7 {
            r.skip(1)?;
        }
        if let Some(delay_bits) = decoder_model
            && r.bit()?
        {
            r.skip(usize::try_from(delay_bits).ok()?.checked_mul(2)?.checked_add(1)?)?;
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

    #[test]
    fn any_prefix_is_harmless() {
        for len in 0..RECORD.len() {
            let _ = describe(&RECORD[..len]);
        }
    }
}
