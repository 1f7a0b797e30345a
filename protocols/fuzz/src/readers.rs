//! Readers of bytes cut anywhere: whole or in pieces, the same comes out, and what is held is bounded.

use crate::cut;
use media::MetaValue;
use protocols::container::flv::{FlvLimits, FlvReader};
use protocols::http::{HeadLimits, RequestReader};
use protocols::rtmp::chunk::{ChunkLimits, ChunkReader, Item};
use protocols::ws::{FrameLimits, FrameReader, Piece, Side};
use protocols::{Event, amf as format};

/// AMF0 and AMF3. What was read can be written and read again.
pub fn amf(data: &[u8]) {
    let limits = format::Limits::default();
    let first = format::decode_first(data, &limits);
    if let Ok((_, used)) = &first {
        assert!(*used <= data.len());
    }
    for value in [first.map(|(value, _)| value), format::decode_amf3(data, &limits)].into_iter().flatten() {
        assert!(depth(&value) <= limits.depth + 1, "deeper than allowed");
        let mut once = Vec::new();
        format::write_value(&value, &mut once);
        let roomy = format::Limits { depth: limits.depth + 2, values: usize::MAX, text_bytes: usize::MAX };
        let (again, used) = format::decode_first(&once, &roomy).expect("what was written can be read");
        assert_eq!(used, once.len());
        let mut twice = Vec::new();
        format::write_value(&again, &mut twice);
        assert_eq!(once, twice);
    }
    if let Ok(values) = format::decode_all(data, &limits) {
        assert!(values.iter().map(count).sum::<usize>() <= limits.values, "more values than allowed");
    }
}

fn depth(value: &MetaValue) -> usize {
    match value {
        MetaValue::Object(fields) => 1 + fields.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        MetaValue::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn count(value: &MetaValue) -> usize {
    1 + match value {
        MetaValue::Object(fields) => fields.iter().map(|(_, value)| count(value)).sum(),
        MetaValue::Array(values) => values.iter().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The chunk stream of RTMP.
pub fn rtmp_chunks(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    let limits = ChunkLimits { lanes: 8, media_bytes: 4096, command_bytes: 1024, partial_bytes: 8192 };
    let whole = chunks(&[data], limits);
    assert_eq!(whole, chunks(&cut(data, *seed), limits), "the same however it is cut");
}

fn chunks(pieces: &[&[u8]], limits: ChunkLimits) -> Vec<String> {
    let mut reader = ChunkReader::new(limits);
    let mut seen = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            let item = reader.read(&mut input);
            assert!(reader.buffered_bytes() <= limits.partial_bytes + 32, "holds too much");
            match item {
                Ok(None) => {
                    assert!(input.is_empty(), "all is taken");
                    break;
                }
                Ok(Some(Item::Message(message))) => {
                    assert!(message.payload.len() <= limits.media_bytes);
                    seen.push(format!("{message:?}"));
                }
                Ok(Some(Item::Leniency(what))) => seen.push(what.to_owned()),
                Err(error) => {
                    seen.push(format!("{error:?}"));
                    return seen;
                }
            }
        }
    }
    seen
}

/// FLV with all that is inside its tags.
pub fn flv(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    // Half of the inputs begin behind the file header, where all that is interesting is.
    let header: &[u8] = if seed & 1 == 0 { b"FLV\x01\x05\0\0\0\x09" } else { b"" };
    let stream = [header, data].concat();
    assert_eq!(tags(&[&stream]), tags(&cut(&stream, *seed)), "the same however it is cut");
}

fn tags(pieces: &[&[u8]]) -> Vec<String> {
    let limits = FlvLimits { tag_bytes: 64 * 1024, ..FlvLimits::default() };
    let mut reader = FlvReader::new(limits);
    let mut seen = Vec::new();
    for piece in pieces {
        let result = reader.push(piece, &mut |event| seen.push(told(&event)));
        assert!(reader.buffered_bytes() <= limits.tag_bytes.max(limits.header_bytes), "holds too much");
        if let Err(error) = result {
            seen.push(format!("{error:?}"));
            break;
        }
    }
    seen
}

/// What an event says, for comparison; the promises that every media event makes are checked on the way.
pub(crate) fn told(event: &Event) -> String {
    match event {
        Event::Publish(request) => format!("publish {:?} {:?}", request.key, request.query),
        Event::Play(request) => format!("play {:?} {:?} {:x}", request.key, request.query, request.rendition.id()),
        Event::Track(track) => format!("track {track:?}"),
        Event::Metadata(metadata) => format!("metadata {metadata:?}"),
        Event::Packet(packet) => {
            assert!(!packet.payload.is_empty(), "a packet is never empty");
            format!("packet {packet:?}")
        }
        Event::PublishEnd => "publish end".to_owned(),
        Event::PlayEnd => "play end".to_owned(),
        Event::Step(step) => format!("step {step}"),
        Event::Leniency(what) => format!("leniency {what}"),
        Event::Closed(error) => format!("closed {error:?}"),
    }
}

/// HTTP request heads.
pub fn http_head(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    assert_eq!(heads(&[data]), heads(&cut(data, *seed)), "the same however it is cut");
}

fn heads(pieces: &[&[u8]]) -> String {
    let limits = HeadLimits { head_bytes: 2048, headers: 16, target_bytes: 512 };
    let mut reader = RequestReader::new(limits);
    for (at, piece) in pieces.iter().enumerate() {
        let read = reader.push(piece);
        assert!(reader.buffered_bytes() <= limits.head_bytes + 1, "holds too much");
        match read {
            Ok(None) => {}
            Ok(Some((request, left))) => {
                let later: usize = pieces.iter().skip(at + 1).map(|piece| piece.len()).sum();
                assert!(!request.path.contains('\0') && !request.path.split('/').any(|part| part == ".."));
                let _ = protocols::http::front::route(&request.path);
                return format!("{request:?} {}", left.len() + later);
            }
            Err(error) => {
                assert!(matches!(error.status, 400 | 414 | 431 | 501 | 505), "status {}", error.status);
                // A head with two faults is refused for the one that is seen first, and that depends on the cut.
                return "refused".to_owned();
            }
        }
    }
    "more".to_owned()
}

/// WebSocket frames, read by either side.
pub fn ws(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    let side = if seed & 1 == 0 { Side::Accepting } else { Side::Connecting };
    assert_eq!(frames(side, &[data]), frames(side, &cut(data, *seed)), "the same however it is cut");
}

fn frames(side: Side, pieces: &[&[u8]]) -> (Vec<u8>, Vec<String>) {
    let mut reader = FrameReader::new(side, FrameLimits { frame_bytes: 65_536 });
    let (mut payload, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.step(&mut input) {
                Ok(None) => {
                    assert!(input.is_empty(), "all is taken");
                    break;
                }
                Ok(Some(Piece::Data { masked, mask, .. })) => {
                    assert!(!masked.is_empty());
                    let start = payload.len();
                    payload.extend_from_slice(masked);
                    mask.apply(&mut payload[start..]);
                }
                Ok(Some(control)) => seen.push(format!("{control:?} after {}", payload.len())),
                Err(error) => {
                    seen.push(format!("{error:?}"));
                    return (payload, seen);
                }
            }
        }
    }
    (payload, seen)
}
