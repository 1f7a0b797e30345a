//! Bodies of audio tags: the classic header, format 13 in both known layouts, and the enhanced header.

use super::demux::{Emit, TagDemuxer, Unit};
use super::enhanced::{self, Numbers};
use crate::read::Reader;
use crate::{Error, Event};
use bytes::Bytes;
use media::{AudioParams, Codec, Flags, Kind, Timestamp, Track};

const NUMBERS: Numbers = Numbers { multitrack: 5, modex: 7 };
const ENHANCED: u8 = 9;

pub(super) fn demux(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    body: &Bytes,
    emit: Emit<'_>,
) -> Result<(), Error> {
    let mut reader = Reader::new(body);
    let first = reader.u8()?;
    let format = first >> 4;
    let codec = match format {
        ENHANCED => return enhanced(demuxer, dts, body, &mut reader, first & 0x0f, emit),
        10 => return aac(demuxer, dts, body, &mut reader, emit),
        13 => return opus(demuxer, dts, body, &mut reader, emit),
        0 | 3 => Codec::Pcm { id: format },
        2 | 14 => Codec::Mp3,
        4..=6 => Codec::Nellymoser { id: format },
        7 => Codec::G711A,
        8 => Codec::G711U,
        11 => Codec::Speex,
        _ => return Err(Error::unsupported("sound format")),
    };
    if demuxer.audio_format_byte() != Some(first) {
        let audio = AudioParams { format_byte: first, ..AudioParams::default() };
        demuxer.configure(Track { audio, ..Track::new(codec) }, emit)?;
    }
    frame(demuxer, dts, codec, 0, body.slice_ref(reader.rest()), emit)
}

fn aac(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    body: &Bytes,
    reader: &mut Reader<'_>,
    emit: Emit<'_>,
) -> Result<(), Error> {
    let packet_type = reader.u8()?;
    let payload = body.slice_ref(reader.rest());
    match packet_type {
        0 if payload.is_empty() => {
            emit(Event::Leniency("empty decoder configuration"));
            Ok(())
        }
        0 => demuxer.configure(Track { config: payload, ..Track::new(Codec::Aac) }, emit),
        1 => frame(demuxer, dts, Codec::Aac, 0, payload, emit),
        _ => Err(Error::malformed("AAC packet type")),
    }
}

/// Format 13 is no standard: one family writes the bare packet behind the header byte, another a packet type with an
/// `OpusHead` in between. The second shows itself by that head.
fn opus(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    body: &Bytes,
    reader: &mut Reader<'_>,
    emit: Emit<'_>,
) -> Result<(), Error> {
    let rest = reader.rest();
    if let Some((0, head)) = rest.split_first()
        && head.starts_with(b"OpusHead")
    {
        demuxer.opus_typed = true;
        return demuxer.configure(Track { config: body.slice_ref(head), ..Track::new(Codec::Opus) }, emit);
    }
    let payload = match rest.split_first() {
        Some((_, packet)) if demuxer.opus_typed => packet,
        _ => rest,
    };
    frame(demuxer, dts, Codec::Opus, 0, body.slice_ref(payload), emit)
}

fn enhanced(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    body: &Bytes,
    reader: &mut Reader<'_>,
    packet_type: u8,
    emit: Emit<'_>,
) -> Result<(), Error> {
    let head = enhanced::head(reader, packet_type, NUMBERS)?;
    for part in enhanced::parts(reader, head.packet_type, NUMBERS)? {
        if !demuxer.follows(Kind::Audio, part.track) {
            emit(Event::Leniency("extra audio track"));
            continue;
        }
        let Some(codec) = part.codec.filter(|codec| codec.kind() == Kind::Audio) else {
            return Err(Error::unsupported("audio fourCC"));
        };
        let payload = body.slice_ref(part.body);
        match part.packet_type {
            0 => demuxer.configure(Track { config: payload, ..Track::new(codec) }, emit)?,
            1 => frame(demuxer, dts, codec, i64::from(head.nanos / 1000), payload, emit)?,
            4 => emit(Event::Leniency("audio multichannel configuration")),
            _ => {}
        }
    }
    Ok(())
}

fn frame(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    codec: Codec,
    composition_us: i64,
    payload: Bytes,
    emit: Emit<'_>,
) -> Result<(), Error> {
    demuxer.unit(dts, Unit { codec, composition_us, flags: Flags::default(), payload }, emit)
}
