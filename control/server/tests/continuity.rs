//! Publishers that come late, drop, return, change and compete: viewers keep their connections and see one timeline.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::{AUDIO, SCRIPT, Tag, VIDEO, assert_never_back, assert_same_coded};
use common::media::{self, Clip, H264_AAC, H265_AAC, SMALL};
use common::play::Over;
use common::{Mode, Player, Publisher, SOON, Server, until};
use protocols::rtmp::{Progress, StatusCode};
use std::time::{Duration, Instant};

on_backends! {
    a_publisher_returns_in_the_grace_time;
    a_publisher_returns_with_another_size;
    a_publisher_returns_with_another_codec;
    a_publisher_returns_with_its_clock_at_zero;
    a_publisher_does_not_return;
    a_proper_end_ends_the_viewers;
    a_second_publisher_is_refused;
    a_second_publisher_replaces;
    a_second_publisher_waits;
    a_second_publisher_waits_in_vain;
    players_wait_for_a_publisher;
    players_wait_in_vain;
    players_that_may_not_wait_are_told;
    a_silent_publisher_is_closed;
    a_change_of_codec_on_one_connection;
    viewers_stay_while_the_publisher_comes_back;
    viewers_stay_when_it_comes_back_as_another_codec_or_size;
    a_proper_end_ends_the_viewers_at_once;
}

/// A player over each carrier.
fn players(server: &Server) -> Vec<(Over, Player)> {
    let players: Vec<_> =
        Over::ALL.into_iter().map(|over| (over, Player::start(server, over, "clip"))).collect();
    server.until_viewers("clip", 3);
    players
}

fn frames(tags: &[Tag], kind: u8) -> usize {
    tags.iter().filter(|tag| tag.kind == kind && tag.is_frame()).count()
}

/// Waits until each player has this many pictures; their connections all stand.
#[track_caller]
fn wait_pictures(players: &[(Over, Player)], pictures: usize) {
    for (over, player) in players {
        player.wait(&format!("{over:?}: {pictures} pictures"), |tags| frames(tags, VIDEO) >= pictures);
    }
}

/// The largest step between stamps that leave, over the seam too, in milliseconds.
#[track_caller]
fn assert_one_timeline(tags: &[Tag], largest_step: u32, who: &str) {
    assert_never_back(tags, who);
    for kind in [AUDIO, VIDEO] {
        let stamps: Vec<u32> = tags.iter().filter(|t| t.kind == kind && t.is_frame()).map(|t| t.ms).collect();
        let step = stamps.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        assert!(step <= largest_step, "{who}: a step of {step} ms in kind {kind}");
    }
}

/// Publishes one clip, breaks the connection, publishes the other: what the players saw.
fn return_with(mode: Mode, first: &[Tag], second: &[Tag]) -> Vec<(Over, Vec<Tag>)> {
    let server = Server::start(mode, &[("play.wait_ms", "20000"), ("publish.grace_ms", "20000")]);
    let players = players(&server);
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(first, 4.0);
    wait_pictures(&players, frames(first, VIDEO));
    drop(publisher);
    server.until_stream("clip", "no publisher", |stream| stream["live"] == false);
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(second, 4.0);
    wait_pictures(&players, frames(first, VIDEO) + frames(second, VIDEO));
    let stream = server.stream("clip").unwrap();
    assert_eq!((&stream["generation"], &stream["viewers"]), (&2.into(), &3.into()), "{stream}");
    publisher.finish();
    players.into_iter().map(|(over, player)| (over, player.to_end().0)).collect()
}

/// The tags of both lives, as one list to compare with.
fn both(first: &[Tag], second: &[Tag]) -> Vec<Tag> {
    [first, second].concat()
}

/// Steps over a seam: what the engine puts there, and the distance of sound and picture at the clips' ends.
const SEAM_MS: u32 = 300;

fn a_publisher_returns_in_the_grace_time(mode: Mode) {
    let clip = H264_AAC.tags();
    for (over, seen) in return_with(mode, &clip, &clip) {
        let who = format!("{over:?}");
        assert_one_timeline(&seen, SEAM_MS, &who);
        assert_same_coded(&both(&clip, &clip), &seen, 0, &who);
    }
}

fn a_publisher_returns_with_another_size(mode: Mode) {
    let (first, second) = (H264_AAC.tags(), SMALL.tags());
    for (over, seen) in return_with(mode, &first, &second) {
        let who = format!("{over:?}");
        assert_one_timeline(&seen, SEAM_MS, &who);
        assert_same_coded(&both(&first, &second), &seen, 0, &who);
        assert_configs_change(&seen, &second, &who);
    }
}

fn a_publisher_returns_with_another_codec(mode: Mode) {
    let (first, second) = (H264_AAC.tags(), H265_AAC.tags());
    for (over, seen) in return_with(mode, &first, &second) {
        let who = format!("{over:?}");
        assert_one_timeline(&seen, SEAM_MS, &who);
        assert_same_coded(&both(&first, &second), &seen, 0, &who);
        assert_configs_change(&seen, &second, &who);
    }
}

/// The second configuration stands before the first picture that needs it.
#[track_caller]
fn assert_configs_change(seen: &[Tag], second: &[Tag], who: &str) {
    let config = |tags: &[Tag], kind: u8| -> Vec<u8> {
        tags.iter().rfind(|tag| tag.kind == kind && tag.is_config()).unwrap().coded().0.to_vec()
    };
    for kind in [AUDIO, VIDEO] {
        assert!(config(seen, kind) == config(second, kind), "{who}: the last configuration of kind {kind}");
    }
    let first_of_second = second.iter().find(|tag| tag.is_keyframe()).unwrap().coded().0.to_vec();
    let picture = seen.iter().rposition(|tag| tag.is_keyframe() && tag.coded().0 == first_of_second).unwrap();
    let record = seen.iter().rposition(|tag| tag.kind == VIDEO && tag.is_config()).unwrap();
    assert!(record < picture, "{who}: the configuration comes after the picture");
    // Players are told of the change in words too.
    assert!(seen.iter().filter(|tag| tag.kind == SCRIPT).count() >= 2, "{who}: no new metadata");
}

fn a_publisher_returns_with_its_clock_at_zero(mode: Mode) {
    let clip = H264_AAC.tags();
    let later: Vec<Tag> = clip.iter().map(|tag| Tag { ms: tag.ms + 7_200_000, ..tag.clone() }).collect();
    for (over, seen) in return_with(mode, &later, &clip) {
        let who = format!("{over:?}");
        assert_one_timeline(&seen, SEAM_MS, &who);
        assert_same_coded(&both(&clip, &clip), &seen, 0, &who);
    }
}

fn a_publisher_does_not_return(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "20000"), ("publish.grace_ms", "1500")]);
    let players = players(&server);
    let clip = H264_AAC.tags();
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&clip, 4.0);
    wait_pictures(&players, frames(&clip, VIDEO));
    let dropped = Instant::now();
    drop(publisher);
    for (over, player) in &players {
        let (seen, why) = player.to_end();
        assert!(dropped.elapsed() >= Duration::from_millis(1400), "{over:?} ended before the grace time");
        assert!(!why.contains("reset"), "{over:?}: {why}");
        assert_same_coded(&clip, &seen, 0, &format!("{over:?}"));
    }
    until("the stream is gone", SOON, || server.stream("clip").is_none().then_some(()));
}

fn a_proper_end_ends_the_viewers(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "20000"), ("publish.grace_ms", "60000")]);
    let players = players(&server);
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&H264_AAC.tags(), 4.0);
    publisher.finish();
    for (over, player) in &players {
        let (_, why) = player.to_end();
        match over {
            Over::Rtmp => assert!(why.contains("PlayStop") || why.contains("UnpublishNotify"), "{why}"),
            // The chunked body has its end; the WebSocket is closed by a frame.
            Over::Http | Over::Ws => assert_eq!(why, "end of body"),
        }
    }
}

fn a_second_publisher_is_refused(mode: Mode) {
    let server = Server::start(mode, &[("publish.on_conflict", "refuse")]);
    let mut first = Publisher::start(&server, "clip");
    first.send_all(&H264_AAC.tags());
    let refused = Publisher::try_start(server.rtmp, "clip").err().flatten().expect("an answer");
    assert_eq!(refused.code, StatusCode::PublishBadName);
    assert!(refused.is_error && refused.description.contains("already"), "{refused:?}");
    let player = Player::start(&server, Over::Http, "clip");
    player.wait_frames(10);
    assert!(!first.is_closed());
}

fn a_second_publisher_replaces(mode: Mode) {
    let server = Server::start(mode, &[("publish.on_conflict", "replace"), ("play.wait_ms", "20000")]);
    let players = players(&server);
    let clip = H264_AAC.tags();
    let mut first = Publisher::start(&server, "clip");
    first.send_paced(&clip, 4.0);
    wait_pictures(&players, frames(&clip, VIDEO));
    let mut second = Publisher::start(&server, "clip");
    until("the first is told", SOON, || match first.progress() {
        Progress::Stopped(_) | Progress::Closed => Some(()),
        _ => first.is_closed().then_some(()),
    });
    second.send_paced(&clip, 4.0);
    wait_pictures(&players, 2 * frames(&clip, VIDEO));
    second.finish();
    for (over, player) in &players {
        let (seen, _) = player.to_end();
        assert_one_timeline(&seen, SEAM_MS, &format!("{over:?}"));
        assert_same_coded(&both(&clip, &clip), &seen, 0, &format!("{over:?}"));
    }
}

const WAITING: &[(&str, &str)] =
    &[("publish.on_conflict", "wait"), ("publish.conflict_wait_ms", "10000"), ("play.wait_ms", "20000")];

fn a_second_publisher_waits(mode: Mode) {
    let server = Server::start(mode, WAITING);
    let players = players(&server);
    let clip = H264_AAC.tags();
    let mut first = Publisher::start(&server, "clip");
    first.send_paced(&clip, 4.0);
    wait_pictures(&players, frames(&clip, VIDEO));
    let mut second = Publisher::ask(server.rtmp, "clip");
    until("the second has asked", SOON, || matches!(second.progress(), Progress::Asking).then_some(()));
    drop(first);
    until("the second may publish", SOON, || matches!(second.progress(), Progress::Active).then_some(()));
    second.send_paced(&clip, 4.0);
    wait_pictures(&players, 2 * frames(&clip, VIDEO));
}

fn a_second_publisher_waits_in_vain(mode: Mode) {
    let server = Server::start(mode, &[("publish.on_conflict", "wait"), ("publish.conflict_wait_ms", "700")]);
    let mut first = Publisher::start(&server, "clip");
    first.send_all(&H264_AAC.tags());
    let asked = Instant::now();
    let refused = Publisher::try_start(server.rtmp, "clip").err().flatten().expect("an answer");
    assert_eq!(refused.code, StatusCode::PublishBadName);
    assert!(asked.elapsed() >= Duration::from_millis(600), "{:?}", asked.elapsed());
    assert!(!first.is_closed());
}

fn players_wait_for_a_publisher(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "20000")]);
    let players = players(&server);
    let stream = server.stream("clip").unwrap();
    assert_eq!((&stream["live"], &stream["waiting"]), (&false.into(), &3.into()), "{stream}");
    let clip = H264_AAC.tags();
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&clip, 4.0);
    publisher.finish();
    for (over, player) in &players {
        assert_same_coded(&clip, &player.to_end().0, 0, &format!("{over:?}"));
    }
}

fn players_wait_in_vain(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "700")]);
    let start = Instant::now();
    for over in Over::ALL {
        let (tags, why) = Player::start(&server, over, "clip").to_end();
        assert!(tags.is_empty());
        assert_not_found(over, &why);
    }
    assert!(start.elapsed() >= Duration::from_millis(3 * 600));
}

#[track_caller]
fn assert_not_found(over: Over, why: &str) {
    let word = if over == Over::Rtmp { "PlayStreamNotFound" } else { "404" };
    assert!(why.contains(word), "{over:?}: {why}");
}

fn players_that_may_not_wait_are_told(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "0")]);
    for over in Over::ALL {
        assert_not_found(over, &Player::start(&server, over, "clip").to_end().1);
    }
    assert!(server.stream("clip").is_none());
}

fn a_silent_publisher_is_closed(mode: Mode) {
    let server = Server::start(mode, &[("publish.idle_timeout_ms", "1000"), ("publish.grace_ms", "0")]);
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_all(&H264_AAC.tags()[..20]);
    let start = Instant::now();
    until("the silent publisher is closed", SOON, || publisher.is_closed().then_some(()));
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
    until("its stream is gone", SOON, || server.stream("clip").is_none().then_some(()));
}

/// An encoder that is switched to another picture without a new connection.
fn a_change_of_codec_on_one_connection(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "20000")]);
    let players = players(&server);
    let (first, second) = (H264_AAC.tags(), SMALL.tags());
    let second: Vec<Tag> = second.iter().map(|tag| Tag { ms: tag.ms + 3100, ..tag.clone() }).collect();
    let all = both(&first, &second);
    let mut publisher = Publisher::start(&server, "clip");
    publisher.send_paced(&all, 4.0);
    wait_pictures(&players, frames(&all, VIDEO));
    publisher.finish();
    for (over, player) in &players {
        let (seen, _) = player.to_end();
        assert_one_timeline(&seen, SEAM_MS, &format!("{over:?}"));
        assert_same_coded(&all, &seen, 0, &format!("{over:?}"));
        assert_configs_change(&seen, &second, &format!("{over:?}"));
    }
}

fn pictures(tags: &[Tag]) -> Vec<&Tag> {
    tags.iter().filter(|tag| tag.kind == VIDEO && tag.is_frame()).collect()
}

/// Three viewers over a first clip, a break, and a second clip; gives what each got.
fn over_a_break(server: &Server, name: &str, first: Clip, second: Clip) -> Vec<Vec<Tag>> {
    let (one, two) = (first.tags(), second.tags());
    let mut publisher = Publisher::start(server, name);
    publisher.send_all(&one);
    let players: Vec<Player> = Over::ALL.into_iter().map(|over| Player::start(server, over, name)).collect();
    for player in &players {
        player.wait_frames(3);
    }
    drop(publisher);
    server.until_stream(name, "without publisher", |s| s["live"] == false);
    let mut publisher = Publisher::start(server, name);
    publisher.send_all(&two);
    let is_last = {
        let last = pictures(&two).last().unwrap().coded().0.to_vec();
        move |tag: &Tag| tag.kind == VIDEO && tag.is_frame() && tag.coded().0 == last
    };
    // The same clip ends with the same picture both times.
    let times = one.iter().chain(&two).filter(|tag| is_last(tag)).count();
    let got = players
        .iter()
        .map(|player| {
            player.wait("the last picture", |tags| tags.iter().filter(|tag| is_last(tag)).count() == times)
        })
        .collect();
    let said = server.stream(name).unwrap();
    assert_eq!((&said["generation"], &said["viewers"]), (&2.into(), &3.into()));
    publisher.finish();
    got
}

fn one_timeline(tags: &[Tag]) {
    let pictures = pictures(tags);
    for pair in pictures.windows(2) {
        assert!(pair[1].ms >= pair[0].ms, "{} after {}", pair[1].ms, pair[0].ms);
        assert!(pair[1].ms - pair[0].ms <= 500, "a hole between {} and {}", pair[0].ms, pair[1].ms);
    }
}

fn viewers_stay_while_the_publisher_comes_back(mode: Mode) {
    let server = Server::start(mode, &[]);
    for got in over_a_break(&server, "same", media::H264_AAC, media::H264_AAC) {
        one_timeline(&got);
        let pictures_sent = pictures(&media::H264_AAC.tags()).len();
        assert!(pictures(&got).len() > pictures_sent, "only {} pictures", pictures(&got).len());
    }
}

fn viewers_stay_when_it_comes_back_as_another_codec_or_size(mode: Mode) {
    let server = Server::start(mode, &[]);
    for (name, second) in [("size", media::SMALL), ("codec", media::H265_AAC)] {
        let config = second.tags().into_iter().find(|tag| tag.kind == VIDEO && tag.is_config()).unwrap();
        for got in over_a_break(&server, name, media::H264_AAC, second) {
            one_timeline(&got);
            let configs: Vec<&Tag> = got.iter().filter(|t| t.kind == VIDEO && t.is_config()).collect();
            assert!(configs.len() >= 2, "{name}: the new configuration was not told");
            assert_eq!(configs.last().unwrap().coded().0, config.coded().0, "{name}");
        }
    }
}

fn a_proper_end_ends_the_viewers_at_once(mode: Mode) {
    let server = Server::start(mode, &[("publish.grace_ms", "60000")]);
    let mut publisher = Publisher::start(&server, "end");
    let tags = media::SMALL.tags();
    publisher.send_all(&tags);
    let players: Vec<Player> =
        Over::ALL.into_iter().map(|over| Player::start(&server, over, "end")).collect();
    for player in &players {
        player.wait_frames(3);
    }
    publisher.finish();
    let last = tags.iter().rfind(|tag| tag.is_frame()).unwrap();
    for player in players {
        let (got, _) = player.to_end();
        let got = got.iter().rfind(|tag| tag.is_frame()).unwrap();
        assert_eq!(got.coded(), last.coded(), "the end was cut off");
    }
}
