//! Two shards: whoever lands on the wrong core is served all the same, hot streams are mirrored, nobody disturbs others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::flv::{self, VIDEO};
use common::play::{Over, connect, http_get};
use common::{Mode, Player, Publisher, SOON, Server, Tag, media, until};
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

on_backends! {
    whoever_lands_on_the_wrong_core_is_served;
    a_mirror_gives_its_viewers_the_same_bytes;
    a_stream_goes_hot_under_its_viewers;
    stalled_and_killed_viewers_disturb_nobody;
    a_viewer_at_half_rate_skips_to_keyframes_within_its_budget;
}

fn frames(tags: &[Tag]) -> Vec<&Tag> {
    tags.iter().filter(|tag| tag.is_frame()).collect()
}

/// From its first keyframe on, a viewer must have got what was sent, to the byte.
fn exact(sent: &[Tag], got: &[Tag], who: &str) {
    let got: Vec<&Tag> = got.iter().filter(|tag| tag.kind == VIDEO && tag.is_frame()).collect();
    let sent: Vec<&Tag> = sent.iter().filter(|tag| tag.kind == VIDEO && tag.is_frame()).collect();
    assert!(got.first().is_some_and(|tag| tag.is_keyframe()), "{who}: does not start at a keyframe");
    let from = sent.len() - got.len();
    assert!(
        got.iter().zip(&sent[from..]).all(|(got, sent)| got.coded() == sent.coded()),
        "{who}: other bytes"
    );
}

fn whoever_lands_on_the_wrong_core_is_served(mode: Mode) {
    let server = Server::start(mode, &[]);
    let tags = media::SMALL.tags();
    let mut publishers = Vec::new();
    let mut players = Vec::new();
    for n in 0..16 {
        let name = format!("n{n}");
        let mut publisher = Publisher::start(&server, &name);
        publisher.send_all(&tags[..tags.len() / 2]);
        players.extend(Over::ALL.map(|over| Player::start(&server, over, &name)));
        publishers.push(publisher);
    }
    for player in &players {
        player.wait_frames(2);
    }
    for publisher in &mut publishers {
        publisher.send_all(&tags[tags.len() / 2..]);
    }
    let about = server.api("/api/v1/server");
    let shards = about["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    let handed: u64 = shards.iter().map(|shard| shard["handed_out"].as_u64().unwrap()).sum();
    assert!(handed > 8, "only {handed} connections of 64 were on the wrong core");
    for publisher in publishers {
        publisher.finish();
    }
    for (n, player) in players.iter().enumerate() {
        exact(&tags, &player.to_end().0, &format!("player {n}"));
    }
    for shard in server.api("/api/v1/server")["shards"].as_array().unwrap() {
        for (kind, count) in shard["mesh_drops"].as_object().unwrap() {
            assert_eq!(count, 0, "{kind}");
        }
    }
}

fn a_mirror_gives_its_viewers_the_same_bytes(mode: Mode) {
    let server = Server::start(mode, &[("mirror.threshold", "0")]);
    let tags = media::H264_AAC.tags();
    let first = tags.iter().position(Tag::is_keyframe).unwrap();
    let mut publisher = Publisher::start(&server, "m");
    publisher.send_all(&tags[..=first]);
    let players: Vec<Player> = (0..16).map(|n| Player::start(&server, Over::ALL[n % 3], "m")).collect();
    server.until_viewers("m", 16);
    let said = server.until_stream("m", "two shards", |s| s["shards"].as_array().unwrap().len() == 2);
    let roles: Vec<&str> =
        said["shards"].as_array().unwrap().iter().map(|s| s["role"].as_str().unwrap()).collect();
    assert!(roles.contains(&"owner") && roles.contains(&"mirror"), "{roles:?}");
    assert!(said["shards"].as_array().unwrap().iter().all(|s| s["viewers"].as_u64() > Some(0)), "{said}");
    publisher.send_paced(&tags[first + 1..], 4.0);
    publisher.finish();
    let all: Vec<Vec<Tag>> = players.iter().map(|player| player.to_end().0).collect();
    let wanted = frames(&tags[first..]).len();
    for (n, got) in all.iter().enumerate() {
        assert_eq!(frames(got).len(), wanted, "player {n}");
        let same = frames(got).iter().zip(frames(&all[n % 3])).all(|(a, b)| **a == *b);
        assert!(same, "player {n} got other tags than one of the same kind");
        exact(&tags, got, &format!("player {n}"));
    }
}

fn a_stream_goes_hot_under_its_viewers(mode: Mode) {
    let server = Server::start(mode, &[("mirror.threshold", "4")]);
    let tags = media::looped(&media::SMALL.tags(), 20);
    let mut publisher = Publisher::start(&server, "h");
    let first = tags.iter().position(Tag::is_keyframe).unwrap();
    publisher.send_all(&tags[..=first]);
    let feeding = std::thread::spawn({
        let rest = tags[first + 1..].to_vec();
        move || {
            publisher.send_paced(&rest, 4.0);
            publisher.finish();
        }
    });
    let mut players = Vec::new();
    let mirrored = until("a mirror with viewers", SOON, || {
        if players.len() < 60 {
            players.push(Player::start(&server, Over::ALL[players.len() % 3], "h"));
        }
        let said = server.stream("h")?;
        let shards = said["shards"].as_array()?;
        shards
            .iter()
            .any(|s| s["role"] == "mirror" && s["viewers"].as_u64() > Some(0))
            .then_some(players.len())
    });
    assert!(mirrored > 4);
    feeding.join().unwrap();
    for (n, player) in players.iter().enumerate() {
        exact(&tags, &player.to_end().0, &format!("player {n}"));
    }
}

/// A stream with pictures of 40 KB, 25 a second.
fn heavy(count: u32) -> Vec<Tag> {
    let config = media::H264_AAC.tags().into_iter().find(|tag| tag.kind == VIDEO && tag.is_config()).unwrap();
    let mut tags = vec![config];
    for n in 0..count {
        let key = n % 25 == 0;
        let mut body = vec![if key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        let mut nal = vec![n as u8; 40_000];
        nal[0] = if key { 0x65 } else { 0x41 };
        nal[1..5].copy_from_slice(&n.to_be_bytes());
        body.extend(40_000_u32.to_be_bytes());
        body.extend(nal);
        tags.push(Tag { kind: VIDEO, ms: n * 40, body });
    }
    tags
}

fn stalled_and_killed_viewers_disturb_nobody(mode: Mode) {
    let server = Server::start(
        mode,
        &[("play.send_buffer_bytes", "65536"), ("latency.normal.budget_bytes", "3000000")],
    );
    let tags = heavy(250);
    let mut publisher = Publisher::start(&server, "d");
    publisher.send_all(&tags[..2]);
    let good: Vec<Player> = Over::ALL.into_iter().map(|over| Player::start(&server, over, "d")).collect();
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let socket = connect(server.http);
        rt::set_recv_buffer(socket.as_fd(), 8192).unwrap();
        stalled.push(http_get(socket, server.http, "/live/d.flv").unwrap());
    }
    server.until_viewers("d", 23);
    for player in &good {
        player.wait_frames(1);
    }
    let start = Instant::now();
    for (n, part) in tags[2..].chunks(25).enumerate() {
        if n % 2 == 1 {
            stalled.truncate(stalled.len().saturating_sub(2)); // Killed in the middle of a tag.
        }
        publisher.send_paced(part, 2.0);
    }
    publisher.finish();
    for player in good {
        let (got, _) = player.to_end();
        assert_eq!(frames(&got).len(), 250);
        exact(&tags, &got, "one of the good");
    }
    assert!(start.elapsed() < Duration::from_secs(12), "held up: {:?}", start.elapsed());
}

fn a_viewer_at_half_rate_skips_to_keyframes_within_its_budget(mode: Mode) {
    let budget = 2_000_000_u64;
    let server = Server::start(
        mode,
        &[
            ("play.send_buffer_bytes", "65536"),
            ("latency.normal.budget_bytes", &budget.to_string()),
            ("latency.normal.budget_ms", "60000"),
        ],
    );
    let tags = heavy(600);
    let mut publisher = Publisher::start(&server, "s");
    publisher.send_all(&tags[..2]);
    let socket = connect(server.http);
    rt::set_recv_buffer(socket.as_fd(), 16_384).unwrap();
    let mut body = http_get(socket, server.http, "/live/s.flv").unwrap();
    server.until_viewers("s", 1);
    // Twice real time is 2 MB a second; this takes one.
    let reader = std::thread::spawn(move || {
        let (mut all, mut buffer, start) = (Vec::new(), vec![0; 20_000], Instant::now());
        while let Ok(n) = body.read(&mut buffer) {
            if n == 0 {
                break;
            }
            all.extend_from_slice(&buffer[..n]);
            let due = Duration::from_micros(all.len() as u64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        all
    });
    let before = server.rss_kib();
    let (mut most_lag, mut most_rss) = (0, 0);
    for part in tags[2..].chunks(25) {
        publisher.send_paced(part, 2.0);
        for session in server.sessions() {
            most_lag = most_lag.max(session["lag_bytes"].as_u64().unwrap());
        }
        most_rss = most_rss.max(server.rss_kib());
    }
    let viewer = server.sessions().into_iter().find(|s| s["role"] == "viewer").unwrap();
    assert!(viewer["skips"].as_u64() > Some(1), "{viewer}");
    assert!(viewer["bytes_skipped"].as_u64() > Some(1_000_000), "{viewer}");
    // A look between two ticks may see one GOP more than the budget.
    assert!(most_lag <= budget + 2_000_000, "lag of {most_lag} bytes");
    assert!(most_rss < before + 16 * 1024, "{before} KiB became {most_rss} KiB");
    publisher.finish();
    let got = flv::parse(&reader.join().unwrap());
    let numbers: Vec<(u32, bool)> = got
        .iter()
        .filter(|tag| tag.is_frame())
        .map(|tag| (u32::from_be_bytes(tag.body[10..14].try_into().unwrap()), tag.is_keyframe()))
        .collect();
    for pair in numbers.windows(2) {
        assert!(pair[1].0 == pair[0].0 + 1 || pair[1].1, "went on at {} after {}", pair[1].0, pair[0].0);
    }
    assert!(numbers.len() > 100 && numbers.len() < 599, "{} pictures", numbers.len());
    assert!(
        got.windows(2).all(|pair| pair[1].kind != VIDEO || pair[0].kind != VIDEO || pair[1].ms >= pair[0].ms)
    );
}
