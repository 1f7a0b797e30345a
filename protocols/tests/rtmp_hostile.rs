//! Peers that break rules, by mistake or on purpose: an answer where there is one, an error, and no memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod rtmp_support;

use media::{MetaValue, Moment, Refusal, StopReason};
use proptest::prelude::*;
use protocols::rtmp::command::{encode, object};
use protocols::rtmp::{Config, Limits, ServerSession};
use protocols::{Error, Event, Input, Output, Session, Verdict};
use rtmp_support::{
    NOW, Peer, Transcript, config, feed, handshake, number, run, server, server_with, text, words_of,
};
use std::sync::Arc;
use std::time::Duration;

const NULL: MetaValue = MetaValue::Null;

/// The error that ends a session of these bytes.
fn error_of(bytes: &[u8]) -> String {
    let transcript = run(bytes, &[]);
    let last = transcript.events.last().unwrap();
    last.strip_prefix("closed ").unwrap_or_else(|| panic!("{last}")).to_owned()
}

fn ready() -> Peer {
    let mut peer = Peer::new();
    peer.connect("live").create_stream(2.0);
    peer
}

#[test]
fn bad_names_are_answered_without_asking_and_end_the_session() {
    let long = "n".repeat(60_000);
    for name in ["", "..", "a\0b", "a%2fb", "../../etc/passwd", "a b", ".", &"n".repeat(256), &long] {
        let mut peer = ready();
        peer.publish(name);
        let transcript = run(&peer.bytes, &[]);
        let words = words_of(&transcript.bytes);
        assert_eq!(words.last().unwrap(), "onStatus 0 on 1: NetStream.Publish.BadName", "{name:.9}");
        assert_eq!(transcript.events.last().unwrap(), "closed misbehaved: name of the published stream");
        let mut peer = ready();
        peer.play(name);
        let transcript = run(&peer.bytes, &[]);
        let words = words_of(&transcript.bytes);
        assert_eq!(words.last().unwrap(), "onStatus 0 on 1: NetStream.Play.StreamNotFound", "{name:.9}");
        assert_eq!(transcript.events.len(), 3, "no request came out");
    }
    let mut peer = ready();
    peer.publish(&"n".repeat(65_536));
    assert_eq!(error_of(&peer.bytes), "limit: message length");
    let mut peer = Peer::new();
    peer.connect(&"a".repeat(5000));
    let transcript = run(&peer.bytes, &[]);
    assert_eq!(words_of(&transcript.bytes), ["_error 1 on 0: NetConnection.Connect.Rejected"]);
    assert_eq!(transcript.events.last().unwrap(), "closed limit: length of app or tcUrl");
}

#[test]
fn rules_of_the_chunk_stream_end_the_session() {
    let after_handshake = |bytes: &[u8]| error_of(&[handshake(), bytes.to_vec()].concat());
    assert_eq!(after_handshake(&[0xc3]), "misbehaved: chunk type 2 or 3 before any type 0");
    assert_eq!(after_handshake(&[0x83, 0, 0, 0]), "misbehaved: chunk type 2 or 3 before any type 0");
    for size in [0, 0x8000_0000, u32::MAX] {
        let mut peer = Peer::new();
        peer.message(2, 1, 0, 0, &u32::to_be_bytes(size));
        assert_eq!(error_of(&peer.bytes), "malformed: chunk size");
    }
    assert_eq!(error_of(&[6]), "unsupported: RTMPE");
    assert_eq!(error_of(b"GET / HTTP/1.1"), "malformed: handshake version");
}

#[test]
fn commands_out_of_turn_end_the_session() {
    for name in ["createStream", "publish", "play", "anything"] {
        let mut peer = Peer::new();
        peer.command(3, 0, &[text(name), number(1.0), NULL, text("demo")]);
        assert_eq!(error_of(&peer.bytes), "misbehaved: command before connect", "{name}");
    }
    let mut peer = ready();
    peer.connect("live");
    assert_eq!(error_of(&peer.bytes), "misbehaved: second connect");
    let mut peer = Peer::new();
    peer.command(3, 0, &[number(1.0)]);
    assert_eq!(error_of(&peer.bytes), "malformed: command without a name");
    let mut peer = ready();
    for n in 0..8 {
        peer.create_stream(f64::from(n + 3));
    }
    assert_eq!(error_of(&peer.bytes), "limit: message streams");
}

#[test]
fn nested_values_and_endless_objects_are_bounded() {
    let mut body = encode(&[text("connect"), number(1.0)]);
    for _ in 0..10_000 {
        body.extend([3, 0, 1, b'a']);
    }
    let mut peer = Peer::new();
    peer.message(3, 20, 0, 0, &body);
    assert!(error_of(&peer.bytes).starts_with("limit: "));
    let mut peer = Peer::new();
    let fields: Vec<_> = (0..5000).map(|_| ("a", NULL)).collect();
    peer.command(3, 0, &[text("connect"), number(1.0), object(&fields)]);
    assert!(error_of(&peer.bytes).starts_with("limit: "));
}

#[test]
fn no_long_message_is_gathered_before_a_publication_is_allowed() {
    for kind in [8, 9, 18, 20, 22, 99] {
        let mut peer = ready();
        peer.message(4, kind, 1, 0, &vec![0; 70_000]);
        assert_eq!(error_of(&peer.bytes), "limit: message length", "{kind}");
    }
    let mut peer = ready();
    peer.publish("demo").message(4, 9, 1, 0, &vec![0; 70_000]);
    let transcript = run(&peer.bytes, &[]);
    assert!(transcript.events.iter().all(|event| !event.starts_with("closed")), "{:?}", transcript.events);
}

#[test]
fn unfinished_messages_are_bounded_in_number_and_bytes() {
    let mut peer = ready();
    for csid in 4..=63 {
        // A claim of 60 kB, of which one chunk comes.
        peer.bytes.extend([csid, 0, 0, 0, 0, 0xea, 0x60, 20, 0, 0, 0, 0]);
        peer.bytes.extend([0; 128]);
    }
    assert_eq!(error_of(&peer.bytes), "limit: bytes of unfinished messages");
    let mut peer = ready();
    for csid in 0..=255 {
        peer.bytes.extend([0, csid, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0]);
    }
    assert_eq!(error_of(&peer.bytes), "limit: chunk streams");
}

#[test]
fn what_comes_before_the_verdict_is_kept_and_bounded() {
    let limits = Limits { pending_bytes: 1000, ..Limits::default() };
    let mut peer = ready();
    peer.publish("demo");
    let asked = || {
        let mut session = server_with(Config { limits: limits.clone(), ..config() });
        let mut transcript = Transcript::default();
        feed(&mut session, Input::Bytes(&peer.bytes), None, &mut transcript);
        assert_eq!(transcript.events.len(), 3);
        (session, transcript)
    };
    let (mut session, mut transcript) = asked();
    for n in 1..=1000 {
        feed(&mut session, Input::Bytes(&[0]), None, &mut transcript);
        assert_eq!(session.buffered_bytes(), n);
    }
    assert_eq!(session.handle(NOW, Input::Bytes(&[0])), Err(Error::limit("bytes before the verdict")));
    feed(&mut session, Input::Tick, None, &mut transcript);
    assert_eq!(transcript.events.last().unwrap(), "closed limit: bytes before the verdict");

    let (mut session, mut transcript) = asked();
    let mut media = Peer { bytes: vec![], chunk_size: 128 };
    media.message(4, 8, 1, 0, &[0xaf, 0, 0x12, 0x10]).message(4, 8, 1, 23, &[0xaf, 1, 7]);
    feed(&mut session, Input::Bytes(&media.bytes), None, &mut transcript);
    assert_eq!(transcript.events.len(), 3, "no media before the verdict");
    feed(&mut session, Input::Verdict(Verdict::Allow), None, &mut transcript);
    assert_eq!(transcript.events.len(), 5);
    assert_eq!(session.buffered_bytes(), 0);

    let (mut session, mut transcript) = asked();
    feed(&mut session, Input::Bytes(&media.bytes), None, &mut transcript);
    feed(&mut session, Input::Verdict(Verdict::Refuse(Refusal::NotAllowed)), None, &mut transcript);
    feed(&mut session, Input::Bytes(&media.bytes), None, &mut transcript);
    assert_eq!(transcript.events[3..], ["closed"], "nothing of a refused publication is looked at");
    assert_eq!(session.buffered_bytes(), 0);
}

#[test]
fn a_second_request_while_one_runs_is_refused_and_the_first_goes_on() {
    let mut peer = ready();
    peer.publish("one").publish("two").play("three");
    peer.message(4, 8, 1, 0, &[0xaf, 0, 0x12, 0x10]).message(4, 8, 1, 23, &[0xaf, 1, 7]);
    let transcript = run(&peer.bytes, &[]);
    let words = words_of(&transcript.bytes);
    assert_eq!(
        words[5..],
        [
            "onStatus 0 on 1: NetStream.Publish.Start",
            "onStatus 0 on 1: NetStream.Publish.BadName",
            "onStatus 0 on 1: NetStream.Play.Failed"
        ]
    );
    assert!(transcript.events.last().unwrap().starts_with("packet Audio 0.023s"));
}

#[test]
fn a_peer_that_stays_in_the_handshake_is_closed_in_time() {
    let config = Config { handshake_timeout: Some(Duration::from_secs(5)), ..config() };
    let after = |seconds| NOW.plus(Duration::from_secs(seconds));
    let mut session = server_with(config.clone());
    assert!(matches!(session.poll(NOW), Output::Wait(Some(at)) if at == after(5)));
    for second in 1..5 {
        session.handle(after(second), Input::Bytes(&[3])).unwrap();
    }
    assert_eq!(session.handle(after(5), Input::Tick), Err(Error::limit("handshake timeout")));
    assert!(matches!(session.poll(after(5)), Output::Event(Event::Closed(Some(_)))));
    assert!(matches!(session.poll(after(5)), Output::Wait(None)));

    let mut session = server_with(config);
    session.handle(after(1), Input::Bytes(&handshake())).unwrap();
    session.handle(after(100), Input::Tick).unwrap();
    while !matches!(session.poll(after(100)), Output::Wait(wait) if wait.is_none()) {}
}

#[test]
fn one_reply_is_given_to_a_flood_of_one_broken_rule() {
    let mut peer = ready();
    peer.publish("demo");
    // Type 0 once, then ten thousand empty audio messages of one byte each.
    peer.bytes.extend([4, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0]);
    peer.bytes.extend([0xc4; 10_000]);
    let transcript = run(&peer.bytes, &[]);
    assert_eq!(transcript.events[3..], ["leniency empty media message"]);
}

#[test]
fn an_idle_player_costs_little() {
    let mut peer = ready();
    peer.play("demo");
    let mut session = server();
    let mut transcript = Transcript::default();
    feed(&mut session, Input::Bytes(&peer.bytes), Some(Verdict::Allow), &mut transcript);
    assert!(session.memory_bytes() < 700, "{} bytes", session.memory_bytes());
    let mut pings = Peer { bytes: vec![], chunk_size: 128 };
    for _ in 0..1000 {
        pings.message(2, 4, 0, 0, &[0, 6, 0, 0, 0, 9]).message(2, 3, 0, 0, &[0, 0, 0, 1]);
    }
    feed(&mut session, Input::Bytes(&pings.bytes), None, &mut transcript);
    assert!(session.memory_bytes() < 700, "{} bytes", session.memory_bytes());
}

#[test]
fn media_outside_a_publication_is_passed_over() {
    let mut peer = ready();
    peer.message(4, 8, 1, 0, &[0xaf, 0, 0x12, 0x10]);
    peer.play("demo").message(4, 9, 1, 0, &[0x17, 0, 0, 0, 0]).message(3, 19, 0, 0, &[0]).message(
        3,
        99,
        0,
        0,
        &[0],
    );
    let transcript = run(&peer.bytes, &[]);
    let leniencies: Vec<&String> =
        transcript.events.iter().filter(|event| event.starts_with("leniency")).collect();
    assert_eq!(
        leniencies,
        [
            "leniency media outside a publication",
            "leniency media outside a publication",
            "leniency unknown message type"
        ]
    );
}

#[test]
fn leniencies_of_requests_are_counted() {
    let mut peer = Peer::new();
    peer.connect("live").command(3, 0, &[text("nobody knows me"), number(9.0), NULL]);
    peer.command(3, 0, &[text("publish"), number(0.0), NULL, text("demo"), text("record")]);
    let transcript = run(&peer.bytes, &[]);
    assert_eq!(
        transcript.events[2..5],
        [
            "leniency unknown command",
            "leniency publish to record or append taken as live",
            "leniency request on a message stream that was not created"
        ]
    );
    assert_eq!(words_of(&transcript.bytes)[4..], ["onStatus 0 on 0: NetStream.Publish.Start"]);
}

#[test]
fn a_peer_that_can_reconnect_is_asked_to_when_the_server_drains() {
    for (caps, expected) in [(None, 4), (Some(1.0), 5), (Some(2.0), 4)] {
        let mut fields = vec![("app", text("live"))];
        fields.extend(caps.map(|caps| ("capsEx", number(caps))));
        let mut peer = Peer::new();
        peer.command(3, 0, &[text("connect"), number(1.0), object(&fields)]).create_stream(2.0).play("demo");
        let mut session = server();
        let mut transcript = Transcript::default();
        feed(&mut session, Input::Bytes(&peer.bytes), Some(Verdict::Allow), &mut transcript);
        let before = words_of(&transcript.bytes).len();
        feed(&mut session, Input::Stop(StopReason::ShuttingDown), None, &mut transcript);
        let words = words_of(&transcript.bytes)[before..].to_vec();
        assert_eq!(words.len(), expected, "{words:?}");
        assert_eq!(words[0], "event 1 of 1");
        assert_eq!(words.last().unwrap(), "onStatus 0 on 0: NetConnection.Connect.Closed");
        let asked = words.iter().any(|word| word.ends_with("NetConnection.Connect.ReconnectRequest"));
        assert_eq!(asked, expected == 5);
        assert_eq!(transcript.events.last().unwrap(), "closed");
    }
}

#[test]
fn a_closed_session_takes_nothing_more() {
    let mut session = server();
    let mut transcript = Transcript::default();
    feed(&mut session, Input::Eof, None, &mut transcript);
    feed(&mut session, Input::Bytes(&handshake()), None, &mut transcript);
    feed(&mut session, Input::Stop(StopReason::Kicked), None, &mut transcript);
    feed(&mut session, Input::Verdict(Verdict::Allow), None, &mut transcript);
    assert_eq!((transcript.events, transcript.bytes), (vec!["closed".to_owned()], vec![]));
}

fn small() -> ServerSession {
    let mut limits = Limits { pending_bytes: 2000, ..Limits::default() };
    limits.chunks.media_bytes = 4000;
    limits.chunks.command_bytes = 1000;
    limits.chunks.partial_bytes = 8000;
    ServerSession::new(Arc::new(Config { limits, ..config() }), 1, Moment(0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever comes, in whichever phase: no panic, bounded memory, and one end.
    #[test]
    fn arbitrary_bytes_at_any_point(
        phase in 0..5usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        cut in 1usize..100,
        verdict in any::<bool>(),
    ) {
        let mut peer = Peer { bytes: if phase > 0 { handshake() } else { vec![] }, chunk_size: 128 };
        if phase > 1 { peer.connect("live").create_stream(2.0); }
        if phase == 3 { peer.publish("demo"); }
        if phase == 4 { peer.play("demo"); }
        let mut session = small();
        let mut transcript = Transcript::default();
        let verdict = verdict.then_some(Verdict::Allow);
        feed(&mut session, Input::Bytes(&peer.bytes), verdict, &mut transcript);
        for piece in bytes.chunks(cut) {
            feed(&mut session, Input::Bytes(piece), verdict, &mut transcript);
            prop_assert!(session.buffered_bytes() <= 16_000);
            prop_assert!(session.memory_bytes() <= 40_000);
        }
        feed(&mut session, Input::Eof, None, &mut transcript);
        let ends = transcript.events.iter().filter(|event| event.starts_with("closed")).count();
        prop_assert_eq!(ends, 1);
    }

    /// Whole messages of any type and content to a publication.
    #[test]
    fn arbitrary_messages_to_a_publication(
        messages in proptest::collection::vec((0u8..24, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..60)), 1..30),
    ) {
        let mut peer = ready();
        peer.publish("demo");
        for (kind, timestamp, body) in &messages {
            peer.message(4, *kind, 1, *timestamp, body);
        }
        let transcript = run(&peer.bytes, &[]);
        prop_assert!(transcript.events.len() >= 3);
    }
}
