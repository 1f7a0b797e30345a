//! The API under load, and media meanwhile: thousands of made-up requests, idle connections, and a configuration that changes
//! under hundreds of viewers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::api::Asker;
use common::flv::Tag;
use common::server::{Setup, get, scratch};
use common::tools::tool;
use common::{Mode, Player, Publisher, SOON, Server, media, play::Over, until};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Publishes a stream at its pace while something runs; gives what that came to, and the frames that were sent.
fn while_publishing<T>(server: &Server, name: &str, run: impl FnOnce() -> T) -> (T, Vec<Tag>) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| {
            let mut publisher = Publisher::start(server, name);
            let (configs, frames) = media::split(&media::H264_AAC.tags());
            let length = frames.iter().map(|tag| tag.ms).max().unwrap() + 40;
            publisher.send_all(&configs);
            let mut sent = Vec::new();
            for round in 0.. {
                let shifted = frames.iter().map(|tag| Tag { ms: tag.ms + round * length, ..tag.clone() });
                let shifted: Vec<Tag> = shifted.collect();
                publisher.send_paced(&shifted, 1.0);
                sent.extend(shifted);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            publisher.finish();
            sent
        });
        let done = run();
        stop.store(true, Ordering::Relaxed);
        (done, sent.join().unwrap())
    })
}

/// All frames from the first that came to the last that was sent: none is missing, changed or doubled.
#[track_caller]
fn assert_complete(player: &Player, sent: &[Tag]) {
    let (tags, why) = player.to_end();
    let got: Vec<(u8, &[u8])> = tags.iter().filter(|t| t.is_frame()).map(|t| (t.kind, &t.body[..])).collect();
    // Each kind has its own order; the two are interleaved by their stamps.
    for kind in [common::flv::VIDEO, 8] {
        let got: Vec<&[u8]> = got.iter().filter(|(k, _)| *k == kind).map(|(_, body)| *body).collect();
        let sent: Vec<&[u8]> = sent.iter().filter(|t| t.kind == kind).map(|t| &t.body[..]).collect();
        assert!(got.len() > 20, "{} of kind {kind}; ended: {why}", got.len());
        assert!(
            sent.ends_with(&got),
            "kind {kind}: {} of {} frames, not the last; {why}",
            got.len(),
            sent.len()
        );
    }
}

#[test]
fn thousands_of_made_up_requests_break_nothing_and_get_what_is_documented() {
    let server = Server::start(Mode::Epoll, &[("admin.anonymous", "none"), ("log.level", "warn")]);
    let admin = Asker::admin(&server);
    let ((run, player), sent) = while_publishing(&server, "fuzz", || {
        until("the stream", SOON, || {
            let (_, stream) = admin.call("GET", "/api/v1/streams/live/fuzz", None);
            (stream["video"].is_object() && stream["audio"].is_object()).then_some(())
        });
        let player = Player::start(&server, Over::Http, "fuzz");
        player.wait_frames(1);
        let run = Command::new(tool("schemathesis"))
            .arg("run")
            .arg(format!("http://{}/api/v1/openapi.json", server.admin))
            .args(["-H", &format!("Authorization: Bearer {}", admin.token.clone().unwrap())])
            // The feed does not end by itself; it has a test of its own.
            .args(["--exclude-path", "/api/v1/events/sse", "-n", "240", "-w", "2", "--continue-on-failure"])
            // Without the phase that tries the numbers it has read: it would kick the publisher that is watched.
            .args(["--phases", "examples,coverage,fuzzing"])
            .args(["--seed", "1", "--no-color", "--suppress-health-check", "all"])
            .args([
                "-c",
                "not_a_server_error,status_code_conformance,content_type_conformance,\
                 response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth",
            ])
            .current_dir(scratch())
            .output()
            .unwrap();
        (run, player)
    });
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let cases = said.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse::<u64>().ok());
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(cases >= Some(5_000), "{cases:?} cases:\n{said}");
    assert_complete(&player, &sent);
}

#[test]
fn a_configuration_changes_under_hundreds_of_viewers_and_nobody_is_dropped() {
    let folder = scratch().join("reload");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let certificate = |name: &str| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"])
            .arg(format!("/CN={name}"))
            .args(["-keyout", folder.join("k.pem").to_str().unwrap()])
            .args(["-out", folder.join("c.pem").to_str().unwrap()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
    };
    certificate("before");
    let file = folder.join("s.toml");
    std::fs::write(&file, "").unwrap();
    let server = Setup::new(Mode::Epoll)
        .config(&file)
        .set("https.enabled", true)
        .set("tls.cert_file", folder.join("c.pem").display())
        .set("tls.key_file", folder.join("k.pem").display())
        .set("admin.reload_check_ms", 200)
        .set("log.level", "info")
        .start();
    let admin = Asker::admin(&server);
    let (players, sent) = while_publishing(&server, "many", || {
        server.until_stream("many", "live", |s| s["video"].is_object() && s["audio"].is_object());
        let ways = [Over::Http, Over::Ws, Over::Rtmp];
        let players: Vec<Player> = (0..500).map(|n| Player::start(&server, ways[n % 3], "many")).collect();
        for player in &players {
            player.wait_frames(1);
        }
        // By the file, which is looked at; by a signal; by the API; each is seen to be in force.
        std::fs::write(&file, "[gop]\ncache = false\n[limits]\nviewers_per_stream = 1\n").unwrap();
        let value = |key: &str| {
            let all = admin.get("/api/v1/config");
            let entries = all["entries"].as_array().unwrap().clone();
            entries.into_iter().find(|entry| entry["key"] == key).unwrap()["value"].clone()
        };
        until("the file is read", SOON, || (value("gop.cache") == false).then_some(()));
        certificate("after");
        server.signal("HUP");
        until("the new certificate", SOON, || {
            let out = Command::new("sh")
                .args(["-c", &format!("openssl s_client -connect {} </dev/null 2>/dev/null", server.https)])
                .output()
                .unwrap();
            String::from_utf8_lossy(&out.stdout).contains("CN = after").then_some(())
        });
        let patch = json!({ "values": {
            "auth.sign_play": true, "auth.secret": "ours", "latency.normal.tick_ms": 20,
        }});
        let port = json!({ "values": { "rtmp.port": 1, "gop.max_ms": 7000 } });
        let (status, would) = admin.call("POST", "/api/v1/config/check", Some(&port));
        assert_eq!((status, &would["needs_restart"]), (200, &json!(["rtmp.port"])), "{would}");
        assert_eq!(admin.call("PATCH", "/api/v1/config", Some(&port)).0, 400);
        let (status, changed) = admin.call("PATCH", "/api/v1/config", Some(&patch));
        assert_eq!((status, &changed["needs_restart"]), (200, &json!([])), "{changed}");
        assert_eq!((value("auth.secret"), value("rtmp.port")), (json!("***"), json!(server.rtmp.port())));
        // Those who come now are under the new rules; what is wrong changes nothing, and says why.
        assert!(!Player::start(&server, Over::Http, "many").is_let_in());
        std::fs::write(&file, "[gop]\nmax_ms = 1\n").unwrap();
        until("the bad file is told of", SOON, || server.log().contains("gop.max_ms").then_some(()));
        assert_eq!(value("gop.cache"), false);
        let (status, why) = admin.call("POST", "/api/v1/config/reload", None);
        assert_eq!(status, 400);
        assert!(why["error"]["message"].as_str().unwrap().contains("gop.max_ms = 1"), "{why}");
        assert!(players.iter().all(|player| player.ended().is_none()), "somebody was dropped");
        players
    });
    for player in &players {
        assert_complete(player, &sent);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn ten_thousand_idle_connections_disturb_nobody() {
    let want = 10_000_u64;
    let had = rt::limits::raise_nofile(want + 1_000).unwrap_or(0);
    let count = usize::try_from(want.min(had.saturating_sub(1_000))).unwrap();
    assert!(count >= 2_000, "this machine allows {had} descriptors");
    let server = Setup::new(Mode::Epoll)
        .set("server.max_connections", count + 200)
        .set("admin.max_connections", 100)
        .set("log.level", "warn")
        .start();
    let ((player, idle), sent) = while_publishing(&server, "idle", || {
        server.until_stream("idle", "live", |s| s["video"].is_object() && s["audio"].is_object());
        let player = Player::start(&server, Over::Http, "idle");
        player.wait_frames(1);
        let before = server.rss_kib();
        // Half of them ask something first, so that the API holds those it has a place for.
        let idle: Vec<TcpStream> = (0..count)
            .map(|n| {
                let mut stream = TcpStream::connect(server.http).unwrap();
                if n % 2 == 0 {
                    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
                }
                stream
            })
            .collect();
        // The API's own address has places of its own.
        assert_eq!(get(server.admin, "/healthz").unwrap().0, 200);
        let grown = server.rss_kib().saturating_sub(before);
        assert!(grown < 80 * 1024, "{grown} KiB for {count} idle connections");
        // Nobody keeps a place who says nothing.
        let mut first = &idle[1];
        first.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(first.read(&mut [0; 1]).unwrap_or(0), 0);
        (player, idle)
    });
    assert_complete(&player, &sent);
    drop(idle);
}
