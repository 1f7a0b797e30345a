//! What the RTMP tests share: a peer written by hand, transcripts of what a session says, and a small stream.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use media::{Codec, Flags, MetaValue, Metadata, Moment, Packet, StreamInfo, StreamKey, Timestamp, Track};
use protocols::rtmp::chunk::{ChunkLimits, ChunkReader, Item, Message, MessageHeader, write_message};
use protocols::rtmp::command::{self, Command};
use protocols::rtmp::{Config, ServerSession};
use protocols::{Event, Input, Output, Session, Verdict};
use std::fmt::Write;
use std::sync::Arc;

/// A moment at which no deadline is near.
pub const NOW: Moment = Moment(1_000_000);

pub fn config() -> Config {
    Config::default()
}

pub fn server_with(config: Config) -> ServerSession {
    ServerSession::new(Arc::new(config), 42, NOW)
}

pub fn server() -> ServerSession {
    server_with(config())
}

/// C0, C1 and C2 of the simple form.
pub fn handshake() -> Vec<u8> {
    let mut bytes = vec![3, 0, 0, 0, 9, 0, 0, 0, 0];
    bytes.extend((0..1528).map(|i| i as u8));
    bytes.extend([7; 1536]);
    bytes
}

/// A peer's bytes, built by hand.
#[derive(Clone)]
pub struct Peer {
    pub bytes: Vec<u8>,
    pub chunk_size: u32,
}

impl Peer {
    /// After the handshake.
    pub fn new() -> Self {
        Self { bytes: handshake(), chunk_size: 128 }
    }

    pub fn message(&mut self, csid: u8, kind: u8, stream_id: u32, timestamp: u32, body: &[u8]) -> &mut Self {
        let header = MessageHeader { csid, timestamp, kind, stream_id };
        write_message(header, body, self.chunk_size, &mut self.bytes);
        self
    }

    pub fn chunk_size(&mut self, size: u32) -> &mut Self {
        self.message(2, 1, 0, 0, &size.to_be_bytes());
        self.chunk_size = size;
        self
    }

    pub fn command(&mut self, csid: u8, stream_id: u32, values: &[MetaValue]) -> &mut Self {
        self.message(csid, 20, stream_id, 0, &command::encode(values))
    }

    pub fn connect(&mut self, app: &str) -> &mut Self {
        let object = command::object(&[
            ("app", command::text(app)),
            ("flashVer", command::text("test/1")),
            ("tcUrl", command::text(&format!("rtmp://example.org/{app}"))),
        ]);
        self.command(3, 0, &[text("connect"), number(1.0), object])
    }

    /// `createStream`, as the `nth` command.
    pub fn create_stream(&mut self, transaction: f64) -> &mut Self {
        self.command(3, 0, &[text("createStream"), number(transaction), MetaValue::Null])
    }

    pub fn publish(&mut self, name: &str) -> &mut Self {
        self.command(4, 1, &[text("publish"), number(5.0), MetaValue::Null, text(name), text("live")])
    }

    pub fn play(&mut self, name: &str) -> &mut Self {
        self.command(8, 1, &[text("play"), number(5.0), MetaValue::Null, text(name), number(-2000.0)])
    }
}

pub fn text(value: &str) -> MetaValue {
    command::text(value)
}

pub fn number(value: f64) -> MetaValue {
    MetaValue::Number(value)
}

/// What a session said, as text, and its bytes in one piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    pub events: Vec<String>,
    pub bytes: Vec<u8>,
}

/// Feeds one input, answers requests with the verdict, notes what is said. Errors are in the transcript as `closed`.
pub fn feed(session: &mut dyn Session, input: Input<'_>, verdict: Option<Verdict>, into: &mut Transcript) {
    let _ = session.handle(NOW, input);
    loop {
        match session.poll(NOW) {
            Output::Wait(_) => return,
            Output::Bytes(bytes) => into.bytes.extend_from_slice(&bytes),
            Output::Event(event) => {
                let asks = matches!(event, Event::Publish(_) | Event::Play(_));
                into.events.push(describe(&event));
                if let (true, Some(verdict)) = (asks, verdict) {
                    let _ = session.handle(NOW, Input::Verdict(verdict));
                }
            }
        }
    }
}

/// Runs a fresh session over bytes cut at the given places; all requests are allowed.
pub fn run(bytes: &[u8], cuts: &[usize]) -> Transcript {
    let mut session = server();
    let mut transcript = Transcript::default();
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        feed(&mut session, Input::Bytes(&bytes[from..cut]), Some(Verdict::Allow), &mut transcript);
        from = cut;
    }
    transcript
}

pub fn describe(event: &Event) -> String {
    match event {
        Event::Publish(request) => {
            format!("publish {} {:?} {} {}", request.key, request.query.0, request.user_agent, request.host)
        }
        Event::Play(request) => format!(
            "play {} {:?} {} {} {:x} {:?}",
            request.key,
            request.query.0,
            request.user_agent,
            request.host,
            request.rendition.id(),
            request.start
        ),
        Event::Track(track) => format!("track {} {}", track.codec, hex(&track.config)),
        Event::Metadata(metadata) => format!("metadata {}", metadata.fields.len()),
        Event::Packet(packet) => format!(
            "packet {:?} {} {} {} {}",
            packet.kind,
            packet.dts,
            packet.pts,
            packet.flags.keyframe,
            hex(&packet.payload)
        ),
        Event::PublishEnd => "publish end".to_owned(),
        Event::PlayEnd => "play end".to_owned(),
        Event::Step(step) => format!("step {step}"),
        Event::Leniency(what) => format!("leniency {what}"),
        Event::Closed(None) => "closed".to_owned(),
        Event::Closed(Some(error)) => format!("closed {error}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The messages of a server after its handshake answer.
pub fn messages_of(bytes: &[u8]) -> Vec<Message> {
    let mut reader = ChunkReader::new(ChunkLimits::default());
    let mut input = &bytes[3073..];
    let mut all = Vec::new();
    while let Some(item) = reader.read(&mut input).unwrap() {
        match item {
            Item::Message(message) => all.push(message),
            Item::Leniency(what) => panic!("leniency: {what}"),
        }
    }
    assert_eq!(reader.buffered_bytes(), 0, "an unfinished message");
    all
}

/// The same in short: `control 5`, `_result 1`, `onStatus NetStream.Play.Start`, `data |RtmpSampleAccess`, `video`.
pub fn words_of(bytes: &[u8]) -> Vec<String> {
    messages_of(bytes).iter().map(word).collect()
}

fn word(message: &Message) -> String {
    match message.kind {
        4 => format!("event {} of {}", message.payload[1], message.payload[5]),
        1..=6 => format!("control {}", message.kind),
        8 => "audio".to_owned(),
        9 => "video".to_owned(),
        18 => {
            let values =
                protocols::amf::decode_all(&message.payload, &protocols::amf::Limits::default()).unwrap();
            match &values[0] {
                MetaValue::Text(name) => format!("data {name}"),
                other => panic!("data message begins with {other:?}"),
            }
        }
        20 => {
            let command = Command::parse(20, &message.payload).unwrap();
            let stream = message.stream_id;
            match command.info("code") {
                Some(code) => format!("{} {} on {stream}: {code}", command.name, command.transaction),
                None => format!("{} {} on {stream}", command.name, command.transaction),
            }
        }
        other => panic!("message type {other}"),
    }
}

pub fn key(text: &str) -> StreamKey {
    let (app, name) = text.rsplit_once('/').unwrap();
    StreamKey::parse(app, name, 255).unwrap()
}

/// A decoder configuration for H.264 with four-byte lengths; nothing here looks into the parameter sets.
const AVC_CONFIG: [u8; 19] =
    [1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1e, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80];

/// H.264 and AAC, named.
pub fn info() -> StreamInfo {
    let mut video = Track::new(Codec::H264);
    video.config = Bytes::from_static(&AVC_CONFIG);
    let mut audio = Track::new(Codec::Aac);
    audio.config = Bytes::from_static(&[0x12, 0x10]);
    let fields = vec![("encoder".to_owned(), text("test")), ("width".to_owned(), number(320.0))];
    StreamInfo { video: Some(video), audio: Some(audio), metadata: Some(Metadata { fields }) }
}

/// Pictures and sound from `start` milliseconds on; every fifth picture is a keyframe of `size` bytes.
pub fn packets(start: i64, count: i64, size: usize) -> Vec<Packet> {
    let info = info();
    let (video, audio) = (info.video.unwrap(), info.audio.unwrap());
    let mut all = Vec::new();
    for n in 0..count {
        let dts = Timestamp::from_millis(start + n * 40);
        let keyframe = n % 5 == 0;
        let mut payload = Vec::new();
        let length = if keyframe { size } else { size / 3 + 6 };
        payload.extend((length as u32).to_be_bytes());
        payload.push(if keyframe { 0x65 } else { 0x41 });
        payload.extend((1..length).map(|i| (i * 13 + n as usize) as u8));
        let pts = dts + Timestamp::from_millis(if keyframe { 0 } else { 80 });
        let flags = Flags { keyframe, discardable: false };
        all.push(Packet { track: video.id, kind: video.kind(), dts, pts, flags, payload: payload.into() });
        let dts = dts + Timestamp::from_millis(3);
        let payload = Bytes::from(vec![n as u8; 33]);
        let flags = Flags { keyframe: false, discardable: false };
        all.push(Packet { track: audio.id, kind: audio.kind(), dts, pts: dts, flags, payload });
    }
    all
}
