//! Our own two sides against each other: what is published comes out, what is played was muxed, whatever the chunk
//! sizes, the handshake, the cuts and the stamps; and what a server says about refusals and stops arrives as types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod rtmp_support;

use media::{Codec, Kind, Metadata, Packet, Refusal, StopReason, StreamInfo, Timestamp, Track};
use protocols::container::flv::TagKind;
use protocols::rtmp::handshake::{HandshakeForm, Scheme};
use protocols::rtmp::{
    Config, Dial, FormChoice, PlayerSession, Progress, PublisherSession, ServerSession, StatusCode, Wanted,
};
use protocols::{Event, Input, Output, PlayRequest, Query, Session, Verdict};
use rtmp_support::{NOW, config, info, key, packets, server_with};

const SIZES: [u32; 9] = [1, 2, 3, 127, 128, 129, 4096, 60000, 65536];

/// What a side said in terms of media.
#[derive(Default)]
struct Heard {
    steps: Vec<&'static str>,
    tracks: Vec<Track>,
    metadata: Vec<Metadata>,
    packets: Vec<Packet>,
    leniencies: Vec<&'static str>,
    play: Option<PlayRequest>,
    publish_query: Option<Query>,
    ended: bool,
    closed: Option<Option<protocols::Error>>,
}

impl Heard {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Step(step) => self.steps.push(step),
            Event::Track(track) => self.tracks.push(track),
            Event::Metadata(metadata) => self.metadata.push(metadata),
            Event::Packet(packet) => self.packets.push(packet),
            Event::Leniency(what) => self.leniencies.push(what),
            Event::Play(request) => self.play = Some(request),
            Event::Publish(request) => self.publish_query = Some(request.query),
            Event::PublishEnd | Event::PlayEnd => self.ended = true,
            Event::Closed(why) => self.closed = Some(why),
        }
    }
}

/// A server session and a connecting one with nothing but slices between them.
struct Pair<S> {
    server: ServerSession,
    peer: S,
    cut: usize,
    verdict: Verdict,
    at_server: Heard,
    at_peer: Heard,
}

impl<S: Session> Pair<S> {
    fn new(config: Config, peer: S, cut: usize) -> Self {
        Self {
            server: server_with(config),
            peer,
            cut,
            verdict: Verdict::Allow,
            at_server: Heard::default(),
            at_peer: Heard::default(),
        }
    }

    /// Carries bytes both ways until both are silent.
    fn settle(&mut self) {
        loop {
            let from_server = drain(&mut self.server, &mut self.at_server, Some(self.verdict));
            let from_peer = drain(&mut self.peer, &mut self.at_peer, None);
            if from_server.is_empty() && from_peer.is_empty() {
                return;
            }
            self.send_to_peer(&from_server);
            for piece in from_peer.chunks(self.cut) {
                let _ = self.server.handle(NOW, Input::Bytes(piece));
            }
        }
    }

    fn send_to_peer(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.cut) {
            let _ = self.peer.handle(NOW, Input::Bytes(piece));
        }
    }
}

fn drain(session: &mut dyn Session, heard: &mut Heard, verdict: Option<Verdict>) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match session.poll(NOW) {
            Output::Wait(_) => return all,
            Output::Bytes(bytes) => all.extend_from_slice(&bytes),
            Output::Event(event) => {
                let asks = matches!(event, Event::Publish(_) | Event::Play(_));
                heard.hear(event);
                if let (true, Some(verdict)) = (asks, verdict) {
                    let _ = session.handle(NOW, Input::Verdict(verdict));
                }
            }
        }
    }
}

fn dial() -> Dial {
    Dial::new("example.org", key("live/demo"))
}

fn publisher(dial: Dial) -> PublisherSession {
    PublisherSession::new(dial, 1)
}

fn player(dial: Dial) -> PlayerSession {
    PlayerSession::new(dial, Wanted { media: true, tags: true }, 1)
}

fn publish(config: Config, dial: Dial, cut: usize, sent: &[Packet]) -> Pair<PublisherSession> {
    let mut pair = Pair::new(config, publisher(dial), cut);
    pair.settle();
    assert_eq!(pair.peer.progress(), &Progress::Active);
    assert_eq!(pair.at_peer.steps, ["handshake", "connect", "publish"]);
    assert!(pair.peer.announce(&info(), sent[0].dts));
    for packet in sent {
        assert!(pair.peer.packet(&info(), packet));
        pair.settle();
    }
    pair
}

/// Plays as the engine would let it: the session's own bytes, then those of the rendition.
fn play(config: Config, dial: Dial, cut: usize, info: &StreamInfo, sent: &[Packet]) -> Pair<PlayerSession> {
    let mut pair = Pair::new(config, player(dial), cut);
    pair.settle();
    assert_eq!(pair.peer.progress(), &Progress::Active);
    let mut muxer = pair.at_server.play.as_ref().unwrap().rendition.muxer();
    let mut unit = Vec::new();
    muxer.preamble(info, sent[0].dts, true, &mut unit);
    pair.send_to_peer(&unit);
    for packet in sent {
        unit.clear();
        muxer.packet(info, packet, &mut unit);
        pair.send_to_peer(&unit);
    }
    pair.settle();
    pair
}

fn assert_heard(heard: &Heard, sent: &[Packet]) {
    assert_eq!(heard.leniencies, [] as [&str; 0]);
    assert_eq!(heard.closed, None);
    let codecs: Vec<Codec> = heard.tracks.iter().map(|track| track.codec).collect();
    assert_eq!(codecs, [Codec::H264, Codec::Aac]);
    let configs: Vec<_> = heard.tracks.iter().map(|track| track.config.clone()).collect();
    assert_eq!(configs, [info().video.unwrap().config, info().audio.unwrap().config]);
    assert_eq!(heard.metadata[0].text("encoder"), Some("test"));
    assert!(heard.packets == sent, "the packets that came are those that were sent");
}

#[test]
fn what_is_published_arrives_with_every_chunk_size() {
    for size in SIZES {
        for cut in [1, 1000, usize::MAX] {
            let sent = packets(0, 6, 900);
            let pair = publish(config(), Dial { chunk_size: size, ..dial() }, cut, &sent);
            assert_heard(&pair.at_server, &sent);
        }
    }
}

#[test]
fn what_is_played_was_muxed_with_every_chunk_size() {
    for size in SIZES {
        for cut in [1, 1000, usize::MAX] {
            let sent = packets(0, 6, 900);
            let pair = play(Config { chunk_size: size, ..config() }, dial(), cut, &info(), &sent);
            assert_heard(&pair.at_peer, &sent);
        }
    }
}

#[test]
fn large_frames_pass_both_ways() {
    let sent = packets(0, 6, 200_000);
    assert_heard(&publish(config(), dial(), 65536, &sent).at_server, &sent);
    assert_heard(&play(config(), dial(), 65536, &info(), &sent).at_peer, &sent);
}

#[test]
fn stamps_pass_the_24_31_and_32_bit_edges() {
    for edge in [1_i64 << 24, 1 << 31, 1 << 32] {
        for size in [1, 128, 60000] {
            let sent = packets(edge - 200, 10, 900);
            assert_heard(
                &publish(config(), Dial { chunk_size: size, ..dial() }, 777, &sent).at_server,
                &sent,
            );
            let pair = play(Config { chunk_size: size, ..config() }, dial(), 777, &info(), &sent);
            assert_heard(&pair.at_peer, &sent);
        }
    }
}

#[test]
fn every_handshake_leads_to_the_same() {
    for handshake in [
        HandshakeForm::Simple,
        HandshakeForm::Digest(Scheme::DigestFirst),
        HandshakeForm::Digest(Scheme::KeyFirst),
    ] {
        for cut in [1, 1537, usize::MAX] {
            let sent = packets(0, 2, 50);
            assert_heard(&publish(config(), Dial { handshake, ..dial() }, cut, &sent).at_server, &sent);
            assert_heard(&play(config(), Dial { handshake, ..dial() }, cut, &info(), &sent).at_peer, &sent);
        }
    }
}

#[test]
fn each_unit_of_the_rendition_can_be_the_first() {
    let pair = play(config(), dial(), usize::MAX, &info(), &packets(0, 1, 50));
    let muxer = || pair.at_server.play.as_ref().unwrap().rendition.muxer();
    let sent = packets(20_000_000, 4, 3000);
    for first in 0..sent.len() {
        let mut fresh = Pair::new(config(), player(dial()), usize::MAX);
        fresh.settle();
        let (mut muxer, mut bytes) = (muxer(), Vec::new());
        muxer.preamble(&info(), sent[first].dts, true, &mut bytes);
        for packet in &sent[first..] {
            muxer.packet(&info(), packet, &mut bytes);
        }
        fresh.send_to_peer(&bytes);
        fresh.settle();
        assert_heard(&fresh.at_peer, &sent[first..]);
    }
}

#[test]
fn raw_tags_are_the_bodies_as_they_came() {
    let mut pair = Pair::new(config(), publisher(dial()), 500);
    pair.settle();
    for (kind, time, body) in
        [(TagKind::Audio, 5, vec![0xaf, 0, 0x12, 0x10]), (TagKind::Audio, 0xffff_fff0, vec![0xaf, 1, 9, 9])]
    {
        assert!(pair.peer.send(kind, time, &body));
    }
    pair.settle();
    assert_eq!(pair.at_server.packets.len(), 1);

    let mut pair = play(config(), dial(), 500, &info(), &packets(7000, 1, 50));
    let mut tags = Vec::new();
    while let Some(tag) = pair.peer.next_tag() {
        tags.push((tag.kind, tag.milliseconds, tag.body.len()));
    }
    let kinds: Vec<_> = tags.iter().map(|tag| tag.0).collect();
    use TagKind::{Audio, Script, Video};
    assert_eq!(kinds, [Script, Script, Video, Audio, Video, Audio], "sample access and metadata first");
    let times: Vec<u32> = tags.iter().map(|tag| tag.1).collect();
    assert_eq!(
        times,
        [0, 0, 7000, 7000, 7000, 7003],
        "metadata is at 0: ffmpeg takes it for a subtitle elsewhere"
    );
    assert_eq!(tags[5].2, 2 + 33);
}

#[test]
fn the_query_arrives_and_the_end_is_said_once() {
    let query = Query(vec![("sign".to_owned(), "1-a/b&c".to_owned())]);
    let mut pair = publish(config(), Dial { query: query.clone(), ..dial() }, 100, &packets(0, 1, 50));
    assert_eq!(pair.at_server.publish_query, Some(query));
    pair.peer.finish();
    assert!(!pair.peer.send(TagKind::Audio, 0, &[0xaf, 1, 1]), "nothing is sent after the end");
    pair.settle();
    assert!(pair.at_server.ended);
    assert_eq!(pair.at_peer.closed, Some(None));

    let mut pair = play(config(), dial(), 100, &info(), &packets(0, 1, 50));
    pair.peer.handle(NOW, Input::Stop(StopReason::Kicked)).unwrap();
    pair.settle();
    assert!(pair.at_server.ended);
}

#[test]
fn refusals_arrive_as_their_codes() {
    use Refusal::{AlreadyPublishing, BadName, Limit, NotAllowed, NotFound, ShuttingDown, Unavailable};
    for (why, published, played) in [
        (BadName, StatusCode::PublishBadName, StatusCode::PlayStreamNotFound),
        (AlreadyPublishing, StatusCode::PublishBadName, StatusCode::PlayFailed),
        (NotAllowed, StatusCode::PublishDenied, StatusCode::PlayFailed),
        (NotFound, StatusCode::PublishRejected, StatusCode::PlayStreamNotFound),
        (Limit, StatusCode::PublishRejected, StatusCode::PlayFailed),
        (ShuttingDown, StatusCode::PublishRejected, StatusCode::PlayFailed),
        (Unavailable, StatusCode::PublishRejected, StatusCode::PlayFailed),
    ] {
        let mut pair = Pair::new(config(), publisher(dial()), 100);
        pair.verdict = Verdict::Refuse(why);
        pair.settle();
        assert_refused(pair.peer.progress(), &published, why);
        assert_eq!(pair.at_server.closed, Some(None));
        assert!(matches!(pair.at_peer.closed, Some(Some(_))));

        let mut pair = Pair::new(config(), player(dial()), 100);
        pair.verdict = Verdict::Refuse(why);
        pair.settle();
        assert_refused(pair.peer.progress(), &played, why);
        assert_eq!(pair.at_server.closed, Some(None));
    }
}

fn assert_refused(progress: &Progress, code: &StatusCode, why: Refusal) {
    let Progress::Refused(status) = progress else { panic!("{why}: {progress:?}") };
    assert_eq!((&status.code, status.is_error, status.description.as_str()), (code, true, why.name()));
}

#[test]
fn a_stop_is_told_before_the_end() {
    for why in [StopReason::StreamEnded, StopReason::Replaced, StopReason::Kicked, StopReason::ShuttingDown] {
        let mut pair = publish(config(), dial(), 100, &packets(0, 1, 50));
        pair.server.handle(NOW, Input::Stop(why)).unwrap();
        pair.settle();
        assert_stopped(pair.peer.progress(), &StatusCode::UnpublishSuccess, why);
        assert_eq!((pair.at_server.closed, pair.at_server.ended), (Some(None), false));

        let mut pair = play(config(), dial(), 100, &info(), &packets(0, 1, 50));
        pair.server.handle(NOW, Input::Stop(why)).unwrap();
        pair.settle();
        assert_stopped(pair.peer.progress(), &StatusCode::PlayUnpublishNotify, why);
        assert_eq!(pair.at_server.closed, Some(None));
    }
}

fn assert_stopped(progress: &Progress, code: &StatusCode, why: StopReason) {
    let Progress::Stopped(status) = progress else { panic!("{why}: {progress:?}") };
    assert_eq!((&status.code, status.description.as_str()), (code, why.name()));
}

/// H.265 and Opus, whose spelling depends on what the player understands.
fn modern() -> StreamInfo {
    let mut video = Track::new(Codec::H265);
    video.config = bytes::Bytes::from_static(&[1; 23]);
    StreamInfo { video: Some(video), audio: Some(Track::new(Codec::Opus)), metadata: None }
}

/// First bytes of the audio and video bodies that a player gets.
fn spelled(config: Config, dial: Dial) -> (u8, u8) {
    let mut sent = packets(0, 1, 50);
    sent.retain(|packet| packet.kind != Kind::Data);
    let mut pair = play(config, dial, 100, &modern(), &sent);
    let mut spelled = (0, 0);
    while let Some(tag) = pair.peer.next_tag() {
        match tag.kind {
            TagKind::Audio => spelled.0 = tag.body[0] & 0xf0,
            TagKind::Video => spelled.1 = tag.body[0] & 0x8f,
            TagKind::Script => {}
        }
    }
    spelled
}

#[test]
fn the_spelling_follows_the_query_then_the_config_then_the_announcement() {
    const OLD: (u8, u8) = (0xd0, 12);
    const NEW: (u8, u8) = (0x90, 0x83);
    let fourccs = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>();
    let asking =
        |form: &str| Dial { query: Query(vec![("codec_form".to_owned(), form.to_owned())]), ..dial() };
    let choosing = |form| Config { form, ..config() };
    assert_eq!(spelled(config(), dial()), OLD, "nothing announced");
    assert_eq!(spelled(config(), Dial { fourccs: fourccs(&["*"]), ..dial() }), NEW);
    assert_eq!(spelled(config(), Dial { fourccs: fourccs(&["hvc1", "av01"]), ..dial() }), (OLD.0, NEW.1));
    assert_eq!(spelled(config(), Dial { fourccs: fourccs(&["Opus"]), ..dial() }), (NEW.0, OLD.1));
    assert_eq!(spelled(choosing(FormChoice::Fourcc), dial()), NEW);
    assert_eq!(spelled(choosing(FormChoice::Legacy), Dial { fourccs: fourccs(&["*"]), ..dial() }), OLD);
    assert_eq!(spelled(config(), asking("fourcc")), NEW);
    assert_eq!(spelled(choosing(FormChoice::Fourcc), asking("legacy")), OLD);
}

#[test]
fn the_server_says_what_it_understands() {
    let mut pair = Pair::new(config(), publisher(dial()), 100);
    pair.settle();
    let form = pair.peer.form();
    assert!(form.fourcc_video && form.fourcc_audio, "both are in the reply to connect");
}

#[test]
fn tracks_that_are_not_wanted_are_left_out() {
    for (name, kinds) in [("onlyAudio", [Kind::Audio]), ("onlyVideo", [Kind::Video])] {
        let query = Query(vec![(name.to_owned(), "1".to_owned())]);
        let sent = packets(0, 3, 50);
        let pair = play(config(), Dial { query, ..dial() }, 100, &info(), &sent);
        assert_eq!(pair.at_peer.packets.len(), 3);
        assert!(pair.at_peer.packets.iter().all(|packet| kinds.contains(&packet.kind)), "{name}");
        assert_eq!(pair.at_peer.tracks.len(), 1);
    }
}

#[test]
fn renditions_that_differ_have_different_numbers() {
    let mut seen = std::collections::HashSet::new();
    let number = |config: Config, query: &str| {
        let query = Query(vec![(query.to_owned(), "1".to_owned())]);
        let pair = play(config, Dial { query, ..dial() }, 100, &info(), &packets(0, 1, 50));
        pair.at_server.play.unwrap().rendition.id()
    };
    for query in ["", "onlyAudio", "onlyVideo"] {
        for form in [FormChoice::Fourcc, FormChoice::Legacy] {
            for chunk_size in [1, 4096, 65536] {
                let id = number(Config { form, chunk_size, ..config() }, query);
                assert_eq!(id >> 56, 2);
                assert!(seen.insert(id), "{query} {form:?} {chunk_size}");
            }
        }
    }
}

#[test]
fn received_bytes_are_acknowledged_at_half_the_window() {
    let mut pair = publish(config(), dial(), usize::MAX, &packets(0, 1, 50));
    let body = [vec![0x17, 1, 0, 0, 0], vec![0; 400_000]].concat();
    let mut acknowledgements = 0;
    for n in 0..21 {
        pair.peer.send(TagKind::Video, n, &body);
        let from_peer = drain(&mut pair.peer, &mut pair.at_peer, None);
        pair.server.handle(NOW, Input::Bytes(&from_peer)).unwrap();
        let answer = drain(&mut pair.server, &mut pair.at_server, None);
        if !answer.is_empty() {
            assert_eq!((answer.len(), answer[7]), (16, 3), "an acknowledgement");
            acknowledgements += 1;
        }
    }
    assert_eq!(acknowledgements, 3, "8.4 MB in steps of at least 2.5 MB");
    assert_eq!(pair.at_server.packets.last().unwrap().dts, Timestamp::from_millis(20));
}
