//! Bodies of audio and video tags, as encoders write them and as nobody should.

use super::*;
use proptest::prelude::*;

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
fn a_keyframe_marked_as_inter_frame_is_found_in_every_form() {
    let marked = "(keyframe marked as inter frame)";
    // Lengths of two bytes, as the configuration says; an access unit delimiter, then an IDR slice.
    let mut d = fresh();
    feed(&mut d, TagKind::Video, b"\x17\0\0\0\0\x01\x64\x00\x1f\xfd\xe0\0");
    let seen = feed(&mut d, TagKind::Video, b"\x27\x01\0\0\0\0\x02\x09\xf0\0\x02\x65\x88");
    assert_eq!(seen[0], marked);
    assert!(seen[1].starts_with("Video 40+0 key"), "{seen:?}");
    // The payload stays as it was sent.
    assert!(seen[1].ends_with("[00, 02, 09, f0, 00, 02, 65, 88]"), "{seen:?}");
    // H.265 by number and by fourCC: types 16 to 21.
    for head in [&b"\x2c\x01\0\0\0"[..], b"\xa3hvc1", b"\xa1hvc1\0\0\0"] {
        let mut d = fresh();
        feed(&mut d, TagKind::Video, b"\x90hvc1hvcC");
        for (kind, is_key) in [(1, false), (19, true), (21, true), (32, false)] {
            let body = [head, &[0, 0, 0, 2, kind << 1, 1]].concat();
            assert_eq!(feed(&mut d, TagKind::Video, &body).len(), if is_key { 2 } else { 1 }, "{kind}");
        }
    }
}

#[test]
fn every_number_of_a_codec_is_known_or_named() {
    for (id, name) in
        [(2, "legacy-video"), (6, "legacy-video"), (7, "H264"), (12, "H265"), (13, "AV1"), (14, "H266")]
    {
        let seen = feed(&mut fresh(), TagKind::Video, &[0x10 | id, 0, 0, 0, 0, 1, 2]);
        assert!(seen[0].starts_with(&format!("track {name}")), "{id} {seen:?}");
    }
    for id in [0, 1, 8, 9, 10, 11, 15] {
        assert_eq!(feed(&mut fresh(), TagKind::Video, &[0x10 | id, 0, 0, 0, 0, 1]), ["(unusable video tag)"]);
    }
    for (id, name) in [(0, "PCM"), (3, "PCM"), (2, "MP3"), (14, "MP3"), (4, "Nellymoser"), (6, "Nellymoser")]
    {
        let seen = events(&mut fresh(), TagKind::Audio, &[id << 4 | 2, 1]);
        let Event::Track(track) = &seen[0] else { panic!("no track") };
        assert_eq!((track.codec.name(), track.audio.format_byte), (name, id << 4 | 2));
    }
    for id in [1, 12, 15] {
        assert_eq!(feed(&mut fresh(), TagKind::Audio, &[id << 4, 1]), ["(unusable audio tag)"]);
    }
    assert_eq!(feed(&mut fresh(), TagKind::Video, b"\x90xxxxconf"), ["(unsupported video fourCC)"]);
    assert_eq!(feed(&mut fresh(), TagKind::Audio, b"\x91xxxxdata"), ["(unsupported audio fourCC)"]);
    // Each in the other's place.
    assert_eq!(feed(&mut fresh(), TagKind::Video, b"\x91Opusdata"), ["(unsupported video fourCC)"]);
    assert_eq!(feed(&mut fresh(), TagKind::Audio, b"\x91hvc1data"), ["(unsupported audio fourCC)"]);
}

#[test]
fn what_is_empty_announces_nothing() {
    for body in [&b"\x17\0\0\0\0"[..], b"\x1c\0\0\0\0", b"\x90hvc1", b"\x90av01"] {
        assert_eq!(feed(&mut fresh(), TagKind::Video, body), ["(empty decoder configuration)"]);
    }
    for body in [&b"\xaf\0"[..], b"\x90mp4a", b"\x90fLaC"] {
        assert_eq!(feed(&mut fresh(), TagKind::Audio, body), ["(empty decoder configuration)"]);
    }
    for body in [&b"\x2f"[..], b"\x72", b"\xb6", b"\xdf", b"\x91ac-3"] {
        assert_eq!(feed(&mut fresh(), TagKind::Audio, body), ["(empty packet)"]);
    }
    assert_eq!(feed(&mut fresh(), TagKind::Video, b"\x12"), ["(empty packet)"]);
    assert_eq!(feed(&mut fresh(), TagKind::Audio, b""), ["(empty tag)"]);
    // Codecs without a record: the first frame announces the track, and tells what it is.
    let mut d = fresh();
    assert!(feed(&mut d, TagKind::Audio, b"\x90Opus").is_empty());
    assert_eq!(feed(&mut d, TagKind::Audio, b"\x91Opusa"), ["track Opus 0", "Audio 40+0 [61]"]);
    assert!(feed(&mut d, TagKind::Audio, b"\x90ac-3").is_empty());
    let seen = events(&mut d, TagKind::Audio, b"\x91ac-3\x0b\x77\xd0\xf8\x1e\x40\xeb\xf8");
    assert!(matches!(&seen[0], Event::Track(t) if (t.audio.sample_rate, t.audio.channels) == (48_000, 6)));
}

#[test]
fn the_first_of_several_tracks_is_followed() {
    // OBS: track 0 in the classic form, the others numbered, each in a tag of its own.
    let mut d = fresh();
    assert_eq!(feed(&mut d, TagKind::Audio, b"\xaf\0\x12\x10"), ["track AAC 2"]);
    assert_eq!(feed(&mut d, TagKind::Audio, b"\x95\x00mp4a\x01\x11\x90"), ["(extra audio track)"]);
    assert_eq!(feed(&mut d, TagKind::Audio, b"\xaf\x01a"), ["Audio 40+0 [61]"]);
    assert_eq!(feed(&mut d, TagKind::Audio, b"\x95\x01mp4a\x01b"), ["(extra audio track)"]);
    // The other way round, and unnumbered enhanced tags are track 0, too.
    let mut d = fresh();
    assert_eq!(feed(&mut d, TagKind::Video, b"\x96\x00hvc1\x03hvcC"), ["track H265 4"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x17\0\0\0\0conf"), ["(extra video track)"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x90hvc1conf"), ["(extra video track)"]);
    assert_eq!(feed(&mut d, TagKind::Video, b"\x96\x03hvc1\x03a"), ["Video 40+0 key [61]"]);
    // Several codecs in one tag: one that is not known is not the first.
    let mut d = fresh();
    let many = b"\x95\x21xxxx\x00\0\0\x01aac-3\x01\0\0\x01bOpus\x02\0\0\x01c";
    let expected = ["(unsupported audio fourCC)", "track AC-3 0", "Audio 40+0 [62]", "(extra audio track)"];
    assert_eq!(feed(&mut d, TagKind::Audio, many), expected);
    // A length past the end: what stood before it is good.
    let cut = b"\x95\x11ac-3\x01\0\0\x01b\x02\xff\xff\xffc";
    assert_eq!(feed(&mut d, TagKind::Audio, cut), ["Audio 40+0 [62]", "(unusable audio tag)"]);
}

#[test]
fn extensions_in_front_of_a_packet_move_its_time_or_are_passed_over() {
    // 999,999 ns are the most; more is taken as that. Sound has one time, which moves as a whole.
    let mut d = fresh();
    let seen = events(&mut d, TagKind::Audio, b"\x97\x02\x0f\x42\x3f\x01Opusa");
    let Some(Event::Packet(p)) = seen.last() else { panic!("no packet") };
    assert_eq!((p.dts.micros(), p.pts.micros()), (40_999, 40_999));
    let seen = events(&mut d, TagKind::Audio, b"\x97\x02\xff\xff\xff\x01Opusa");
    assert!(matches!(&seen[0], Event::Packet(p) if p.dts.micros() == 40_999));
    // Of another kind, too short for its kind, and two in a row.
    for body in
        [&b"\x97\x00\x00\x11Opusa"[..], b"\x97\x01\x07\xa1\x01Opusa", b"\x97\x00\x00\x17\x00\x00\x11Opusa"]
    {
        assert_eq!(feed(&mut d, TagKind::Audio, body), ["Audio 40+0 [61]"], "{body:02x?}");
    }
    let endless = [b"\x97".as_slice(), &b"\x00\x00\x17".repeat(100)].concat();
    let limit = d.tag(TagKind::Audio, Timestamp::ZERO, endless.into(), &mut |_| ());
    assert_eq!(limit, Err(Error::limit("too many extensions in a tag")));
    let tracks = [b"\x95\x11Opus".as_slice(), &b"\x00\0\0\x01a".repeat(65)].concat();
    let limit = d.tag(TagKind::Audio, Timestamp::ZERO, tracks.into(), &mut |_| ());
    assert_eq!(limit, Err(Error::limit("too many tracks in a tag")));
}

#[test]
fn configurations_are_bounded_and_only_changes_are_told() {
    let mut d = fresh();
    let largest = [b"\x17\0\0\0\0".as_slice(), &vec![1; 64 * 1024]].concat();
    assert_eq!(feed(&mut d, TagKind::Video, &largest), ["track H264 65536"]);
    let larger = [&largest[..], b"x"].concat();
    let limit = d.tag(TagKind::Video, Timestamp::ZERO, larger.into(), &mut |_| ());
    assert_eq!(limit, Err(Error::limit("decoder configuration too large")));
    assert!(feed(&mut d, TagKind::Video, &largest).is_empty());
    assert_eq!(feed(&mut d, TagKind::Video, b"\x17\0\0\0\0b"), ["track H264 1"]);
    // Another format byte, another track; the rate is the frame's own where it tells one.
    let mut rates = Vec::new();
    for head in [0x2e, 0x2f, 0x2f, 0x2e] {
        for event in events(&mut d, TagKind::Audio, &[head, 0xff, 0xfb, 0x94, 0x64]) {
            if let Event::Track(track) = event {
                rates.push((track.audio.format_byte, track.audio.sample_rate, track.audio.channels));
            }
        }
    }
    assert_eq!(rates, [(0x2e, 48_000, 2), (0x2f, 48_000, 2), (0x2e, 48_000, 2)]);
}

/// One of each form.
const BODIES: [(TagKind, &[u8]); 22] = [
    (TagKind::Video, b"\x17\0\0\0\0\x01\x64\x00\x1f\xff\xe1\0\x04\x67\x64\0\x1f\x01\0\x01\x68"),
    (TagKind::Video, b"\x17\x01\0\0\x50\0\0\0\x01\x65"),
    (TagKind::Video, b"\x27\x01\xff\xff\xd8\0\0\0\x01\x41"),
    (TagKind::Video, b"\x17\x02\0\0\0"),
    (TagKind::Video, b"\x1c\0\0\0\0hvcC"),
    (TagKind::Video, b"\x12abc"),
    (TagKind::Video, b"\x57\x00"),
    (TagKind::Video, b"\x90hvc1hvcC"),
    (TagKind::Video, b"\x91hvc1\0\0\x50abc"),
    (TagKind::Video, b"\xa3av01abc"),
    (TagKind::Video, b"\xa7\x02\x07\xa1\x20\x01hvc1\0\0\x01c"),
    (TagKind::Video, b"\xa6\x23hvc1\0\0\0\x01eav01\x01\0\0\x01f"),
    (TagKind::Audio, b"\xaf\0\x12\x10"),
    (TagKind::Audio, b"\xaf\x01abc"),
    (TagKind::Audio, b"\x2f\xff\xfb\x94\x64abc"),
    (TagKind::Audio, b"\x72abc"),
    (TagKind::Audio, b"\xdf\0OpusHead\x01\x02"),
    (TagKind::Audio, b"\x90OpusOpusHead\x01\x02"),
    (TagKind::Audio, b"\x97\x02\0\0\x01\x05\x11Opus\0\0\0\x01e\x01\0\0\x01f"),
    (TagKind::Audio, b"\x91ac-3\x0b\x77\xd0\xf8\x1e\x40\xeb\xf8"),
    (TagKind::Script, b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01a\0\0\0\0\0\0\0\0\0\0\0\x09"),
    (TagKind::Script, b"\x02\0\x0d@setDataFrame\x02\0\x0aonTextData\x05"),
];

#[test]
fn any_prefix_of_any_body_and_any_changed_byte_is_harmless() {
    for (kind, body) in BODIES {
        for len in 0..=body.len() {
            feed(&mut fresh(), kind, &body[..len]);
        }
        for (at, byte) in (0..body.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let mut changed = body.to_vec();
            changed[at] = byte;
            let _ = fresh().tag(kind, Timestamp::ZERO, changed.into(), &mut |_| ());
        }
    }
}

proptest! {
    #[test]
    fn noise_is_harmless(tags: Vec<(u8, Vec<u8>)>) {
        let mut demuxer = fresh();
        for (kind, bytes) in tags {
            let kind = [TagKind::Audio, TagKind::Video, TagKind::Script][usize::from(kind % 3)];
            let mut packets = 0;
            let done = demuxer.tag(kind, Timestamp::ZERO, bytes.into(), &mut |event| {
                if let Event::Packet(packet) = event {
                    assert!(!packet.payload.is_empty(), "packets are never empty");
                    packets += 1;
                }
            });
            prop_assert!(packets <= 64);
            prop_assert!(done.is_ok() || done.is_err_and(|error| error.kind == crate::ErrorKind::Limit));
        }
    }

    #[test]
    fn noise_behind_a_known_start_is_harmless(which in 0..BODIES.len(), keep in 0..12_usize, bytes: Vec<u8>) {
        let (kind, body) = BODIES[which];
        let body = [&body[..keep.min(body.len())], &bytes].concat();
        let _ = fresh().tag(kind, Timestamp::ZERO, body.into(), &mut |_| ());
    }
}
