//! What an HTTP user expects: methods, statuses, CORS, keep-alive, queries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::{AUDIO, VIDEO};
use common::play::{connect, http_get, read_head};
use common::{Mode, Player, Publisher, Server, media};
use std::io::{BufReader, Write};

on_backends! {
    methods_and_statuses;
    cross_origin_pages_may_play;
    a_connection_carries_several_requests;
    queries_choose_tracks_and_the_start;
    the_page_is_served;
    a_full_server_says_so;
    forbidden_names_are_refused_for_both_sides;
}

/// Status, and the head's lines.
fn ask(server: &Server, request: &str) -> (u16, Vec<(String, String)>, String) {
    let mut socket = connect(server.http);
    socket.write_all(request.replace('\n', "\r\n").as_bytes()).unwrap();
    let mut body = read_head(BufReader::new(socket), request.starts_with("HEAD")).unwrap();
    let endless = body.header("transfer-encoding").is_some();
    let text = if endless { String::new() } else { body.text() };
    (body.status, body.headers, text)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(there, _)| there == name).map_or("", |(_, value)| value)
}

fn playing(server: &Server, name: &str) -> Publisher {
    let mut publisher = Publisher::start(server, name);
    publisher.send_all(&media::H264_AAC.tags());
    publisher
}

fn methods_and_statuses(mode: Mode) {
    let server = Server::start(mode, &[]);
    let _publisher = playing(&server, "a");
    server.until_stream("a", "a keyframe", |s| s["gop_packets"].as_u64() > Some(0));
    let (status, headers, _) = ask(&server, "GET /live/a.flv HTTP/1.1\nHost: x\n\n");
    assert_eq!((status, header(&headers, "content-type")), (200, "video/x-flv"));
    assert_eq!(header(&headers, "cache-control"), "no-store");
    let (status, headers, text) = ask(&server, "HEAD /live/a.flv HTTP/1.1\nHost: x\n\n");
    assert_eq!((status, header(&headers, "content-type"), text.as_str()), (200, "video/x-flv", ""));
    assert_eq!(ask(&server, "HEAD /live/none.flv HTTP/1.1\nHost: x\n\n").0, 404);
    assert_eq!(ask(&server, "GET /live/none.flv HTTP/1.1\nHost: x\n\n").0, 404);
    assert_eq!(ask(&server, "GET /nothing HTTP/1.1\nHost: x\n\n").0, 404);
    for path in ["/live/a.flv", "/"] {
        let (status, headers, _) = ask(&server, &format!("DELETE {path} HTTP/1.1\nHost: x\n\n"));
        assert_eq!(status, 405);
        assert!(header(&headers, "allow").contains("GET"));
    }
    // A push to a name that is taken.
    let (status, _, _) = ask(&server, "POST /live/a.flv HTTP/1.1\nHost: x\nContent-Length: 100\n\n");
    assert_eq!(status, 409);
    // A range is ignored: a live stream has no places.
    assert_eq!(ask(&server, "GET /live/a.flv HTTP/1.1\nHost: x\nRange: bytes=0-10\n\n").0, 200);
}

fn cross_origin_pages_may_play(mode: Mode) {
    let server = Server::start(mode, &[]);
    let preflight = "OPTIONS /live/a.flv HTTP/1.1\nHost: x\nOrigin: http://page\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Headers: x-token\n\n";
    let (status, headers, _) = ask(&server, preflight);
    assert_eq!((status, header(&headers, "access-control-allow-origin")), (204, "http://page"));
    assert!(header(&headers, "access-control-allow-methods").contains("GET"));
    let (_, headers, _) = ask(&server, "GET /live/none.flv HTTP/1.1\nHost: x\nOrigin: http://page\n\n");
    assert_eq!(header(&headers, "access-control-allow-origin"), "http://page");
    let server = Server::start(mode, &[("http.allow_origin", "none")]);
    let (_, headers, _) = ask(&server, "GET /live/none.flv HTTP/1.1\nHost: x\nOrigin: http://page\n\n");
    assert_eq!(header(&headers, "access-control-allow-origin"), "");
}

fn a_connection_carries_several_requests(mode: Mode) {
    let server = Server::start(mode, &[]);
    let mut socket = connect(server.http);
    for path in ["/live/none.flv", "/", "/nothing", "/live/none.flv"] {
        let mut body = http_get(socket.try_clone().unwrap(), server.http, path).unwrap();
        body.text();
        assert_eq!(body.status, if path == "/" { 200 } else { 404 });
        socket = body.into_socket().into_inner();
    }
    // Sent together.
    let two =
        "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(two.as_bytes()).unwrap();
    let mut first = read_head(BufReader::new(socket), false).unwrap();
    first.text();
    let second = read_head(first.into_socket(), true).unwrap();
    assert_eq!((second.status, second.header("connection")), (200, Some("close")));
}

fn queries_choose_tracks_and_the_start(mode: Mode) {
    let server = Server::start(mode, &[]);
    let tags = media::H264_AAC.tags();
    let mut publisher = Publisher::start(&server, "q");
    let keyframes: Vec<usize> =
        tags.iter().enumerate().filter(|(_, t)| t.is_keyframe()).map(|(i, _)| i).collect();
    let middle = keyframes[keyframes.len() / 2];
    publisher.send_all(&tags[..middle + 3]);
    server.until_stream("q", "the first half", |s| s["gop_packets"].as_u64() > Some(0));
    let video = Player::http(&server, "/live/q.flv?onlyVideo=1");
    let audio = Player::http(&server, "/live/q.flv?onlyAudio=1");
    let cached = Player::http(&server, "/live/q.flv");
    let fresh = Player::http(&server, "/live/q.flv?gop=0");
    server.until_viewers("q", 4);
    publisher.send_all(&tags[middle + 3..]);
    let video = video.wait_frames(3);
    assert!(video.iter().all(|tag| tag.kind != AUDIO));
    let audio = audio.wait_frames(3);
    assert!(audio.iter().all(|tag| tag.kind != VIDEO));
    let first_picture =
        |tags: Vec<common::Tag>| tags.into_iter().find(|t| t.kind == VIDEO && t.is_frame()).unwrap().ms;
    let cached =
        first_picture(cached.wait("a picture", |t| t.iter().any(|t| t.kind == VIDEO && t.is_frame())));
    let fresh = first_picture(fresh.wait("a picture", |t| t.iter().any(|t| t.kind == VIDEO && t.is_frame())));
    assert!(cached < fresh, "cached from {cached}, fresh from {fresh}");
}

fn the_page_is_served(mode: Mode) {
    let server = Server::start(mode, &[]);
    let mut page = http_get(connect(server.http), server.http, "/").unwrap();
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let text = page.text();
    assert!(text.contains("<html") && text.contains("mpegts"));
}

fn a_full_server_says_so(mode: Mode) {
    let server = Server::start(mode, &[("limits.streams", "2"), ("server.cores", "0")]);
    let _one = Publisher::start(&server, "one");
    let _two = Publisher::start(&server, "two");
    let (status, headers, _) =
        ask(&server, "POST /live/three.flv HTTP/1.1\nHost: x\nContent-Length: 100\n\n");
    assert_eq!(status, 503);
    assert_ne!(header(&headers, "retry-after"), "");
}

fn forbidden_names_are_refused_for_both_sides(mode: Mode) {
    let server = Server::start(mode, &[("publish.allow", "live/*"), ("play.allow", "live/*")]);
    assert_eq!(ask(&server, "GET /secret/a.flv HTTP/1.1\nHost: x\n\n").0, 403);
    assert_eq!(ask(&server, "POST /secret/a.flv HTTP/1.1\nHost: x\nContent-Length: 9\n\n").0, 403);
}
