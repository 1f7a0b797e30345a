//! Sessions under test: made of text, drained into words.
#![allow(dead_code, clippy::expect_used, clippy::indexing_slicing)] // tests only; each file uses a part

use bytes::Bytes;
use media::{Codec, Flags, Kind, Moment, Packet, Rendition, StreamInfo, Timestamp, Track, TrackId};
use protocols::container::flv::{FlvRendition, Form, Framing, TrackFilter};
use protocols::http::{HeadLimits, RequestReader};
use protocols::httpflv::{Config, HttpFlvSession};
use protocols::{Event, Input, Output, PlayRequest, PublishRequest, Session, Verdict};
use std::sync::Arc;

pub const START: Moment = Moment(1_000_000);
pub const NONCE: [u8; 16] = [7; 16];
pub const MASK: [u8; 4] = [0x12, 0xff, 0x00, 0xa5];

/// A session and all that it said.
pub struct Run {
    pub session: HttpFlvSession,
    pub now: Moment,
    pub out: Vec<u8>,
    pub events: Vec<String>,
    pub play: Option<PlayRequest>,
    pub publish: Option<PublishRequest>,
    pub wait: Option<Moment>,
}

impl Run {
    /// From a head and the bytes behind it.
    pub fn new(bytes: &[u8]) -> Self {
        Self::with(bytes, Config::default())
    }

    pub fn with(bytes: &[u8], config: Config) -> Self {
        let read = RequestReader::new(HeadLimits::default()).push(bytes);
        let (request, leftover) = read.expect("a good head").expect("a whole head");
        let session = HttpFlvSession::new(request, leftover, Arc::new(config));
        let mut run = Self {
            session,
            now: START,
            out: Vec::new(),
            events: Vec::new(),
            play: None,
            publish: None,
            wait: None,
        };
        run.drain();
        run
    }

    pub fn input(&mut self, input: Input<'_>) -> &mut Self {
        // What is wrong comes out as an event.
        let _ = self.session.handle(self.now, input);
        self.drain();
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.input(Input::Bytes(bytes))
    }

    pub fn allow(&mut self) -> &mut Self {
        self.input(Input::Verdict(Verdict::Allow))
    }

    pub fn drain(&mut self) {
        loop {
            match self.session.poll(self.now) {
                Output::Bytes(bytes) => self.out.extend_from_slice(&bytes),
                Output::Wait(wait) => {
                    self.wait = wait;
                    return;
                }
                Output::Event(event) => {
                    self.events.push(word(&event));
                    match event {
                        Event::Play(request) => self.play = Some(request),
                        Event::Publish(request) => self.publish = Some(request),
                        _ => {}
                    }
                }
            }
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub fn status(&self) -> u16 {
        self.text().split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// Events and bytes since the last time.
    pub fn take(&mut self) -> (Vec<u8>, Vec<String>) {
        (std::mem::take(&mut self.out), std::mem::take(&mut self.events))
    }
}

/// One event in words.
pub fn word(event: &Event) -> String {
    match event {
        Event::Publish(request) => format!("publish {}", request.key),
        Event::Play(request) => format!("play {}", request.key),
        Event::Track(track) => format!("track {}", track.codec),
        Event::Metadata(_) => "metadata".into(),
        Event::Packet(packet) => {
            let key = if packet.flags.keyframe && packet.kind == Kind::Video { " key" } else { "" };
            format!("{:?} {}{key} {}", packet.kind, packet.dts.millis(), packet.payload.len())
        }
        Event::PublishEnd => "publish end".into(),
        Event::PlayEnd => "play end".into(),
        Event::Step(name) => format!("step {name}"),
        Event::Leniency(name) => format!("({name})"),
        Event::Closed(None) => "closed".into(),
        Event::Closed(Some(error)) => format!("closed: {error}"),
    }
}

/// A stream of H.264 and AAC, in each framing, unit by unit.
pub fn units(framing: Framing) -> Vec<Vec<u8>> {
    let mut info = StreamInfo::default();
    let mut video = Track::new(Codec::H264);
    video.config = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]);
    let mut audio = Track::new(Codec::Aac);
    audio.config = Bytes::from_static(&[0x12, 0x10]);
    info.announce(video);
    info.announce(audio);
    let rendition = FlvRendition { form: Form::LEGACY, framing, filter: TrackFilter::ALL };
    let mut muxer = rendition.muxer();
    let mut units = vec![Vec::new()];
    muxer.preamble(&info, Timestamp::ZERO, true, &mut units[0]);
    for (kind, ms, keyframe, len) in
        [(Kind::Video, 0, true, 400), (Kind::Audio, 10, true, 20), (Kind::Video, 40, false, 130)]
    {
        let stamp = Timestamp::from_millis(ms);
        let track = if kind == Kind::Video { TrackId::VIDEO } else { TrackId::AUDIO };
        let flags = Flags { keyframe, discardable: false };
        let mut unit = Vec::new();
        let packet =
            Packet { track, kind, dts: stamp, pts: stamp, flags, payload: Bytes::from(vec![0x61; len]) };
        muxer.packet(&info, &packet, &mut unit);
        units.push(unit);
    }
    units
}

pub fn flv() -> Vec<u8> {
    units(Framing::Raw).concat()
}

/// What a reader makes of [`units`].
pub fn flv_events() -> Vec<String> {
    let mut expected = vec!["track H264", "track AAC", "Video 0 key 400", "Audio 10 20", "Video 40 130"];
    let mut events: Vec<String> = expected.drain(..).map(str::to_owned).collect();
    if metadata_is_written() {
        events.insert(0, "metadata".into());
    }
    events
}

fn metadata_is_written() -> bool {
    let mut reader = protocols::container::flv::FlvReader::new(Default::default());
    let mut first = None;
    reader
        .push(&flv(), &mut |event| {
            first.get_or_insert(word(&event));
        })
        .expect("own FLV");
    first.as_deref() == Some("metadata")
}

/// As the media events of a run: without the rest.
pub fn media_events(events: &[String]) -> Vec<String> {
    let is_media = |event: &&String| {
        ["track", "metadata", "Video", "Audio", "Data"].iter().any(|start| event.starts_with(start))
    };
    events.iter().filter(is_media).cloned().collect()
}

/// Splits a run of bytes at every offset, and byte by byte.
pub fn every_cut(bytes: &[u8], mut check: impl FnMut(&[&[u8]])) {
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        check(&[first, second]);
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    check(&single);
}
