//! The byte stream around the tags: read wherever it is cut, written in each framing.

use super::*;
use media::Rendition;
use proptest::prelude::*;

fn info(video: Track, audio: Track) -> StreamInfo {
    let metadata = Metadata { fields: vec![("duration".into(), MetaValue::Number(7.0))] };
    StreamInfo { video: Some(video), audio: Some(audio), metadata: Some(metadata) }
}

fn muxed(rendition: FlvRendition) -> Vec<u8> {
    muxed_with(rendition, 70_000)
}

fn muxed_with(rendition: FlvRendition, large: usize) -> Vec<u8> {
    let info = info(track(Codec::H264, AVCC, 0), track(Codec::Aac, b"\x12\x10", 0));
    let mut muxer = rendition.muxer();
    let mut out = Vec::new();
    muxer.preamble(&info, Timestamp::from_millis(5), true, &mut out);
    muxer.packet(&info, &packet(Kind::Video, 5, &[7; 300]), &mut out);
    muxer.packet(&info, &packet(Kind::Audio, 17, &[8; 20]), &mut out);
    muxer.packet(&info, &packet(Kind::Video, 0x0123_4567, &vec![9; large]), &mut out);
    out
}

const RAW: FlvRendition =
    FlvRendition { form: Form::LEGACY, framing: Framing::Raw, filter: TrackFilter::ALL };

fn read(bytes: &[u8], cuts: impl Fn(usize) -> usize) -> Result<Vec<String>, Error> {
    let mut reader = FlvReader::new(FlvLimits::default());
    let mut seen = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + cuts(at).max(1)).min(bytes.len());
        reader.push(&bytes[at..end], &mut |event| seen.push(words(&event)))?;
        at = end;
    }
    Ok(seen)
}

#[test]
fn the_byte_stream_reads_back_wherever_it_is_cut() {
    let bytes = muxed(RAW);
    let whole = read(&bytes, |_| usize::MAX / 2).unwrap();
    assert_eq!(whole.len(), 6, "{whole:?}");
    assert!(whole[3].starts_with("Video 5+0 key") && whole[4].starts_with("Audio 17+0"));
    assert!(whole[5].starts_with(&format!("Video {}", 0x0123_4567)));
    assert_eq!(read(&bytes, |_| 1).unwrap(), whole);
    let small = muxed_with(RAW, 90);
    let whole = read(&small, |_| usize::MAX / 2).unwrap();
    for cut in 1..small.len() {
        assert_eq!(read(&small, |at| if at == 0 { cut } else { usize::MAX / 2 }).unwrap(), whole, "{cut}");
        assert_eq!(read(&small, |_| cut).unwrap(), whole, "{cut}");
    }
    // Cut off anywhere: the tags that are complete.
    for len in 0..small.len() {
        assert!(whole.starts_with(&read(&small[..len], |_| 7).unwrap()), "{len}");
    }
}

/// A tag as it stands in the byte stream, with the size of the one before.
fn tag(previous: u32, kind: u8, stamp: [u8; 4], body: &[u8]) -> Vec<u8> {
    let [_, size @ ..] = (body.len() as u32).to_be_bytes();
    [&previous.to_be_bytes()[..], &[kind], &size, &stamp, &[0, 0, 0], body].concat()
}

#[test]
fn stamps_are_read_in_their_odd_order_and_unwrapped() {
    // Low 24 bits, then the high 8.
    let script = b"\x02\0\x01x";
    let stream = [
        b"FLV\x01\x04\0\0\0\x09".to_vec(),
        tag(0, 8, [0xff, 0xff, 0xf0, 0xff], b"\x72a"),
        // Script data stamped 0 in the middle moves nothing.
        tag(13, 18, [0, 0, 0, 0], script),
        tag(15, 8, [0, 0, 0x10, 0], b"\x72b"),
        // AMF3 data: a format byte in front.
        tag(13, 15, [0, 0, 0x20, 0], &[b"\0", &script[..]].concat()),
        tag(16, 8, [0xff, 0xff, 0xff, 0xff], b"\x72c"),
    ]
    .concat();
    let wrap = 1_i64 << 32;
    let expected = [
        "track G711A 0".to_owned(),
        format!("Audio {}+0 [61]", wrap - 16),
        format!("Data {}+0 [02, 00, 01, 78]", wrap),
        format!("Audio {}+0 [62]", wrap + 16),
        format!("Data {}+0 [02, 00, 01, 78]", wrap + 32),
        format!("Audio {}+0 [63]", wrap - 1),
    ];
    assert_eq!(read(&stream, |_| 5).unwrap(), expected);
    // Half the range away from 0, script data at 0 would turn the direction.
    let stream = [
        b"FLV\x01\x04\0\0\0\x09".to_vec(),
        tag(0, 8, [0xff, 0xff, 0xf0, 0x7f], b"\x72a"),
        tag(13, 18, [0, 0, 0, 0], script),
        tag(15, 8, [0, 0, 0x10, 0x80], b"\x72b"),
    ]
    .concat();
    assert_eq!(read(&stream, |_| 5).unwrap().last().unwrap(), &format!("Audio {}+0 [62]", 0x8000_0010_u32));
}

/// Byte for byte: header, metadata at 0, configurations and a frame at 0x01020304 ms.
#[test]
fn the_byte_stream_is_written_as_specified() {
    let info = StreamInfo { audio: Some(track(Codec::Aac, b"\x12\x10", 0)), ..StreamInfo::default() };
    let mut muxer = RAW.muxer();
    let at = Timestamp::from_millis(0x0102_0304);
    let mut metadata = Vec::new();
    write_metadata(&info, Form::LEGACY, TrackFilter::ALL, &mut metadata).unwrap();
    let mut out = Vec::new();
    muxer.preamble(&info, at, true, &mut out);
    let expected = [
        b"FLV\x01\x04\0\0\0\x09".to_vec(),
        tag(0, 18, [0, 0, 0, 0], &metadata),
        tag(metadata.len() as u32 + 11, 8, [2, 3, 4, 1], b"\xaf\0\x12\x10"),
        15_u32.to_be_bytes().to_vec(),
    ];
    assert_eq!(out, expected.concat());
    out.clear();
    muxer.packet(&info, &packet(Kind::Audio, (1 << 31) + 0x05, b"P"), &mut out);
    // Wrapped at 2^31; PreviousTagSize stands behind its tag.
    assert_eq!(out, b"\x08\0\0\x03\0\0\x05\0\0\0\0\xaf\x01P\0\0\0\x0e");
    // Skipped ahead: no file header again. Nothing known: nothing written.
    out.clear();
    muxer.preamble(&info, at, false, &mut out);
    assert_eq!(out.first(), Some(&18));
    out.clear();
    muxer.packet(&info, &packet(Kind::Video, 0, b"P"), &mut out);
    muxer.preamble(&StreamInfo::default(), at, false, &mut out);
    assert!(out.is_empty());
}

#[test]
fn framings_carry_the_same_bytes() {
    let raw = muxed(RAW);
    let mut chunked = &muxed(FlvRendition { framing: Framing::HttpChunk, ..RAW })[..];
    let mut body = Vec::<u8>::new();
    while !chunked.is_empty() {
        let line = chunked.windows(2).position(|w| w == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&chunked[..line]).unwrap(), 16).unwrap();
        body.extend(&chunked[line + 2..line + 2 + len]);
        assert_eq!(&chunked[line + 2 + len..line + 4 + len], b"\r\n");
        chunked = &chunked[line + 4 + len..];
    }
    assert!(body == raw);
    let mut frames = &muxed(FlvRendition { framing: Framing::WsFrame, ..RAW })[..];
    let mut body: Vec<u8> = Vec::new();
    let mut forms = Vec::new();
    while !frames.is_empty() {
        assert_eq!(frames[0], 0x82);
        let (len, head) = match frames[1] {
            126 => (usize::from(u16::from_be_bytes([frames[2], frames[3]])), 4),
            127 => (u64::from_be_bytes(frames[2..10].try_into().unwrap()) as usize, 10),
            n => (usize::from(n), 2),
        };
        forms.push(head);
        body.extend(&frames[head..head + len]);
        frames = &frames[head + len..];
    }
    assert!(body == raw);
    assert_eq!(forms, [4, 4, 2, 10]);
}

#[test]
fn websocket_frames_have_the_shortest_header_at_every_edge() {
    let info = info(track(Codec::H264, AVCC, 0), track(Codec::Aac, b"\x12\x10", 0));
    let frames = FlvRendition { framing: Framing::WsFrame, ..RAW };
    let (mut muxer, mut raw) = (frames.muxer(), RAW.muxer());
    for len in (80..140).chain(65_500..65_560) {
        for kind in [Kind::Video, Kind::Audio] {
            let (mut out, mut bare) = (b"before".to_vec(), Vec::new());
            muxer.packet(&info, &packet(kind, 0, &vec![7; len]), &mut out);
            raw.packet(&info, &packet(kind, 0, &vec![7; len]), &mut bare);
            let head = match bare.len() {
                n @ 0..=125 => vec![0x82, n as u8],
                n @ 126..=0xffff => [&[0x82, 126][..], &(n as u16).to_be_bytes()].concat(),
                n => [&[0x82, 127][..], &(n as u64).to_be_bytes()].concat(),
            };
            assert!(out == [b"before".to_vec(), head, bare].concat(), "{kind:?} {len}");
        }
    }
}

#[test]
fn filters_leave_out_tracks_and_say_so_in_the_header() {
    let video = FlvRendition { filter: TrackFilter { video: true, audio: false }, ..RAW };
    let audio = FlvRendition { filter: TrackFilter { video: false, audio: true }, ..RAW };
    assert_eq!((muxed(RAW)[4], muxed(video)[4], muxed(audio)[4]), (5, 1, 4));
    assert!(read(&muxed(video), |_| 1 << 20).unwrap().iter().all(|w| !w.starts_with("Audio")));
    assert!(read(&muxed(audio), |_| 1 << 20).unwrap().iter().all(|w| !w.starts_with("Video")));
    let ids = [RAW.id(), video.id(), audio.id(), FlvRendition { form: Form::ENHANCED, ..RAW }.id()];
    assert!(ids.iter().enumerate().all(|(i, id)| !ids[..i].contains(id)));
}

#[test]
fn hostile_headers_and_sizes_are_refused_and_slips_are_counted() {
    for bad in [&b"FLX\x01\x05\0\0\0\x09"[..], b"FLV\x02\x05\0\0\0\x09", b"FLV\x01\x05\0\0\0\x08"] {
        assert!(read(bad, |_| 100).is_err());
    }
    assert_eq!(read(b"FLV\x01\x05\xff\xff\xff\xff", |_| 100), Err(Error::limit("FLV header too long")));
    let mut extra = b"FLV\x01\x05\0\0\0\x0bxx".to_vec();
    extra.extend(b"\0\0\0\0\x08\0\0\x04\0\0\0\0\0\0\0\xaf\0\x12\x10");
    extra.extend(b"\0\0\0\x07\x08\0\0\0\0\0\0\0\0\0\0");
    extra.extend(b"\0\0\0\x0b\x28\0\0\x01\0\0\0\0\0\0\0x");
    extra.extend(b"\0\0\0\x0c\x0b\0\0\x01\0\0\0\0\0\0\0x");
    let expected =
        ["track AAC 2", "(wrong PreviousTagSize)", "(empty tag)", "(encrypted tag)", "(unknown tag)"];
    assert_eq!(read(&extra, |_| 1).unwrap(), expected);
    let mut huge = b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\xff\xff\xff\0\0\0\0\0\0\0".to_vec();
    assert_eq!(read(&huge, |_| 100), Err(Error::limit("tag too large")));
    huge[14] = 0x70;
    let mut reader = FlvReader::new(FlvLimits::default());
    reader.push(&huge, &mut |_| ()).unwrap();
    assert_eq!(reader.buffered_bytes(), 0, "held bytes that never came");
    reader.push(&[0; 1000], &mut |_| ()).unwrap();
    assert_eq!(reader.buffered_bytes(), 1000);
}

proptest! {
    #[test]
    fn noise_behind_a_header_is_harmless(bytes: Vec<u8>, cut in 1..50_usize) {
        let all = [b"FLV\x01\x05\0\0\0\x09".as_slice(), &bytes].concat();
        let _ = read(&all, |_| cut);
    }

    #[test]
    fn noise_in_tags_reads_the_same_however_it_is_cut(
        tags in proptest::collection::vec((0_usize..4, proptest::collection::vec(0_u8..=255, 0..40)), 0..20),
        cut in 1..50_usize,
    ) {
        let mut all = b"FLV\x01\x05\0\0\0\x09".to_vec();
        for (kind, body) in tags {
            all.extend(tag(0, [8, 9, 18, 15][kind], [0, 0, 1, 0], &body));
        }
        prop_assert_eq!(read(&all, |_| cut), read(&all, |_| usize::MAX / 2));
    }
}
