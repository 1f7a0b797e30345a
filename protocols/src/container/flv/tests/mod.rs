//! Tags in every form: read, written, read back; cut at every byte; on noise.

mod reading;
mod script;
mod stream;
mod writing;

use super::*;
use crate::{Error, Event};
use bytes::Bytes;
use media::{AudioParams, Codec, Flags, Kind, MetaValue, Metadata, Packet, StreamInfo, Timestamp, Track};

const AVCC: &[u8] = &[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0];

/// Events in words, so that a test reads as what happened.
fn words(event: &Event) -> String {
    match event {
        Event::Track(t) => format!("track {} {}", t.codec, t.config.len()),
        Event::Metadata(m) => format!("metadata {}", m.fields.len()),
        Event::Packet(p) => format!(
            "{:?} {}+{}{}{} {:02x?}",
            p.kind,
            p.dts.millis(),
            (p.pts - p.dts).micros(),
            if p.flags.keyframe { " key" } else { "" },
            if p.flags.discardable { " discardable" } else { "" },
            &p.payload[..]
        ),
        Event::Leniency(name) => format!("({name})"),
        _ => "?".into(),
    }
}

/// What one tag body at 40 ms gives.
fn events(demuxer: &mut TagDemuxer, kind: TagKind, body: &[u8]) -> Vec<Event> {
    let mut seen = Vec::new();
    let at = Timestamp::from_millis(40);
    demuxer.tag(kind, at, Bytes::copy_from_slice(body), &mut |event| seen.push(event)).unwrap();
    seen
}

fn feed(demuxer: &mut TagDemuxer, kind: TagKind, body: &[u8]) -> Vec<String> {
    events(demuxer, kind, body).iter().map(words).collect()
}

fn fresh() -> TagDemuxer {
    TagDemuxer::new(TagLimits::default())
}

fn track(codec: Codec, config: &'static [u8], format_byte: u8) -> Track {
    let audio = AudioParams { format_byte, ..AudioParams::default() };
    Track { config: Bytes::from_static(config), audio, ..Track::new(codec) }
}

fn packet(kind: Kind, ms: i64, payload: &[u8]) -> Packet {
    let dts = Timestamp::from_millis(ms);
    let id = if kind == Kind::Video { media::TrackId::VIDEO } else { media::TrackId::AUDIO };
    let flags = Flags { keyframe: kind == Kind::Video, discardable: false };
    Packet { track: id, kind, dts, pts: dts, flags, payload: Bytes::copy_from_slice(payload) }
}
