//! Publishing over HTTP: every framing of the body, cut anywhere; what is answered when.

mod http_support;

use http_support::{Run, every_cut, flv, flv_events, media_events};
use media::{Refusal, StopReason};
use proptest::prelude::*;
use protocols::httpflv::Config;
use protocols::httpflv::client::{push_request, write_chunk, write_last_chunk};
use protocols::{Input, Session, Verdict};

fn chunked(flv: &[u8], chunk: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for part in flv.chunks(chunk) {
        write_chunk(&mut body, part);
    }
    write_last_chunk(&mut body);
    body
}

fn push(lines: &str) -> Run {
    Run::new(format!("POST /live/a.flv HTTP/1.1\r\nHost: h\r\n{lines}\r\n").as_bytes())
}

#[test]
fn a_push_in_chunks_cut_anywhere() {
    for chunk in [1, 13, 100, 100_000] {
        let body = [chunked(&flv(), chunk), b"NEXT".to_vec()].concat();
        every_cut(&body, |parts| {
            let mut run = Run::new(&push_request("/live/a.flv?k=v", "h"));
            assert_eq!(run.events, ["publish live/a"]);
            run.allow();
            for part in parts {
                run.bytes(part);
            }
            assert_eq!(media_events(&run.events), flv_events());
            assert_eq!(run.events.last().map(String::as_str), Some("publish end"));
            assert!(run.text().starts_with("HTTP/1.1 200 OK\r\n") && run.text().ends_with("\r\n\r\nok\n"));
            assert!(!run.text().contains("Connection"));
            assert_eq!(run.session.into_next().expect("the next request"), "NEXT");
        });
    }
}

#[test]
fn a_push_with_a_length_begun_before_the_verdict() {
    let flv = flv();
    for method in ["POST", "PUT"] {
        every_cut(&[&flv[..], b"NEXT"].concat(), |parts| {
            let head =
                format!("{method} /live/a.flv HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", flv.len());
            let mut run = Run::new(&[head.as_bytes(), parts[0]].concat());
            assert_eq!((run.events.len(), run.session.buffered_bytes()), (1, parts[0].len()));
            run.allow();
            for part in &parts[1..] {
                run.bytes(part);
            }
            assert_eq!(media_events(&run.events), flv_events());
            assert_eq!(run.status(), 200);
            assert_eq!(run.session.into_next().expect("the next request"), "NEXT");
        });
    }
}

#[test]
fn a_push_that_ends_with_its_connection() {
    for version in ["1.0", "1.1"] {
        let mut run = Run::new(format!("POST /live/a.flv HTTP/{version}\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!(run.events, ["(push without a length)", "publish live/a"]);
        run.allow().bytes(&flv());
        assert_eq!(run.out.len(), 0);
        run.input(Input::Eof);
        assert_eq!(media_events(&run.events), flv_events());
        assert_eq!(run.events[run.events.len() - 2..], ["publish end", "closed"]);
        assert!(run.text().contains("200 OK") && run.text().contains("Connection: close\r\n"));
    }
}

#[test]
fn a_body_cut_short_is_no_proper_end() {
    let flv = flv();
    let mut run = push(&format!("Content-Length: {}\r\n", flv.len()));
    run.allow().bytes(&flv[..flv.len() - 1]).input(Input::Eof);
    assert_eq!(
        run.events.last().map(String::as_str),
        Some("closed: misbehaved: connection ended before the publication")
    );
    assert!(!run.events.contains(&"publish end".to_owned()));
    assert!(run.out.is_empty());
}

#[test]
fn a_whole_body_that_ends_inside_a_tag_is_counted() {
    let flv = &flv()[..flv().len() - 20];
    let mut run = push(&format!("Content-Length: {}\r\n", flv.len()));
    run.allow().bytes(flv);
    assert_eq!(run.events[run.events.len() - 2..], ["(FLV ends inside a tag)", "publish end"]);
    assert_eq!(run.status(), 200);
}

#[test]
fn the_peer_is_told_to_go_on_after_the_verdict_only() {
    let mut run = push("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n");
    assert!(run.out.is_empty());
    run.allow();
    assert_eq!(run.take().0, b"HTTP/1.1 100 Continue\r\n\r\n");
    run.bytes(&chunked(&flv(), 50));
    assert_eq!((run.status(), media_events(&run.events)), (200, flv_events()));
    // A peer that did not wait needs no word.
    let mut run = push("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n");
    run.bytes(b"1").allow();
    assert!(run.out.is_empty());
    let mut run = push("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n");
    run.input(Input::Verdict(Verdict::Refuse(Refusal::NotAllowed)));
    assert!(run.text().starts_with("HTTP/1.1 403 "));
    let run = push("Transfer-Encoding: chunked\r\nExpect: wonders\r\n");
    assert_eq!((run.status(), run.publish.is_none()), (417, true));
}

#[test]
fn refusals_close_since_the_body_is_not_read() {
    for (refusal, status) in [
        (Refusal::NotFound, 404),
        (Refusal::BadName, 400),
        (Refusal::NotAllowed, 403),
        (Refusal::AlreadyPublishing, 409),
        (Refusal::Limit, 503),
        (Refusal::Unavailable, 503),
        (Refusal::ShuttingDown, 503),
    ] {
        for lines in ["Transfer-Encoding: chunked\r\n", "Content-Length: 100\r\n", ""] {
            let mut run = push(lines);
            run.take();
            run.input(Input::Verdict(Verdict::Refuse(refusal)));
            assert_eq!((run.status(), run.events.as_slice()), (status, &["closed".to_owned()][..]));
            assert!(run.text().contains("Connection: close\r\n"));
            assert!(!run.session.reusable());
        }
    }
}

#[test]
fn bodies_that_cannot_be_read() {
    let small = {
        let mut config = Config::default();
        config.flv.tag_bytes = 100;
        config
    };
    for (config, body, status) in [
        (Config::default(), &b"9\r\nnot an FLV\r\n"[..], 400),
        (Config::default(), b"d\r\nFLV\x02\x05\0\0\0\x09\0\0\0\0\r\n", 415),
        (Config::default(), b"xyz", 400),
        (Config::default(), b"10000000000000000\r\n", 413),
        (small, &chunked(&flv(), 100_000), 413),
    ] {
        let mut run = Run::with(&push_request("/live/a.flv", "h"), config);
        run.allow().bytes(body);
        assert_eq!(run.status(), status, "{}", run.text());
        assert!(run.text().contains("Connection: close\r\n"));
        assert!(run.events.last().is_some_and(|event| event.starts_with("closed: ")));
        assert!(!run.events.contains(&"publish end".to_owned()));
        let told = run.out.len();
        run.bytes(b"more").input(Input::Eof).input(Input::Stop(StopReason::Kicked));
        assert_eq!(run.out.len(), told);
    }
    for body in [&b"0\r\n\r\n"[..], b"8\r\nFLV\x01\x05\0\0\0\r\n0\r\n\r\n"] {
        let mut run = Run::new(&push_request("/live/a.flv", "h"));
        run.allow().bytes(body);
        assert_eq!((run.status(), run.events.last().map(String::as_str)), (400, Some("publish end")));
        assert!(run.session.reusable());
    }
}

#[test]
fn a_stopped_publisher_is_told_why() {
    for (reason, status) in [
        (StopReason::Replaced, 409),
        (StopReason::Idle, 408),
        (StopReason::Kicked, 403),
        (StopReason::ShuttingDown, 503),
        (StopReason::Limit, 503),
    ] {
        let mut run = push("Transfer-Encoding: chunked\r\n");
        run.allow().take();
        run.input(Input::Stop(reason));
        assert_eq!((run.status(), run.events.as_slice()), (status, &["closed".to_owned()][..]));
    }
}

#[test]
fn a_publisher_that_sends_little_holds_little() {
    let mut run = Run::new(&push_request("/live/a.flv", "h"));
    let mut body = Vec::new();
    // Claims a tag of 8 MiB and sends a byte of it.
    write_chunk(&mut body, b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\x80\0\0\0\0\0\0\0\0\0X");
    run.allow().bytes(&body);
    assert!(run.session.buffered_bytes() <= 32, "{}", run.session.buffered_bytes());
}

proptest! {
    #[test]
    fn any_body(head in any::<bool>(), body: Vec<u8>, piece in 1_usize..50) {
        let mut run = Run::new(&push_request("/live/a.flv", "h"));
        run.allow();
        let mut bytes = if head { b"d\r\nFLV\x01\x05\0\0\0\x09\0\0\0\0\r\n".to_vec() } else { Vec::new() };
        if head {
            write_chunk(&mut bytes, &body);
        } else {
            bytes.extend_from_slice(&body);
        }
        for part in bytes.chunks(piece) {
            run.bytes(part);
        }
        prop_assert!(run.session.buffered_bytes() <= bytes.len());
    }
}
