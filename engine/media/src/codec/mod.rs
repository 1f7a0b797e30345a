//! Codecs' bit syntax, as far as a media server must read it: sizes, rates, channels, keyframes.
//!
//! Every function takes bytes from the wire and answers `None` where they make no sense; none panics.

pub mod aac;
pub mod av1;
pub mod avc;
pub mod hevc;
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

/// Whether an access unit begins with a picture that a decoder can start at, whatever its container says.
pub fn starts_with_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => nal_types(payload).any(|byte| byte & 0x1f == 5),
        Codec::H265 => nal_types(payload).any(|byte| (16..=21).contains(&(byte >> 1 & 0x3f))),
        _ => false,
    }
}

/// First bytes of the NAL units of an access unit with four-byte lengths.
fn nal_types(payload: &[u8]) -> impl Iterator<Item = u8> {
    let mut left = payload;
    std::iter::from_fn(move || {
        let (len, rest) = left.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (nal, rest) = rest.split_at_checked(len)?;
        left = rest;
        Some(nal.first().copied().unwrap_or(0))
    })
    .take(64)
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
