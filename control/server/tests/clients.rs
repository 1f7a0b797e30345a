//! Real programs, and the command orders of others byte by byte: they publish and play as their users expect.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::{self, AUDIO, Tag, assert_same_frames};
use common::media::{self, H264_AAC};
use common::play::{Over, connect};
use common::tools::{self, ffmpeg};
use common::{Mode, Pace, Player, Publisher, Server, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

on_backends! {
    gstreamer_publishes;
    rtmpdump_plays;
    ffplay_plays;
    obs_publishes;
    a_flash_era_encoder_publishes;
    curl_pushes_in_chunks;
    curl_pushes_with_a_length;
    ffmpeg_pushes_over_http;
    a_websocket_pushes;
}

const WAIT: &[(&str, &str)] = &[("play.wait_ms", "20000")];

/// A server with one waiting viewer of `live/clip`.
fn watched(mode: Mode) -> (Server, Player) {
    let server = Server::start(mode, WAIT);
    let player = Player::start(&server, Over::Http, "clip");
    server.until_viewers("clip", 1);
    (server, player)
}

/// What rtmp2sink sends also goes into a file, to compare with.
fn gstreamer_publishes(mode: Mode) {
    let (server, player) = watched(mode);
    let copy = common::server::scratch().join(format!("gst-{}.flv", server.pid()));
    let mut gst = Command::new("gst-launch-1.0");
    gst.args([
        "-q",
        "-e",
        "videotestsrc",
        "num-buffers=75",
        "is-live=true",
        "!",
        "video/x-raw,width=320,height=180,framerate=25/1",
    ]);
    gst.args([
        "!",
        "x264enc",
        "key-int-max=25",
        "bframes=2",
        "speed-preset=ultrafast",
        "!",
        "h264parse",
        "!",
        "mux.",
        "audiotestsrc",
    ]);
    gst.args([
        "num-buffers=130",
        "is-live=true",
        "!",
        "audioconvert",
        "!",
        "avenc_aac",
        "!",
        "aacparse",
        "!",
        "mux.",
    ]);
    gst.args(["flvmux", "name=mux", "streamable=true", "!", "tee", "name=t", "!", "queue", "!", "rtmp2sink"]);
    gst.arg(format!("location={}", server.rtmp_url("clip")));
    gst.args(["t.", "!", "queue", "!", "filesink", &format!("location={}", copy.display())]);
    tools::run(&mut gst);
    let (seen, _) = player.to_end();
    let sent = flv::parse(&std::fs::read(&copy).unwrap());
    std::fs::remove_file(copy).unwrap();
    assert_same_frames(&sent, &seen, 0, "GStreamer");
    assert!(seen.iter().filter(|tag| tag.is_keyframe()).count() >= 2);
}

fn rtmpdump_plays(mode: Mode) {
    let server = Server::start(mode, WAIT);
    let file = common::server::scratch().join(format!("rtmpdump-{}.flv", server.pid()));
    let mut player = tools::start(
        Command::new("rtmpdump").args(["-q", "--live", "-r", &server.rtmp_url("clip"), "-o"]).arg(&file),
    );
    server.until_viewers("clip", 1);
    let sent = H264_AAC.tags();
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&sent, 2.0);
    publisher.finish();
    let ended = player.wait();
    // A live stream that ends has no duration to be compared with: librtmp calls that incomplete.
    assert!(matches!(ended.status.code(), Some(0 | 2)), "{}: {}", ended.status, ended.stderr);
    let seen = flv::parse(&std::fs::read(&file).unwrap());
    std::fs::remove_file(file).unwrap();
    assert_same_frames(&sent, &seen, 0, "rtmpdump");
}

fn ffplay_plays(mode: Mode) {
    let server = Server::start(mode, WAIT);
    let play = |url: &str| {
        let mut ffplay = Command::new("ffplay");
        ffplay.args(["-hide_banner", "-loglevel", "warning", "-nostats", "-autoexit", url]);
        tools::start(ffplay.env("SDL_VIDEODRIVER", "dummy").env("SDL_AUDIODRIVER", "dummy"))
    };
    let mut players = [play(&server.rtmp_url("clip")), play(&server.http_url("clip"))];
    server.until_viewers("clip", 2);
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&H264_AAC.tags(), 1.0);
    publisher.finish();
    for player in &mut players {
        let ended = player.wait();
        assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
        assert!(!ended.stderr.to_lowercase().contains("error"), "{}", ended.stderr);
    }
}

/// The order of OBS: a chunk size before `connect`, everything pipelined, `publish` and all media on chunk stream 4.
fn obs_publishes(mode: Mode) {
    let (server, player) = watched(mode);
    let mut peer = Peer::shake(&server);
    peer.chunk_size = 4096;
    peer.message(2, 0, 1, 0, &4096_u32.to_be_bytes());
    peer.message(3, 0, 20, 0, &connect_command("rtmp://127.0.0.1/live"));
    peer.until("NetConnection.Connect.Success");
    peer.message(3, 0, 20, 0, &command("releaseStream", 2.0, &[NULL, &text("clip")].concat()));
    peer.message(3, 0, 20, 0, &command("FCPublish", 3.0, &[NULL, &text("clip")].concat()));
    peer.message(3, 0, 20, 0, &command("createStream", 4.0, NULL));
    peer.message(4, 0, 20, 1, &command("publish", 5.0, &[NULL, &text("clip"), &text("live")].concat()));
    peer.until("NetStream.Publish.Start");
    let sent = H264_AAC.tags();
    let pace = Pace::new(4.0);
    for tag in &sent {
        pace.keep(tag.ms);
        peer.message(4, tag.ms, tag.kind, 1, &obs_body(tag));
    }
    player.wait_frames(frames(&sent));
    peer.message(3, 0, 20, 0, &command("FCUnpublish", 6.0, &[NULL, &text("clip")].concat()));
    peer.message(3, 0, 20, 0, &command("deleteStream", 7.0, &[NULL, &number(1.0)].concat()));
    let (seen, _) = player.to_end();
    assert_same_frames(&sent, &seen, 0, "OBS's order");
}

/// As encoders of the Flash era do: chunks of 128 bytes, `connect` in AMF3, no transaction number for `publish`, and just
/// a broken connection at the end.
fn a_flash_era_encoder_publishes(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "20000"), ("publish.grace_ms", "0")]);
    let player = Player::start(&server, Over::Http, "clip");
    server.until_viewers("clip", 1);
    let mut peer = Peer::shake(&server);
    let amf3 = [&[0][..], &connect_command("rtmp://127.0.0.1/live")].concat();
    peer.message(3, 0, 17, 0, &amf3);
    peer.until("NetConnection.Connect.Success");
    peer.message(3, 0, 20, 0, &command("_checkbw", 2.0, NULL));
    peer.message(3, 0, 20, 0, &command("createStream", 3.0, NULL));
    peer.message(8, 0, 20, 1, &command("publish", 0.0, &[NULL, &text("clip?key=value")].concat()));
    peer.until("NetStream.Publish.Start");
    let sent = H264_AAC.tags();
    let pace = Pace::new(4.0);
    for tag in &sent {
        pace.keep(tag.ms);
        let csid = if tag.kind == AUDIO { 5 } else { 6 };
        peer.message(csid, tag.ms, tag.kind, 1, &obs_body(tag));
    }
    player.wait_frames(frames(&sent));
    drop(peer);
    let (seen, _) = player.to_end();
    assert_same_frames(&sent, &seen, 0, "an encoder of the Flash era");
}

/// How many frames a player that starts with the first picture gets.
fn frames(tags: &[Tag]) -> usize {
    tags.iter().filter(|tag| tag.is_frame()).skip_while(|tag| !tag.is_keyframe()).count()
}

/// Metadata is sent with a name that asks the server to keep it.
fn obs_body(tag: &Tag) -> Vec<u8> {
    if tag.kind == flv::SCRIPT { [&text("@setDataFrame"), &tag.body[..]].concat() } else { tag.body.clone() }
}

fn curl_pushes_in_chunks(mode: Mode) {
    curl_pushes(mode, &["-H", "Transfer-Encoding: chunked", "-T"], "", "curl in chunks");
}

/// With a body this large curl asks first whether it may send it (`Expect: 100-continue`).
fn curl_pushes_with_a_length(mode: Mode) {
    curl_pushes(
        mode,
        &["-X", "POST", "-H", "Content-Type: video/x-flv", "--data-binary"],
        "@",
        "curl with a length",
    );
}

fn curl_pushes(mode: Mode, arguments: &[&str], prefix: &str, who: &str) {
    let (server, player) = watched(mode);
    let long = media::looped(&H264_AAC.tags(), 16);
    let file = common::server::scratch().join(format!("curl-{}.flv", server.pid()));
    flv::write(&mut std::fs::File::create(&file).unwrap(), &long);
    assert!(file.metadata().unwrap().len() > 1 << 20);
    let body = format!("{prefix}{}", file.display());
    curl(&server, &[&["--limit-rate", "500k"], arguments, &[&body]].concat());
    std::fs::remove_file(file).unwrap();
    let (seen, _) = player.to_end();
    // curl's first write is a large one: the viewer starts with the newest of its keyframes.
    assert_same_frames(&long, &seen, 100, who);
}

fn curl(server: &Server, arguments: &[&str]) {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]).args(arguments).arg(server.http_url("clip"));
    assert_eq!(String::from_utf8_lossy(&tools::run(&mut curl)), "200");
}

fn ffmpeg_pushes_over_http(mode: Mode) {
    let (server, player) = watched(mode);
    let mut pusher = ffmpeg();
    pusher.args([
        "-re",
        "-i",
        &H264_AAC.path(),
        "-c",
        "copy",
        "-f",
        "flv",
        "-method",
        "POST",
        &server.http_url("clip"),
    ]);
    tools::run(&mut pusher);
    let (seen, _) = player.to_end();
    assert_same_frames(&H264_AAC.tags(), &seen, 0, "ffmpeg over HTTP");
}

fn a_websocket_pushes(mode: Mode) {
    use tungstenite::client::IntoClientRequest;
    for protocol in ["publisher", "post"] {
        let (server, player) = watched(mode);
        let mut request = format!("ws://{}/live/clip.flv", server.http).into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        let (mut peer, response) = tungstenite::client(request, connect(server.http)).unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], protocol);
        let sent = H264_AAC.tags();
        let pace = Pace::new(4.0);
        let mut bytes = flv::header(&sent);
        for tag in &sent {
            pace.keep(tag.ms);
            bytes.extend_from_slice(&flv::tag_bytes(tag));
            // Messages end anywhere.
            while bytes.len() > 1501 {
                let rest = bytes.split_off(1501);
                peer.send(tungstenite::Message::binary(std::mem::replace(&mut bytes, rest))).unwrap();
            }
        }
        peer.send(tungstenite::Message::binary(bytes)).unwrap();
        player.wait_frames(frames(&sent));
        peer.close(None).unwrap();
        until("the close is answered", common::SOON, || peer.read().is_err().then_some(()));
        let (seen, _) = player.to_end();
        assert_same_frames(&sent, &seen, 0, protocol);
    }
}

/// A peer that writes every byte itself.
struct Peer {
    socket: TcpStream,
    chunk_size: usize,
    seen: Vec<u8>,
}

impl Peer {
    /// The simple handshake, with all that may be sent at once sent at once.
    fn shake(server: &Server) -> Self {
        let mut socket = connect(server.rtmp);
        let mut first = vec![3, 0, 0, 0, 0, 0, 0, 0, 0];
        first.extend((0..1528_u32).map(|at| u8::try_from(at * 7 % 251).unwrap()));
        socket.write_all(&first).unwrap();
        let mut answer = vec![0; 1 + 1536 + 1536];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], 3);
        assert!(answer[1537..] == first[1..], "S2 echoes C1");
        socket.write_all(&answer[1..1537]).unwrap();
        Self { socket, chunk_size: 128, seen: Vec::new() }
    }

    fn message(&mut self, csid: u8, ms: u32, kind: u8, stream: u32, body: &[u8]) {
        let mut bytes = vec![csid];
        bytes.extend_from_slice(&ms.to_be_bytes()[1..]);
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        bytes.push(kind);
        bytes.extend_from_slice(&stream.to_le_bytes());
        for (at, chunk) in body.chunks(self.chunk_size).enumerate() {
            if at > 0 {
                bytes.push(0xc0 | csid);
            }
            bytes.extend_from_slice(chunk);
        }
        self.socket.write_all(&bytes).unwrap();
    }

    /// Reads until the server says this.
    fn until(&mut self, word: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.windows(word.len()).any(|window| window == word.as_bytes()) {
            let n = self.socket.read(&mut buffer).unwrap();
            assert!(n > 0, "the connection ended before {word}: {}", String::from_utf8_lossy(&self.seen));
            self.seen.extend_from_slice(&buffer[..n]);
        }
    }
}

const NULL: &[u8] = &[5];

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![2];
    name(text, &mut bytes);
    bytes
}

fn name(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn number(number: f64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

fn command(verb: &str, transaction: f64, arguments: &[u8]) -> Vec<u8> {
    [&text(verb)[..], &number(transaction), arguments].concat()
}

fn connect_command(url: &str) -> Vec<u8> {
    let mut object = vec![3];
    for (key, value) in [("app", "live"), ("type", "nonprivate"), ("flashVer", "FMLE/3.0"), ("tcUrl", url)] {
        name(key, &mut object);
        object.extend_from_slice(&text(value));
    }
    object.extend_from_slice(&[0, 0, 9]);
    command("connect", 1.0, &object)
}
