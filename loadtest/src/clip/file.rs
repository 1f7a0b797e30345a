//! A clip from an FLV file with H.264 and, if it has sound, AAC.

use super::{Draft, mark};
use bytes::Bytes;
use media::{Codec, Kind, Packet, StreamInfo};
use protocols::Event;
use protocols::container::flv::{FlvLimits, FlvReader};
use std::path::Path;

/// Reads a file.
///
/// # Errors
/// One line that names the file and what is wrong with it.
pub fn read(path: &Path) -> Result<Draft, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&bytes).map_err(|what| format!("{}: {what}", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Draft, String> {
    let mut info = StreamInfo::default();
    let mut packets: Vec<Packet> = Vec::new();
    let mut take = |event| match event {
        Event::Track(track) => {
            info.announce(track);
        }
        Event::Metadata(metadata) => info.metadata = Some(metadata),
        Event::Packet(packet) if packet.kind != Kind::Data => packets.push(packet),
        _ => {}
    };
    FlvReader::new(FlvLimits::default()).push(bytes, &mut take).map_err(|error| error.to_string())?;
    check(&info)?;
    // The loop begins with a keyframe.
    let Some(first) = packets.iter().position(|packet| packet.kind == Kind::Video && packet.flags.keyframe)
    else {
        return Err("no keyframe".into());
    };
    let mut packets = packets.split_off(first);
    let begin = packets.iter().map(|packet| packet.dts).min().unwrap_or_default();
    let end = packets.iter().map(|packet| packet.dts).max().unwrap_or_default();
    for packet in &mut packets {
        packet.dts = packet.dts - begin;
        packet.pts = packet.pts - begin;
        packet.payload = marked(packet);
    }
    let pictures = packets.iter().filter(|packet| packet.kind == Kind::Video).count().max(1);
    let span = (end - begin).millis().max(1);
    let step = span / i64::try_from(pictures).unwrap_or(i64::MAX);
    let length_ms = u64::try_from(span + step.max(1)).unwrap_or(1);
    Ok(Draft { info, packets, length_ms })
}

fn check(info: &StreamInfo) -> Result<(), String> {
    let Some(video) = &info.video else { return Err("no video".into()) };
    if video.codec != Codec::H264 || media::codec::avc::length_size(&video.config) != Some(4) {
        return Err(format!("video is {}; H.264 with lengths of four bytes is wanted", video.codec));
    }
    match &info.audio {
        Some(audio) if audio.codec != Codec::Aac => Err(format!("sound is {}; AAC is wanted", audio.codec)),
        _ => Ok(()),
    }
}

/// The payload with room for the mark in front.
fn marked(packet: &Packet) -> Bytes {
    let mut payload = if packet.kind == Kind::Video { mark::video_unit() } else { mark::audio_element() };
    payload.extend_from_slice(&packet.payload);
    Bytes::from(payload)
}
