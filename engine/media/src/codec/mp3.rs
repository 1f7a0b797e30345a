//! MP3: the header of a frame (ISO/IEC 11172-3 clause 2.4.1.3, 13818-3, and the extension named 2.5).

/// Sample rate and channels from the first four bytes of a frame.
pub fn describe(frame: &[u8]) -> Option<(u32, u8)> {
    let [0xff, b1, b2, b3, ..] = *frame else { return None };
    if b1 & 0xe0 != 0xe0 || b1 >> 1 & 3 == 0 {
        return None;
    }
    let full = match b2 >> 2 & 3 {
        0 => 44_100,
        1 => 48_000,
        2 => 32_000,
        _ => return None,
    };
    let rate = match b1 >> 3 & 3 {
        3 => full,
        2 => full / 2,
        0 => full / 4,
        _ => return None,
    };
    Some((rate, if b3 >> 6 == 3 { 1 } else { 2 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_rate_and_channels() {
        // LAME, 22.05 kHz mono.
        assert_eq!(describe(&[0xff, 0xf3, 0x40, 0xc4, 0x00]), Some((22_050, 1)));
        assert_eq!(describe(&[0xff, 0xfb, 0x94, 0x64]), Some((48_000, 2)));
        assert_eq!(describe(&[0xff, 0xe3, 0x18, 0xc4]), Some((8_000, 1)));
        for bad in [&[][..], &[0xff, 0xfb, 0x94], &[0xff, 0xfb, 0x9c, 0], &[0xff, 0xeb, 0x90, 0], b"ID3\x04"]
        {
            assert_eq!(describe(bad), None, "{bad:02x?}");
        }
    }
}
