//! Bad input against a server that streams: whoever watches another stream must not notice.
//!
//! Each test makes a [`Scene`]: a stream that is published in real time, with a viewer over each carrier. Then somebody
//! misbehaves. In the end every viewer must have had every byte, in time; the server must have given back descriptors and
//! memory, must answer its API, and must hold no stream but the one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::{self, Tag};
use common::play::{Over, connect, read_head};
use common::{Mode, Pace, Player, Publisher, SOON, Server, media, until};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

on_backends! {
    rtmp_requests_cut_and_split_anywhere;
    rtmp_chunk_headers_with_every_extreme;
    rtmp_commands_that_no_encoder_sends;
    names_that_are_none;
    http_heads_that_smuggle_or_never_end;
    websockets_that_break_the_rules;
    a_message_that_never_ends_publishes;
    pushes_of_garbage;
    a_thousand_silent_and_a_thousand_slow_peers;
    more_bytes_than_a_request_has;
    viewers_that_reset_and_peers_that_only_knock;
}

/// How far a viewer may be behind, in tags: three seconds of the clip, on a machine that runs other tests too.
const MOST_BEHIND: usize = 210;
/// What the server may need more at its peak than before, in KiB.
const MOST_GROWTH_KIB: u64 = 64 * 1024;
const CLOSES: Duration = Duration::from_secs(8);

/// A stream that runs, and those who watch it.
struct Scene {
    server: Server,
    viewers: Arc<Vec<Player>>,
    stop: Arc<AtomicBool>,
    publisher: Option<JoinHandle<(Vec<Tag>, usize)>>,
    descriptors: usize,
    kib: u64,
}

impl Scene {
    #[track_caller]
    fn start(mode: Mode, settings: &[(&str, &str)]) -> Self {
        let server = Server::start(mode, settings);
        let tags = media::looped(&media::H264_AAC.tags(), 20);
        let mut publisher = Publisher::start(&server, "quiet");
        // All that stands before the second keyframe, so that viewers can start.
        let second = tags.iter().enumerate().filter(|(_, tag)| tag.is_keyframe()).nth(1).unwrap().0;
        publisher.send_all(&tags[..second]);
        server.until_stream("quiet", "a keyframe", |stream| stream["video"]["packets"].as_u64() > Some(0));
        let viewers: Vec<Player> =
            Over::ALL.into_iter().map(|over| Player::start(&server, over, "quiet")).collect();
        for viewer in &viewers {
            viewer.wait_frames(second / 2);
        }
        let (viewers, stop) = (Arc::new(viewers), Arc::new(AtomicBool::new(false)));
        server.forget_peak();
        let (descriptors, kib) = (server.descriptors(), server.rss_kib());
        let thread = std::thread::spawn({
            let (viewers, stop) = (Arc::clone(&viewers), Arc::clone(&stop));
            move || stream(publisher, tags, second, &viewers, &stop)
        });
        Self { server, viewers, stop, publisher: Some(thread), descriptors, kib }
    }

    /// How often a limit was reached or a rule was broken, over all shards.
    fn counted(&self, list: &str, name: &str) -> u64 {
        let about = self.server.api("/api/v1/server");
        about["shards"].as_array().unwrap().iter().filter_map(|shard| shard[list][name].as_u64()).sum()
    }

    /// Checks what the module says.
    #[track_caller]
    fn end(mut self) {
        let server = &self.server;
        until("all that came is gone", SOON, || (server.sessions().len() == 4).then_some(()));
        // What was disturbed shows in what comes after: a second of it.
        let counts: Vec<usize> = self.viewers.iter().map(Player::count).collect();
        for (viewer, count) in self.viewers.iter().zip(counts) {
            viewer.wait("the next second", |tags| tags.len() >= count + 70);
        }
        // The API's own connections come and go.
        until("descriptors are given back", SOON, || {
            (server.descriptors() <= self.descriptors + 2).then_some(())
        });
        let about = server.api("/api/v1/server");
        let panics: u64 =
            about["shards"].as_array().unwrap().iter().map(|shard| shard["panics"].as_u64().unwrap()).sum();
        assert_eq!(panics, 0);
        let growth = server.peak_kib().saturating_sub(self.kib);
        assert!(growth < MOST_GROWTH_KIB, "{growth} KiB more than {} before", self.kib);
        self.stop.store(true, Ordering::Relaxed);
        let (sent, behind) = self.publisher.take().unwrap().join().unwrap();
        assert!(behind < MOST_BEHIND, "a viewer was {behind} tags behind");
        for (viewer, over) in self.viewers.iter().zip(Over::ALL) {
            let (seen, why) = viewer.to_end();
            assert!(!why.contains("reset") && !why.contains("panicked"), "{over:?}: {why}");
            let all = sent.iter().filter(|tag| tag.is_frame()).count();
            let came = seen.iter().filter(|tag| tag.is_frame()).count();
            assert!(came + 60 >= all, "{over:?}: {came} of {all} frames");
            flv::assert_same_frames(&sent, &seen, 0, &format!("{over:?}"));
        }
    }

    /// Names of all streams.
    fn streams(&self) -> Vec<String> {
        let all = self.server.api("/api/v1/streams");
        let all = all["streams"].as_array().unwrap();
        all.iter()
            .map(|stream| format!("{}/{}", stream["app"].as_str().unwrap(), stream["name"].as_str().unwrap()))
            .collect()
    }
}

/// Publishes until told to stop. What was sent, and how many tags a viewer was behind at most.
fn stream(
    mut publisher: Publisher,
    tags: Vec<Tag>,
    from: usize,
    viewers: &[Player],
    stop: &AtomicBool,
) -> (Vec<Tag>, usize) {
    let start: Vec<usize> = viewers.iter().map(Player::count).collect();
    let (pace, first) = (Pace::new(1.0), tags[from].ms);
    let (mut sent, mut most) = (from, 0);
    for tag in &tags[from..] {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        pace.keep(tag.ms.saturating_sub(first));
        publisher.send_all([tag]);
        sent += 1;
        let seen = viewers.iter().zip(&start).map(|(viewer, start)| viewer.count() - start).min();
        most = most.max((sent - from).saturating_sub(seen.unwrap_or_default()));
    }
    assert!(stop.load(Ordering::Relaxed), "the test takes longer than its stream");
    publisher.finish();
    (tags[..sent].to_vec(), most)
}

/// Sends what the server takes; whether it took all.
fn offer(socket: &mut TcpStream, bytes: &[u8]) -> bool {
    socket.write_all(bytes).is_ok()
}

/// What the server says until it closes, which it must.
#[track_caller]
fn rest(mut socket: TcpStream, what: &str) -> Vec<u8> {
    let mut said = Vec::new();
    socket.set_read_timeout(Some(CLOSES)).unwrap();
    if let Err(error) = socket.read_to_end(&mut said) {
        let reset = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert!(reset, "{what}: {error}; said so far: {} bytes", said.len());
    }
    said
}

/// What the server says to these bytes and an end.
#[track_caller]
fn answer(addr: SocketAddr, bytes: &[u8], what: &str) -> Vec<u8> {
    let mut socket = connect(addr);
    offer(&mut socket, bytes);
    let _ = socket.shutdown(Shutdown::Write);
    rest(socket, what)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|there| there == text.as_bytes())
}

/// RTMP written by hand: what no honest program would send.
mod rtmp {
    /// A handshake that needs no answer.
    pub fn handshake() -> Vec<u8> {
        let mut bytes = vec![0; 1 + 1536 + 1536];
        bytes[0] = 3;
        bytes
    }

    /// A message in chunks of 128 bytes.
    pub fn message(kind: u8, stream: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let mut bytes = vec![3, 0, 0, 0, length[1], length[2], length[3], kind, stream, 0, 0, 0];
        for (at, chunk) in body.chunks(128).enumerate() {
            if at > 0 {
                bytes.push(0xc3);
            }
            bytes.extend_from_slice(chunk);
        }
        bytes
    }

    pub fn text(text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        let head =
            if text.len() < 65536 { vec![2, length[2], length[3]] } else { [&[12][..], &length].concat() };
        [&head, text].concat()
    }

    /// Name, transaction number, then values as they are.
    pub fn command(name: &str, stream: u8, values: &[&[u8]]) -> Vec<u8> {
        let number = [0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0];
        message(20, stream, &[&text(name.as_bytes())[..], &number, &values.concat()].concat())
    }

    pub fn connect(app: &[u8]) -> Vec<u8> {
        command("connect", 0, &[b"\x03\x00\x03app", &text(app), b"\x00\x00\x09"])
    }

    /// Handshake, connect, createStream, and `publish` or `play`.
    pub fn request(verb: &str, app: &[u8], name: &[u8]) -> Vec<u8> {
        let create = command("createStream", 0, &[&[5]]);
        let last = command(verb, 1, &[&[5], &text(name)]);
        [handshake(), connect(app), create, last].concat()
    }
}

/// An address that hands what comes on to the server, and notes it.
fn recorded(server: &Server, name: &str) -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, to) = (listener.local_addr().unwrap(), server.rtmp);
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&bytes);
    std::thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut far = connect(to);
        let (mut back, mut from) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut back));
        let mut buffer = vec![0; 65536];
        while let Ok(n @ 1..) = near.read(&mut buffer) {
            noted.lock().unwrap().extend_from_slice(&buffer[..n]);
            far.write_all(&buffer[..n]).unwrap();
        }
        let _ = far.shutdown(Shutdown::Both);
    });
    let publisher = Publisher::try_start(addr, name).unwrap_or_else(|why| panic!("{why:?}"));
    let exchange = bytes.lock().unwrap().clone();
    drop(publisher);
    exchange
}

/// The same for another name of the same length.
fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        }
    }
    bytes
}

fn rtmp_requests_cut_and_split_anywhere(mode: Mode) {
    let scene = Scene::start(mode, &[("publish.grace_ms", "0")]);
    let exchange = recorded(&scene.server, "cut-0000");
    let before = 1 + 1536 + 1536;
    let offsets: Vec<usize> = (0..64)
        .chain((64..exchange.len()).step_by(97))
        .chain(before..exchange.len())
        .filter(|at| *at < before || *at % 3 == 0)
        .collect();
    assert!(offsets.len() > 150 && exchange.len() > before + 200, "{} bytes", exchange.len());
    for at in &offsets {
        // Closed there, with and without a goodbye.
        answer(scene.server.rtmp, &exchange[..*at], &format!("cut at {at}"));
        offer(&mut connect(scene.server.rtmp), &exchange[..*at]);
        // All of it, in two parts.
        let exchange = renamed(&exchange, "cut-0000", &format!("cut-{at:04}"));
        let mut socket = connect(scene.server.rtmp);
        socket.set_nodelay(true).unwrap();
        assert!(offer(&mut socket, &exchange[..*at]));
        std::thread::sleep(Duration::from_millis(2));
        assert!(offer(&mut socket, &exchange[*at..]));
        let _ = socket.shutdown(Shutdown::Write);
        let said = rest(socket, &format!("split at {at}"));
        assert!(holds(&said, "NetStream.Publish.Start"), "split at {at}: {} bytes", said.len());
    }
    scene.end();
}

fn rtmp_chunk_headers_with_every_extreme(mode: Mode) {
    let scene = Scene::start(mode, &[]);
    let numbers: [&[u8]; 3] = [&[0, 0, 0], &[0, 0, 1], &[0xff, 0xff, 0xff]];
    let streams: [&[u8]; 3] = [&[0; 4], &[1, 0, 0, 0], &[0xff; 4]];
    // The three forms of a chunk stream's number.
    let forms: [&[u8]; 5] = [&[3], &[0, 0], &[0, 0xff], &[1, 0, 0], &[1, 0xff, 0xff]];
    for kind in [0, 1, 2, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 22, 255] {
        for (at, length) in numbers.iter().enumerate() {
            let mut bytes = [rtmp::handshake(), rtmp::connect(b"live")].concat();
            // As many as a connection may have go into one; a message that never ends takes in what follows.
            for stamp in numbers {
                for stream in streams {
                    for form in forms {
                        let extended: &[u8] = if stamp[0] == 0xff { &[0xff; 4] } else { &[] };
                        let header = [form, stamp, length, &[kind], stream, extended];
                        let body = [0x5a; 128];
                        bytes.extend_from_slice(&header.concat());
                        bytes.extend_from_slice(&body[..[0, 1, 128][at]]);
                    }
                    answer(scene.server.rtmp, &bytes, &format!("type {kind}, length {length:?}"));
                }
            }
        }
    }
    // Later types with nothing before them.
    for form in [0x43, 0x83, 0xc3, 0xc0, 0xc1, 0xff] {
        let bytes = [rtmp::handshake(), vec![form; 64]].concat();
        let said = answer(scene.server.rtmp, &bytes, "no type 0");
        assert!(said.len() >= 3073, "the handshake was not answered: {} bytes", said.len());
    }
    assert_eq!(scene.counted("errors", "chunk type 2 or 3 before any type 0"), 5);
    scene.end();
}

fn rtmp_commands_that_no_encoder_sends(mode: Mode) {
    let scene = Scene::start(mode, &[]);
    let start = rtmp::handshake();
    for (what, open) in [
        ("objects", &b"\x03\x00\x01a"[..]),
        ("maps", b"\x08\x00\x00\x00\x01\x00\x01a"),
        ("arrays", b"\x0a\x00\x00\x00\x01"),
    ] {
        let mut bytes = start.clone();
        // Short of what a request may have in all.
        let nested = open.repeat(10_000.min(60_000 / open.len()));
        bytes.extend(rtmp::command("connect", 0, &[&nested]));
        let said = answer(scene.server.rtmp, &bytes, what);
        assert!(!holds(&said, "_result"), "{what}");
    }
    let nested = [&b"\x11"[..], &b"\x09\x03\x01".repeat(10_000)].concat();
    answer(scene.server.rtmp, &[start.clone(), rtmp::command("connect", 0, &[&nested])].concat(), "AMF3");
    assert_eq!(scene.counted("errors", "AMF nested too deep"), 4);
    for (size, fine) in [(0_u32, false), (1, true), (1 << 31, false), (u32::MAX, false), (0x7fff_ffff, true)]
    {
        let set = rtmp::message(1, 0, &size.to_be_bytes());
        let bytes = [start.clone(), set].concat();
        let mut socket = connect(scene.server.rtmp);
        offer(&mut socket, &bytes);
        if fine {
            let _ = socket.shutdown(Shutdown::Write);
        }
        rest(socket, &format!("chunk size {size}"));
    }
    // Commands in the wrong order, or with values of the wrong kind.
    for bytes in [
        rtmp::command("publish", 1, &[&[5], &rtmp::text(b"early")]),
        [rtmp::connect(b"live"), rtmp::connect(b"live")].concat(),
        [rtmp::connect(b"live"), rtmp::command("publish", 1, &[&[5], &[5]])].concat(),
        rtmp::message(20, 0, &[]),
        rtmp::message(20, 0, &[0xff]),
        rtmp::message(17, 0, &[0; 64]),
        rtmp::message(22, 1, &[9; 64]),
        rtmp::message(2, 0, &[]),
        rtmp::message(1, 0, &[1]),
    ] {
        answer(scene.server.rtmp, &[start.clone(), bytes].concat(), "a command out of place");
    }
    answer(scene.server.rtmp, b"\x06garbage", "RTMPE");
    answer(scene.server.rtmp, b"GET / HTTP/1.1\r\n\r\n", "HTTP to the RTMP port");
    assert_eq!(scene.streams(), ["live/quiet"]);
    scene.end();
}

fn names_that_are_none(mode: Mode) {
    let scene = Scene::start(mode, &[]);
    let long = vec![b'n'; 60_000];
    let longer = vec![b'n'; 65_536];
    let names: [&[u8]; 11] = [
        &long,
        &longer,
        b"..",
        b".",
        b"",
        b"../../etc/passwd",
        b"a/../b",
        b"a\0b",
        b"a%2fb",
        b"a\nb",
        b"a b",
    ];
    for name in names {
        let shown = String::from_utf8_lossy(&name[..name.len().min(24)]).into_owned();
        for verb in ["publish", "play"] {
            for request in [rtmp::request(verb, b"live", name), rtmp::request(verb, name, b"x")] {
                let said = answer(scene.server.rtmp, &request, &shown);
                for good in ["NetStream.Publish.Start", "NetStream.Play.Start"] {
                    assert!(!holds(&said, good), "{verb} {shown:?}");
                }
            }
        }
    }
    let path = String::from_utf8(long[..3000].to_vec()).unwrap();
    let too_long = String::from_utf8(longer).unwrap();
    for name in [
        path.as_str(),
        &too_long,
        "..",
        "%2e%2e",
        ".",
        "",
        "%00",
        "a%00b",
        "a%2fb",
        "a%2Fb",
        "a%5cb",
        "%",
        "%zz",
        "%ff%fe",
        "..%2f..%2fetc%2fpasswd",
        "a/../../b",
    ] {
        for (method, end) in [("GET", ""), ("POST", "Content-Length: 20\r\n")] {
            let request = format!("{method} /live/{name}.flv HTTP/1.1\r\nHost: x\r\n{end}\r\n");
            let status = status(&scene, request.as_bytes());
            let shown = &name[..name.len().min(24)];
            assert!([400, 404, 414, 431].contains(&status), "{method} {shown:?}: {status}");
        }
    }
    assert_eq!(scene.streams(), ["live/quiet"]);
    scene.end();
}

/// The status of what the server says first.
#[track_caller]
fn status(scene: &Scene, request: &[u8]) -> u16 {
    let mut socket = connect(scene.server.http);
    offer(&mut socket, request);
    let _ = socket.shutdown(Shutdown::Write);
    read_head(BufReader::new(socket), true).unwrap().status
}

fn http_heads_that_smuggle_or_never_end(mode: Mode) {
    let scene = Scene::start(mode, &[]);
    let push = |lines: &str| format!("POST /live/bad.flv HTTP/1.1\r\nHost: x\r\n{lines}\r\n").into_bytes();
    let get = |lines: &str| format!("GET /live/quiet.flv HTTP/1.1\r\nHost: x\r\n{lines}\r\n").into_bytes();
    let many: String = (0..10_000).map(|n| format!("X-{n}: y\r\n")).collect();
    let huge = format!("X: {}\r\n", "y".repeat(1 << 20));
    for (what, request, statuses) in [
        ("a head of 1 MiB", get(&huge), &[431][..]),
        ("10,000 headers", get(&many), &[431]),
        ("a target of 1 MiB", format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20)).into_bytes(), &[414]),
        ("a method of 1 MiB", "A".repeat(1 << 20).into_bytes(), &[400, 414, 501]),
        ("two framings", push("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), &[400]),
        ("two framings, turned", push("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), &[400]),
        ("two lengths", push("Content-Length: 5\r\nContent-Length: 6\r\n"), &[400]),
        ("a list of lengths", push("Content-Length: 5, 6\r\n"), &[400]),
        ("a signed length", push("Content-Length: +5\r\n"), &[400]),
        ("a negative length", push("Content-Length: -5\r\n"), &[400]),
        ("a length in hex", push("Content-Length: 0x5\r\n"), &[400]),
        ("an endless length", push("Content-Length: 99999999999999999999\r\n"), &[400, 413]),
        ("a folded header", push("X: a\r\n b\r\n"), &[400]),
        ("a folded framing", push("Transfer-Encoding:\r\n chunked\r\n"), &[400]),
        ("a blank before the colon", push("Content-Length : 5\r\n"), &[400]),
        ("another coding", push("Transfer-Encoding: gzip, chunked\r\n"), &[400, 501]),
        ("chunked twice", push("Transfer-Encoding: chunked, chunked\r\n"), &[400, 501]),
        ("chunked in disguise", push("Transfer-Encoding: \x0bchunked\r\n"), &[400, 501]),
        ("a line feed alone", b"GET / HTTP/1.1\nHost: x\n\n".to_vec(), &[400]),
        ("a NUL", get("X: a\0b\r\n"), &[400]),
        ("a carriage return in a value", get("X: a\rb\r\n"), &[400]),
        ("two hosts", get("Host: y\r\n"), &[400]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400, 505]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400]),
    ] {
        let said = status(&scene, &request);
        assert!(statuses.contains(&said), "{what}: {said}");
        // What stands behind a head that is refused is no request.
        let behind = [&request[..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        let said = answer(scene.server.http, &behind, what);
        assert_eq!(said.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count(), 1, "{what}");
        for at in (1..request.len().min(200)).step_by(23) {
            offer(&mut connect(scene.server.http), &request[..at]);
        }
    }
    assert_eq!(scene.streams(), ["live/quiet"]);
    scene.end();
}

/// A frame as a viewer sends it; the mask is all zeros.
fn frame(first: u8, masked: bool, length: u64, body: &[u8]) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(mask | u8::try_from(length).unwrap()),
        126..65536 => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    if masked {
        bytes.extend_from_slice(&[0; 4]);
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A connection after the upgrade.
#[track_caller]
fn websocket(scene: &Scene, name: &str, protocol: &str) -> TcpStream {
    let mut socket = connect(scene.server.http);
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let head = format!(
        "GET /live/{name}.flv HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n{protocol}\r\n"
    );
    offer(&mut socket, head.as_bytes());
    let mut end = Vec::new();
    let mut byte = [0];
    while !end.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).unwrap();
        end.push(byte[0]);
    }
    assert!(holds(&end, "101"), "{}", String::from_utf8_lossy(&end));
    socket
}

fn websockets_that_break_the_rules(mode: Mode) {
    let scene = Scene::start(mode, &[]);
    let publishing = "Sec-WebSocket-Protocol: publisher\r\n";
    for (what, bytes) in [
        ("no mask", frame(0x82, false, 4, b"abcd")),
        ("reserved bits", frame(0xf2, true, 4, b"abcd")),
        ("an unknown frame", frame(0x83, true, 4, b"abcd")),
        ("an unknown control frame", frame(0x8f, true, 0, b"")),
        ("a ping in parts", frame(0x09, true, 0, b"")),
        ("a long ping", frame(0x89, true, 126, &[0; 126])),
        ("a part of nothing", frame(0x80, true, 4, b"abcd")),
        ("a message in a message", [frame(0x02, true, 1, b"a"), frame(0x82, true, 1, b"b")].concat()),
        ("a length past all numbers", frame(0x82, true, u64::MAX, b"")),
        ("a close of one byte", frame(0x88, true, 1, b"a")),
        ("a close with a code that is none", frame(0x88, true, 2, &[0, 1])),
    ] {
        for (name, protocol) in [("quiet", ""), ("bad", publishing)] {
            let mut socket = websocket(&scene, name, protocol);
            offer(&mut socket, &bytes);
            rest(socket, &format!("{what}, {name}"));
        }
    }
    let mut socket = websocket(&scene, "quiet", "");
    offer(&mut socket, &frame(0x82, true, 50 << 20, b"abcd"));
    let said = rest(socket, "a frame of 50 MiB");
    let too_big = 1009_u16.to_be_bytes();
    assert!(said.windows(4).any(|four| four[0] == 0x88 && four[2..] == too_big), "not told why");
    // Messages that never end, and pings without a pause, from a viewer that reads along.
    let part = vec![0; 1 << 20];
    let parts: Vec<u8> = std::iter::once(frame(0x02, true, 1, b"a"))
        .chain(std::iter::repeat_n(frame(0x00, true, 16, &[7; 16]), 40_000))
        .flatten()
        .collect();
    for (what, first, body, times) in [
        ("one frame", frame(0x82, true, 16 << 20, b""), part.clone(), 16),
        ("parts", frame(0x02, true, 1, b"a"), frame(0x00, true, 1 << 20, &part), 50),
        ("many small parts", Vec::new(), parts, 1),
        ("pings", Vec::new(), frame(0x89, true, 125, &[1; 125]).repeat(2000), 10),
    ] {
        let (before, mut socket) = (scene.server.rss_kib(), websocket(&scene, "quiet", ""));
        let mut from = socket.try_clone().unwrap();
        let reader = std::thread::spawn(move || std::io::copy(&mut from, &mut std::io::sink()));
        offer(&mut socket, &first);
        // A viewer's words are of no use, and no error.
        assert!((0..times).all(|_| offer(&mut socket, &body)), "{what}: closed");
        let growth = scene.server.rss_kib().saturating_sub(before);
        assert!(growth < 16 * 1024, "{what}: {growth} KiB");
        let _ = socket.shutdown(Shutdown::Both);
        let _ = reader.join().unwrap();
        // The same from one that does not read.
        let mut deaf = websocket(&scene, "quiet", "");
        deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let _ = offer(&mut deaf, &first) && offer(&mut deaf, &body);
    }
    scene.end();
}

/// One message of 50 MiB, in parts: a publication like any other.
fn a_message_that_never_ends_publishes(mode: Mode) {
    let scene = Scene::start(mode, &[]);
    let clip = media::H264_AAC.tags();
    let size: usize = clip.iter().map(|tag| tag.body.len() + 15).sum();
    let tags = media::looped(&clip, u32::try_from((50 << 20) / size).unwrap() + 1);
    let mut body = flv::header(&tags);
    tags.iter().for_each(|tag| body.extend(flv::tag_bytes(tag)));
    let pictures = tags.iter().filter(|tag| tag.kind == flv::VIDEO && tag.is_frame()).count() as u64;
    let mut socket = websocket(&scene, "endless", "Sec-WebSocket-Protocol: publisher\r\n");
    scene.server.forget_peak();
    let before = scene.server.rss_kib();
    for (at, part) in body.chunks(10_007).enumerate() {
        let frame = frame(if at == 0 { 0x02 } else { 0 }, true, part.len() as u64, part);
        assert!(offer(&mut socket, &frame), "closed at part {at}");
    }
    let all = |stream: &serde_json::Value| stream["video"]["packets"].as_u64() == Some(pictures);
    scene.server.until_stream("endless", "all pictures", all);
    let growth = scene.server.peak_kib().saturating_sub(before);
    assert!(growth < 16 * 1024, "{growth} KiB");
    drop(socket);
    scene.end();
}

fn pushes_of_garbage(mode: Mode) {
    let scene = Scene::start(mode, &[("publish.grace_ms", "0"), ("publish.idle_timeout_ms", "4000")]);
    let head = |name: &str, more: &str| {
        format!("POST /live/{name}.flv HTTP/1.1\r\nHost: x\r\n{more}\r\n").into_bytes()
    };
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let start = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00";
    let tag = |size: &[u8; 3]| [&[9][..], size, &[0; 7], &[0x17, 1, 0, 0, 0]].concat();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let long = "Content-Length: 900000000\r\n";
    for (at, (what, more, body)) in [
        ("noise", long, noise.clone()),
        ("noise after a header", long, [&start[..], &noise].concat()),
        ("a tag of 16 MiB", long, [&start[..], &tag(&[0xff; 3]), &noise].concat()),
        ("an FLV header of 4 GiB", long, b"FLV\x01\x05\xff\xff\xff\xff\x00\x00\x00\x00".to_vec()),
        ("no chunks", chunked, noise.clone()),
        ("a chunk past all numbers", chunked, b"ffffffffffffffffff\r\n".to_vec()),
        ("a chunk's head without end", chunked, [&b"5;"[..], &[b'a'; 100_000]].concat()),
        ("a signed chunk", chunked, b"+5\r\nFLV\x01\x05\r\n".to_vec()),
        ("trailers without end", chunked, [&b"0\r\n"[..], &b"X: y\r\n".repeat(20_000)].concat()),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("push{at}");
        let said = answer(scene.server.http, &[head(&name, more), body.clone()].concat(), what);
        assert!(said.starts_with(b"HTTP/1.1 4"), "{what}: {}", String::from_utf8_lossy(&said));
        for at in (1..body.len().min(4096)).step_by(311) {
            offer(&mut connect(scene.server.http), &[&head(&name, more)[..], &body[..at]].concat());
        }
    }
    // What a tag claims is not set aside before it comes: 60 of almost 8 MiB.
    let before = scene.server.rss_kib();
    let claims: Vec<TcpStream> = (0..60)
        .map(|n| {
            let mut socket = connect(scene.server.http);
            offer(
                &mut socket,
                &[head(&format!("claim{n}"), long), start.to_vec(), tag(&[0x7f, 0xff, 0xff])].concat(),
            );
            socket
        })
        .collect();
    until("all are served", SOON, || (scene.server.sessions().len() >= 4 + claims.len()).then_some(()));
    let growth = scene.server.rss_kib().saturating_sub(before);
    assert!(growth < 16 * 1024, "{growth} KiB");
    for claim in claims {
        rest(claim, "a publisher that sends no more");
    }
    scene.end();
}

fn a_thousand_silent_and_a_thousand_slow_peers(mode: Mode) {
    let scene = Scene::start(mode, &[("server.request_timeout_ms", "3000")]);
    let start = Instant::now();
    let ports = [scene.server.rtmp, scene.server.http];
    let open = |count: usize| -> Vec<TcpStream> { (0..count).map(|n| connect(ports[n % 2])).collect() };
    let (silent, mut slow) = (open(1000), open(1000));
    assert!(start.elapsed() < Duration::from_secs(3), "opening takes {:?}", start.elapsed());
    let words = [rtmp::handshake(), format!("GET /live/{}", "a".repeat(100)).into_bytes()];
    for second in 0..6 {
        for (n, socket) in slow.iter_mut().enumerate() {
            offer(socket, &words[n % 2][second..=second]);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    for socket in silent.into_iter().chain(slow) {
        rest(socket, "a peer without a request");
    }
    assert!(start.elapsed() < Duration::from_secs(14), "closed after {:?}", start.elapsed());
    assert_eq!(scene.counted("limits_hit", "request timeout"), 2000);
    scene.end();
}

fn more_bytes_than_a_request_has(mode: Mode) {
    let scene = Scene::start(mode, &[("server.request_bytes", "8192")]);
    let start = [rtmp::handshake(), rtmp::connect(b"live")].concat();
    // Harmless each, and without end.
    for message in
        [rtmp::message(3, 0, &[0; 4]), rtmp::message(8, 0, &[0xaf; 128]), rtmp::command("x", 0, &[])]
    {
        let mut socket = connect(scene.server.rtmp);
        offer(&mut socket, &start);
        let most = 64 << 20;
        let mut sent = 0;
        let block = message.repeat(64);
        while sent < most && offer(&mut socket, &block) {
            sent += block.len();
        }
        assert!(sent < most, "the server takes all");
        rest(socket, "too many bytes");
    }
    assert_eq!(scene.counted("limits_hit", "request bytes"), 3);
    scene.end();
}

fn viewers_that_reset_and_peers_that_only_knock(mode: Mode) {
    let scene = Scene::start(mode, &[]);
    // Closed over bytes that were not read, a connection is reset.
    for round in 0..20 {
        let play = [rtmp::request("play", b"live", b"quiet"), rtmp::message(3, 0, &[0; 4])].concat();
        for (addr, request) in [
            (scene.server.rtmp, play),
            (scene.server.http, b"GET /live/quiet.flv HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ] {
            let mut socket = connect(addr);
            offer(&mut socket, &request);
            let mut some = vec![0; 3200 + round * 100];
            socket.read_exact(&mut some).unwrap();
        }
        let mut socket = websocket(&scene, "quiet", "");
        socket.read_exact(&mut [0; 100]).unwrap();
    }
    scene.server.until_viewers("quiet", 3);
    let start = Instant::now();
    for n in 0..300 {
        let socket = TcpStream::connect([scene.server.rtmp, scene.server.http][n % 2]).unwrap();
        if n % 3 == 0 {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    scene.end();
}
