//! Bodies that are written: byte for byte against the specifications, and read back.

use super::*;

fn config(track: &Track, form: Form) -> Option<(TagKind, Vec<u8>)> {
    let mut out = Vec::new();
    let kind = write_config(track, form, &mut out);
    assert!(kind.is_some() || out.is_empty(), "nothing written where there is nothing");
    kind.map(|kind| (kind, out))
}

fn body(track: &Track, packet: &Packet, form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    let kind = write_packet(Some(track), packet, form, &mut out).unwrap();
    assert_eq!(kind == TagKind::Video, packet.kind == Kind::Video);
    out
}

/// Track and form; the configuration, and a keyframe or sound frame with payload `P`, as they must be written.
type Golden = (Track, Form, Option<&'static [u8]>, &'static [u8]);

fn golden() -> Vec<Golden> {
    use Codec::{Aac, Ac3, Av1, Eac3, Flac, G711A, G711U, H264, H265, H266, LegacyVideo, Mp3};
    use Codec::{Nellymoser, Opus, Pcm, Speex, Vp8, Vp9};
    let (old, new) = (Form::LEGACY, Form::ENHANCED);
    vec![
        // FLV 10.1, E.4.3: keyframe << 4 | codec, packet type, composition time.
        (track(H264, b"C", 0), old, Some(b"\x17\0\0\0\0C"), b"\x17\x01\0\0\0P"),
        (track(H264, b"C", 0), new, Some(b"\x17\0\0\0\0C"), b"\x17\x01\0\0\0P"),
        (track(H265, b"C", 0), old, Some(b"\x1c\0\0\0\0C"), b"\x1c\x01\0\0\0P"),
        (track(LegacyVideo { id: 4 }, b"", 0), old, None, b"\x14P"),
        // Enhanced RTMP: 0x80 | keyframe << 4 | packet type, fourCC. Frames without composition time are of type 3
        // where the codec could have one, of type 1 where it never has.
        (track(H265, b"C", 0), new, Some(b"\x90hvc1C"), b"\x93hvc1P"),
        (track(H266, b"C", 0), old, Some(b"\x90vvc1C"), b"\x93vvc1P"),
        (track(Av1, b"C", 0), old, Some(b"\x90av01C"), b"\x91av01P"),
        (track(Vp9, b"C", 0), new, Some(b"\x90vp09C"), b"\x91vp09P"),
        (track(Vp8, b"", 0), new, None, b"\x91vp08P"),
        // E.4.2: format << 4 | rate << 2 | size << 1 | stereo.
        (track(Aac, b"C", 0), old, Some(b"\xaf\0C"), b"\xaf\x01P"),
        (track(Aac, b"C", 0), new, Some(b"\xaf\0C"), b"\xaf\x01P"),
        (track(Mp3, b"", 0x2a), new, None, b"\x2aP"),
        (track(Mp3, b"", 0xe2), old, None, b"\xe2P"),
        (track(Mp3, b"", 0), old, None, b"\x2fP"),
        (track(Speex, b"", 0xb6), old, None, b"\xb6P"),
        (track(Speex, b"", 0), old, None, b"\xb2P"),
        (track(Nellymoser { id: 4 }, b"", 0x46), old, None, b"\x46P"),
        (track(Nellymoser { id: 6 }, b"", 0x6a), old, None, b"\x6aP"),
        (track(G711A, b"", 0), old, None, b"\x72P"),
        (track(G711U, b"", 0x8e), new, None, b"\x8eP"),
        (track(Pcm { id: 3 }, b"", 0x3e), old, None, b"\x3eP"),
        (track(Pcm { id: 0 }, b"", 0x0e), old, None, b"\x0eP"),
        (track(Opus, b"OpusHead!", 0), old, None, b"\xdfP"),
        // Enhanced RTMP: 0x90 | packet type, fourCC.
        (track(Opus, b"OpusHead!", 0), new, Some(b"\x90OpusOpusHead!"), b"\x91OpusP"),
        (track(Opus, b"", 0), new, Some(b"\x90OpusOpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0"), b"\x91OpusP"),
        (track(Ac3, b"", 0), old, None, b"\x91ac-3P"),
        (track(Eac3, b"", 0), old, None, b"\x91ec-3P"),
        (track(Flac, b"C", 0), old, Some(b"\x90fLaCC"), b"\x91fLaCP"),
    ]
}

#[test]
fn every_codec_is_written_as_specified() {
    for (track, form, expected, frame) in golden() {
        let written = config(&track, form);
        assert_eq!(written.as_ref().map(|(_, body)| &body[..]), expected, "{} {form:?}", track.codec);
        let packet = packet(track.kind(), 1000, b"P");
        assert_eq!(body(&track, &packet, form), frame, "{} {form:?}", track.codec);
        if let Some((kind, _)) = written {
            assert_eq!(kind == TagKind::Video, track.kind() == Kind::Video);
        }
    }
}

#[test]
fn every_codec_survives_being_written_and_read() {
    for (track, form, sent, _) in golden() {
        let video = track.kind() == Kind::Video;
        let times: &[i64] = if form == Form::LEGACY && matches!(track.codec, Codec::H264 | Codec::H265)
            || form == Form::ENHANCED && track.codec == Codec::H265
            || track.codec == Codec::H266
        {
            &[0, 80, -40, 0x7f_ffff, -0x80_0000]
        } else {
            &[0]
        };
        for (composition, flags) in times.iter().flat_map(|time| (0..3).map(move |flags| (*time, flags))) {
            let mut packet = packet(track.kind(), 1000, b"\x01payload");
            packet.pts = Timestamp::from_millis(1000 + composition);
            packet.flags = Flags { keyframe: video && flags == 0, discardable: video && flags == 1 };
            let mut d = fresh();
            let mut seen = Vec::new();
            if let Some((kind, body)) = config(&track, form) {
                d.tag(kind, packet.dts, body.into(), &mut |e| seen.push(e)).unwrap();
            }
            let mut out = Vec::new();
            let kind = write_packet(Some(&track), &packet, form, &mut out).unwrap();
            d.tag(kind, packet.dts, out.into(), &mut |e| seen.push(e)).unwrap();
            let [Event::Track(read), Event::Packet(back)] = &seen[..] else {
                panic!("{} {form:?} {}", track.codec, seen.iter().map(words).collect::<String>())
            };
            assert_eq!((read.codec, read.id), (track.codec, track.id));
            if !track.config.is_empty() && sent.is_some() {
                assert_eq!(read.config, track.config, "{}", track.codec);
            }
            if track.audio.format_byte != 0 {
                assert_eq!(read.audio.format_byte, track.audio.format_byte, "{}", track.codec);
            }
            assert_eq!(*back, packet, "{} {form:?}", track.codec);
        }
    }
}

#[test]
fn composition_times_are_signed_rounded_and_clamped() {
    let avc = track(Codec::H264, b"C", 0);
    let hevc = track(Codec::H265, b"C", 0);
    for (composition_us, bytes) in [
        (80_000, b"\0\0\x50"),
        (-40_000, b"\xff\xff\xd8"),
        (499, b"\0\0\0"),
        (500, b"\0\0\x01"),
        (i64::MAX / 4, b"\x7f\xff\xff"),
        (i64::MIN / 4, b"\x80\0\0"),
    ] {
        let mut packet = packet(Kind::Video, 1000, b"P");
        packet.pts = packet.dts + Timestamp::from_micros(composition_us);
        packet.flags = Flags::default();
        assert_eq!(body(&avc, &packet, Form::LEGACY), [b"\x27\x01", &bytes[..], b"P"].concat());
        let enhanced = body(&hevc, &packet, Form::ENHANCED);
        let expected =
            if bytes == b"\0\0\0" { b"\xa3hvc1P".to_vec() } else { [b"\xa1hvc1", &bytes[..], b"P"].concat() };
        assert_eq!(enhanced, expected);
    }
}

#[test]
fn what_has_no_form_is_not_written() {
    let mut out = Vec::new();
    assert_eq!(write_packet(None, &packet(Kind::Video, 0, b"P"), Form::LEGACY, &mut out), None);
    assert_eq!(write_config(&track(Codec::H264, b"", 0), Form::LEGACY, &mut out), None);
    assert_eq!(write_config(&Track::new(Codec::Script), Form::ENHANCED, &mut out), None);
    assert_eq!(write_metadata(&StreamInfo::default(), Form::LEGACY, TrackFilter::ALL, &mut out), None);
    assert!(out.is_empty());
    let mut data = packet(Kind::Audio, 0, b"\x02\0\x01x");
    data.kind = Kind::Data;
    assert_eq!(write_packet(None, &data, Form::LEGACY, &mut out), Some(TagKind::Script));
    assert_eq!(out, b"\x02\0\x01x");
}

fn metadata_of(info: &StreamInfo, form: Form, filter: TrackFilter) -> Metadata {
    let mut out = Vec::new();
    assert_eq!(write_metadata(info, form, filter, &mut out), Some(TagKind::Script));
    assert!(out.starts_with(b"\x02\0\x0aonMetaData\x08"), "bare, as an ECMA array");
    let mut found = None;
    fresh()
        .tag(TagKind::Script, Timestamp::ZERO, out.into(), &mut |event| {
            if let Event::Metadata(metadata) = event {
                found = Some(metadata);
            }
        })
        .unwrap();
    found.unwrap()
}

#[test]
fn metadata_keeps_what_the_publisher_told_and_tells_what_is_sent() {
    let number = |n: f64| MetaValue::Number(n);
    let fields =
        [("duration", number(7.0)), ("encoder", MetaValue::Text("x".into())), ("width", number(1.0))];
    let metadata = Metadata { fields: fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() };
    let mut video = track(Codec::H265, b"C", 0);
    (video.video.width, video.video.height, video.video.frame_rate_milli) = (1920, 1080, 29_970);
    let mut audio = track(Codec::Opus, b"", 0);
    (audio.audio.sample_rate, audio.audio.channels) = (48_000, 2);
    let info = StreamInfo { video: Some(video), audio: Some(audio), metadata: Some(metadata) };
    for (form, codecs) in [(Form::LEGACY, (12.0, 13.0)), (Form::ENHANCED, (1_752_589_105.0, 1_332_770_163.0))]
    {
        let told = metadata_of(&info, form, TrackFilter::ALL);
        assert_eq!(told.number("videocodecid").zip(told.number("audiocodecid")), Some(codecs));
        assert_eq!(told.number("width").zip(told.number("height")), Some((1920.0, 1080.0)));
        assert_eq!((told.number("framerate"), told.number("audiosamplerate")), (Some(29.97), Some(48_000.0)));
        assert_eq!(
            (told.bool("hasVideo"), told.bool("hasAudio"), told.bool("stereo")),
            (Some(true), Some(true), Some(true))
        );
        assert_eq!((told.text("encoder"), told.number("duration")), (Some("x"), None));
        assert!(told.text("server").is_some_and(|server| server.starts_with("Shardcast/")));
    }
    let told = metadata_of(&info, Form::LEGACY, TrackFilter { video: false, audio: true });
    assert_eq!(
        (told.bool("hasVideo"), told.number("videocodecid"), told.number("width")),
        (Some(false), None, None)
    );
    // Without metadata of the publisher the tracks alone are told.
    let bare = StreamInfo { metadata: None, ..info };
    assert_eq!(metadata_of(&bare, Form::LEGACY, TrackFilter::ALL).number("audiocodecid"), Some(13.0));
}
