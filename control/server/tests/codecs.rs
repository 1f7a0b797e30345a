//! Every codec in, over every carrier out: the packets that leave are byte for byte those that came, in order, with
//! their stamps. Pushed by ffmpeg where an ffmpeg can, played by ffmpeg over RTMP and HTTP and by a WebSocket peer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::{self, AUDIO, Tag, VIDEO};
use common::media::{self, Clip};
use common::play::Over;
use common::tools::{self, Listing, assert_same, ffmpeg, ffmpeg_new, list};
use common::{Mode, Player, Publisher, Server};

on_backends_and_seccomp! {
    h264_with_b_frames_and_aac;
    h265_by_fourcc_and_aac;
    h265_as_codec_12_and_aac;
    av1_and_aac;
    vp9_and_aac;
    h264_and_opus;
    h264_and_g711a;
    h264_and_g711u;
    h264_and_speex;
    h264_and_nellymoser;
    h264_and_mp3;
    h264_and_ac3;
    h264_and_flac;
    audio_alone;
    video_alone;
}

/// Who pushes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    OldFfmpeg,
    NewFfmpeg,
}

/// Pushes a clip and compares what three players got with the clip. `form`: what players must ask for so that this
/// ffmpeg can read it.
fn through(mode: Mode, clip: Clip, by: By, form: &str) {
    through_with(mode, clip, by, form, &[("play.wait_ms", "20000")]);
}

/// One kind of track: nobody is to wait for the other, so that all that is sent is seen.
fn alone(mode: Mode, clip: Clip) {
    through_with(mode, clip, By::OldFfmpeg, "", &[("play.wait_ms", "20000"), ("play.settle_ms", "0")]);
}

fn through_with(mode: Mode, clip: Clip, by: By, form: &str, settings: &[(&str, &str)]) {
    let server = Server::start(mode, settings);
    let path = clip.path();
    let players = Players::start(&server, form);
    let mut pusher = if by == By::NewFfmpeg { ffmpeg_new() } else { ffmpeg() };
    pusher.args(["-re", "-i", &path, "-c", "copy", "-f", "flv", &server.rtmp_url("clip")]);
    tools::run(&mut pusher);
    players.compare(&server, &Listing::parse(&list(&["-i", &path]).success()), clip.name);
}

/// A player over each carrier, connected before the publisher comes.
struct Players {
    rtmp: tools::Running,
    http: tools::Running,
    ws: Player,
}

impl Players {
    fn start(server: &Server, form: &str) -> Self {
        let enhanced = if form.contains("fourcc") { "hvc1,av01,vp09" } else { "" };
        let rtmp_url = format!("{}{form}", server.rtmp_url("clip"));
        let rtmp = if enhanced.is_empty() {
            list(&["-i", &rtmp_url])
        } else {
            list(&["-rtmp_enhanced_codecs", enhanced, "-i", &rtmp_url])
        };
        let http = list(&["-i", &format!("{}{form}", server.http_url("clip"))]);
        let ws = Player::ws(server, &format!("/live/clip.flv{form}"));
        server.until_viewers("clip", 3);
        Self { rtmp, http, ws }
    }

    fn compare(self, server: &Server, sent: &Listing, name: &str) {
        assert!(!sent.frames.is_empty());
        assert_same(sent, &Listing::parse(&self.rtmp.success()), &format!("{name} over RTMP"));
        assert_same(sent, &Listing::parse(&self.http.success()), &format!("{name} over HTTP-FLV"));
        let (tags, _) = self.ws.to_end();
        let file = common::server::scratch().join(format!("ws-{}-{name}.flv", server.pid()));
        flv::write(&mut std::fs::File::create(&file).unwrap(), &tags);
        let seen = Listing::parse(&list(&["-i", file.to_str().unwrap()]).success());
        std::fs::remove_file(file).unwrap();
        assert_same(sent, &seen, &format!("{name} over WS-FLV"));
    }
}

fn h264_with_b_frames_and_aac(mode: Mode) {
    let composed = media::H264_AAC.tags().iter().filter(|tag| tag.is_frame() && tag.coded().1 > 0).count();
    assert!(composed > 10, "the clip has B-frames");
    through(mode, media::H264_AAC, By::OldFfmpeg, "");
}

fn h265_by_fourcc_and_aac(mode: Mode) {
    through(mode, media::H265_AAC, By::NewFfmpeg, "?codec_form=fourcc");
}

/// In the older spelling, in and out: a publisher of rewritten tags, and players that announce nothing.
fn h265_as_codec_12_and_aac(mode: Mode) {
    let tags: Vec<Tag> = media::H265_AAC.tags().iter().filter_map(as_codec_12).collect();
    assert!(tags.iter().any(|tag| tag.kind == VIDEO && tag.body[..2] == [0x1c, 0]));
    let server = Server::start(mode, &[("play.wait_ms", "20000")]);
    let players = Players::start(&server, "");
    let announced = Player::rtmp(&server, "clip", |dial| dial.fourccs = vec!["hvc1".to_owned()]);
    let plain = Player::start(&server, Over::Rtmp, "clip");
    server.until_viewers("clip", 5);
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&tags, 1.0);
    publisher.finish();
    let (plain, _) = plain.to_end();
    assert!(plain.iter().filter(|tag| tag.kind == VIDEO).all(|tag| tag.body[0] & 0x8f == 12), "{plain:?}");
    let (announced, _) = announced.to_end();
    assert!(
        announced.iter().filter(|tag| tag.kind == VIDEO).all(|tag| &tag.body[1..5] == b"hvc1"),
        "{announced:?}"
    );
    players.compare(
        &server,
        &Listing::parse(&list(&["-i", &media::H265_AAC.path()]).success()),
        "h265_as_12",
    );
}

/// A tag with HEVC under its older number instead of its fourCC; notes of Enhanced RTMP have no such form.
fn as_codec_12(tag: &Tag) -> Option<Tag> {
    if tag.kind != VIDEO {
        return Some(tag.clone());
    }
    let (coded, composition) = tag.coded();
    let packet = u8::from(tag.is_frame());
    if !tag.is_frame() && !tag.is_config() {
        return None;
    }
    let [_, c0, c1, c2] = composition.to_be_bytes();
    let mut body = vec![(tag.body[0] & 0x70) | 12, packet, c0, c1, c2];
    body.extend_from_slice(coded);
    Some(Tag { body, ..tag.clone() })
}

fn av1_and_aac(mode: Mode) {
    through(mode, media::AV1_AAC, By::NewFfmpeg, "");
}

fn vp9_and_aac(mode: Mode) {
    through(mode, media::VP9_AAC, By::NewFfmpeg, "");
}

/// Also in the older spelling, which no ffmpeg reads: sound format 13 in front of the same bytes.
fn h264_and_opus(mode: Mode) {
    through(mode, media::H264_OPUS, By::NewFfmpeg, "?codec_form=fourcc");
    let server = Server::start(mode, &[("play.wait_ms", "20000")]);
    let player = Player::start(&server, Over::Http, "clip");
    server.until_viewers("clip", 1);
    let tags = media::H264_OPUS.tags();
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&tags, 4.0);
    publisher.finish();
    let audio = |tags: &[Tag]| -> Vec<Vec<u8>> {
        tags.iter()
            .filter(|tag| tag.kind == AUDIO && tag.is_frame())
            .map(|tag| tag.coded().0.to_vec())
            .collect()
    };
    let (seen, _) = player.to_end();
    assert!(seen.iter().filter(|tag| tag.kind == AUDIO).all(|tag| tag.body[0] >> 4 == 13), "{seen:?}");
    let (seen, sent) = (audio(&seen), audio(&tags));
    // What sounds before the first picture may be left out.
    assert!(seen.len() + 2 >= sent.len(), "{} of {}", seen.len(), sent.len());
    assert!(seen == sent[sent.len() - seen.len()..], "the packets differ");
}

fn h264_and_g711a(mode: Mode) {
    through(mode, media::H264_G711A, By::OldFfmpeg, "");
}

fn h264_and_g711u(mode: Mode) {
    through(mode, media::H264_G711U, By::OldFfmpeg, "");
}

fn h264_and_speex(mode: Mode) {
    through(mode, media::H264_SPEEX, By::OldFfmpeg, "");
}

fn h264_and_nellymoser(mode: Mode) {
    through(mode, media::H264_NELLYMOSER, By::OldFfmpeg, "");
}

fn h264_and_mp3(mode: Mode) {
    through(mode, media::H264_MP3, By::OldFfmpeg, "");
}

fn h264_and_ac3(mode: Mode) {
    through(mode, media::H264_AC3, By::NewFfmpeg, "");
}

fn h264_and_flac(mode: Mode) {
    through(mode, media::H264_FLAC, By::NewFfmpeg, "");
}

fn audio_alone(mode: Mode) {
    alone(mode, media::AUDIO_ALONE);
}

fn video_alone(mode: Mode) {
    alone(mode, media::VIDEO_ALONE);
}
