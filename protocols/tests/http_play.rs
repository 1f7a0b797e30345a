//! Playing over HTTP: what is answered, what is asked of the engine, how it ends.

mod http_support;

use http_support::{Run, every_cut, flv_events, media_events, units, word};
use media::{JoinStart, LatencyClass, Refusal, Rendition, StopReason};
use protocols::container::flv::{FlvRendition, Form, Framing, TrackFilter};
use protocols::http::Cors;
use protocols::httpflv::client::{PlayEvents, PlayReader, play_request};
use protocols::httpflv::{Config, FormChoice};
use protocols::{Input, Session, Verdict};

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

fn refuse(run: &mut Run, refusal: Refusal) {
    run.input(Input::Verdict(Verdict::Refuse(refusal)));
}

#[test]
fn heads_of_media() {
    let cors = "Vary: Origin\r\n";
    for (target, version, lines, expected) in [
        ("/live/a.flv", "1.1", "", format!("{cors}Transfer-Encoding: chunked\r\n")),
        ("/live/a.flv?chunked=0", "1.1", "", cors.to_owned()),
        ("/live/a.flv", "1.0", "", cors.to_owned()),
        ("/live/a.flv", "1.0", "Connection: keep-alive\r\n", cors.to_owned()),
        (
            "/live/a.flv",
            "1.1",
            "Origin: http://o\r\nRange: bytes=0-\r\n",
            format!("Access-Control-Allow-Origin: http://o\r\n{cors}Transfer-Encoding: chunked\r\n"),
        ),
    ] {
        let mut run = Run::new(format!("GET {target} HTTP/{version}\r\nHost: h\r\n{lines}\r\n").as_bytes());
        assert_eq!((run.events.clone(), run.out.len()), (vec!["play live/a".to_owned()], 0));
        run.allow();
        assert_eq!(
            run.text(),
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nCache-Control: no-store\r\n{expected}Connection: close\r\n\r\n"
            )
        );
        assert_eq!((run.wait, run.session.protocol()), (None, "http-flv"));
        assert!(!run.session.reusable());
    }
}

#[test]
fn what_is_asked_of_the_engine() {
    let all = TrackFilter::ALL;
    let chunk = FlvRendition { form: Form::LEGACY, framing: Framing::HttpChunk, filter: all };
    let sound = FlvRendition { filter: TrackFilter { video: false, audio: true }, ..chunk };
    let pictures = FlvRendition { filter: TrackFilter { video: true, audio: false }, ..chunk };
    let none = JoinStart::default();
    for (query, rendition, start, leniencies) in [
        ("", chunk, none, 0),
        ("chunked=0", FlvRendition { framing: Framing::Raw, ..chunk }, none, 0),
        ("chunked=1", chunk, none, 0),
        ("onlyAudio=1", sound, none, 0),
        ("onlyaudio", sound, none, 0),
        ("onlyAudio=0", chunk, none, 0),
        ("onlyVideo=true", pictures, none, 0),
        ("onlyVideo=1&onlyAudio=1", chunk, none, 0),
        ("codec_form=fourcc", FlvRendition { form: Form::ENHANCED, ..chunk }, none, 0),
        ("codec_form=legacy", chunk, none, 0),
        ("codec_form=other", chunk, none, 1),
        ("gop=0", chunk, JoinStart { gop: Some(false), class: None }, 0),
        ("gop=1&class=live", chunk, JoinStart { gop: Some(true), class: Some(LatencyClass::Live) }, 0),
        ("class=bulk", chunk, JoinStart { gop: None, class: Some(LatencyClass::Bulk) }, 0),
        ("class=fast", chunk, none, 1),
    ] {
        let run = Run::new(&get(&format!("/live/a.flv?{query}")));
        let play = run.play.expect("a play request");
        assert_eq!((play.rendition.id(), play.start), (rendition.id(), start), "{query}");
        assert_eq!(run.events.len() - 1, leniencies, "{query}: {:?}", run.events);
    }
    let config = Config { form: FormChoice::Fourcc, ..Config::default() };
    let play = Run::with(&get("/live/a.flv"), config).play.expect("a play request");
    assert_eq!(play.rendition.id(), FlvRendition { form: Form::ENHANCED, ..chunk }.id());
}

#[test]
fn the_request_tells_who_and_where() {
    let long = "x".repeat(1000);
    let head = format!(
        "GET //live//x/b%C3%A4.flv?sign=1&a=%26 HTTP/1.1\r\nHost: h:80\r\nUser-Agent: {long}\r\n\r\n"
    );
    let play = Run::new(head.as_bytes()).play.expect("a play request");
    assert_eq!((play.key.as_str(), play.host.as_str()), ("live/x/bä", "h:80"));
    assert_eq!((play.query.value("sign"), play.query.value("a")), (Some("1"), Some("&")));
    assert_eq!(play.user_agent.len(), 256);
    assert_eq!(Run::new(b"GET /a/b.flv HTTP/1.1\r\n\r\n").events, ["(request without Host)", "play a/b"]);
}

#[test]
fn refusals_in_words_of_http() {
    for (refusal, status) in [
        (Refusal::NotFound, 404),
        (Refusal::BadName, 404),
        (Refusal::NotAllowed, 403),
        (Refusal::AlreadyPublishing, 409),
        (Refusal::Limit, 503),
        (Refusal::Unavailable, 503),
        (Refusal::ShuttingDown, 503),
    ] {
        for method in ["GET", "HEAD"] {
            let mut run = Run::new(
                format!("{method} /live/a.flv HTTP/1.1\r\nOrigin: http://o\r\nHost: h\r\n\r\nNEXT")
                    .as_bytes(),
            );
            refuse(&mut run, refusal);
            assert_eq!(run.status(), status, "{refusal}");
            let text = run.text();
            assert_eq!(text.contains("Retry-After: 5\r\n"), status == 503);
            assert!(text.contains("Access-Control-Allow-Origin: http://o\r\n"));
            let body = format!("{}\n", refusal.name());
            assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())));
            assert_eq!(text.ends_with(&format!("\r\n\r\n{body}")), method == "GET");
            assert_eq!(run.events, ["play live/a", "play end"]);
            assert!(run.session.reusable());
            assert_eq!(run.session.into_next().expect("the next request"), "NEXT");
        }
    }
    let mut run = Run::new(b"GET /live/a.flv HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    refuse(&mut run, Refusal::NotFound);
    assert!(run.text().contains("Connection: close\r\n"));
    assert_eq!(run.events, ["play live/a", "closed"]);
    assert!(run.session.into_next().is_none());
    // A body that nobody reads would be taken for the next request.
    let mut run = Run::new(b"GET /live/a.flv HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    refuse(&mut run, Refusal::NotFound);
    assert_eq!(run.events, ["play live/a", "closed"]);
}

#[test]
fn a_head_request_gets_the_head_and_keeps_the_connection() {
    let mut run = Run::new(b"HEAD /live/a.flv HTTP/1.1\r\nHost: h\r\n\r\n");
    run.bytes(b"NEXT").allow();
    assert_eq!(
        run.text(),
        "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nCache-Control: no-store\r\nVary: Origin\r\n\r\n"
    );
    assert_eq!(run.events, ["play live/a", "play end"]);
    run.bytes(b"MORE");
    assert_eq!(run.session.into_next().expect("the next request"), "NEXTMORE");
    let mut run = Run::new(b"HEAD /live/a.flv HTTP/1.0\r\n\r\n");
    run.allow();
    assert!(run.text().ends_with("Connection: close\r\n\r\n"));
    assert_eq!(run.events, ["play live/a", "play end", "closed"]);
}

#[test]
fn what_nobody_needs_to_be_asked() {
    for (line, status, extra) in [
        ("DELETE /live/a.flv HTTP/1.1", 405, "Allow: GET, HEAD, POST, PUT, OPTIONS\r\n"),
        ("PATCH /live/a.flv HTTP/1.1", 405, "Allow: "),
        ("BREW /live/a.flv HTTP/1.1", 405, "Allow: "),
        ("OPTIONS /live/a.flv HTTP/1.1", 204, "Allow: GET, HEAD, POST, PUT, OPTIONS\r\n"),
        ("OPTIONS * HTTP/1.1", 204, "Allow: "),
        ("GET /live/.flv HTTP/1.1", 404, ""),
        ("GET /a.flv HTTP/1.1", 404, ""),
        ("GET /live/a%25b.flv HTTP/1.1", 404, ""),
        ("HEAD /live/a%20b.flv HTTP/1.1", 404, ""),
        ("GET /live/a HTTP/1.1", 404, ""),
        ("POST /live/.flv HTTP/1.1\r\nContent-Length: 0", 400, ""),
        ("POST /live/a.flv HTTP/1.1\r\nContent-Length: 0", 400, ""),
    ] {
        let run = Run::new(format!("{line}\r\nHost: h\r\n\r\nNEXT").as_bytes());
        assert_eq!(run.status(), status, "{line}");
        assert!(run.text().contains(extra), "{line}: {}", run.text());
        assert_eq!(run.events, ["play end"], "{line}");
        assert_eq!(run.session.into_next().expect("the next request"), "NEXT", "{line}");
    }
    let run = Run::new(b"DELETE /live/a.flv HTTP/1.0\r\n\r\n");
    assert_eq!((run.status(), run.events), (405, vec!["play end".to_owned(), "closed".to_owned()]));
    let config = Config { cors: Cors::new(Some("*")), name_bytes: 4, ..Config::default() };
    let run = Run::with(&get("/live/abcde.flv"), config);
    assert_eq!(run.status(), 404);
    assert!(run.text().contains("Access-Control-Allow-Origin: *\r\n"));
}

#[test]
fn a_stop_ends_the_body_as_its_framing_says() {
    for (target, end) in [("/live/a.flv", "0\r\n\r\n"), ("/live/a.flv?chunked=0", "")] {
        let mut run = Run::new(&get(target));
        run.allow().take();
        run.input(Input::Stop(StopReason::StreamEnded));
        assert_eq!((run.text().as_str(), run.events.as_slice()), (end, &["closed".to_owned()][..]));
        run.input(Input::Stop(StopReason::Kicked)).bytes(b"x").input(Input::Eof);
        assert_eq!((run.text().as_str(), run.events.len()), (end, 1));
    }
    let mut run = Run::new(&get("/live/a.flv"));
    run.input(Input::Stop(StopReason::ShuttingDown));
    assert_eq!((run.status(), run.events.last().map(String::as_str)), (503, Some("closed")));
}

#[test]
fn what_a_viewer_sends_is_bounded() {
    let mut run = Run::new(&get("/live/a.flv"));
    run.allow().take();
    for _ in 0..4 {
        run.bytes(&[b'x'; 1024]);
    }
    assert_eq!((run.events.join(""), run.session.buffered_bytes()), ("(bytes from a viewer)".repeat(4), 0));
    run.bytes(b"x");
    assert_eq!(run.events.last().map(String::as_str), Some("closed: limit: too many bytes from a viewer"));
    assert!(run.session.handle(run.now, Input::Bytes(b"x")).is_err());
}

#[test]
fn what_is_sent_before_the_verdict_is_bounded() {
    let mut run = Run::new(&get("/live/a.flv"));
    for _ in 0..1024 {
        run.bytes(&[b'x'; 1024]);
        assert!(run.session.buffered_bytes() <= 256 * 1024);
    }
    refuse(&mut run, Refusal::NotFound);
    assert_eq!(run.status(), 404);
    assert_eq!(run.events.last().map(String::as_str), Some("closed"));
    let mut run = Run::new(b"POST /live/a.flv HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    run.bytes(&vec![b'x'; 256 * 1024]);
    assert_eq!(run.events.len(), 1);
    run.bytes(b"x");
    assert_eq!(run.events[1], "closed: limit: too many bytes before the verdict");
    assert_eq!(run.session.buffered_bytes(), 0);
}

#[test]
fn a_viewer_that_leaves_is_closed() {
    let mut run = Run::new(&get("/live/a.flv"));
    run.input(Input::Eof);
    assert_eq!(run.events, ["play live/a", "closed"]);
}

#[test]
fn the_other_side_reads_what_is_served() {
    for (query, framing, end) in [("", Framing::HttpChunk, "0\r\n\r\n"), ("?chunked=0", Framing::Raw, "")] {
        let mut run = Run::new(&play_request(&format!("/live/a.flv{query}"), "h"));
        assert_eq!(run.publish.is_none(), run.play.is_some());
        run.allow();
        let sent = [run.out.clone(), units(framing).concat(), end.as_bytes().to_vec()].concat();
        every_cut(&sent, |parts| {
            let mut viewer = PlayEvents::new(PlayReader::http());
            let mut events = Vec::new();
            for part in parts {
                viewer
                    .push(part, &mut Vec::new(), &mut |event| events.push(word(&event)))
                    .expect("good bytes");
            }
            assert_eq!(media_events(&events), flv_events());
            assert_eq!((viewer.reader().status(), viewer.reader().is_ended()), (Some(200), !end.is_empty()));
        });
    }
    let mut run = Run::new(&play_request("/live/a.flv", "h"));
    refuse(&mut run, Refusal::NotFound);
    let mut viewer = PlayEvents::new(PlayReader::http());
    viewer.push(&run.out, &mut Vec::new(), &mut |_| panic!("media in a refusal")).expect("good bytes");
    assert_eq!((viewer.reader().status(), viewer.reader().is_ended()), (Some(404), true));
}
