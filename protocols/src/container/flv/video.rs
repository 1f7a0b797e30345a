//! Bodies of video tags: the classic header, codec 12, and the enhanced header.

use super::demux::{Emit, TagDemuxer, Unit};
use super::enhanced::{self, Numbers};
use super::has_composition;
use crate::read::Reader;
use crate::{Error, Event};
use bytes::Bytes;
use media::{Codec, Flags, Kind, Timestamp, Track};

const NUMBERS: Numbers = Numbers { multitrack: 6, modex: 7 };

const KEYFRAME: u8 = 1;
const DISPOSABLE: u8 = 3;
const COMMAND: u8 = 5;

pub(super) fn demux(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    body: &Bytes,
    emit: Emit<'_>,
) -> Result<(), Error> {
    let mut reader = Reader::new(body);
    let first = reader.u8()?;
    let frame_type = first >> 4 & 0x07;
    if first & 0x80 != 0 {
        return enhanced(demuxer, dts, body, &mut reader, first & 0x0f, frame_type, emit);
    }
    if frame_type == COMMAND {
        emit(Event::Leniency("video command frame"));
        return Ok(());
    }
    // The classic forms know one track, which is number 0 beside those that are numbered.
    if !demuxer.follows(Kind::Video, 0) {
        emit(Event::Leniency("extra video track"));
        return Ok(());
    }
    let codec = match first & 0x0f {
        7 => Codec::H264,
        12 => Codec::H265,
        13 => Codec::Av1,
        14 => Codec::H266,
        id @ 2..=6 => Codec::LegacyVideo { id },
        _ => return Err(Error::unsupported("video codec")),
    };
    if matches!(codec, Codec::LegacyVideo { .. }) {
        frame(demuxer, dts, codec, 0, frame_type, body.slice_ref(reader.rest()), emit);
        return Ok(());
    }
    let packet_type = reader.u8()?;
    let composition_us = composition(&mut reader)?;
    let payload = body.slice_ref(reader.rest());
    match packet_type {
        0 => demuxer.configure(Track { config: payload, ..Track::new(codec) }, emit)?,
        1 => frame(demuxer, dts, codec, composition_us, frame_type, payload, emit),
        // End of sequence: nothing to pass on.
        _ => {}
    }
    Ok(())
}

fn enhanced(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    body: &Bytes,
    reader: &mut Reader<'_>,
    packet_type: u8,
    frame_type: u8,
    emit: Emit<'_>,
) -> Result<(), Error> {
    let head = enhanced::head(reader, packet_type, NUMBERS)?;
    if frame_type == COMMAND && head.packet_type != 4 {
        emit(Event::Leniency("video command frame"));
        return Ok(());
    }
    for part in enhanced::parts(reader, head.packet_type, NUMBERS)? {
        let part = part?;
        let Some(codec) = part.codec.filter(|codec| codec.kind() == Kind::Video) else {
            emit(Event::Leniency("unsupported video fourCC"));
            continue;
        };
        if !demuxer.follows(Kind::Video, part.track) {
            emit(Event::Leniency("extra video track"));
            continue;
        }
        let mut rest = Reader::new(part.body);
        match part.packet_type {
            0 => {
                let config = body.slice_ref(part.body);
                demuxer.configure(Track { config, ..Track::new(codec) }, emit)?;
            }
            kind @ (1 | 3) => {
                let mut composition_us = head.micros;
                if kind == 1 && has_composition(codec) {
                    composition_us = composition_us.saturating_add(composition(&mut rest)?);
                }
                let payload = body.slice_ref(rest.rest());
                frame(demuxer, dts, codec, composition_us, frame_type, payload, emit);
            }
            4 => emit(Event::Leniency("video metadata tag")),
            5 => emit(Event::Leniency("video MPEG-2 TS sequence start")),
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
    frame_type: u8,
    payload: Bytes,
    emit: Emit<'_>,
) {
    let mut keyframe = frame_type == KEYFRAME;
    if !keyframe
        && frame_type != DISPOSABLE
        && demuxer.known(codec).is_some_and(|track| media::codec::holds_keyframe(track, &payload))
    {
        emit(Event::Leniency("keyframe marked as inter frame"));
        keyframe = true;
    }
    let flags = Flags { keyframe, discardable: frame_type == DISPOSABLE };
    demuxer.unit(dts, Unit { codec, composition_us, flags, payload }, emit);
}

/// Signed 24 bits of milliseconds, in microseconds.
fn composition(reader: &mut Reader<'_>) -> Result<i64, Error> {
    let raw = reader.u24()?;
    let signed = (raw << 8).cast_signed() >> 8;
    Ok(i64::from(signed) * 1000)
}
