//! Who may publish and play, over RTMP, HTTP-FLV and WebSocket-FLV alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::api::Asker;
use common::server::{Setup, scratch};
use common::{Mode, Player, Publisher, SOON, Server, media, play::Over, until};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

on_backends! {
    signatures_are_looked_at_on_every_way_in;
    a_push_key_is_published_under_its_public_name;
}

const SECRET: &str = "a-secret-of-ours";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn md5(text: &str) -> String {
    let out = Command::new("sh").args(["-c", &format!("printf %s '{text}' | md5sum")]).output().unwrap();
    String::from_utf8_lossy(&out.stdout[..32]).into_owned()
}

fn sign(path: &str, exp: u64, secret: &str) -> String {
    format!("{exp}-{}", md5(&format!("{path}-{exp}-{secret}")))
}

/// Whether a player at `name?query` is let in.
fn plays(server: &Server, over: Over, name: &str) -> bool {
    Player::start(server, over, name).is_let_in()
}

fn publishes_by_http(server: &Server, name: &str, query: &str) -> u16 {
    let clip = media::SMALL.path();
    let out = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "10", "-T", &clip])
        .args(["-H", "expect:", "-H", "transfer-encoding: chunked", "-X", "POST"])
        .arg(format!("http://{}/live/{name}.flv?{query}", server.http))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).parse().unwrap()
}

fn signatures_are_looked_at_on_every_way_in(mode: Mode) {
    let server = Server::start(
        mode,
        &[("auth.sign_publish", "true"), ("auth.sign_play", "true"), ("auth.secret", SECRET)],
    );
    let (later, before) = (now() + 3600, now() - 10);
    let good = |name: &str| format!("{name}?sign={}", sign(&format!("/live/{name}"), later, SECRET));
    let wrong = |name: &str| {
        [
            name.to_owned(),
            format!("{name}?sign={}", sign(&format!("/live/{name}"), later, "another secret")),
            format!("{name}?sign={}", sign(&format!("/live/{name}"), before, SECRET)),
            format!("{name}?sign={}", sign("/live/elsewhere", later, SECRET)),
            format!("{name}?sign={later}"),
            format!("{name}?sign=x-y-z"),
        ]
    };
    // Publishing by RTMP.
    for name in wrong("s") {
        assert!(Publisher::try_start(server.rtmp, &name).is_err(), "published: {name}");
    }
    let mut publisher = Publisher::start(&server, &good("s"));
    publisher.send_all(&media::H264_AAC.tags());
    server.until_stream("s", "live", |stream| stream["live"] == true);
    // By HTTP: none but the right one gets in.
    for name in wrong("h") {
        let query = name.split_once('?').map_or("", |(_, query)| query).to_owned();
        assert_eq!(publishes_by_http(&server, "h", &query), 403, "{name}");
    }
    let query = good("h").split_once('?').unwrap().1.to_owned();
    assert_eq!(publishes_by_http(&server, "h", &query), 200);
    // Playing: one signature is good for all three.
    for over in [Over::Rtmp, Over::Http, Over::Ws] {
        for name in wrong("s") {
            assert!(!plays(&server, over, &name), "{over:?} played: {name}");
        }
        assert!(plays(&server, over, &good("s")), "{over:?} was refused");
    }
    // Why, for operators alone.
    let admin = Asker::admin(&server);
    let all = admin.get("/api/v1/sessions?stream=live/s&ended=true&limit=1000");
    let whys: Vec<&str> =
        all["sessions"].as_array().unwrap().iter().filter_map(|s| s["diagnosis"]["why"].as_str()).collect();
    for word in ["there is none", "wrong", "expired", "malformed"] {
        assert!(whys.iter().any(|why| why.contains(word)), "{word} is not in {whys:?}");
    }
}

fn a_push_key_is_published_under_its_public_name(mode: Mode) {
    let server = Server::start(mode, &[("auth.names", "live/k3y=live/room,live/other=studio/a")]);
    assert!(Publisher::try_start(server.rtmp, "room").is_err(), "the public name was published");
    // Whichever shard owns the key and whichever the name.
    let mut publisher = Publisher::start(&server, "k3y");
    publisher.send_all(&media::SMALL.tags());
    server.until_stream("room", "live", |stream| stream["live"] == true);
    assert!(server.stream("k3y").is_none());
    for over in [Over::Rtmp, Over::Http, Over::Ws] {
        assert!(plays(&server, over, "room"), "{over:?}");
        assert!(!plays(&server, over, "k3y"), "{over:?} played by the key");
    }
    let mut other = Publisher::start(&server, "other");
    other.send_all(&media::SMALL.tags());
    until("the other name", SOON, || server.try_api("/api/v1/streams/studio/a"));
}

/// A token made by the openssl program, as any maker of tokens would.
fn hs256(claims: &serde_json::Value, secret: &str) -> String {
    let b64 = "basenc --base64url -w0 | tr -d =";
    let script = format!(
        "h=$(printf %s '{{\"alg\":\"HS256\",\"typ\":\"JWT\"}}' | {b64}); p=$(printf %s '{claims}' | {b64}); \
         s=$(printf %s \"$h.$p\" | openssl dgst -sha256 -hmac '{secret}' -binary | {b64}); printf %s \"$h.$p.$s\""
    );
    let out = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn tokens_keys_and_addresses_are_looked_at() {
    let server = Server::start(
        Mode::Epoll,
        &[
            ("auth.jwt_publish", "true"),
            ("auth.jwt_play", "true"),
            ("auth.jwt_secret", SECRET),
            ("auth.keys", "both live/keyed let-me-in"),
            ("auth.play_deny", "127.0.0.7"),
            ("limits.viewers_per_stream", "2"),
        ],
    );
    let token = |claims: serde_json::Value| format!("token={}", hs256(&claims, SECRET));
    let publish = token(json!({ "exp": now() + 60, "app": "live", "action": "publish", "sub": "cam" }));
    assert!(Publisher::try_start(server.rtmp, "t").is_err());
    assert!(Publisher::try_start(server.rtmp, &format!("t?{}", token(json!({ "exp": now() - 5 })))).is_err());
    let mut publisher = Publisher::start(&server, &format!("t?{publish}"));
    publisher.send_all(&media::SMALL.tags());
    server.until_stream("t", "live", |stream| stream["live"] == true);
    let play = token(json!({ "exp": now() + 60, "name": "t*", "action": ["play"] }));
    // Who left may hold a place for a moment longer.
    let enter = |over| {
        until("let in", SOON, || {
            let player = Player::start(&server, over, &format!("t?{play}"));
            player.is_let_in().then_some(player)
        })
    };
    for over in [Over::Rtmp, Over::Http, Over::Ws] {
        assert!(!plays(&server, over, "t") && !plays(&server, over, &format!("t?{publish}")), "{over:?}");
        enter(over);
    }
    // A key is as good as a token where there is one.
    let mut keyed = Publisher::start(&server, "keyed?key=let-me-in");
    keyed.send_all(&media::SMALL.tags());
    assert!(Publisher::try_start(server.rtmp, "keyed?key=wrong").is_err());
    server.until_stream("keyed", "live", |stream| stream["live"] == true);
    // No more than two at a time; a place that is given up is free again.
    let first = enter(Over::Http);
    let second = enter(Over::Ws);
    assert!(!plays(&server, Over::Http, &format!("t?{play}")));
    drop(first);
    enter(Over::Http);
    drop(second);
    // From an address that is not allowed.
    let from = |address: &str| {
        let out = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "2", "--interface", address])
            .arg(format!("http://{}/live/t.flv?{play}", server.http))
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    server.until_viewers("t", 0);
    assert_eq!(from("127.0.0.7"), "403");
    until("a place is free", SOON, || (from("127.0.0.8") == "200").then_some(()));
}

#[test]
fn keys_of_tokens_are_read_from_a_set_in_a_file_and_again() {
    let folder = scratch().join("jwks-file");
    keys_from_a_set(&folder, &folder.join("set.json").display().to_string());
}

#[test]
fn keys_of_tokens_are_read_from_a_set_at_an_address_and_again() {
    let folder = scratch().join("jwks-address");
    std::fs::create_dir_all(&folder).unwrap();
    let mut web = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
        .arg(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(web.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let port = said.split_whitespace().skip_while(|word| *word != "port").nth(1).unwrap().to_owned();
    keys_from_a_set(&folder, &format!("http://127.0.0.1:{port}/set.json"));
    web.kill().unwrap();
    web.wait().unwrap();
}

fn keys_from_a_set(folder: &Path, place: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let set = folder.join("set.json");
    std::fs::write(&set, "{}").unwrap();
    let server = Setup::new(Mode::Epoll)
        .set("auth.jwt_publish", true)
        .set("auth.jwks", place)
        .set("auth.jwks_refresh_ms", 1000)
        .start();
    assert!(Publisher::try_start(server.rtmp, "x?token=a.b.c").is_err());
    // The example key and signature of RFC 7515, appendix A.3; its claims expired in 2011, which is told only of a good one.
    let key = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }]});
    std::fs::write(&set, key.to_string()).unwrap();
    let token = "eyJhbGciOiJFUzI1NiJ9.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                 DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let admin = Asker::admin(&server);
    until("the set is read", Duration::from_secs(20), || {
        assert!(Publisher::try_start(server.rtmp, &format!("x?token={token}")).is_err());
        let all = admin.get("/api/v1/sessions?stream=live/x&ended=true&limit=1000");
        let found = all["sessions"].as_array()?.iter().any(|session| {
            session["diagnosis"]["why"].as_str().is_some_and(|why| why.contains("jwt: expired"))
        });
        found.then_some(())
    });
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_check_that_nobody_can_pass_is_told_at_once() {
    for (set, word) in [
        (vec![("auth.sign_play", "true")], "auth.sign_play"),
        (vec![("auth.secret", "nodemedia2017privatekey")], "auth.secret"),
        (vec![("auth.jwt_publish", "true")], "auth.jwt_publish"),
        (vec![("auth.keys", "listen x y")], "auth.keys"),
        (vec![("auth.names", "a/b=a/b")], "auth.names"),
        (vec![("auth.order", "sign,sign")], "auth.order"),
        (vec![("notify.url", "ftp://x")], "notify.url"),
        (vec![("notify.targets", "http://x actions=nothing")], "notify.targets"),
    ] {
        let setup = set.iter().fold(Setup::new(Mode::Epoll), |setup, (key, value)| setup.set(key, value));
        let (mut child, log) = setup.spawn();
        assert_eq!(child.wait().unwrap().code(), Some(2), "{set:?}");
        let said = std::fs::read_to_string(log).unwrap();
        assert!(said.contains(word) && said.lines().count() == 1, "{said}");
    }
}
