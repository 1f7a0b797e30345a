//! Publishers that drop and come back, that compete, that come late; viewers stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::VIDEO;
use common::media::{self, Clip};
use common::play::Over;
use common::{Mode, Player, Publisher, SOON, Server, Tag, until};
use std::time::{Duration, Instant};

on_backends! {
    viewers_stay_while_the_publisher_comes_back;
    viewers_stay_when_it_comes_back_as_another_codec_or_size;
    viewers_are_told_when_it_does_not_come_back;
    a_proper_end_ends_the_viewers_at_once;
    a_second_publisher_is_refused_replaces_or_waits;
    players_may_wait_for_a_publisher;
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

fn viewers_are_told_when_it_does_not_come_back(mode: Mode) {
    let server = Server::start(mode, &[("publish.grace_ms", "700")]);
    let mut publisher = Publisher::start(&server, "gone");
    publisher.send_all(&media::SMALL.tags());
    let players: Vec<Player> =
        Over::ALL.into_iter().map(|over| Player::start(&server, over, "gone")).collect();
    for player in &players {
        player.wait_frames(3);
    }
    let dropped = Instant::now();
    drop(publisher);
    for player in players {
        let (_, why) = player.to_end();
        assert!(dropped.elapsed() >= Duration::from_millis(600), "told after {:?}: {why}", dropped.elapsed());
        assert!(!why.contains("reset"), "{why}");
    }
    until("the stream is gone", SOON, || server.stream("gone").is_none().then_some(()));
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

fn a_second_publisher_is_refused_replaces_or_waits(mode: Mode) {
    let tags = media::SMALL.tags();
    let server = Server::start(mode, &[]);
    let mut first = Publisher::start(&server, "p");
    let refused = Publisher::try_start(server.rtmp, "p").err().expect("refused").expect("with a status");
    assert!(refused.is_error && refused.description.contains("already"), "{refused:?}");
    assert!(first.send(&tags[0]) && !first.is_closed());

    let server = Server::start(mode, &[("publish.on_conflict", "replace")]);
    let mut first = Publisher::start(&server, "p");
    first.send_all(&tags);
    let player = Player::start(&server, Over::Http, "p");
    player.wait_frames(3);
    let mut second = Publisher::start(&server, "p");
    until("the first is closed", SOON, || first.is_closed().then_some(()));
    let count = player.tags().iter().filter(|tag| tag.is_frame()).count();
    second.send_all(&tags);
    player.wait_frames(count + 5);

    let server =
        Server::start(mode, &[("publish.on_conflict", "wait"), ("publish.conflict_wait_ms", "30000")]);
    let first = Publisher::start(&server, "p");
    let (done, waits) = std::sync::mpsc::channel();
    let addr = server.rtmp;
    let second = std::thread::spawn(move || {
        let second = Publisher::try_start(addr, "p");
        done.send(()).unwrap();
        second.is_ok()
    });
    until("the second asks", SOON, || (server.sessions().len() == 2).then_some(()));
    assert!(waits.try_recv().is_err(), "did not wait");
    drop(first);
    assert!(second.join().unwrap());
}

fn players_may_wait_for_a_publisher(mode: Mode) {
    let server = Server::start(mode, &[("play.wait_ms", "20000")]);
    let players: Vec<Player> =
        Over::ALL.into_iter().map(|over| Player::start(&server, over, "late")).collect();
    server.until_stream("late", "three that wait", |s| s["waiting"] == 3);
    let mut publisher = Publisher::start(&server, "late");
    publisher.send_all(&media::SMALL.tags());
    for player in &players {
        player.wait_frames(3);
    }
    let impatient = Server::start(mode, &[]);
    let (_, why) = Player::start(&impatient, Over::Http, "none").to_end();
    assert!(why.contains("404"), "{why}");
    let (_, why) = Player::start(&impatient, Over::Rtmp, "none").to_end();
    assert!(why.contains("NotFound"), "{why}");
}
