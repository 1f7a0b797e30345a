//! Frames against byte vectors, every length, every cut.

use super::*;
use proptest::prelude::*;

const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

/// What a reader said, with the pieces of one kind put together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    binary: Vec<u8>,
    text: Vec<u8>,
    pings: Vec<Vec<u8>>,
    pongs: usize,
    close: Option<Option<u16>>,
}

fn feed(reader: &mut FrameReader, bytes: &[u8], said: &mut Said) -> Result<(), WsError> {
    let mut input = bytes;
    while let Some(piece) = reader.step(&mut input)? {
        match piece {
            Piece::Data { text, masked, mask } => {
                let mut plain = masked.to_vec();
                mask.apply(&mut plain);
                if text { &mut said.text } else { &mut said.binary }.extend(plain);
            }
            Piece::Ping(control) => said.pings.push(control.payload().to_vec()),
            Piece::Pong(_) => said.pongs += 1,
            Piece::Close(code) => said.close = Some(code),
        }
    }
    assert!(input.is_empty());
    Ok(())
}

fn read(bytes: &[u8], piece: usize) -> Result<Said, WsError> {
    let mut reader = FrameReader::new(Side::Accepting, FrameLimits::default());
    let mut said = Said::default();
    for part in bytes.chunks(piece.max(1)) {
        feed(&mut reader, part, &mut said)?;
    }
    Ok(said)
}

#[test]
fn the_examples_of_the_rfc() {
    let masked_hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(read(&masked_hello, 100).unwrap().text, b"Hello");
    let mut written = Vec::new();
    write_frame(&mut written, Opcode::Text, true, b"Hello", KEY);
    assert_eq!(written, masked_hello);
    let mut reader = FrameReader::new(Side::Connecting, FrameLimits::default());
    let mut said = Said::default();
    let fragmented = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    feed(&mut reader, &fragmented, &mut said).unwrap();
    assert_eq!(said.text, b"Hello");
    assert!(reader.is_between_messages());
}

#[test]
fn every_cut_of_a_talk() {
    let mut talk = Vec::new();
    write_frame(&mut talk, Opcode::Binary, false, &[7; 300], KEY);
    write_frame(&mut talk, Opcode::Ping, true, b"are you there", KEY);
    write_frame(&mut talk, Opcode::Continuation, false, b"", KEY);
    write_frame(&mut talk, Opcode::Pong, true, b"", KEY);
    write_frame(&mut talk, Opcode::Continuation, true, &[8; 5], KEY);
    write_frame(&mut talk, Opcode::Text, true, b"text", KEY);
    write_close(&mut talk, 1000, "bye", KEY);
    talk.extend_from_slice(b"nothing is read after a close");
    let whole = read(&talk, usize::MAX).unwrap();
    assert_eq!(whole.binary, [&[7; 300][..], &[8; 5]].concat());
    assert_eq!((&whole.pings[0][..], whole.pongs, whole.close), (&b"are you there"[..], 1, Some(Some(1000))));
    for piece in 1..talk.len() {
        assert_eq!(read(&talk, piece).unwrap(), whole, "{piece}");
    }
}

#[test]
fn every_length_is_written_short_and_read_back() {
    for (len, header) in
        [(0_u64, 6), (1, 6), (125, 6), (126, 8), (127, 8), (65_535, 8), (65_536, 14), (1 << 20, 14)]
    {
        let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let mut bytes = Vec::new();
        write_frame(&mut bytes, Opcode::Binary, true, &payload, KEY);
        assert_eq!(bytes.len(), payload.len() + header);
        for piece in [1, 3, 1000, usize::MAX] {
            assert_eq!(read(&bytes, piece).unwrap().binary, payload, "{len} by {piece}");
        }
        bytes.clear();
        write_header(&mut bytes, Opcode::Binary, true, len, None);
        assert_eq!(bytes.len(), header - 4);
    }
}

#[test]
fn lengths_past_the_bound_are_refused_before_any_payload() {
    let head = |len: u64| [&[0x82, 0xff][..], &len.to_be_bytes(), &[1, 2, 3, 4]].concat();
    assert!(read(&head(16 << 20), 1).is_ok());
    assert_eq!(read(&head((16 << 20) + 1), 1).unwrap_err().code, 1009);
    assert_eq!(read(&head(i64::MAX as u64), 1).unwrap_err().code, 1009);
    assert_eq!(read(&head(1 << 63), 1).unwrap_err().code, 1002);
    assert_eq!(read(&head(u64::MAX), 1).unwrap_err().code, 1002);
}

#[test]
fn lengths_longer_than_needed_are_counted() {
    for (head, long) in [
        (&[0x82, 0xfe, 0, 0, 0, 0, 0, 0][..], true),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
        (&[0x82, 0x80, 0, 0, 0, 0], false),
    ] {
        let mut reader = FrameReader::new(Side::Accepting, FrameLimits::default());
        feed(&mut reader, head, &mut Said::default()).unwrap();
        assert_eq!((reader.take_long_lengths(), reader.take_long_lengths()), (long, false));
        assert!(reader.is_between_messages());
    }
}

#[test]
fn frames_that_break_a_rule() {
    let rest = [0, 0, 0, 0, 0, 0, 0, 0];
    for (start, what) in [
        ([0x82, 0x05], "no mask"),
        ([0xc2, 0x80], "RSV1"),
        ([0xa2, 0x80], "RSV2"),
        ([0x92, 0x80], "RSV3"),
        ([0x83, 0x80], "opcode 3"),
        ([0x87, 0x80], "opcode 7"),
        ([0x8b, 0x80], "opcode 11"),
        ([0x8f, 0x80], "opcode 15"),
        ([0x09, 0x80], "fragmented ping"),
        ([0x08, 0x80], "fragmented close"),
        ([0x89, 0xfe], "long ping"),
        ([0x88, 0xff], "long close"),
        ([0x80, 0x80], "continuation of nothing"),
        ([0x88, 0x81], "half a close code"),
    ] {
        let bytes = [&start[..], &rest].concat();
        for piece in [1, 100] {
            assert_eq!(read(&bytes, piece).unwrap_err().code, 1002, "{what}");
        }
    }
    let mut inside = Vec::new();
    write_frame(&mut inside, Opcode::Binary, false, b"a", KEY);
    write_frame(&mut inside, Opcode::Binary, true, b"b", KEY);
    assert_eq!(read(&inside, 1).unwrap_err().error.what, "new message inside a message");
    let mut reader = FrameReader::new(Side::Connecting, FrameLimits::default());
    assert!(feed(&mut reader, &[0x82, 0x80], &mut Said::default()).is_err());
}

#[test]
fn close_codes_that_must_not_be_sent() {
    for (code, fine) in [
        (999, false),
        (1000, true),
        (1004, false),
        (1005, false),
        (1006, false),
        (1007, true),
        (1014, true),
        (1015, false),
        (2999, false),
        (3000, true),
        (4999, true),
        (5000, false),
    ] {
        let mut bytes = Vec::new();
        write_close(&mut bytes, code, "", KEY);
        assert_eq!(read(&bytes, 1).is_ok(), fine, "{code}");
    }
    let mut bytes = Vec::new();
    write_frame(&mut bytes, Opcode::Close, true, b"", KEY);
    assert_eq!(read(&bytes, 1).unwrap().close, Some(None));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let mut bytes = Vec::new();
    write_close(&mut bytes, 1000, &"ä".repeat(100), None);
    assert_eq!((bytes.len(), bytes[1]), (2 + 2 + 122, 124));
    assert!(std::str::from_utf8(&bytes[4..]).is_ok());
}

#[test]
fn a_message_without_end_is_handed_on_and_not_held() {
    let mut reader = FrameReader::new(Side::Accepting, FrameLimits::default());
    let mut opcode = Opcode::Binary;
    let mut total = 0;
    for _ in 0..10_000 {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, opcode, false, &[1; 100], KEY);
        let mut said = Said::default();
        feed(&mut reader, &bytes, &mut said).unwrap();
        total += said.binary.len();
        opcode = Opcode::Continuation;
    }
    assert_eq!(total, 1_000_000);
    // All that the reader has is inside of it.
    assert!(size_of::<FrameReader>() <= 256, "{}", size_of::<FrameReader>());
}

proptest! {
    #[test]
    fn a_mask_in_words_is_a_mask_in_bytes(mut bytes: Vec<u8>, key: [u8; 4], cut: usize) {
        let expected: Vec<u8> = bytes.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        let cut = cut % (bytes.len() + 1);
        let (first, second) = bytes.split_at_mut(cut);
        Mask::new(key).apply(first);
        Mask::new(key).turned(cut).apply(second);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn any_bytes_in_any_pieces(bytes: Vec<u8>, piece in 1_usize..40) {
        prop_assert_eq!(read(&bytes, usize::MAX), read(&bytes, piece));
    }
}
