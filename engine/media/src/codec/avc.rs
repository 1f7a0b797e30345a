//! H.264: the decoder configuration record and the sequence parameter set.
//!
//! ISO/IEC 14496-15 clause 5.3.3 and H.264 clauses 7.3.2.1.1 and E.1.1.

use crate::VideoParams;
use crate::bits::{BitReader, rbsp};

/// Size and frame rate from a configuration record.
pub fn describe(record: &[u8]) -> Option<VideoParams> {
    let (head, rest) = record.split_first_chunk::<8>()?;
    let [1, _, _, _, _, count, len0, len1] = *head else { return None };
    if count & 0x1f == 0 {
        return None;
    }
    parse_sps(rest.get(..usize::from(u16::from_be_bytes([len0, len1])))?)
}

/// Bytes of the length in front of each NAL unit, 1 to 4 (3 is reserved).
pub fn length_size(record: &[u8]) -> Option<u8> {
    record.get(4).map(|byte| (byte & 3) + 1)
}

/// Size and frame rate from a sequence parameter set NAL unit, its header byte included.
pub fn parse_sps(nal: &[u8]) -> Option<VideoParams> {
    if nal.first()? & 0x1f != 7 {
        return None;
    }
    let payload = rbsp(nal.get(1..)?);
    let mut r = BitReader::new(&payload);
    let profile = r.bits(8)?;
    r.skip(16)?;
    r.ue()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = high_profile(&mut r)?;
    }
    r.ue()?; // log2_max_frame_num_minus4
    order_count(&mut r)?;
    r.ue()?; // max_num_ref_frames
    r.skip(1)?;
    let width_mbs = r.ue()?.checked_add(1)?;
    let height_units = r.ue()?.checked_add(1)?;
    let frame_only = r.bit()?;
    if !frame_only {
        r.skip(1)?;
    }
    r.skip(1)?;
    let fields = if frame_only { 1 } else { 2 };
    let mut width = width_mbs.checked_mul(16)?;
    let mut height = height_units.checked_mul(16)?.checked_mul(fields)?;
    if r.bit()? {
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let crop = [r.ue()?, r.ue()?, r.ue()?, r.ue()?];
        let [left, right, top, bottom] = crop;
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?.checked_mul(fields)?)?;
    }
    let frame_rate_milli = if r.bit()? { timing(&mut r).unwrap_or(0) } else { 0 };
    Some(VideoParams { width, height, frame_rate_milli })
}

/// What the high profiles add; gives the chroma format.
fn high_profile(r: &mut BitReader<'_>) -> Option<u32> {
    let chroma = r.ue()?;
    if chroma == 3 {
        r.skip(1)?;
    }
    r.ue()?;
    r.ue()?;
    r.skip(1)?;
    if r.bit()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if r.bit()? {
                scaling_list(r, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma)
}

fn scaling_list(r: &mut BitReader<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = last.checked_add(r.se()?)?.rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn order_count(r: &mut BitReader<'_>) -> Option<()> {
    match r.ue()? {
        0 => {
            r.ue()?;
        }
        1 => {
            r.skip(1)?;
            r.se()?;
            r.se()?;
            for _ in 0..r.ue()?.min(255) {
                r.se()?;
            }
        }
        _ => {}
    }
    Some(())
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
    if !r.bit()? {
        return Some(0);
    }
    let (units, scale) = (r.bits(32)?, r.bits(32)?);
    // Two fields a frame.
    super::rate_milli(scale, units, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264, High, 1280x720 at 25 frames a second.
    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
    ];

    #[test]
    fn tells_size_and_rate() {
        let video = parse_sps(SPS).unwrap();
        assert_eq!((video.width, video.height, video.frame_rate_milli), (1280, 720, 25_000));
        let mut record = vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, SPS.len() as u8];
        record.extend(SPS);
        assert_eq!(describe(&record), Some(video));
        assert_eq!(length_size(&record), Some(4));
    }

    #[test]
    fn tells_size_and_rate_of_interlaced_video_and_of_cameras() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        for (sps, expected) in [
            // x264, fields, 1920x1080 at 29.97 frames.
            ("67640028acd94078044fde022000007d20001d4c03e2c5b2c0", (1920, 1080, 29_970)),
            // Reolink: a byte behind the end.
            ("67640033ac1514a0a03da1000004f6000063380404", (640, 480, 10_000)),
            // Wyze.
            (
                "274d0029e7403c0113f2cd4040407c000003000400000300a0d1800ea60015f97fff0280",
                (1920, 1080, 20_000),
            ),
        ] {
            let video = parse_sps(&hex(sps)).unwrap();
            assert_eq!((video.width, video.height, video.frame_rate_milli), expected);
        }
    }

    #[test]
    fn any_prefix_and_any_changed_byte_is_harmless() {
        for len in 0..SPS.len() {
            let _ = parse_sps(&SPS[..len]);
        }
        for at in 0..SPS.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = SPS.to_vec();
                changed[at] = byte;
                let _ = parse_sps(&changed);
            }
        }
    }
}
