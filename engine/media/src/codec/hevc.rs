//! H.265: the decoder configuration record and the sequence parameter set.
//!
//! ISO/IEC 14496-15 clause 8.3.3 and H.265 clause 7.3.2.2.

use crate::VideoParams;
use crate::bits::{BitReader, rbsp};

/// Size from a configuration record.
pub fn describe(record: &[u8]) -> Option<VideoParams> {
    let (head, mut rest) = record.split_first_chunk::<23>()?;
    let arrays = *head.last()?;
    for _ in 0..arrays {
        let ([kind, count0, count1], after) = rest.split_first_chunk::<3>()?;
        rest = after;
        for _ in 0..u16::from_be_bytes([*count0, *count1]) {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (nal, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            rest = after;
            if kind & 0x3f == 33 {
                return parse_sps(nal);
            }
        }
    }
    None
}

/// Bytes of the length in front of each NAL unit, 1, 2 or 4.
pub fn length_size(record: &[u8]) -> Option<u8> {
    record.get(21).map(|byte| (byte & 3) + 1)
}

/// Size from a sequence parameter set NAL unit, its two header bytes included.
pub fn parse_sps(nal: &[u8]) -> Option<VideoParams> {
    if nal.first()? >> 1 & 0x3f != 33 {
        return None;
    }
    let payload = rbsp(nal.get(2..)?);
    let mut r = BitReader::new(&payload);
    r.skip(4)?;
    let sub_layers = r.bits(3)?;
    r.skip(1)?;
    profile_tier_level(&mut r, sub_layers)?;
    r.ue()?;
    let chroma = r.ue()?;
    if chroma == 3 {
        r.skip(1)?;
    }
    let mut width = r.ue()?;
    let mut height = r.ue()?;
    if r.bit()? {
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let [left, right, top, bottom] = [r.ue()?, r.ue()?, r.ue()?, r.ue()?];
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
    }
    Some(VideoParams { width, height, frame_rate_milli: 0 })
}

fn profile_tier_level(r: &mut BitReader<'_>, sub_layers: u32) -> Option<()> {
    r.skip(88 + 8)?;
    let mut present = Vec::with_capacity(8);
    for _ in 0..sub_layers {
        present.push((r.bit()?, r.bit()?));
    }
    if sub_layers > 0 {
        for _ in sub_layers..8 {
            r.skip(2)?;
        }
    }
    for (profile, level) in present {
        r.skip(if profile { 88 } else { 0 })?;
        r.skip(if level { 8 } else { 0 })?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x265, Main, 1920x1080.
    const SPS: &[u8] = &[
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x56, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
    ];

    #[test]
    fn tells_the_size_without_the_cropped_lines() {
        let video = parse_sps(SPS).unwrap();
        assert_eq!((video.width, video.height), (1920, 1080));
        let mut record = vec![1; 22];
        record.extend([1, 33, 0, 1, 0, SPS.len() as u8]);
        record.extend(SPS);
        assert_eq!(describe(&record), Some(video));
    }

    #[test]
    fn any_prefix_is_harmless() {
        for len in 0..SPS.len() {
            let _ = parse_sps(&SPS[..len]);
        }
    }
}
