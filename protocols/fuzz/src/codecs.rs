//! Codec headers: any bytes give an answer or none; what they tell stays within what the types promise.

use bytes::Bytes;
use media::codec::{self, starts_with_keyframe};
use media::{Codec, Track};

fn describe(codec: Codec, data: &[u8]) -> Track {
    let mut track = Track::new(codec);
    track.config = Bytes::copy_from_slice(data);
    codec::describe(&mut track);
    let mut again = track.clone();
    codec::describe(&mut again);
    assert_eq!(track, again, "describing twice tells the same");
    track
}

/// avcC, SPS and access units.
pub fn avc(data: &[u8]) {
    let _ = describe(Codec::H264, data);
    let _ = codec::avc::parse_sps(data);
    let size = codec::avc::length_size(data);
    assert!(size.is_none_or(|size| (1..=4).contains(&size)));
    let _ = starts_with_keyframe(Codec::H264, data);
}

/// hvcC, SPS and access units.
pub fn hevc(data: &[u8]) {
    let _ = describe(Codec::H265, data);
    let _ = codec::hevc::parse_sps(data);
    let size = codec::hevc::length_size(data);
    assert!(size.is_none_or(|size| (1..=4).contains(&size)));
    let _ = starts_with_keyframe(Codec::H265, data);
}

/// av1C with its sequence header.
pub fn av1(data: &[u8]) {
    let _ = describe(Codec::Av1, data);
    let _ = starts_with_keyframe(Codec::Av1, data);
}

/// AudioSpecificConfig, and the small headers of other sound.
pub fn aac(data: &[u8]) {
    for codec in [Codec::Aac, Codec::Opus, Codec::Flac, Codec::Mp3, Codec::Ac3] {
        let _ = describe(codec, data);
    }
}
