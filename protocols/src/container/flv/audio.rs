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
    if format == ENHANCED {
        return enhanced(demuxer, dts, body, &mut reader, first & 0x0f, emit);
    }
    // The classic forms know one track, which is number 0 beside those that are numbered.
    if !demuxer.follows(Kind::Audio, 0) {
        emit(Event::Leniency("extra audio track"));
        return Ok(());
    }
    let codec = match format {
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
    let payload = body.slice_ref(reader.rest());
    let same = demuxer.known(codec).is_some_and(|track| track.audio.format_byte == first);
    if !same && !payload.is_empty() {
        let audio = AudioParams { format_byte: first, ..AudioParams::default() };
        demuxer.announce(Track { audio, ..Track::new(codec) }, &payload, emit);
    }
    frame(demuxer, dts, codec, payload, emit);
    Ok(())
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
        0 => demuxer.configure(Track { config: payload, ..Track::new(Codec::Aac) }, emit)?,
        1 => frame(demuxer, dts, Codec::Aac, payload, emit),
        _ => return Err(Error::malformed("AAC packet type")),
    }
    Ok(())
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
    frame(demuxer, dts, Codec::Opus, body.slice_ref(payload), emit);
    Ok(())
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
    // Sound is presented when it is decoded: the offset moves both.
    let dts = dts + Timestamp::from_micros(head.micros);
    for part in enhanced::parts(reader, head.packet_type, NUMBERS)? {
        let part = part?;
        let Some(codec) = part.codec.filter(|codec| codec.kind() == Kind::Audio) else {
            emit(Event::Leniency("unsupported audio fourCC"));
            continue;
        };
        if !demuxer.follows(Kind::Audio, part.track) {
            emit(Event::Leniency("extra audio track"));
            continue;
        }
        let payload = body.slice_ref(part.body);
        match part.packet_type {
            0 => demuxer.configure(Track { config: payload, ..Track::new(codec) }, emit)?,
            1 => frame(demuxer, dts, codec, payload, emit),
            4 => emit(Event::Leniency("audio multichannel configuration")),
            _ => {}
        }
    }
    Ok(())
}

fn frame(demuxer: &mut TagDemuxer, dts: Timestamp, codec: Codec, payload: Bytes, emit: Emit<'_>) {
    demuxer.unit(dts, Unit { codec, composition_us: 0, flags: Flags::default(), payload }, emit);
}
