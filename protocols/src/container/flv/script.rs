//! Bodies of script tags: metadata, and everything else that is to be relayed as it is.

use super::demux::{Emit, TagDemuxer};
use crate::amf::{self, Limits};
use crate::{Error, ErrorKind, Event};
use bytes::Bytes;
use media::{Flags, Kind, MetaValue, Metadata, Packet, Timestamp, TrackId};

pub(super) fn demux(
    demuxer: &mut TagDemuxer,
    dts: Timestamp,
    body: &Bytes,
    emit: Emit<'_>,
) -> Result<(), Error> {
    if body.len() > demuxer.limits().script_bytes {
        emit(Event::Leniency("script data too large"));
        return Ok(());
    }
    match read(demuxer, dts, body, emit) {
        // Recorded files come with long seek indices; nobody's encoder nests this deep.
        Err(error) if error.kind == ErrorKind::Limit && error != amf::TOO_DEEP => {
            emit(Event::Leniency("script data too large"));
            Ok(())
        }
        done => done,
    }
}

fn read(demuxer: &mut TagDemuxer, dts: Timestamp, body: &Bytes, emit: Emit<'_>) -> Result<(), Error> {
    let limits = Limits::default();
    let (mut name, mut at) = amf::decode_first(body, &limits)?;
    let mut from = 0;
    if name == MetaValue::Text("@setDataFrame".into()) {
        let rest = body.get(at..).unwrap_or_default();
        let (inner, taken) = amf::decode_first(rest, &limits)?;
        name = inner;
        from = at;
        at = at.saturating_add(taken);
    }
    let MetaValue::Text(name) = name else { return Err(Error::malformed("script data without a name")) };
    match name.as_str() {
        "onMetaData" => {
            let values = amf::decode_all(body.get(at..).unwrap_or_default(), &limits)?;
            let fields = values.into_iter().find_map(|value| match value {
                MetaValue::Object(fields) => Some(fields),
                _ => None,
            });
            let Some(mut fields) = fields else { return Err(Error::malformed("metadata without values")) };
            if fields.len() > demuxer.limits().metadata_fields {
                emit(Event::Leniency("metadata cut"));
                fields.truncate(demuxer.limits().metadata_fields);
            }
            demuxer.describe(Metadata { fields }, emit);
        }
        "@clearDataFrame" | "|RtmpSampleAccess" => {}
        _ => emit(Event::Packet(Packet {
            track: TrackId::DATA,
            kind: Kind::Data,
            dts,
            pts: dts,
            flags: Flags::default(),
            payload: body.slice(from..),
        })),
    }
    Ok(())
}
