//! Codecs' bit syntax, as far as a media server must read it: sizes, rates, channels, keyframes.
//!
//! Every function takes bytes from the wire and answers `None` where they make no sense; none panics.

pub mod aac;
pub mod ac3;
pub mod av1;
pub mod avc;
pub mod hevc;
pub mod mp3;
pub mod opus;

use crate::{AudioParams, Codec, Track, VideoParams};

/// Fills in what the track's configuration record, or its format byte, tells.
pub fn describe(track: &mut Track) {
    match track.codec {
        Codec::H264 => fill_video(track, avc::describe),
        Codec::H265 => fill_video(track, hevc::describe),
        Codec::Av1 => fill_video(track, av1::describe),
        Codec::Aac => fill_audio(track, aac::describe),
        Codec::Opus => {
            (track.audio.sample_rate, track.audio.channels) = (48_000, 2);
            fill_audio(track, opus::describe);
        }
        Codec::Flac => fill_audio(track, opus::describe_flac),
        Codec::Speex => (track.audio.sample_rate, track.audio.channels) = (16_000, 1),
        Codec::G711A | Codec::G711U => (track.audio.sample_rate, track.audio.channels) = (8_000, 1),
        Codec::Nellymoser { id: 4 } => (track.audio.sample_rate, track.audio.channels) = (16_000, 1),
        Codec::Nellymoser { id: 5 } => (track.audio.sample_rate, track.audio.channels) = (8_000, 1),
        Codec::Mp3 | Codec::Pcm { .. } | Codec::Nellymoser { .. } => format_byte(&mut track.audio),
        _ => {}
    }
}

/// Fills in what the first access unit of a track tells whose codec has no configuration record.
pub fn describe_frame(track: &mut Track, payload: &[u8]) {
    let told = match track.codec {
        Codec::Mp3 => mp3::describe(payload),
        Codec::Ac3 | Codec::Eac3 => ac3::describe(payload),
        _ => None,
    };
    if let Some((sample_rate, channels)) = told {
        (track.audio.sample_rate, track.audio.channels) = (sample_rate, channels);
    }
}

/// Whether an access unit of a track holds a picture that a decoder can start at, whatever its container says. The
/// track's configuration tells the width of the NAL units' lengths.
pub fn holds_keyframe(track: &Track, payload: &[u8]) -> bool {
    let length_size = match track.codec {
        Codec::H264 => avc::length_size(&track.config),
        Codec::H265 => hevc::length_size(&track.config),
        _ => None,
    };
    keyframe_among(track.codec, payload, length_size.unwrap_or(4))
}

/// [`holds_keyframe`] for NAL units with lengths of four bytes.
pub fn starts_with_keyframe(codec: Codec, payload: &[u8]) -> bool {
    keyframe_among(codec, payload, 4)
}

fn keyframe_among(codec: Codec, payload: &[u8], length_size: u8) -> bool {
    let mut types = nal_types(payload, usize::from(length_size));
    match codec {
        Codec::H264 => types.any(|byte| byte & 0x1f == 5),
        Codec::H265 => types.any(|byte| (16..=21).contains(&(byte >> 1 & 0x3f))),
        _ => false,
    }
}

/// Most NAL units of an access unit that are looked at: what precedes a picture is a handful.
const MAX_NAL_UNITS: usize = 64;

/// First bytes of the NAL units of an access unit.
fn nal_types(payload: &[u8], length_size: usize) -> impl Iterator<Item = u8> {
    let mut left = payload;
    std::iter::from_fn(move || {
        let (len, rest) = left.split_at_checked(length_size)?;
        let len = len.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
        let (nal, rest) = rest.split_at_checked(len)?;
        left = rest;
        Some(nal.first().copied().unwrap_or(0))
    })
    .take(MAX_NAL_UNITS)
}

/// Highest frame rate that is believed, × 1000.
const MAX_RATE_MILLI: u64 = 1_000_000;

/// Frame rate × 1000 from a clock of `scale` ticks a second, of which a frame takes `units` × `factor`.
fn rate_milli(scale: u32, units: u32, factor: u32) -> Option<u32> {
    let rate = u64::from(scale).checked_mul(1000)?;
    let rate = rate.checked_div(u64::from(units).checked_mul(u64::from(factor))?)?;
    u32::try_from(rate).ok().filter(|rate| u64::from(*rate) <= MAX_RATE_MILLI)
}

fn fill_video(track: &mut Track, describe: fn(&[u8]) -> Option<VideoParams>) {
    if let Some(video) = describe(&track.config) {
        track.video = video;
    }
}

fn fill_audio(track: &mut Track, describe: fn(&[u8]) -> Option<(u32, u8)>) {
    if let Some((sample_rate, channels)) = describe(&track.config) {
        track.audio.sample_rate = sample_rate;
        track.audio.channels = channels;
    }
}

/// Rate and channels from the bits of the FLV format byte (FLV 10.1, E.4.2.1).
fn format_byte(audio: &mut AudioParams) {
    if audio.format_byte == 0 {
        return;
    }
    audio.sample_rate = match (audio.format_byte >> 4, audio.format_byte >> 2 & 3) {
        (14, _) => 8_000,
        (_, 0) => 5_512,
        (_, 1) => 11_025,
        (_, 2) => 22_050,
        _ => 44_100,
    };
    audio.channels = 1 + (audio.format_byte & 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn finds_a_keyframe_behind_lengths_of_any_width() {
        for width in 1..=4_usize {
            let mut track = Track::new(Codec::H264);
            track.config = Bytes::from(vec![1, 0x64, 0, 0x1f, 0xfc | (width - 1) as u8]);
            let unit = |nal: &[u8]| [&(nal.len() as u32).to_be_bytes()[4 - width..], nal].concat();
            let key = [unit(&[0x09, 0xf0]), unit(&[0x06, 1, 2]), unit(&[0x65, 0x88])].concat();
            let inter = [unit(&[0x09, 0xf0]), unit(&[0x41, 0x65, 0x65])].concat();
            assert!(holds_keyframe(&track, &key) && !holds_keyframe(&track, &inter), "{width}");
            for len in 0..key.len() - 2 {
                assert!(!holds_keyframe(&track, &key[..len]), "{width} {len}");
            }
        }
        let mut track = Track::new(Codec::H265);
        for (kind, is_key) in
            [(1, false), (15, false), (16, true), (19, true), (21, true), (22, false), (32, false)]
        {
            let payload = [0, 0, 0, 2, kind << 1, 1];
            track.config = Bytes::new();
            assert_eq!(holds_keyframe(&track, &payload), is_key, "{kind}");
            assert_eq!(starts_with_keyframe(Codec::H265, &payload), is_key, "{kind}");
        }
        assert!(!holds_keyframe(&Track::new(Codec::Av1), &[0, 0, 0, 1, 0x65]));
    }

    #[test]
    fn lengths_that_lie_are_harmless() {
        for payload in [&b"\xff\xff\xff\xff\x65"[..], b"\0\0\0\0\0\0\0\0", b"\0\0\0", b""] {
            assert!(!starts_with_keyframe(Codec::H264, payload));
        }
        assert!(!starts_with_keyframe(Codec::H264, &vec![0; 1 << 20]));
    }

    #[test]
    fn tells_what_the_format_byte_and_the_first_frame_tell() {
        let mut track = Track::new(Codec::Mp3);
        track.audio.format_byte = 0x2f;
        describe(&mut track);
        assert_eq!((track.audio.sample_rate, track.audio.channels), (44_100, 2));
        // The byte has no way to say 48 kHz.
        describe_frame(&mut track, &[0xff, 0xfb, 0x94, 0xc4]);
        assert_eq!((track.audio.sample_rate, track.audio.channels), (48_000, 1));
        describe_frame(&mut track, b"noise");
        assert_eq!(track.audio.sample_rate, 48_000);
        for (codec, expected) in [
            (Codec::Speex, (16_000, 1)),
            (Codec::G711A, (8_000, 1)),
            (Codec::G711U, (8_000, 1)),
            (Codec::Nellymoser { id: 4 }, (16_000, 1)),
            (Codec::Nellymoser { id: 5 }, (8_000, 1)),
            (Codec::Opus, (48_000, 2)),
        ] {
            let mut track = Track::new(codec);
            describe(&mut track);
            assert_eq!((track.audio.sample_rate, track.audio.channels), expected, "{codec}");
        }
    }
}
