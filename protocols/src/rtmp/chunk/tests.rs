//! Every form of header, every chunk size, every cut; what breaks the rules and what is bounded.

use super::{ChunkLimits, ChunkReader, Item, Message, MessageHeader, OpenMessage, write_message};
use crate::{Error, ErrorKind};
use proptest::prelude::*;

const SIZES: [u32; 9] = [1, 2, 3, 127, 128, 129, 4096, 60000, 65536];

fn reader() -> ChunkReader {
    ChunkReader::new(ChunkLimits::default())
}

/// Feeds pieces of `cut` bytes.
fn feed(reader: &mut ChunkReader, bytes: &[u8], cut: usize) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for piece in bytes.chunks(cut.max(1)) {
        let mut piece = piece;
        while let Some(item) = reader.read(&mut piece)? {
            items.push(item);
        }
        assert!(piece.is_empty());
    }
    Ok(items)
}

/// All items, after checking that they are the same wherever the bytes are cut in two, and byte by byte.
fn read_all(bytes: &[u8]) -> Vec<Item> {
    let whole = feed(&mut reader(), bytes, usize::MAX).unwrap();
    for at in 0..bytes.len() {
        let mut reader = reader();
        let mut items = feed(&mut reader, &bytes[..at], usize::MAX).unwrap();
        items.extend(feed(&mut reader, &bytes[at..], usize::MAX).unwrap());
        assert_eq!(items, whole, "cut at {at}");
    }
    assert_eq!(feed(&mut reader(), bytes, 1).unwrap(), whole, "byte by byte");
    whole
}

fn messages(items: Vec<Item>) -> Vec<Message> {
    items
        .into_iter()
        .map(|item| match item {
            Item::Message(message) => message,
            Item::Leniency(what) => panic!("leniency: {what}"),
        })
        .collect()
}

fn error_of(bytes: &[u8]) -> Error {
    feed(&mut reader(), bytes, 1).unwrap_err()
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + 7) as u8).collect()
}

fn header(csid: u8, timestamp: u32, kind: u8) -> MessageHeader {
    MessageHeader { csid, timestamp, kind, stream_id: 1 }
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
    out.extend_from_slice(&size.to_be_bytes());
    out
}

/// A type 0 header.
fn full(csid: u8, time: u32, length: u32, kind: u8) -> Vec<u8> {
    let [_, t @ ..] = time.to_be_bytes();
    let [_, l @ ..] = length.to_be_bytes();
    let mut out = vec![csid];
    out.extend(t);
    out.extend(l);
    out.push(kind);
    out.extend([1, 0, 0, 0]);
    out
}

#[test]
fn what_is_written_is_read_back_with_every_chunk_size_and_length() {
    for size in SIZES {
        for length in [0, 1, 2, 127, 128, 129, 255, 256, 257, 4096, 60001, 131_072] {
            for timestamp in [0, 1, 0xff_fffe, 0xff_ffff, 0x100_0000, u32::MAX] {
                if length > 5000 && (size < 100 && timestamp != u32::MAX) {
                    continue;
                }
                let body = payload(length);
                let mut bytes = set_chunk_size(size);
                write_message(header(6, timestamp, 9), &body, size, &mut bytes);
                let items = messages(feed(&mut reader(), &bytes, 997).unwrap());
                let [_, message] = items.as_slice() else { panic!("{} messages", items.len()) };
                assert_eq!(
                    (message.kind, message.timestamp, message.stream_id, message.csid),
                    (9, timestamp, 1, 6)
                );
                assert!(message.payload == body, "chunk size {size} length {length} time {timestamp}");
            }
        }
    }
}

#[test]
fn a_body_cut_in_place_equals_one_cut_while_copied() {
    for size in [1, 2, 3, 127, 128, 129, 4096] {
        for length in [0, 1, 2, 3, 128, 129, 256, 257, 5000] {
            for timestamp in [5, 0xff_ffff, u32::MAX] {
                let body = payload(length);
                let mut copied = b"before".to_vec();
                write_message(header(4, timestamp, 8), &body, size, &mut copied);
                let mut in_place = b"before".to_vec();
                let open = OpenMessage::begin(header(4, timestamp, 8), &mut in_place);
                in_place.extend_from_slice(&body);
                open.finish(size, &mut in_place);
                assert!(copied == in_place, "{size} {length} {timestamp}");
            }
        }
    }
    let mut out = b"before".to_vec();
    let open = OpenMessage::begin(header(4, 0, 8), &mut out);
    out.push(1);
    open.cancel(&mut out);
    assert_eq!(out, b"before");
}

#[test]
fn every_cut_gives_the_same_messages() {
    for timestamp in [3, 0x0200_0000] {
        let mut bytes = set_chunk_size(100);
        write_message(header(4, timestamp, 8), &payload(250), 100, &mut bytes);
        write_message(header(6, timestamp, 9), &payload(0), 100, &mut bytes);
        write_message(header(6, timestamp, 9), &payload(101), 100, &mut bytes);
        let all = messages(read_all(&bytes));
        let lengths: Vec<usize> = all.iter().map(|message| message.payload.len()).collect();
        assert_eq!(lengths, [4, 250, 0, 101]);
    }
}

#[test]
fn the_four_header_types_inherit_as_specified() {
    let mut bytes = full(5, 1000, 2, 8);
    bytes.extend([0xaa, 0xbb]);
    bytes.extend([0xc5, 1, 2]); // type 3 after type 0: the time itself is the delta
    bytes.extend([0x45, 0, 0, 10, 0, 0, 1, 9, 3]); // type 1: +10, length 1, video
    bytes.extend([0x85, 0, 0, 20, 4]); // type 2: +20
    bytes.extend([0xc5, 5]); // type 3: +20 again
    let got: Vec<_> = messages(read_all(&bytes))
        .into_iter()
        .map(|m| (m.timestamp, m.kind, m.stream_id, m.payload.to_vec()))
        .collect();
    assert_eq!(
        got,
        [
            (1000, 8, 1, vec![0xaa, 0xbb]),
            (2000, 8, 1, vec![1, 2]),
            (2010, 9, 1, vec![3]),
            (2030, 9, 1, vec![4]),
            (2050, 9, 1, vec![5]),
        ]
    );
}

#[test]
fn time_wraps_at_32_bits() {
    let mut bytes = full(5, 0xff_ffff, 1, 8);
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0]);
    bytes.extend([0x85, 0, 0, 3, 0]);
    let times: Vec<u32> = messages(read_all(&bytes)).iter().map(|m| m.timestamp).collect();
    assert_eq!(times, [u32::MAX, 2]);
}

#[test]
fn chunk_stream_ids_have_three_forms() {
    for (id, csid) in [
        (vec![2], 2),
        (vec![63], 63),
        (vec![0, 0], 64),
        (vec![0, 255], 319),
        (vec![1, 0, 0], 64),
        (vec![1, 1, 0], 65),
        (vec![1, 0, 1], 320),
        (vec![1, 255, 255], 65599),
    ] {
        let mut bytes = id.clone();
        bytes.extend(&full(0, 7, 1, 8)[1..]);
        bytes.push(0xee);
        let mut again = id.clone();
        again[0] |= 0xc0;
        bytes.extend(again);
        bytes.push(0xef);
        let got = messages(read_all(&bytes));
        assert_eq!(got.iter().map(|m| m.csid).collect::<Vec<_>>(), [csid, csid], "{id:?}");
    }
}

#[test]
fn messages_of_several_chunk_streams_interleave() {
    let (one, two) = (payload(300), payload(200));
    let mut bytes = full(4, 1, 300, 8);
    bytes.extend(&one[..128]);
    bytes.extend(full(6, 2, 200, 9));
    bytes.extend(&two[..128]);
    bytes.push(0xc4);
    bytes.extend(&one[128..256]);
    bytes.push(0xc6);
    bytes.extend(&two[128..]);
    bytes.push(0xc4);
    bytes.extend(&one[256..]);
    let got = messages(read_all(&bytes));
    assert_eq!(got[0].payload, two);
    assert_eq!(got[1].payload, one);
}

#[test]
fn a_chunk_size_set_between_two_chunks_holds_from_the_next() {
    let body = payload(300);
    let mut bytes = full(4, 1, 300, 8);
    bytes.extend(&body[..128]);
    bytes.extend(set_chunk_size(50));
    for piece in body[128..].chunks(50) {
        bytes.push(0xc4);
        bytes.extend(piece);
    }
    let got = messages(read_all(&bytes));
    assert_eq!(got[1].payload, body);
}

#[test]
fn chunk_sizes_are_checked_and_clamped() {
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(error_of(&set_chunk_size(size)).kind, ErrorKind::Malformed, "{size}");
    }
    for (size, effective) in [(1, 1), (65536, 65536), (0x7fff_ffff, 0xff_ffff)] {
        let mut reader = reader();
        feed(&mut reader, &set_chunk_size(size), 1).unwrap();
        assert_eq!(reader.chunk_size(), effective);
    }
    let mut short = full(2, 0, 3, 1);
    short.extend([0, 0, 1]);
    assert_eq!(error_of(&short).kind, ErrorKind::Malformed);
}

#[test]
fn an_extended_time_is_read_with_and_without_its_repetition() {
    let body = payload(300);
    for time in [0xff_ffff, 0x0123_4567, 0x8123_4567, u32::MAX] {
        for repeated in [None, Some(time), Some(time & 0x7fff_ffff)] {
            let mut bytes = full(4, 0xff_ffff, 300, 8);
            bytes.extend(time.to_be_bytes());
            for (index, piece) in body.chunks(128).enumerate() {
                if index > 0 {
                    bytes.push(0xc4);
                    bytes.extend(repeated.into_iter().flat_map(u32::to_be_bytes));
                }
                bytes.extend(piece);
            }
            let got = messages(read_all(&bytes));
            assert_eq!((got.len(), got[0].timestamp), (1, time));
            assert!(got[0].payload == body, "{time:x} {repeated:x?}");
        }
    }
}

#[test]
fn a_payload_that_begins_like_the_time_is_still_payload() {
    // The peer does not repeat the time, and the payload shares one to three bytes with it.
    for shared in 1..=3 {
        for tail in 0..3 {
            let time = 0x0123_4567_u32;
            let mut body = payload(128);
            body.extend(&time.to_be_bytes()[..shared]);
            body.extend([0xee; 3].iter().take(tail));
            let mut bytes = full(4, 0xff_ffff, body.len() as u32, 8);
            bytes.extend(time.to_be_bytes());
            bytes.extend(&body[..128]);
            bytes.push(0xc4);
            bytes.extend(&body[128..]);
            write_message(header(5, 9, 9), &[1], 128, &mut bytes);
            let got = messages(read_all(&bytes));
            assert_eq!(got.len(), 2, "{shared} {tail}");
            assert!(got[0].payload == body, "{shared} {tail}");
        }
    }
}

#[test]
fn an_extended_delta_is_added_and_repeated_on_a_type_3_message() {
    let mut bytes = full(4, 100, 1, 8);
    bytes.push(0);
    bytes.extend([0x44, 0xff, 0xff, 0xff, 0, 0, 130, 8, 1, 0, 0, 0]); // type 1, delta 2^24
    bytes.extend([7; 128]);
    bytes.extend([0xc4, 1, 0, 0, 0, 8, 8]);
    bytes.extend([0x84, 0xff, 0xff, 0xff, 2, 0, 0, 0]); // type 2, delta 2^25
    bytes.extend([9; 128]);
    bytes.extend([0xc4, 10, 10]); // not repeated
    bytes.extend([0xc4, 2, 0, 0, 0]); // type 3 begins a message: the time is mandatory
    bytes.extend([11; 128]);
    bytes.extend([0xc4, 2, 0, 0, 0, 12, 12]);
    let times: Vec<u32> = messages(read_all(&bytes)).iter().map(|m| m.timestamp).collect();
    assert_eq!(times, [100, 100 + (1 << 24), 100 + (3 << 24), 100 + (5 << 24)]);
}

#[test]
fn an_abort_forgets_the_unfinished_message() {
    let mut bytes = full(4, 1, 300, 8);
    bytes.extend(payload(128));
    bytes.extend(full(2, 0, 4, 2));
    bytes.extend([0, 0, 0, 4]);
    bytes.extend(full(4, 2, 1, 8));
    bytes.push(9);
    let got = messages(read_all(&bytes));
    assert_eq!((got[1].timestamp, got[1].payload.len()), (2, 1));
}

#[test]
fn a_new_header_drops_the_unfinished_message_and_is_counted() {
    let mut bytes = full(4, 1, 300, 8);
    bytes.extend(payload(128));
    bytes.extend(full(4, 2, 1, 8));
    bytes.push(9);
    let got = read_all(&bytes);
    assert!(matches!(got.as_slice(), [Item::Leniency(_), Item::Message(m)] if m.timestamp == 2));
}

#[test]
fn type_1_first_is_accepted_and_types_2_and_3_are_not() {
    let got = read_all(&[0x42, 0, 0, 5, 0, 0, 1, 4, 9]);
    assert!(
        matches!(got.as_slice(), [Item::Leniency(_), Item::Message(m)] if m.timestamp == 5 && m.stream_id == 0)
    );
    for first in [0x83, 0xc3, 0x80, 0xc1] {
        let error = error_of(&[first, 0, 0, 0, 0, 0, 0]);
        assert_eq!(error.kind, ErrorKind::Misbehaved, "{first:x}");
    }
}

#[test]
fn lanes_messages_and_unfinished_bytes_are_bounded() {
    let limits = ChunkLimits { lanes: 3, media_bytes: 1000, command_bytes: 100, partial_bytes: 1500 };
    let limited = |bytes: &[u8]| feed(&mut ChunkReader::new(limits), bytes, usize::MAX);
    let mut many = Vec::new();
    for csid in 3..=6 {
        many.extend(full(csid, 0, 0, 8));
    }
    assert_eq!(limited(&many[..36]).unwrap().len(), 3);
    assert_eq!(limited(&many).unwrap_err(), Error::limit("chunk streams"));
    assert!(limited(&full(3, 0, 1000, 9)).is_ok());
    assert_eq!(limited(&full(3, 0, 1001, 9)).unwrap_err(), Error::limit("message length"));
    assert!(limited(&full(3, 0, 100, 20)).is_ok());
    assert_eq!(limited(&full(3, 0, 101, 20)).unwrap_err(), Error::limit("message length"));
    let mut two = full(3, 0, 1000, 9);
    two.extend([0; 128]);
    two.extend(full(4, 0, 1000, 9));
    assert_eq!(limited(&two).unwrap_err(), Error::limit("bytes of unfinished messages"));
}

#[test]
fn memory_follows_what_was_received_not_what_was_claimed() {
    let mut reader = reader();
    assert!(reader.memory_bytes() < 200, "{}", reader.memory_bytes());
    feed(&mut reader, &set_chunk_size(0xff_ffff), usize::MAX).unwrap();
    feed(&mut reader, &full(4, 0, 8 << 20, 9), usize::MAX).unwrap();
    assert!(reader.buffered_bytes() <= 64 << 10);
    let mut received = 0;
    while received < (8 << 20) - 70_000 {
        feed(&mut reader, &[0; 65536], usize::MAX).unwrap();
        received += 65536;
        assert!(reader.buffered_bytes() <= received * 4, "{} of {received}", reader.buffered_bytes());
    }
    assert_eq!(feed(&mut reader, &vec![0; (8 << 20) - received], usize::MAX).unwrap().len(), 1);
    assert_eq!(reader.buffered_bytes(), 0);
    feed(&mut reader, &full(3, 0, 0, 20), usize::MAX).unwrap();
    assert!(reader.memory_bytes() < 300, "{} with three chunk streams", reader.memory_bytes());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_stay_within_the_limits(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut in 1usize..50,
    ) {
        let limits = ChunkLimits { lanes: 8, media_bytes: 5000, command_bytes: 500, partial_bytes: 9000 };
        let mut reader = ChunkReader::new(limits);
        for piece in bytes.chunks(cut) {
            let mut piece = piece;
            while let Ok(Some(_)) = reader.read(&mut piece) {}
            prop_assert!(reader.buffered_bytes() <= 9000 + 5000 + 18);
        }
    }

    #[test]
    fn any_messages_survive_any_chunk_size_and_cut(
        bodies in proptest::collection::vec((2u8..=63, any::<u32>(), 0usize..700), 1..10),
        size in 1u32..300, cut in 1usize..400,
    ) {
        let mut bytes = set_chunk_size(size);
        for (csid, time, length) in &bodies {
            write_message(header(*csid, *time, 9), &payload(*length), size, &mut bytes);
        }
        let got = messages(feed(&mut reader(), &bytes, cut).unwrap());
        prop_assert_eq!(got.len(), bodies.len() + 1);
        for (message, (csid, time, length)) in got.iter().skip(1).zip(&bodies) {
            prop_assert_eq!((message.csid, message.timestamp), (u32::from(*csid), *time));
            prop_assert!(message.payload == payload(*length));
        }
    }
}
