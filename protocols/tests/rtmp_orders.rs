//! The orders of commands that encoders, players and relays send: whatever the cuts, the same replies and events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod rtmp_support;

use media::MetaValue;
use protocols::rtmp::command::{encode, object};
use rtmp_support::{Peer, Transcript, handshake, number, run, text, words_of};

const NULL: MetaValue = MetaValue::Null;
const CONNECTED: [&str; 4] =
    ["control 5", "control 6", "control 1", "_result 1 on 0: NetConnection.Connect.Success"];

/// One run, after checking that every cut in two, and byte by byte, gives the same.
fn every_cut(bytes: &[u8]) -> Transcript {
    let whole = run(bytes, &[]);
    for cut in 0..bytes.len() {
        assert_eq!(run(bytes, &[cut]), whole, "cut at {cut}");
    }
    let all: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(run(bytes, &all), whole, "byte by byte");
    whole
}

/// Replies after those to `connect`.
fn replies(transcript: &Transcript) -> Vec<String> {
    let words = words_of(&transcript.bytes);
    assert_eq!(words[..4], CONNECTED);
    words[4..].to_vec()
}

fn connect_object(fields: &[(&str, &str)]) -> MetaValue {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, text(value))).collect();
    object(&fields)
}

fn media(peer: &mut Peer, audio: u8, video: u8, data: u8) {
    let mut body = encode(&[text("@setDataFrame"), text("onMetaData")]);
    protocols::amf::write_ecma_array(&[("width".to_owned(), number(64.0))], &mut body);
    peer.message(data, 18, 1, 0, &body);
    peer.message(audio, 8, 1, 0, &[0xaf, 0, 0x12, 0x10]);
    peer.message(audio, 8, 1, 10, &[0xaf, 1, 1, 2, 3]);
    let avc = [0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 2, 0x67, 0x42, 1, 0, 1, 0x68];
    peer.message(video, 9, 1, 0, &avc);
    let mut frame = vec![0x17, 1, 0, 0, 40, 0, 0, 1, 0, 0x65];
    frame.extend([0x55; 255]);
    peer.message(video, 9, 1, 20, &frame);
}

fn kinds(transcript: &Transcript) -> Vec<&str> {
    transcript.events.iter().map(|event| event.split(' ').next().unwrap()).collect()
}

const PUBLISHED: [&str; 8] = ["step", "step", "publish", "metadata", "track", "packet", "track", "packet"];

#[test]
fn obs_announces_its_chunk_size_and_sends_all_media_on_one_chunk_stream() {
    let mut peer = Peer::new();
    let app = "live?token=1";
    let connect = connect_object(&[
        ("app", app),
        ("type", "nonprivate"),
        ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)"),
        ("swfUrl", "rtmp://example.org/live?token=1"),
        ("tcUrl", "rtmp://example.org/live?token=1"),
    ]);
    peer.chunk_size(4096)
        .command(3, 0, &[text("connect"), number(1.0), connect])
        .command(3, 0, &[text("releaseStream"), number(2.0), NULL, text("demo?key=2")])
        .command(3, 0, &[text("FCPublish"), number(3.0), NULL, text("demo?key=2")])
        .command(3, 0, &[text("createStream"), number(4.0), NULL])
        .command(4, 1, &[text("publish"), number(5.0), NULL, text("demo?key=2"), text("live")]);
    media(&mut peer, 4, 4, 4);
    peer.command(3, 0, &[text("FCUnpublish"), number(6.0), NULL, text("demo?key=2")]).command(
        3,
        0,
        &[text("deleteStream"), number(7.0), NULL, number(1.0)],
    );
    let transcript = every_cut(&peer.bytes);
    let expected = [
        "_result 2 on 0",
        "_result 3 on 0",
        "_result 4 on 0",
        "onStatus 0 on 1: NetStream.Publish.Start",
        "onStatus 0 on 1: NetStream.Unpublish.Success",
    ];
    assert_eq!(replies(&transcript), expected);
    assert_eq!(kinds(&transcript)[..8], PUBLISHED);
    assert_eq!(
        transcript.events[2],
        "publish live/demo [(\"token\", \"1\"), (\"key\", \"2\")] FMLE/3.0 (compatible; FMSc/1.0) example.org"
    );
    assert_eq!(transcript.events[8..], ["publish end"], "once, although it was said twice");
}

#[test]
fn ffmpeg_publishes_on_several_chunk_streams_and_pipelines() {
    let mut peer = Peer::new();
    peer.connect("live")
        .chunk_size(60000)
        .command(3, 0, &[text("releaseStream"), number(2.0), NULL, text("demo")])
        .command(3, 0, &[text("FCPublish"), number(3.0), NULL, text("demo")])
        .command(3, 0, &[text("createStream"), number(4.0), NULL])
        .command(8, 1, &[text("publish"), number(5.0), NULL, text("demo"), text("live")]);
    media(&mut peer, 4, 6, 4);
    peer.command(3, 0, &[text("FCUnpublish"), number(6.0), NULL, text("demo")]);
    let transcript = every_cut(&peer.bytes);
    assert_eq!(replies(&transcript).len(), 5);
    assert_eq!(kinds(&transcript)[..8], PUBLISHED);
    assert_eq!(transcript.events.last().unwrap(), "publish end");
}

#[test]
fn flash_era_encoders_use_transaction_zero_and_ask_for_bandwidth() {
    let mut peer = Peer::new();
    let connect = connect_object(&[
        ("app", "live"),
        ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)"),
        ("tcUrl", "rtmp://example.org:1935/live"),
    ]);
    peer.command(3, 0, &[text("connect"), number(1.0), connect])
        .message(2, 5, 0, 0, &2_500_000_u32.to_be_bytes())
        .command(3, 0, &[text("_checkbw"), number(2.0), NULL])
        .command(3, 0, &[text("releaseStream"), number(3.0), NULL, text("demo")])
        .command(3, 0, &[text("FCPublish"), number(4.0), NULL, text("demo")])
        .command(3, 0, &[text("createStream"), number(5.0), NULL])
        .command(3, 1, &[text("publish"), number(0.0), NULL, text("demo"), text("live")]);
    media(&mut peer, 4, 4, 4);
    peer.command(3, 1, &[text("closeStream"), number(0.0), NULL]);
    let transcript = every_cut(&peer.bytes);
    let expected = [
        "_result 2 on 0",
        "_result 3 on 0",
        "_result 4 on 0",
        "_result 5 on 0",
        "onStatus 0 on 1: NetStream.Publish.Start",
        "onStatus 0 on 1: NetStream.Unpublish.Success",
    ];
    assert_eq!(replies(&transcript), expected);
    assert_eq!(transcript.events.last().unwrap(), "publish end");
}

#[test]
fn a_relay_of_node_media_server_pushes_and_pulls() {
    let connect = object(&[
        ("app", text("live")),
        ("flashVer", text("LNX 9,0,124,2")),
        ("tcUrl", text("rtmp://example.org/live")),
        ("fpad", number(0.0)),
        ("capabilities", number(15.0)),
        ("audioCodecs", number(3191.0)),
        ("videoCodecs", number(252.0)),
        ("videoFunction", number(1.0)),
        ("encoder", text("NodeMediaClient")),
    ]);
    let mut push = Peer::new();
    push.command(3, 0, &[text("connect"), number(1.0), connect.clone()])
        .chunk_size(60000)
        .command(3, 0, &[text("releaseStream"), number(2.0), NULL, text("demo")])
        .command(3, 0, &[text("FCPublish"), number(3.0), NULL, text("demo")])
        .command(3, 0, &[text("createStream"), number(4.0), NULL])
        .command(3, 1, &[text("publish"), number(5.0), NULL, text("demo"), text("live")])
        .message(2, 4, 0, 0, &[0, 6, 0, 0, 0, 7]);
    media(&mut push, 4, 5, 6);
    push.command(3, 0, &[text("FCUnpublish"), number(6.0), NULL, text("demo")]).command(
        3,
        1,
        &[text("deleteStream"), number(7.0), NULL, number(1.0)],
    );
    let transcript = every_cut(&push.bytes);
    assert_eq!(kinds(&transcript)[..8], PUBLISHED);
    assert_eq!(replies(&transcript)[4], "event 7 of 7");

    let mut pull = Peer::new();
    pull.command(3, 0, &[text("connect"), number(1.0), connect])
        .message(2, 5, 0, 0, &5_000_000_u32.to_be_bytes())
        .command(3, 0, &[text("createStream"), number(2.0), NULL])
        .command(
            3,
            1,
            &[text("play"), number(3.0), NULL, text("demo"), number(-2.0), number(-1.0), number(1.0)],
        )
        .message(2, 4, 0, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 3, 0xe8]);
    let transcript = every_cut(&pull.bytes);
    assert_eq!(replies(&transcript).len(), 5);
    assert_eq!(kinds(&transcript), ["step", "step", "play"]);
}

#[test]
fn amf3_commands_and_data_are_read() {
    let mut peer = Peer::new();
    let with_format = |values: &[MetaValue]| [vec![0], encode(values)].concat();
    let connect = object(&[("app", text("live")), ("objectEncoding", number(3.0))]);
    peer.message(3, 17, 0, 0, &with_format(&[text("connect"), number(1.0), connect]))
        .message(3, 17, 0, 0, &with_format(&[text("createStream"), number(2.0), NULL]))
        .message(
            3,
            17,
            1,
            0,
            &with_format(&[text("publish"), number(0.0), NULL, text("demo"), text("live")]),
        );
    let mut body = encode(&[text("@setDataFrame"), text("onMetaData")]);
    protocols::amf::write_ecma_array(&[("width".to_owned(), number(64.0))], &mut body);
    peer.message(3, 15, 1, 0, &[vec![0], body].concat());
    let transcript = every_cut(&peer.bytes);
    assert_eq!(replies(&transcript).len(), 2);
    assert_eq!(kinds(&transcript), ["step", "step", "publish", "metadata"]);
}

#[test]
fn an_aggregate_is_taken_apart() {
    let mut peer = Peer::new();
    peer.connect("live").create_stream(2.0).publish("demo");
    let part = |kind: u8, time: u8, body: &[u8]| {
        let head = [kind, 0, 0, body.len() as u8, 0, 0, time, 0, 0, 0, 0];
        [&head, body, &(11 + body.len() as u32).to_be_bytes()].concat()
    };
    let body =
        [part(8, 100, &[0xaf, 0, 0x12, 0x10]), part(8, 110, &[0xaf, 1, 7]), part(8, 133, &[0xaf, 1, 8])];
    peer.message(4, 22, 1, 5000, &body.concat());
    let transcript = every_cut(&peer.bytes);
    assert_eq!(
        transcript.events[3..],
        ["track AAC 1210", "packet Audio 5.010s 5.010s false 07", "packet Audio 5.033s 5.033s false 08"]
    );
}

#[test]
fn players_get_all_that_stands_before_the_shared_bytes() {
    let mut peer = Peer::new();
    let connect = object(&[
        ("app", text("live")),
        ("flashVer", text("LNX 9,0,124,2")),
        ("tcUrl", text("rtmp://example.org/live")),
        ("fpad", MetaValue::Bool(false)),
        ("capabilities", number(15.0)),
        ("audioCodecs", number(4071.0)),
        ("videoCodecs", number(252.0)),
        ("videoFunction", number(1.0)),
    ]);
    peer.command(3, 0, &[text("connect"), number(1.0), connect])
        .message(2, 5, 0, 0, &2_500_000_u32.to_be_bytes())
        .command(3, 0, &[text("createStream"), number(2.0), NULL])
        .command(3, 0, &[text("FCSubscribe"), number(3.0), NULL, text("demo")])
        .command(8, 0, &[text("getStreamLength"), number(4.0), NULL, text("demo")])
        .command(8, 1, &[text("play"), number(5.0), NULL, text("demo?gop=0&class=live"), number(-2000.0)])
        .message(2, 4, 0, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 0x0b, 0xb8])
        .command(8, 1, &[text("pause"), number(6.0), NULL, MetaValue::Bool(true), number(0.0)])
        .command(8, 1, &[text("receiveAudio"), number(0.0), NULL, MetaValue::Bool(false)])
        .message(2, 4, 0, 0, &[0, 6, 0, 0, 0, 9])
        .command(3, 0, &[text("deleteStream"), number(0.0), NULL, number(1.0)]);
    let transcript = every_cut(&peer.bytes);
    let expected = [
        "_result 2 on 0",
        "_result 3 on 0",
        "_result 4 on 0",
        "event 0 of 1",
        "onStatus 0 on 1: NetStream.Play.Reset",
        "onStatus 0 on 1: NetStream.Play.Start",
        "data |RtmpSampleAccess",
        "event 7 of 9",
    ];
    assert_eq!(replies(&transcript), expected);
    assert_eq!(kinds(&transcript), ["step", "step", "play", "leniency", "play"]);
    assert!(transcript.events[2].contains("JoinStart { gop: Some(false), class: Some(Live) }"));
    assert_eq!(transcript.events[4], "play end");
}

#[test]
fn another_request_may_follow_the_end_of_one() {
    let mut peer = Peer::new();
    peer.connect("live").create_stream(2.0).publish("one");
    peer.command(3, 0, &[text("FCUnpublish"), number(6.0), NULL, text("one")]);
    peer.publish("two").command(3, 1, &[text("closeStream"), number(0.0), NULL]);
    peer.play("three").command(3, 1, &[text("play"), number(0.0), NULL, MetaValue::Bool(false)]);
    let transcript = every_cut(&peer.bytes);
    let got: Vec<&str> = transcript.events.iter().map(|event| event.split(" [").next().unwrap()).collect();
    let expected = [
        "step handshake",
        "step connect",
        "publish live/one",
        "publish end",
        "publish live/two",
        "publish end",
        "play live/three",
        "play end",
    ];
    assert_eq!(got, expected);
}

/// What these programs sent to this server over loopback, without their handshake. See `data/rtmp/README.md`.
#[test]
fn recordings_of_real_programs_are_understood() {
    for (name, bytes, request, packets) in [
        ("ffmpeg 5.1", include_bytes!("data/rtmp/ffmpeg-publish.bin").as_slice(), "publish live/demo", 28),
        ("rtmp2sink 1.22", include_bytes!("data/rtmp/gstreamer-publish.bin"), "publish live/gst", 28),
        ("ffmpeg 5.1", include_bytes!("data/rtmp/ffmpeg-play.bin"), "play live/demo", 0),
        ("rtmpdump 2.4", include_bytes!("data/rtmp/rtmpdump-play.bin"), "play live/demo", 0),
        ("rtmp2src 1.22", include_bytes!("data/rtmp/gstreamer-play.bin"), "play live/demo", 0),
    ] {
        let bytes = [handshake(), bytes.to_vec()].concat();
        let transcript = every_cut(&bytes);
        let count = |word: &str| kinds(&transcript).iter().filter(|kind| **kind == word).count();
        assert_eq!(count("packet"), packets, "{name}");
        assert_eq!((count("leniency"), count("closed")), (0, 0), "{name}: {:?}", transcript.events);
        assert!(transcript.events[2].starts_with(request), "{name}: {}", transcript.events[2]);
        let end = format!("{} end", request.split(' ').next().unwrap());
        assert!(packets == 0 || transcript.events.last() == Some(&end), "{name}");
    }
}
