//! H.265: the decoder configuration record and the sequence parameter set.
//!
//! ISO/IEC 14496-15 clause 8.3.3 and H.265 clauses 7.3.2.2, 7.3.4, 7.3.7 and E.2.1.

use crate::VideoParams;
use crate::bits::{BitReader, rbsp};

/// Size and frame rate from a configuration record.
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

/// Bytes of the length in front of each NAL unit, 1 to 4 (3 is reserved).
pub fn length_size(record: &[u8]) -> Option<u8> {
    record.get(21).map(|byte| (byte & 3) + 1)
}

/// Size and frame rate from a sequence parameter set NAL unit, its two header bytes included. The rate is 0 where the
/// set tells none, and where it ends before it could.
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
    let frame_rate_milli = frame_rate(&mut r, sub_layers).unwrap_or(0);
    Some(VideoParams { width, height, frame_rate_milli })
}

/// What stands between the size and the usability information, then the rate from that, × 1000.
fn frame_rate(r: &mut BitReader<'_>, sub_layers: u32) -> Option<u32> {
    r.ue()?; // bit_depth_luma_minus8
    r.ue()?; // bit_depth_chroma_minus8
    let order_bits = r.ue()?.checked_add(4)?;
    let layers = if r.bit()? { sub_layers + 1 } else { 1 };
    for _ in 0..layers * 3 {
        r.ue()?; // sub-layer ordering
    }
    for _ in 0..6 {
        r.ue()?; // block sizes and transform depths
    }
    if r.bit()? && r.bit()? {
        scaling_lists(r)?;
    }
    r.skip(2)?;
    if r.bit()? {
        r.skip(4 + 4)?;
        r.ue()?;
        r.ue()?;
        r.skip(1)?;
    }
    short_term_sets(r)?;
    if r.bit()? {
        let count = r.ue()?;
        if count > MAX_LONG_TERM {
            return None;
        }
        for _ in 0..count {
            r.skip(usize::try_from(order_bits).ok()?)?;
            r.skip(1)?;
        }
    }
    r.skip(2)?;
    if r.bit()? { timing(r) } else { Some(0) }
}

fn scaling_lists(r: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4_u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !r.bit()? {
                r.ue()?;
                continue;
            }
            if size > 1 {
                r.se()?;
            }
            for _ in 0..(16_u32 << (2 * size)).min(64) {
                r.se()?;
            }
        }
    }
    Some(())
}

/// Most short-term reference picture sets, pictures in each half of one, and long-term pictures (clause 7.4.3.2).
const MAX_SHORT_TERM: u32 = 64;
const MAX_PICTURES: u32 = 16;
const MAX_LONG_TERM: u32 = 32;

fn short_term_sets(r: &mut BitReader<'_>) -> Option<()> {
    let count = r.ue()?;
    if count > MAX_SHORT_TERM {
        return None;
    }
    // Pictures of the set before, which the next may be told by.
    let mut pictures = 0;
    for index in 0..count {
        pictures = if index > 0 && r.bit()? { predicted_set(r, pictures)? } else { plain_set(r)? };
    }
    Some(())
}

fn predicted_set(r: &mut BitReader<'_>, pictures: u32) -> Option<u32> {
    r.skip(1)?;
    r.ue()?;
    let mut kept = 0;
    for _ in 0..=pictures {
        let used = r.bit()?;
        if used || r.bit()? {
            kept += 1;
        }
    }
    (kept <= MAX_PICTURES).then_some(kept)
}

fn plain_set(r: &mut BitReader<'_>) -> Option<u32> {
    let (before, after) = (r.ue()?, r.ue()?);
    if before > MAX_PICTURES || after > MAX_PICTURES {
        return None;
    }
    for _ in 0..before + after {
        r.ue()?;
        r.skip(1)?;
    }
    Some(before + after)
}

/// Frame rate × 1000 from the usability information (annex E).
fn timing(r: &mut BitReader<'_>) -> Option<u32> {
    if r.bit()? && r.bits(8)? == 255 {
        r.skip(32)?;
    }
    if r.bit()? {
        r.skip(1)?;
    }
    if r.bit()? {
        r.skip(4)?;
        if r.bit()? {
            r.skip(24)?;
        }
    }
    if r.bit()? {
        r.ue()?;
        r.ue()?;
    }
    r.skip(3)?;
    if r.bit()? {
        for _ in 0..4 {
            r.ue()?;
        }
    }
    if !r.bit()? {
        return Some(0);
    }
    let (units, scale) = (r.bits(32)?, r.bits(32)?);
    super::rate_milli(scale, units, 1)
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

    /// x265, Main, 1920x1080 at 30 frames a second.
    const SPS: &[u8] = &[
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x56, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00, 0x00, 0x03,
        0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
    ];

    /// x265, Range Extensions 4:4:4 10 bit, 322x242 at 50, with default scaling lists.
    const SPS_444: &[u8] = &[
        0x42, 0x01, 0x01, 0x04, 0x08, 0x00, 0x00, 0x03, 0x00, 0x9c, 0x08, 0x00, 0x00, 0x03, 0x00, 0x00, 0x3f,
        0x90, 0x01, 0x49, 0x01, 0xf3, 0x9e, 0x76, 0xcb, 0x2b, 0x34, 0x92, 0x72, 0xbc, 0x05, 0xa0, 0x20, 0x00,
        0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x06, 0x41,
    ];

    #[test]
    fn tells_the_size_without_the_cropped_lines_and_the_rate() {
        let video = parse_sps(SPS).unwrap();
        assert_eq!((video.width, video.height, video.frame_rate_milli), (1920, 1080, 30_000));
        let mut record = vec![1; 22];
        record.extend([1, 33, 0, 1, 0, SPS.len() as u8]);
        record.extend(SPS);
        assert_eq!(describe(&record), Some(video));
        assert_eq!(length_size(&record), Some(2));
        let video = parse_sps(SPS_444).unwrap();
        assert_eq!((video.width, video.height, video.frame_rate_milli), (322, 242, 50_000));
    }

    /// Bits written most significant first, numbers as Exponential Golomb codes.
    struct Bits(Vec<bool>);

    impl Bits {
        fn put(&mut self, value: u128, n: u32) {
            self.0.extend((0..n).rev().map(|at| value >> at & 1 == 1));
        }

        fn ue(&mut self, value: u128) {
            let bits = u128::BITS - (value + 1).leading_zeros();
            self.put(value + 1, 2 * bits - 1);
        }

        fn ues(&mut self, values: &[u128]) {
            values.iter().for_each(|value| self.ue(*value));
        }

        fn nal(&self) -> Vec<u8> {
            let mut nal = vec![0x42, 0x01];
            for byte in self.0.chunks(8) {
                let value =
                    byte.iter().enumerate().fold(0, |all, (at, bit)| all | u8::from(*bit) << (7 - at));
                if value <= 3 && nal.ends_with(&[0, 0]) {
                    nal.push(3);
                }
                nal.push(value);
            }
            nal
        }
    }

    /// All that an encoder may write between the size and the rate: two temporal layers, explicit scaling lists,
    /// PCM, reference picture sets told in full and by the one before, long-term pictures.
    fn rich_sps(sets: u128) -> Vec<u8> {
        let mut b = Bits(Vec::new());
        b.put(0, 4);
        b.put(1, 3);
        b.put(1, 1);
        b.put(0, 96); // general profile, tier and level
        b.put(0b11, 2); // of one sub-layer
        b.put(0, 14 + 88 + 8);
        b.ues(&[0, 1, 640, 368]);
        b.put(1, 1);
        b.ues(&[0, 0, 0, 4, 0, 0, 4]); // window, bit depths, 8 bits of order count
        b.put(1, 1);
        b.ues(&[1, 0, 0, 2, 1, 0]);
        b.ues(&[0, 2, 0, 3, 1, 1]);
        b.put(0b11, 2);
        for size in 0..4 {
            for list in 0..if size == 3 { 2 } else { 6 } {
                b.put(list & 1, 1);
                if list & 1 == 0 {
                    b.ue(0);
                } else {
                    b.ues(&vec![3; [16, 64, 65, 65][size]]);
                }
            }
        }
        b.put(0b111, 3); // asymmetric partitions, offsets, PCM
        b.put(0x77, 8);
        b.ues(&[0, 1]);
        b.put(0, 1);
        b.ue(sets);
        for set in 0..sets {
            if set > 0 {
                b.put(1, 1); // told by the one before, which has three pictures: four flags
                b.put(1, 1);
                b.ue(0);
                b.put(0b11_0100, 6);
                continue;
            }
            b.ues(&[2, 1]);
            for _ in 0..3 {
                b.ue(0);
                b.put(1, 1);
            }
        }
        b.put(1, 1);
        b.ue(1);
        b.put(0x1ff, 9);
        b.put(0b111, 3);
        // Usability: 4:3 pixels told in full, overscan, colours, chroma place, window, 60 in a second.
        b.put(1 << 8 | 255, 9);
        b.put(0x0004_0003, 32);
        b.put(0b11, 2);
        b.put(1 << 5 | 1, 6);
        b.put(0x01_01_01, 24);
        b.put(1, 1);
        b.ues(&[0, 0]);
        b.put(0b0001, 4);
        b.ues(&[0, 0, 0, 0]);
        b.put(1, 1);
        b.put(1001, 32);
        b.put(60_000, 32);
        b.put(0b0_0001, 5);
        b.nal()
    }

    #[test]
    fn finds_the_rate_behind_everything_that_may_stand_before_it() {
        let video = parse_sps(&rich_sps(2)).unwrap();
        assert_eq!((video.width, video.height, video.frame_rate_milli), (640, 360, 59_940));
        let video = parse_sps(&rich_sps(1)).unwrap();
        assert_eq!(video.frame_rate_milli, 59_940);
        // More sets than allowed: the size stands.
        let video = parse_sps(&rich_sps(65)).unwrap();
        assert_eq!((video.width, video.height, video.frame_rate_milli), (640, 360, 0));
    }

    #[test]
    fn any_prefix_and_any_changed_byte_is_harmless() {
        for sps in [SPS, SPS_444, &rich_sps(2)] {
            for len in 0..sps.len() {
                let _ = parse_sps(&sps[..len]);
            }
            for at in 0..sps.len() {
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = sps.to_vec();
                    changed[at] = byte;
                    let _ = parse_sps(&changed);
                }
            }
        }
    }
}
