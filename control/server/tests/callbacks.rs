//! Callbacks: every fact once and in order whatever its target does and however the server ends; questions decide.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::api::Asker;
use common::server::{Setup, get, scratch};
use common::target::{CallbackTarget, Mood, Told};
use common::{Mode, Player, Publisher, SOON, Server, media, play::Over, until};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

on_backends! {
    a_target_is_told_what_happened_with_the_known_fields;
    questions_decide_and_may_say_more;
    a_target_that_is_dead_speaks_for_no_other;
    a_verdict_brings_limits_of_its_own;
}

fn folder(name: &str) -> PathBuf {
    let folder = scratch().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn metric(server: &Server, name: &str) -> u64 {
    let (_, text) = get(server.admin, "/metrics").unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn a_target_is_told_what_happened_with_the_known_fields(mode: Mode) {
    let target = CallbackTarget::start();
    let server = Server::start(
        mode,
        &[("notify.url", &target.url()), ("notify.secret", "sesame"), ("publish.grace_ms", "0")],
    );
    let mut publisher = Publisher::start(&server, "c?user=eve");
    publisher.send_all(&media::SMALL.tags());
    let player = Player::start(&server, Over::Ws, "c");
    player.wait_frames(1);
    drop(player);
    server.until_viewers("c", 0);
    publisher.finish();
    until("all six", SOON, || (target.told().len() == 6).then_some(()));
    let told = target.told();
    let actions: Vec<&str> = told.iter().map(|told| told.body["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["prePublish", "postPublish", "prePlay", "postPlay", "donePlay", "donePublish"]);
    for told in &told {
        let body = &told.body;
        for field in [
            "id",
            "ip",
            "app",
            "name",
            "query",
            "protocol",
            "createtime",
            "endtime",
            "inbytes",
            "outbytes",
            "action",
        ] {
            assert!(!body[field].is_null(), "{field} is not in {body}");
        }
        assert_eq!((&body["app"], &body["name"]), (&"live".into(), &"c".into()));
        // Signed as documented.
        let (time, signature) = told.signature.clone().unwrap();
        let script = "printf %s \"$BODY\" | openssl dgst -sha256 -hmac sesame -hex";
        let signed = format!("{time}.{}", told.text);
        let out = Command::new("sh").args(["-c", script]).env("BODY", signed).output().unwrap();
        let hex = String::from_utf8(out.stdout).unwrap();
        assert_eq!(signature, format!("sha256={}", hex.trim().rsplit(' ').next().unwrap()));
    }
    let (published, played, done) = (&told[1].body, &told[4].body, &told[5].body);
    assert_eq!((&published["query"]["user"], &published["endtime"]), (&"eve".into(), &0.into()));
    assert_eq!((&published["protocol"], &played["protocol"]), (&"rtmp".into(), &"ws-flv".into()));
    assert!(played["outbytes"].as_u64() > Some(0) && done["inbytes"].as_u64() > Some(0));
    assert_eq!(published["id"], done["id"]);
    assert!(done["endtime"].as_u64() >= done["createtime"].as_u64());
    assert_eq!(done["createtime"], published["createtime"]);
    let sequences: Vec<u64> = told.iter().filter_map(|told| told.body["sequence"].as_u64()).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert_eq!((&done["reason"], &done["generation"]), (&"ended by peer".into(), &1.into()));
}

fn questions_decide_and_may_say_more(mode: Mode) {
    let target = CallbackTarget::start();
    let server = Server::start(
        mode,
        &[
            ("notify.targets", &format!("{} actions=prePublish|prePlay streams=live/*", target.url())),
            ("notify.timeout_ms", "500"),
        ],
    );
    // Another name, which may be another shard's.
    for name in ["a", "b", "c", "d"] {
        target.set(Mood::Says(format!(r#"{{"allow":true,"name":"studio/{name}"}}"#)));
        let mut publisher = Publisher::start(&server, &format!("ask-{name}"));
        publisher.send_all(&media::SMALL.tags());
        until("the other name", SOON, || server.try_api(&format!("/api/v1/streams/studio/{name}")));
        target.set(Mood::Says(format!(r#"{{"name":"studio/{name}","class":"bulk"}}"#)));
        for over in [Over::Http, Over::Ws, Over::Rtmp] {
            let player = Player::start(&server, over, "whatever");
            player.wait_frames(1);
            let viewer = until("the viewer", SOON, || {
                server.sessions().into_iter().find(|session| session["role"] == "viewer")
            });
            assert_eq!(
                (&viewer["name"], &viewer["latency_class"]),
                (&name.into(), &"bulk".into()),
                "{over:?}"
            );
            drop(player);
            until("it is gone", SOON, || {
                server.sessions().iter().all(|session| session["role"] != "viewer").then_some(())
            });
        }
    }
    let whys = |admin: &Asker| {
        let all = admin.get("/api/v1/sessions?stream=live/r&ended=true");
        let sessions = all["sessions"].as_array().unwrap().clone();
        sessions.iter().filter_map(|s| s["diagnosis"]["why"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let admin = Asker::admin(&server);
    for (mood, word) in [
        (Mood::Status(403), "answered 403"),
        (Mood::Status(500), "answered 500"),
        (Mood::Says(r#"{"allow":false}"#.into()), "said no"),
        (Mood::Hangs, "no answer in time"),
        (Mood::Closes, "callback"),
    ] {
        target.set(mood.clone());
        assert!(Publisher::try_start(server.rtmp, "r").is_err(), "{mood:?}");
        until(word, SOON, || whys(&admin).iter().any(|why| why.contains(word)).then_some(()));
        assert!(!Player::start(&server, Over::Http, "r").is_let_in(), "{mood:?}");
    }
    // Those who are not asked about do not wait for one that is.
    target.set(Mood::Hangs);
    let waiting = Player::start(&server, Over::Http, "hangs");
    assert_eq!(get(server.http, "/other/x.flv").unwrap().0, 404);
    assert!(waiting.ended().is_none());
    // What is unreachable may allow, by configuration, at once.
    let values = serde_json::json!({ "values": { "notify.unreachable": "allow" } });
    assert_eq!(admin.call("PATCH", "/api/v1/config", Some(&values)).0, 200);
    assert!(Publisher::try_start(server.rtmp, "r").is_ok());
}

fn a_target_that_is_dead_speaks_for_no_other(mode: Mode) {
    let (renames, refuses) = (CallbackTarget::start(), CallbackTarget::start());
    renames.set(Mood::Says(r#"{"name":"live/public"}"#.into()));
    // Nobody listens there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let targets = [
        format!("{} actions=prePublish", renames.url()),
        format!("http://{dead}/ actions=prePublish"),
        format!("{} actions=prePublish", refuses.url()),
    ];
    let server = Server::start(
        mode,
        &[
            ("notify.targets", &targets.join(",")),
            ("notify.unreachable", "allow"),
            ("notify.timeout_ms", "500"),
        ],
    );
    refuses.set(Mood::Status(403));
    assert!(Publisher::try_start(server.rtmp, "k3y").is_err(), "the last one was not asked");
    refuses.set(Mood::Says(String::new()));
    let mut publisher = Publisher::start(&server, "k3y");
    publisher.send_all(&media::SMALL.tags());
    server.until_stream("public", "under its other name", |stream| stream["live"] == true);
    assert!(server.stream("k3y").is_none());
}

fn a_verdict_brings_limits_of_its_own(mode: Mode) {
    let target = CallbackTarget::start();
    target.set(Mood::Says(r#"{"user":"eve","limits":{"per_user":1}}"#.into()));
    let server = Server::start(mode, &[("notify.targets", &format!("{} actions=prePlay", target.url()))]);
    let mut publisher = Publisher::start(&server, "l");
    publisher.send_all(&media::SMALL.tags());
    let first = Player::start(&server, Over::Http, "l");
    first.wait_frames(1);
    assert!(!Player::start(&server, Over::Rtmp, "l").is_let_in());
    drop(first);
    until("the place is free", SOON, || Player::start(&server, Over::Ws, "l").is_let_in().then_some(()));
}

/// What a client saw: it published or played, from when to when.
#[derive(Clone, Debug)]
struct Seen {
    stream: String,
    post: &'static str,
    started: SystemTime,
}

/// Publishes and plays until it is told to stop; each stream is one thread's.
fn crowd(server: &Server, round: usize, sessions: &AtomicUsize, stop: &AtomicBool, seen: &Mutex<Vec<Seen>>) {
    // With both kinds of track, so that nobody waits for one.
    let tags = &media::H264_AAC.tags();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("r{round}-{thread}-{}", n % 12);
                    n += 1;
                    let Some(mut publisher) = try_publish(server, &name) else { continue };
                    let note = |post| {
                        let stream = format!("live/{name}");
                        seen.lock().unwrap().push(Seen { stream, post, started: SystemTime::now() });
                        sessions.fetch_add(1, Ordering::Relaxed);
                    };
                    note("postPublish");
                    let _ = quiet(|| publisher.send_all(tags));
                    for over in [Over::Http, Over::Ws, Over::Rtmp] {
                        if try_play(server, over, &name) {
                            note("postPlay");
                        }
                    }
                }
            });
        }
    });
}

fn quiet<T>(run: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).ok()
}

fn try_publish(server: &Server, name: &str) -> Option<Publisher> {
    quiet(|| Publisher::try_start(server.rtmp, name).ok()).flatten()
}

fn try_play(server: &Server, over: Over, name: &str) -> bool {
    quiet(|| Player::start(server, over, name).is_let_in()).unwrap_or(false)
}

fn start(folder: &Path, targets: &[&CallbackTarget]) -> Server {
    let urls: Vec<String> = targets
        .iter()
        .map(|t| format!("{} actions=postPublish|donePublish|postPlay|donePlay", t.url()))
        .collect();
    Setup::new(Mode::Epoll)
        .set("admin.data_dir", folder.display())
        .set("notify.targets", urls.join(","))
        .set("notify.timeout_ms", 300)
        .set("publish.grace_ms", 0)
        .set("log.level", "warn")
        .start()
}

/// Facts by stream, as a target was told them; a repeat must be the same fact again, and is dropped.
fn facts(told: &[Told]) -> BTreeMap<String, Vec<Value>> {
    let mut known: HashMap<u64, String> = HashMap::new();
    let mut streams: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for told in told {
        let event = told.event.unwrap();
        assert_eq!(told.body["event_id"], event.to_string());
        if let Some(before) = known.insert(event, told.text.clone()) {
            assert_eq!(before, told.text, "a repeat differs");
            continue;
        }
        let stream =
            format!("{}/{}", told.body["app"].as_str().unwrap(), told.body["name"].as_str().unwrap());
        streams.entry(stream).or_default().push(told.body.clone());
    }
    streams
}

#[test]
fn each_fact_comes_once_and_in_order_over_bad_targets_and_a_killed_server() {
    let folder = folder("callbacks-killed");
    let (steady, moody) = (CallbackTarget::start(), CallbackTarget::start());
    let seen: Mutex<Vec<Seen>> = Mutex::default();
    let mut killed = SystemTime::UNIX_EPOCH;
    for round in 0..2 {
        let mut server = start(&folder, &[&steady, &moody]);
        let (stop, sessions) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let crowd = scope.spawn(|| crowd(&server, round, &sessions, &stop, &seen));
            let moods = [
                Mood::Slow(Duration::from_millis(100)),
                Mood::Status(500),
                Mood::Hangs,
                Mood::Closes,
                Mood::Says(String::new()),
            ];
            let mut moods = moods.iter().cycle();
            until("enough sessions", Duration::from_secs(120), || {
                moody.set(moods.next().unwrap().clone());
                std::thread::sleep(Duration::from_millis(150));
                (sessions.load(Ordering::Relaxed) >= 600).then_some(())
            });
            if round == 0 {
                server.signal("KILL");
                killed = SystemTime::now();
            }
            stop.store(true, Ordering::Relaxed);
            crowd.join().unwrap();
        });
        if round == 1 {
            server.signal("TERM");
        }
        server.wait(Duration::from_secs(20));
    }
    // What still waits comes when the target is well, from a server that was started for nothing else.
    moody.set(Mood::Says(String::new()));
    let server = start(&folder, &[&steady, &moody]);
    until("nothing waits", Duration::from_secs(120), || {
        (metric(&server, "shardcast_callbacks_waiting") == 0).then_some(())
    });
    assert_eq!(metric(&server, "shardcast_callbacks_dead_total"), 0);
    drop(server);
    let seen = seen.into_inner().unwrap();
    assert!(seen.len() >= 1_200);
    for target in [&steady, &moody] {
        let streams = facts(&target.told().into_iter().filter(|told| told.taken).collect::<Vec<_>>());
        for (stream, facts) in &streams {
            let sequences: Vec<u64> = facts.iter().map(|fact| fact["sequence"].as_u64().unwrap()).collect();
            let expected: Vec<u64> = (1..=facts.len() as u64).collect();
            assert_eq!(sequences, expected, "{stream} has gaps, repeats or another order");
            let mut open: HashSet<(&str, bool)> = HashSet::new();
            for fact in facts {
                let id = fact["id"].as_str().unwrap();
                match fact["action"].as_str().unwrap() {
                    "postPublish" => assert!(open.insert((id, true)), "{stream} {id}"),
                    "donePublish" => assert!(open.remove(&(id, true)), "{stream} {id}"),
                    "postPlay" => assert!(open.insert((id, false)), "{stream} {id}"),
                    "donePlay" => assert!(open.remove(&(id, false)), "{stream} {id}"),
                    other => panic!("{other}"),
                }
            }
            assert!(open.is_empty(), "{stream}: never told to be done: {open:?}");
        }
        // Events are written in the order in which they happen. So the kill can have taken the last ones alone: those that
        // clients saw after the newest of all that were written.
        let first_round = streams.iter().filter(|(stream, _)| stream.starts_with("live/r0-"));
        let times = first_round.flat_map(|(_, facts)| facts).filter_map(|fact| fact["createtime"].as_u64());
        let newest = SystemTime::UNIX_EPOCH + Duration::from_millis(times.max().unwrap());
        let unwritten = killed.duration_since(newest).unwrap_or_default();
        assert!(unwritten < Duration::from_secs(5), "the last {unwritten:?} before the kill are missing");
        for post in ["postPublish", "postPlay"] {
            let mut wanted: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
            for seen in seen.iter().filter(|seen| seen.post == post) {
                let last = seen.started <= killed && seen.started + Duration::from_millis(5) > newest;
                let (sure, maybe) = wanted.entry(&seen.stream).or_default();
                *(if last { maybe } else { sure }) += 1;
            }
            for (stream, (sure, maybe)) in wanted {
                let told = streams
                    .get(stream)
                    .map_or(0, |facts| facts.iter().filter(|fact| fact["action"] == post).count());
                // A player that was let in but saw the end before a frame is told too.
                assert!(
                    told >= sure,
                    "{stream}: {post} told {told} times, seen {sure} (and {maybe} at the kill)"
                );
            }
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_target_that_hangs_costs_disk_up_to_a_bound_and_no_memory() {
    let folder = folder("callbacks-bound");
    let target = CallbackTarget::start();
    target.set(Mood::Hangs);
    let server = Setup::new(Mode::Epoll)
        .set("admin.data_dir", folder.display())
        .set("notify.url", target.url())
        .set("notify.actions", "postPublish,donePublish,postPlay,donePlay")
        .set("notify.max_waiting", 500)
        .set("notify.timeout_ms", 60_000)
        .set("publish.grace_ms", 0)
        .set("log.level", "warn")
        .start();
    let round = |n: usize| {
        for _ in 0..n {
            let mut publisher = Publisher::start(&server, "bound");
            publisher.send_all(&media::SMALL.tags());
            publisher.finish();
        }
    };
    round(300);
    let before = server.rss_kib();
    round(600);
    assert!(server.rss_kib() < before + 8 * 1024, "{} KiB, then {}", before, server.rss_kib());
    let waiting = metric(&server, "shardcast_callbacks_waiting");
    assert!(waiting <= 500, "{waiting} wait");
    until("some are given up", SOON, || {
        (metric(&server, "shardcast_callbacks_dead_total") >= 1_200).then_some(())
    });
    let size: u64 =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 16 << 20, "{size} bytes on disk");
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn targets_change_while_facts_flow_and_none_is_held_up() {
    let target = CallbackTarget::start();
    let settings = [
        ("notify.url", target.url()),
        ("notify.actions", "postPublish,donePublish,postPlay,donePlay".into()),
        ("publish.grace_ms", "0".into()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let server = Server::start(Mode::Epoll, &settings);
    let admin = Asker::admin(&server);
    let patch = |values: Value| {
        let (status, answer) =
            admin.call("PATCH", "/api/v1/config", Some(&serde_json::json!({ "values": values })));
        assert_eq!(status, 200, "{answer}");
    };
    let publish = |name: String| Publisher::start(&server, &name).finish();
    for round in 0..30 {
        for n in 0..4 {
            publish(format!("f{round}-{n}"));
        }
        patch(serde_json::json!({ "notify.secret": format!("secret {round}") }));
    }
    until("all facts", SOON, || (target.told().len() >= 240).then_some(()));
    let told = target.told();
    let events: HashSet<&str> = told.iter().map(|told| told.body["event_id"].as_str().unwrap()).collect();
    assert_eq!(events.len(), 240);
    until("all are noted", SOON, || (metric(&server, "shardcast_callbacks_waiting") == 0).then_some(()));
    // One who began under a target and ended while there was none did not die with the server.
    let mut publisher = Publisher::start(&server, "open");
    publisher.send_all(&media::SMALL.tags());
    until("the start", SOON, || target.told().iter().any(|t| t.body["name"] == "open").then_some(()));
    patch(serde_json::json!({ "notify.url": "" }));
    publisher.finish();
    until("the end", SOON, || server.stream("open").is_none().then_some(()));
    patch(serde_json::json!({ "notify.url": target.url() }));
    publish("open".into());
    let of = |action: &str| {
        let told = target.told();
        let found: Vec<u64> = told
            .iter()
            .filter(|told| told.body["name"] == "open" && told.body["action"] == action)
            .map(|told| told.body["sequence"].as_u64().unwrap())
            .collect();
        found
    };
    until("the last end", SOON, || (!of("donePublish").is_empty()).then_some(()));
    assert_eq!((of("postPublish"), of("donePublish")), (vec![1, 3], vec![4]), "one sequence throughout");
}
