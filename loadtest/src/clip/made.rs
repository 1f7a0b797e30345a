//! A clip made up of an exact rate: real parameter sets, slices of bytes that mean nothing. Servers do not decode.

use super::{Draft, mark};
use crate::scenario;
use bytes::Bytes;
use media::{Codec, Flags, Kind, MetaValue, Metadata, Packet, StreamInfo, Timestamp, Track, TrackId};

/// x264, High, 1280x720 at 25 frames a second.
const SPS: [u8; 26] = [
    0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60,
];
const PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
/// AAC-LC, 44.1 kHz, two channels.
const AUDIO_CONFIG: [u8; 2] = [0x12, 0x10];
const SAMPLES_A_SECOND: u64 = 44_100;
const SAMPLES_A_FRAME: u64 = 1024;
/// A keyframe is so many times as large as another picture.
const KEYFRAME_WEIGHT: u64 = 5;
/// The clip is at least so long, in milliseconds, and a multiple of the distance of keyframes.
const LEAST_MS: u64 = 10_000;
/// What stands around a picture's bytes in its tag body: FLV's five, the mark, the unit's length and type.
const AROUND_PICTURE: u64 = 5 + (mark::VIDEO_PREFIX + mark::NUMBERS + 1) as u64 + 4 + 1;
/// The same around a frame of sound.
const AROUND_SOUND: u64 = 2 + (mark::AUDIO_PREFIX + mark::NUMBERS) as u64;

/// The clip that a scenario asks for.
///
/// # Errors
/// A line that says which rate is too low.
pub fn make(asked: &scenario::Clip) -> Result<Draft, String> {
    let gop_ms = u64::from(asked.gop_ms);
    let length_ms = LEAST_MS.div_ceil(gop_ms).saturating_mul(gop_ms);
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    let mut packets = pictures(asked, gop_ms, length_ms, &mut noise)?;
    let mut info = StreamInfo { video: Some(video_track()), ..StreamInfo::default() };
    if asked.audio_kbps > 0 {
        packets.extend(sounds(asked.audio_kbps, length_ms, &mut noise)?);
        info.audio = Some(audio_track());
    }
    // Stable: a picture goes before the sound of its millisecond.
    packets.sort_by_key(|packet| packet.dts);
    let mut metadata = Metadata::default();
    metadata.set("framerate", MetaValue::Number(f64::from(asked.fps)));
    metadata.set("videodatarate", MetaValue::Number(f64::from(asked.video_kbps)));
    metadata.set("audiodatarate", MetaValue::Number(f64::from(asked.audio_kbps)));
    info.metadata = Some(metadata);
    Ok(Draft { info, packets, length_ms })
}

fn pictures(
    asked: &scenario::Clip,
    gop_ms: u64,
    length_ms: u64,
    noise: &mut Noise,
) -> Result<Vec<Packet>, String> {
    let fps = u64::from(asked.fps);
    let gop = (gop_ms * fps / 1000).max(1);
    let count = gop * (length_ms / gop_ms);
    let bytes = u64::from(asked.video_kbps) * length_ms / 8;
    let weights = (count / gop) * (gop - 1 + KEYFRAME_WEIGHT);
    let mut packets = Vec::new();
    let mut weight_before = 0;
    for at in 0..count {
        let keyframe = at % gop == 0;
        let weight = weight_before + if keyframe { KEYFRAME_WEIGHT } else { 1 };
        let size = bytes * weight / weights - bytes * weight_before / weights;
        weight_before = weight;
        let Some(slice) = size.checked_sub(AROUND_PICTURE).filter(|left| *left > 0) else {
            return Err(format!(
                "clip.video_kbps: {} is too low for {fps} pictures a second",
                asked.video_kbps
            ));
        };
        let mut payload = mark::video_unit();
        payload.extend(u32::try_from(slice + 1).unwrap_or(u32::MAX).to_be_bytes());
        payload.push(if keyframe { 0x65 } else { 0x41 });
        noise.fill(slice, &mut payload);
        packets.push(packet(Kind::Video, at * length_ms / count, keyframe, payload));
    }
    Ok(packets)
}

fn sounds(kbps: u32, length_ms: u64, noise: &mut Noise) -> Result<Vec<Packet>, String> {
    let bytes = u64::from(kbps) * length_ms / 8;
    // Spread evenly, so that the end of the clip fits its beginning.
    let count = (length_ms * SAMPLES_A_SECOND / 1000 / SAMPLES_A_FRAME).max(1);
    let mut packets = Vec::new();
    for at in 0..count {
        let size = bytes * (at + 1) / count - bytes * at / count;
        let Some(rest) = size.checked_sub(AROUND_SOUND).filter(|left| *left > 0) else {
            return Err(format!("clip.audio_kbps: {kbps} is too low; 16 or more, or 0"));
        };
        let mut payload = mark::audio_element();
        noise.fill(rest, &mut payload);
        packets.push(packet(Kind::Audio, at * length_ms / count, true, payload));
    }
    Ok(packets)
}

fn packet(kind: Kind, ms: u64, keyframe: bool, payload: Vec<u8>) -> Packet {
    let dts = Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    let track = if kind == Kind::Video { TrackId::VIDEO } else { TrackId::AUDIO };
    let flags = Flags { keyframe, discardable: false };
    Packet { track, kind, dts, pts: dts, flags, payload: Bytes::from(payload) }
}

fn video_track() -> Track {
    let mut record = vec![1, 0x64, 0x00, 0x1f, 0xff, 0xe1, 0, SPS.len() as u8];
    record.extend(SPS);
    record.extend([1, 0, PPS.len() as u8]);
    record.extend(PPS);
    // What the high profiles add: 4:2:0, eight bits.
    record.extend([0xfd, 0xf8, 0xf8, 0]);
    let mut track = Track { config: Bytes::from(record), ..Track::new(Codec::H264) };
    media::codec::describe(&mut track);
    track
}

fn audio_track() -> Track {
    let mut track = Track { config: Bytes::from_static(&AUDIO_CONFIG), ..Track::new(Codec::Aac) };
    media::codec::describe(&mut track);
    track
}

/// Xorshift: bytes that no server can foresee, the same in each run, none of them 0.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, count: u64, out: &mut Vec<u8>) {
        for _ in 0..count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            out.push((self.0 >> 32).to_le_bytes()[0].max(1));
        }
    }
}
