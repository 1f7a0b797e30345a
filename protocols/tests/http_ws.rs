//! Playing and publishing over WebSocket: handshake, frames cut anywhere, pings, every kind of end.

mod http_support;

use http_support::{MASK, NONCE, Run, every_cut, flv, flv_events, media_events, units, word};
use media::{Moment, Refusal, Rendition, StopReason};
use proptest::prelude::*;
use protocols::container::flv::{FlvRendition, Form, Framing, TrackFilter};
use protocols::httpflv::client::{PlayEvents, PlayReader, websocket_request, write_goodbye, write_message};
use protocols::ws::Opcode;
use protocols::ws::frame::{write_close, write_frame};
use protocols::{Input, Session, Verdict};
use std::time::Duration;

fn ask(protocol: Option<&str>) -> Run {
    Run::new(&websocket_request("/live/a.flv", "h", NONCE, protocol))
}

fn allowed(protocol: Option<&str>) -> Run {
    let mut run = ask(protocol);
    run.allow().take();
    run
}

fn frame(opcode: Opcode, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, opcode, last, payload, Some(MASK));
    out
}

fn closed(code: u16, reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_close(&mut out, code, reason, None);
    out
}

#[test]
fn the_handshake_follows_the_verdict() {
    for (protocol, answered, event) in [
        (None, None, "play live/a"),
        (Some("publisher"), Some("publisher"), "publish live/a"),
        (Some("post"), Some("post"), "publish live/a"),
        (Some("flv"), Some("flv"), "play live/a"),
        (Some("unheard, of"), None, "play live/a"),
    ] {
        let mut run = ask(protocol);
        assert_eq!((run.events.as_slice(), run.out.len()), (&[event.to_owned()][..], 0));
        assert_eq!(run.session.protocol(), "ws-flv");
        run.allow();
        let line = answered.map_or(String::new(), |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
        assert_eq!(
            run.text(),
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n{line}\r\n",
                tungstenite::handshake::derive_accept_key(b"BwcHBwcHBwcHBwcHBwcHBw==")
            )
        );
        assert_eq!(run.wait, Some(run.now.plus(Duration::from_secs(20))));
    }
    let run = ask(None);
    let rendition = FlvRendition { form: Form::LEGACY, framing: Framing::WsFrame, filter: TrackFilter::ALL };
    assert_eq!(run.play.map(|play| play.rendition.id()), Some(rendition.id()));
}

#[test]
fn a_refusal_is_plain_http() {
    for (refusal, status) in [(Refusal::NotFound, 404), (Refusal::NotAllowed, 403), (Refusal::Limit, 503)] {
        for protocol in [None, Some("publisher")] {
            let mut run = ask(protocol);
            run.input(Input::Verdict(Verdict::Refuse(refusal)));
            assert_eq!(run.status(), status);
            assert!(run.text().contains("Content-Length"));
        }
    }
}

#[test]
fn a_wrong_handshake_is_answered_at_once() {
    let head = |lines: &str| {
        format!(
            "GET /live/a.flv HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{lines}\r\n"
        )
    };
    let run = Run::new(
        head("Sec-WebSocket-Key: BwcHBwcHBwcHBwcHBwcHBw==\r\nSec-WebSocket-Version: 8\r\n").as_bytes(),
    );
    assert!(run.text().starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
    assert!(run.text().contains("Sec-WebSocket-Version: 13\r\n"));
    assert_eq!(run.events, ["play end"]);
    let run = Run::new(head("Sec-WebSocket-Version: 13\r\n").as_bytes());
    assert_eq!(run.status(), 400);
}

#[test]
fn a_push_in_frames_cut_anywhere() {
    let flv = flv();
    for message in [1, 7, 125, 126, 200, 100_000] {
        let mut bytes = Vec::new();
        for (index, part) in flv.chunks(message).enumerate() {
            write_message(&mut bytes, part, MASK);
            if index == 2 {
                bytes.extend(frame(Opcode::Ping, true, b"hi"));
            }
        }
        write_goodbye(&mut bytes, MASK);
        bytes.extend_from_slice(b"after the close");
        let pong = if flv.len().div_ceil(message) > 2 { &[0x8a, 2, b'h', b'i'][..] } else { &[] };
        let told = [pong, &closed(1000, "")].concat();
        every_cut(&bytes, |parts| {
            let mut run = allowed(Some("publisher"));
            for part in parts {
                run.bytes(part);
            }
            assert_eq!(media_events(&run.events), flv_events(), "{message}");
            assert_eq!(run.events[run.events.len() - 2..], ["publish end", "closed"]);
            assert_eq!(run.out, told);
            assert!(!run.session.reusable());
        });
    }
}

#[test]
fn frames_sent_before_the_verdict_are_kept() {
    let mut run = ask(Some("publisher"));
    let mut bytes = Vec::new();
    write_message(&mut bytes, &flv(), MASK);
    run.bytes(&bytes);
    assert_eq!((run.session.buffered_bytes(), run.events.len()), (bytes.len(), 1));
    run.allow();
    assert_eq!(media_events(&run.events), flv_events());
    assert!(run.text().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_message_without_end_is_media_as_it_comes() {
    let mut run = allowed(Some("publisher"));
    let all = flv();
    let (head, tags) = all.split_at(all.len() - units(Framing::Raw).last().map_or(0, Vec::len));
    run.bytes(&frame(Opcode::Binary, false, head));
    let before = media_events(&run.events).len();
    for _ in 0..5_000 {
        run.bytes(&frame(Opcode::Continuation, false, tags));
        assert!(run.session.buffered_bytes() < 32);
    }
    assert_eq!(media_events(&run.events).len() - before, 5_000);
    for _ in 0..5_000 {
        run.bytes(&frame(Opcode::Continuation, false, b""));
    }
    assert!(run.session.buffered_bytes() < 32);
}

#[test]
fn what_a_publisher_must_not_send() {
    let long = [&[0x82, 0xff][..], &(1_u64 << 40).to_be_bytes(), &MASK].concat();
    let huge = [&[0x82, 0xff][..], &(1_u64 << 63).to_be_bytes(), &MASK].concat();
    for (bytes, code) in [
        (frame(Opcode::Text, true, b"hello"), 1003),
        (frame(Opcode::Binary, true, b"no FLV here"), 1007),
        (frame(Opcode::Binary, true, b"FLV\x02\x05\0\0\0\x09"), 1003),
        (vec![0x82, 0x01, 0x00], 1002),
        (vec![0xc2, 0x80], 1002),
        (vec![0x83, 0x80], 1002),
        (vec![0x09, 0x80], 1002),
        (vec![0x89, 0xfe], 1002),
        (frame(Opcode::Continuation, true, b"x"), 1002),
        (frame(Opcode::Close, true, b"\x03"), 1002),
        (frame(Opcode::Close, true, &1006_u16.to_be_bytes()), 1002),
        (long, 1009),
        (huge, 1002),
    ] {
        for piece in [1, 1000] {
            let mut run = allowed(Some("publisher"));
            for part in bytes.chunks(piece) {
                run.bytes(part);
            }
            assert_eq!(run.out.get(..1), Some(&[0x88][..]), "{bytes:02x?}");
            assert_eq!(run.out.get(2..4), Some(&u16::to_be_bytes(code)[..]), "{bytes:02x?}");
            assert!(run.events.last().is_some_and(|event| event.starts_with("closed: ")), "{:?}", run.events);
        }
    }
}

#[test]
fn lengths_longer_than_needed_are_taken_and_counted() {
    let mut run = allowed(Some("publisher"));
    run.bytes(&[0x82, 0xfe, 0, 0, 1, 2, 3, 4]);
    assert_eq!(run.events, ["(frame length longer than needed)"]);
}

#[test]
fn a_flood_of_pings_is_answered_in_part() {
    for protocol in [None, Some("publisher")] {
        let mut run = allowed(protocol);
        let flood = frame(Opcode::Ping, true, &[b'x'; 125]).repeat(10_000);
        run.bytes(&flood);
        assert_eq!(run.out.len(), 8 * 127);
        assert_eq!(run.events, ["(ping not answered)"]);
        run.take();
        run.now = run.now.plus(Duration::from_secs(1));
        run.bytes(&frame(Opcode::Ping, true, b"again").repeat(9));
        assert_eq!(run.out, [&[0x8a, 5][..], b"again"].concat().repeat(8));
    }
}

#[test]
fn an_idle_peer_is_pinged() {
    for protocol in [None, Some("publisher")] {
        let mut run = allowed(protocol);
        let due = run.wait.expect("a deadline");
        run.now = Moment(due.0 - 1);
        run.input(Input::Tick);
        assert!(run.out.is_empty());
        run.now = due;
        run.input(Input::Tick).input(Input::Tick);
        assert_eq!((run.out.as_slice(), run.wait), (&[0x89, 0][..], Some(due.plus(Duration::from_secs(20)))));
        run.bytes(&frame(Opcode::Pong, true, b""));
        assert_eq!((run.out.len(), run.events.len()), (2, 0));
    }
}

#[test]
fn what_a_viewer_says_is_passed_over() {
    let mut run = allowed(None);
    for _ in 0..1_000 {
        run.bytes(&frame(Opcode::Text, false, &[b'x'; 500]));
        run.bytes(&frame(Opcode::Continuation, true, &[b'x'; 500]));
        run.bytes(&frame(Opcode::Binary, true, &[b'x'; 500]));
    }
    assert_eq!((run.out.len(), run.events.len(), run.session.buffered_bytes()), (0, 0, 0));
    run.bytes(&frame(Opcode::Close, true, &1001_u16.to_be_bytes()));
    assert_eq!(run.out, closed(1001, ""));
    assert_eq!(run.events, ["play end", "closed"]);
    let mut run = allowed(None);
    run.bytes(&frame(Opcode::Close, true, b""));
    assert_eq!(run.out, [0x88, 0]);
    let mut run = allowed(None);
    run.bytes(&[0x82, 0x05]);
    assert_eq!(run.events, ["closed: malformed: frame without mask"]);
}

#[test]
fn a_stop_names_its_code() {
    for (reason, code) in [
        (StopReason::StreamEnded, 1000),
        (StopReason::ShuttingDown, 1001),
        (StopReason::Replaced, 1008),
        (StopReason::Idle, 1008),
        (StopReason::Kicked, 1008),
        (StopReason::TooSlow, 1013),
        (StopReason::Limit, 1013),
    ] {
        for protocol in [None, Some("post")] {
            let mut run = allowed(protocol);
            run.input(Input::Stop(reason));
            assert_eq!(
                (run.out.as_slice(), run.events.len()),
                (&closed(code, reason.name())[..], 1),
                "{reason}"
            );
            assert_eq!(run.events, ["closed"]);
        }
    }
}

#[test]
fn a_publisher_that_vanishes_has_not_ended() {
    let mut run = allowed(Some("post"));
    run.input(Input::Eof);
    assert_eq!(run.events, ["closed: misbehaved: connection ended before the publication"]);
}

#[test]
fn the_other_side_reads_what_is_served() {
    let mut run = ask(None);
    run.allow();
    let mut sent = [run.out.clone(), units(Framing::WsFrame).concat()].concat();
    write_frame(&mut sent, Opcode::Ping, true, b"p", None);
    sent.extend(closed(1000, "stream ended"));
    every_cut(&sent, |parts| {
        let mut viewer = PlayEvents::new(PlayReader::websocket(NONCE, MASK));
        let (mut events, mut reply) = (Vec::new(), Vec::new());
        for part in parts {
            viewer.push(part, &mut reply, &mut |event| events.push(word(&event))).expect("good bytes");
        }
        assert_eq!(media_events(&events), flv_events());
        assert_eq!((viewer.reader().status(), viewer.reader().close_code()), (Some(101), Some(1000)));
        assert!(viewer.reader().is_ended());
        assert_eq!(reply, [frame(Opcode::Pong, true, b"p"), frame(Opcode::Close, true, &[3, 0xe8])].concat());
    });
    let mut viewer = PlayReader::websocket([8; 16], MASK);
    assert!(viewer.push(&sent, &mut Vec::new(), &mut |_| Ok(())).is_err());
}

proptest! {
    #[test]
    fn any_bytes(publish: bool, bytes: Vec<u8>, piece in 1_usize..50, verdict: bool) {
        let mut run = ask(publish.then_some("publisher"));
        if verdict {
            run.allow();
        }
        for part in bytes.chunks(piece) {
            run.bytes(part).input(Input::Tick);
        }
        run.allow().input(Input::Stop(StopReason::Kicked)).input(Input::Eof);
        let ends = run.events.iter().filter(|event| event.starts_with("closed")).count();
        prop_assert_eq!(ends, 1);
    }

    #[test]
    fn any_frames(frames in prop::collection::vec((0_u8..16, any::<bool>(), any::<Vec<u8>>()), 0..8), piece in 1_usize..50) {
        let mut bytes = Vec::new();
        write_message(&mut bytes, b"FLV\x01\x05\0\0\0\x09\0\0\0\0", MASK);
        for (opcode, last, payload) in &frames {
            let start = bytes.len();
            write_frame(&mut bytes, Opcode::Binary, *last, payload, Some(MASK));
            bytes[start] = bytes[start] & 0x80 | opcode;
        }
        let whole = { let mut run = allowed(Some("post")); run.bytes(&bytes); run };
        let mut cut = allowed(Some("post"));
        for part in bytes.chunks(piece) {
            cut.bytes(part);
        }
        prop_assert_eq!(&whole.out, &cut.out);
        prop_assert_eq!(media_events(&whole.events), media_events(&cut.events));
    }
}
