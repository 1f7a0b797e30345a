//! Tags in every form: read, written, read back; cut at every byte; on noise.

use super::*;
use crate::{Error, Event};
use bytes::Bytes;
use media::{AudioParams, Flags, Kind, MetaValue, Metadata, Packet, Rendition, StreamInfo, Timestamp, Track};
use proptest::prelude::*;

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

fn feed(demuxer: &mut TagDemuxer, kind: TagKind, body: &[u8]) -> Vec<String> {
    let mut seen = Vec::new();
    let at = Timestamp::from_millis(40);
    demuxer.tag(kind, at, Bytes::copy_from_slice(body), &mut |event| seen.push(words(&event))).unwrap();
    seen
}

fn fresh() -> TagDemuxer {
    TagDemuxer::new(TagLimits::default())
}

#[test]
fn classic_video_in_its_forms() {
    let mut d = fresh();
    assert_eq!(
        feed(&mut d, TagKind::Video, b"\x17\x01\0\0\0early"),
        ["(packet before its decoder configuration)"]
    );
    let config = [b"\x17\0\0\0\0".as_slice(), AVCC].concat();
    assert_eq!(feed(&mut d, TagKind::Video, &config), ["track H264 7"]);
    assert!(feed(&mut d, TagKind::Video, &config).is_empty());
    assert_eq!(feed(&mut d, TagKind::Video, b"\x17\x01\0\0\x50a"), ["Video 40+80000 key [61]"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x27\x01\xff\xff\xd8b"), ["Video 40+-40000 [62]"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x37\x01\0\0\0c"), ["Video 40+0 discardable [63]"]);
    assert_eq!(
        feed(&mut d, TagKind::Video, b"\x27\x01\0\0\0\0\0\0\x02\x65\x88"),
        ["(keyframe marked as inter frame)", "Video 40+0 key [00, 00, 00, 02, 65, 88]"]
    );
    assert!(feed(&mut d, TagKind::Video, b"\x17\x02\0\0\0").is_empty());
    assert_eq!(feed(&mut d, TagKind::Video, b"\x57\0"), ["(video command frame)"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x12ab"), ["track legacy-video 0", "Video 40+0 key [61, 62]"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x1c\0\0\0\0hvcC"), ["track H265 4"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x1c\x01\0\0\0x"), ["Video 40+0 key [78]"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x1f\0"), ["(unusable video tag)"]);
    assert_eq!(feed(&mut d, TagKind::Video, b""), ["(empty tag)"]);
}

#[test]
fn enhanced_video_in_its_forms() {
    let mut d = fresh();
    assert_eq!(feed(&mut d, TagKind::Video, b"\x90hvc1hvcC"), ["track H265 4"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x91hvc1\0\0\x50a"), ["Video 40+80000 key [61]"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\xa3hvc1b"), ["Video 40+0 [62]"]);
    assert!(feed(&mut d, TagKind::Video, b"\x92hvc1").is_empty());
    assert_eq!(feed(&mut d, TagKind::Video, b"\x94hvc1\x02\0\x09colorInfo"), ["(video metadata tag)"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\xd3hvc1b"), ["(video command frame)"]);
    // ModEx with 500,000 ns, then coded frames with a composition time of 1 ms.
    assert_eq!(
        feed(&mut d, TagKind::Video, b"\xa7\x02\x07\xa1\x20\x01hvc1\0\0\x01c"),
        ["Video 40+1500 [63]"]
    );
    // The long size form of ModEx.
    let mut long = b"\xa7\xff\x00\xff\0\0\0".to_vec();
    long.resize(7 + 253, 0);
    long.extend(b"\x03hvc1d");
    assert_eq!(feed(&mut d, TagKind::Video, &long), ["Video 40+0 [64]"]);
    // Many tracks: the first is used.
    let many = b"\xa6\x13hvc1\0\0\0\x02ab\x01\0\0\x02cd";
    assert_eq!(feed(&mut d, TagKind::Video, many), ["Video 40+0 [61, 62]", "(extra video track)"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\xa6\x03hvc1\x05z"), ["(extra video track)"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\xa6\x23hvc1\0\0\0\x01e"), ["Video 40+0 [65]"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\xa6\x16hvc1\0"), ["(unusable video tag)"]);
    for codec in ["av01", "vp09", "vp08"] {
        let mut d = fresh();
        let tag = |head: u8, body: &[u8]| [&[head], codec.as_bytes(), body].concat();
        assert_eq!(feed(&mut d, TagKind::Video, &tag(0x90, b"conf")).len(), 1);
        // No composition time in these.
        assert_eq!(feed(&mut d, TagKind::Video, &tag(0x91, b"abc")), ["Video 40+0 key [61, 62, 63]"]);
    }
}

#[test]
fn audio_in_its_forms() {
    let mut d = fresh();
    assert_eq!(feed(&mut d, TagKind::Audio, b"\xaf\x01x"), ["(packet before its decoder configuration)"]);
    assert_eq!(feed(&mut d, TagKind::Audio, b"\xaf\0\x12\x10"), ["track AAC 2"]);
    assert_eq!(feed(&mut d, TagKind::Audio, b"\xaf\x01x"), ["Audio 40+0 [78]"]);
    for (head, name) in [
        (0xb6, "Speex"),
        (0x52, "Nellymoser"),
        (0x72, "G711A"),
        (0x82, "G711U"),
        (0x2f, "MP3"),
        (0x3e, "PCM"),
    ] {
        assert_eq!(
            feed(&mut d, TagKind::Audio, &[head, 1, 2]),
            [format!("track {name} 0"), "Audio 40+0 [01, 02]".into()]
        );
        assert_eq!(feed(&mut d, TagKind::Audio, &[head, 3]), ["Audio 40+0 [03]"]);
    }
    for (code, config) in
        [("Opus", "OpusHead"), ("fLaC", "fLaC...."), ("ac-3", ""), ("ec-3", ""), (".mp3", "")]
    {
        let mut d = fresh();
        let tag = |head: u8, body: &[u8]| [&[head], code.as_bytes(), body].concat();
        if !config.is_empty() {
            assert_eq!(feed(&mut d, TagKind::Audio, &tag(0x90, config.as_bytes())).len(), 1);
        }
        assert_eq!(feed(&mut d, TagKind::Audio, &tag(0x91, b"z")).last().unwrap(), "Audio 40+0 [7a]");
    }
    assert_eq!(feed(&mut d, TagKind::Audio, b"\x94Opus\x01\x02"), ["(audio multichannel configuration)"]);
    assert_eq!(feed(&mut d, TagKind::Audio, b"\xc0x"), ["(unusable audio tag)"]);
}

#[test]
fn opus_as_format_13_in_both_layouts() {
    let mut bare = fresh();
    assert_eq!(feed(&mut bare, TagKind::Audio, b"\xdf\0ab"), ["track Opus 0", "Audio 40+0 [00, 61, 62]"]);
    let mut typed = fresh();
    assert_eq!(feed(&mut typed, TagKind::Audio, b"\xdf\0OpusHead\x01\x02"), ["track Opus 10"]);
    assert_eq!(feed(&mut typed, TagKind::Audio, b"\xdf\x01ab"), ["Audio 40+0 [61, 62]"]);
}

#[test]
fn script_tags_are_metadata_or_are_relayed() {
    let mut d = fresh();
    let mut body: Vec<u8> = Vec::new();
    crate::amf::write_text("@setDataFrame", &mut body);
    crate::amf::write_text("onMetaData", &mut body);
    crate::amf::write_ecma_array(&[("width".into(), MetaValue::Number(640.0))], &mut body);
    assert_eq!(feed(&mut d, TagKind::Script, &body), ["metadata 1"]);
    assert!(feed(&mut d, TagKind::Script, &body).is_empty());
    let mut cue = Vec::new();
    crate::amf::write_text("onCuePoint", &mut cue);
    let seen = feed(&mut d, TagKind::Script, &cue);
    assert!(seen[0].starts_with("Data 40+0"), "{seen:?}");
    assert_eq!(feed(&mut d, TagKind::Script, b"\x05"), ["(unusable script tag)"]);
    let huge = vec![0; 70_000];
    let limit = d.tag(TagKind::Script, Timestamp::ZERO, huge.into(), &mut |_| ());
    assert_eq!(limit, Err(Error::limit("script data too large")));
}

fn track(codec: media::Codec, config: &'static [u8], format_byte: u8) -> Track {
    let audio = AudioParams { format_byte, ..AudioParams::default() };
    Track { config: Bytes::from_static(config), audio, ..Track::new(codec) }
}

fn every_track() -> Vec<Track> {
    use media::Codec::*;
    vec![
        track(H264, AVCC, 0),
        track(H265, b"hvcC", 0),
        track(Av1, b"av1C", 0),
        track(Vp9, b"vpcC", 0),
        track(LegacyVideo { id: 2 }, b"", 0),
        track(Aac, b"\x12\x10", 0),
        track(Mp3, b"", 0x2f),
        track(Speex, b"", 0xb6),
        track(Nellymoser { id: 5 }, b"", 0x52),
        track(G711A, b"", 0x72),
        track(G711U, b"", 0x82),
        track(Opus, b"", 0),
        track(Opus, b"OpusHead\x01\x02", 0),
        track(Ac3, b"", 0),
        track(Flac, b"fLaC", 0),
    ]
}

#[test]
fn every_codec_survives_being_written_and_read_in_both_forms() {
    for form in [Form::LEGACY, Form::ENHANCED] {
        for track in every_track() {
            let video = track.kind() == Kind::Video;
            let composition =
                if matches!(track.codec, media::Codec::H264 | media::Codec::H265) { 80 } else { 0 };
            for composition in [0, composition] {
                let packet = Packet {
                    track: track.id,
                    kind: track.kind(),
                    dts: Timestamp::from_millis(1000),
                    pts: Timestamp::from_millis(1000 + composition),
                    flags: Flags { keyframe: video, discardable: false },
                    payload: Bytes::from_static(b"\x01payload"),
                };
                let mut d = fresh();
                let mut seen = Vec::new();
                let mut out = Vec::new();
                if let Some(kind) = write_config(&track, form, &mut out) {
                    d.tag(kind, packet.dts, std::mem::take(&mut out).into(), &mut |e| seen.push(e)).unwrap();
                }
                let kind = write_packet(Some(&track), &packet, form, &mut out).unwrap();
                d.tag(kind, packet.dts, out.into(), &mut |e| seen.push(e)).unwrap();
                assert_eq!(seen.len(), 2, "{} {form:?}", track.codec);
                assert!(matches!(&seen[0], Event::Track(t) if t.codec == track.codec));
                assert!(matches!(&seen[1], Event::Packet(p) if *p == packet), "{} {form:?}", track.codec);
            }
        }
    }
}

fn info(video: Track, audio: Track) -> StreamInfo {
    let metadata = Metadata { fields: vec![("duration".into(), MetaValue::Number(7.0))] };
    StreamInfo { video: Some(video), audio: Some(audio), metadata: Some(metadata) }
}

fn packet(kind: Kind, ms: i64, payload: &[u8]) -> Packet {
    let dts = Timestamp::from_millis(ms);
    let id = if kind == Kind::Video { media::TrackId::VIDEO } else { media::TrackId::AUDIO };
    let flags = Flags { keyframe: kind == Kind::Video, discardable: false };
    Packet { track: id, kind, dts, pts: dts, flags, payload: Bytes::copy_from_slice(payload) }
}

fn muxed(rendition: FlvRendition) -> Vec<u8> {
    let info = info(track(media::Codec::H264, AVCC, 0), track(media::Codec::Aac, b"\x12\x10", 0));
    let mut muxer = rendition.muxer();
    let mut out = Vec::new();
    muxer.preamble(&info, Timestamp::from_millis(5), true, &mut out);
    muxer.packet(&info, &packet(Kind::Video, 5, &[7; 300]), &mut out);
    muxer.packet(&info, &packet(Kind::Audio, 17, &[8; 20]), &mut out);
    muxer.packet(&info, &packet(Kind::Video, 0x0123_4567, &vec![9; 70_000]), &mut out);
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
    for cut in 1..600 {
        assert_eq!(read(&bytes, |at| if at == 0 { cut } else { usize::MAX / 2 }).unwrap(), whole, "{cut}");
    }
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
}

#[test]
fn any_prefix_of_any_body_is_harmless() {
    let bodies: [(TagKind, &[u8]); 6] = [
        (TagKind::Video, b"\x17\x01\0\0\x50abc"),
        (TagKind::Video, b"\xa7\x02\x07\xa1\x20\x01hvc1\0\0\x01c"),
        (TagKind::Video, b"\xa6\x23hvc1\0\0\0\x01eav01\x01\0\0\x01f"),
        (TagKind::Audio, b"\x97\x02\0\0\x01\x05\x11Opus\0\0\0\x01e"),
        (TagKind::Audio, b"\xdf\0OpusHead\x01\x02"),
        (TagKind::Script, b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01a\0\0\0\0\0\0\0\0\0\0\0\x09"),
    ];
    for (kind, body) in bodies {
        for len in 0..=body.len() {
            feed(&mut fresh(), kind, &body[..len]);
        }
    }
}

proptest! {
    #[test]
    fn noise_is_harmless(kind in 0..3, bytes: Vec<u8>) {
        let kind = [TagKind::Audio, TagKind::Video, TagKind::Script][kind as usize];
        let _ = fresh().tag(kind, Timestamp::ZERO, bytes.into(), &mut |_| ());
    }

    #[test]
    fn noise_behind_a_header_is_harmless(bytes: Vec<u8>, cut in 1..50_usize) {
        let all = [b"FLV\x01\x05\0\0\0\x09".as_slice(), &bytes].concat();
        let _ = read(&all, |_| cut);
    }
}
