//! The admin API from outside: who may ask what, kicks on any shard, the media ports, feeds, Node Media Server's routes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::api::{Asker, first_password};
use common::server::{Setup, scratch};
use common::{Mode, Player, Publisher, SOON, Server, media, play::Over, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

on_backends! {
    sessions_and_streams_are_ended_wherever_they_are;
    what_happened_is_listed_and_fed_live;
    the_media_ports_serve_the_api_with_tokens_alone;
    a_session_without_a_picture_says_why;
    lists_come_in_pieces_and_filtered;
}

fn codes(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or(""))
}

#[test]
fn nobody_gets_in_without_a_password_and_roles_hold() {
    let server = Setup::new(Mode::Epoll).set("admin.anonymous", "none").start();
    let nobody = Asker { base: format!("http://{}", server.admin), token: None };
    for path in ["/api/v1/server", "/api/v1/streams", "/metrics", "/api/v1/config", "/api/v1/nothing"] {
        assert_eq!(codes(&nobody.call("GET", path, None)), (401, "unauthorized"), "{path}");
    }
    for path in ["/healthz", "/readyz", "/api/v1/openapi.json"] {
        assert_eq!(nobody.call("GET", path, None).0, 200, "{path}");
    }
    for (name, password) in [("admin", "admin"), ("admin", ""), ("root", "x"), ("", "")] {
        let body = json!({ "username": name, "password": password });
        let answer = nobody.call("POST", "/api/v1/login", Some(&body));
        assert!(matches!(answer.0, 401 | 429), "{answer:?}");
    }
    // Whoever failed so often waits.
    let answer = nobody.call("POST", "/api/v1/login", Some(&json!({ "username": "admin", "password": "y" })));
    assert_eq!(codes(&answer), (429, "too_many_failures"));
    let admin = until("the wait is over", SOON, || {
        let body = json!({ "username": "admin", "password": first_password(&server) });
        let (status, answer) = nobody.call("POST", "/api/v1/login", Some(&body));
        (status == 200).then(|| nobody.with(answer["token"].as_str()))
    });
    assert_eq!(admin.get("/api/v1/me")["role"], "admin");
    let new = |name: &str, role: &str| {
        let user = json!({ "name": name, "password": "long enough", "role": role });
        assert_eq!(admin.call("POST", "/api/v1/users", Some(&user)).0, 201);
        nobody.with(Some(&nobody.login(name, "long enough")))
    };
    let (viewer, operator) = (new("vera", "viewer"), new("otto", "operator"));
    for (asker, method, path, body, expected) in [
        (&viewer, "GET", "/api/v1/streams", None, 200),
        (&viewer, "GET", "/metrics", None, 200),
        (&viewer, "DELETE", "/api/v1/sessions/1", None, 403),
        (&viewer, "POST", "/api/v1/config/reload", None, 403),
        (&viewer, "GET", "/api/v1/audit", None, 403),
        (&operator, "DELETE", "/api/v1/sessions/1", None, 404),
        (&operator, "POST", "/api/v1/config/reload", None, 200),
        (&operator, "PATCH", "/api/v1/config", Some(json!({ "values": {} })), 403),
        (&operator, "GET", "/api/v1/users", None, 403),
        (&admin, "PATCH", "/api/v1/config", Some(json!({ "values": { "gop.cache": false } })), 200),
        (&viewer, "POST", "/api/v1/tokens", Some(json!({ "expires_in_s": 60, "role": "admin" })), 403),
        (&viewer, "POST", "/api/v1/tokens", Some(json!({ "expires_in_s": 60, "label": "mine" })), 201),
    ] {
        let answer = asker.call(method, path, body.as_ref());
        assert_eq!(answer.0, expected, "{method} {path}: {answer:?}");
    }
    // One's own tokens alone; those of a removed user are gone.
    let own = viewer.get("/api/v1/tokens");
    assert!(own["tokens"].as_array().unwrap().iter().all(|token| token["user"] == "vera"));
    assert!(admin.get("/api/v1/tokens")["total"].as_u64() > own["total"].as_u64());
    assert_eq!(admin.call("DELETE", "/api/v1/users/vera", None).0, 204);
    assert_eq!(viewer.call("GET", "/api/v1/streams", None).0, 401);
    assert_eq!(codes(&admin.call("DELETE", "/api/v1/users/admin", None)), (409, "conflict"));
    // Of another site's page, whatever it carries.
    let (status, answer) = admin.curl("/api/v1/server", &["-H".into(), "origin: http://evil.example".into()]);
    assert_eq!((status, &answer["error"]["code"]), (403, &"cross_site".into()));
    // What strangers try is not: they could fill the log. A login is, with what came of it.
    let stranger = admin.with(None);
    assert_eq!(stranger.call("POST", "/api/v1/config/reload", None).0, 401);
    let wrong = json!({ "username": "vera", "password": "not hers at all" });
    assert_eq!(stranger.call("POST", "/api/v1/login", Some(&wrong)).0, 401);
    // All of that is in the audit log, the refused too.
    let audit = admin.get("/api/v1/audit");
    let said: Vec<String> = audit["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| {
            let text = |name: &str| action[name].as_str().unwrap().to_owned();
            format!("{} {} [{}] {}", text("user"), text("action"), text("detail"), action["status"])
        })
        .collect();
    for line in [
        "vera DELETE /api/v1/sessions/1 [] 403",
        "admin DELETE /api/v1/users/vera [] 204",
        "admin PATCH /api/v1/config [gop.cache] 200",
        "admin POST /api/v1/users [vera viewer] 201",
        "admin POST /api/v1/login [] 200",
        " POST /api/v1/login [username vera] 401",
    ] {
        assert!(said.iter().any(|said| said == line), "{line} is not in {said:#?}");
    }
    assert!(!said.iter().any(|said| said.starts_with(" POST /api/v1/config/reload")), "{said:#?}");
}

fn sessions_and_streams_are_ended_wherever_they_are(mode: Mode) {
    let settings = [("mirror.threshold", "0"), ("publish.grace_ms", "60000")];
    let server = Server::start(mode, &settings);
    let admin = Asker::admin(&server);
    let mut publisher = Publisher::start(&server, "k");
    publisher.send_all(&media::H264_AAC.tags());
    // Mirrored wherever a viewer came.
    let players: Vec<Player> = [Over::Http, Over::Ws, Over::Rtmp, Over::Http, Over::Ws, Over::Rtmp]
        .into_iter()
        .map(|over| Player::start(&server, over, "k"))
        .collect();
    for player in &players {
        player.wait_frames(1);
    }
    server.until_viewers("k", 6);
    let viewers = admin.get("/api/v1/sessions?role=viewer&stream=live/k&ended=false");
    assert_eq!(viewers["total"], 6);
    let first = viewers["sessions"][0]["id"].as_str().unwrap().to_owned();
    let shown = admin.get(&format!("/api/v1/sessions/{first}"));
    assert_eq!(shown["id"], first.as_str());
    let ended = admin.call("DELETE", &format!("/api/v1/sessions/{first}"), None);
    assert_eq!(ended, (200, json!({ "sessions_ended": 1 })));
    server.until_viewers("k", 5);
    assert_eq!(players.iter().filter(|player| player.ended().is_some()).count(), 1);
    // The publisher alone: its viewers are kept.
    assert_eq!(admin.call("DELETE", "/api/v1/publishers/live/k", None).0, 200);
    until("the publisher is gone", SOON, || publisher.is_closed().then_some(()));
    server.until_stream("k", "not live", |stream| stream["live"] == false);
    assert_eq!(codes(&admin.call("DELETE", "/api/v1/publishers/live/k", None)), (404, "not_found"));
    server.until_viewers("k", 5);
    // All of it.
    let closed = admin.call("DELETE", "/api/v1/streams/live%2Fk", None);
    assert_eq!(closed, (200, json!({ "sessions_ended": 5 })));
    for player in &players {
        player.to_end();
    }
    until("the stream is gone", SOON, || server.stream("k").is_none().then_some(()));
    assert_eq!(codes(&admin.call("DELETE", "/api/v1/streams/live/k", None)), (404, "not_found"));
    let kicked = admin.get("/api/v1/sessions?ended=true&role=viewer");
    for session in kicked["sessions"].as_array().unwrap() {
        assert_eq!(
            (&session["ended"], &session["diagnosis"]["fault"]),
            (&"kicked".into(), &"operator".into())
        );
    }
}

fn what_happened_is_listed_and_fed_live(mode: Mode) {
    let server = Server::start(mode, &[]);
    let admin = Asker::admin(&server);
    let token = admin.token.clone().unwrap();
    let mut sse = Command::new("curl")
        .args(["-sN", "-H", &format!("authorization: {token}")])
        .arg(format!("http://{}/api/v1/events/sse?action=donePublish", server.http))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let url = format!("ws://{}/api/v1/events/ws?access_token={token}", server.http);
    let stream = std::net::TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let (mut ws, _) = tungstenite::client(url.as_str(), stream).unwrap();
    // The feed by server-sent events has begun when something of another kind is shown by the other.
    let mut publisher = Publisher::start(&server, "e");
    publisher.send_all(&media::SMALL.tags());
    let player = Player::start(&server, Over::Http, "e");
    player.wait_frames(1);
    publisher.finish();
    player.to_end();
    let mut fed = Vec::new();
    while fed.len() < 4 {
        let message = ws.read().unwrap();
        if message.is_text() {
            fed.push(serde_json::from_str::<Value>(message.to_text().unwrap()).unwrap());
        }
    }
    let actions: Vec<&str> = fed.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["postPublish", "postPlay", "donePublish", "donePlay"]);
    let sequences: Vec<u64> = fed.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert!(fed.iter().all(|event| event["name"] == "e" && event["generation"] == 1));
    assert!(fed[3]["bytes_out"].as_u64() > Some(0) && fed[3]["reason"] == "stream ended");
    let mut lines = BufReader::new(sse.stdout.take().unwrap()).lines();
    let data = lines.find_map(|line| line.unwrap().strip_prefix("data: ").map(str::to_owned)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&data).unwrap(), fed[2]);
    sse.kill().unwrap();
    sse.wait().unwrap();
    // Who comes again misses nothing, and goes when the token does.
    let (_, issued) = admin.call("POST", "/api/v1/tokens", Some(&json!({ "expires_in_s": 60 })));
    let mut again = Command::new("curl")
        .args(["-sN", "-m", "20", "-H", "Last-Event-ID: 2", "-H"])
        .arg(format!("authorization: Bearer {}", issued["token"].as_str().unwrap()))
        .arg(format!("http://{}/api/v1/events/sse", server.http))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(again.stdout.take().unwrap()).lines();
    let ids = lines.by_ref().filter_map(|line| line.unwrap().strip_prefix("id: ").map(str::to_owned));
    assert_eq!(ids.take(2).collect::<Vec<_>>(), ["3", "4"]);
    let path = format!("/api/v1/tokens/{}", issued["id"].as_str().unwrap());
    assert_eq!(admin.call("DELETE", &path, None).0, 204);
    assert!(lines.all(|line| !line.unwrap().starts_with("id:")));
    assert_eq!(again.wait().unwrap().code(), Some(0), "the feed ends before the time that curl gives it");
    let listed = admin.get("/api/v1/events?stream=live/e&after=0");
    let newest_first: Vec<Value> = fed.iter().rev().cloned().collect();
    assert_eq!(listed["events"].as_array().unwrap(), &newest_first);
    assert_eq!(admin.get("/api/v1/events?action=donePlay")["total"], 1);
}

fn the_media_ports_serve_the_api_with_tokens_alone(mode: Mode) {
    let folder = scratch().join(format!("api-{mode:?}"));
    std::fs::create_dir_all(&folder).unwrap();
    let (cert, key) = (folder.join("c.pem"), folder.join("k.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-keyout", key.to_str().unwrap(), "-out", cert.to_str().unwrap()])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let server = Server::start(
        mode,
        &[
            ("https.enabled", "true"),
            ("tls.cert_file", cert.to_str().unwrap()),
            ("tls.key_file", key.to_str().unwrap()),
            ("admin.max_connections", "20"),
        ],
    );
    let admin = Asker::admin(&server);
    for base in [format!("http://{}", server.http), format!("https://{}", server.https)] {
        let here = admin.at(base);
        assert_eq!(codes(&here.with(None).call("GET", "/api/v1/server", None)), (401, "unauthorized"));
        assert_eq!(here.get("/api/v1/server")["backend"], mode.backend());
        assert_eq!(here.with(None).get("/healthz")["status"], "ok");
        // A large body and a large answer pass; one that is too large does not.
        let values: serde_json::Map<String, Value> =
            (0..1_000).map(|n| (format!("no.such_key_{n}"), json!("x".repeat(60)))).collect();
        let answer = here.call("POST", "/api/v1/config/check", Some(&json!({ "values": values })));
        assert_eq!(codes(&answer), (400, "bad_request"));
        assert!(here.get("/api/v1/config")["entries"].as_array().unwrap().len() > 60);
        let huge = folder.join("huge");
        std::fs::write(&huge, vec![b' '; 3 << 20]).unwrap();
        let body = format!("@{}", huge.display());
        let arguments = ["-H", "content-type: application/json", "-H", "expect:", "--data-binary", &body];
        let (status, _) = here.curl("/api/v1/config/check", &arguments.map(str::to_owned));
        assert_eq!(status, 413);
        // Two requests on one connection.
        let out = Command::new("curl")
            .args(["-sk", "-w", "%{num_connects} ", "-o", "/dev/null"])
            .arg(format!("{}/healthz", here.base))
            .args(["-o", "/dev/null"])
            .arg(format!("{}/readyz", here.base))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "1 0 ");
    }
    // Streams go on being served on the same port, and a page too.
    let mut publisher = Publisher::start(&server, "m");
    publisher.send_all(&media::SMALL.tags());
    Player::start(&server, Over::Http, "m").wait_frames(1);
    // Idle connections past the limit are closed, and counted; the rest are left alone.
    let idle: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(server.http).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    until("some are refused", SOON, || {
        let text = common::server::get(server.admin, "/metrics").map(|(_, text)| text);
        let text = String::from_utf8(text.unwrap_or_default()).unwrap();
        let line = text.lines().find(|line| line.starts_with("shardcast_api_connections_refused_total"));
        line.filter(|line| !line.ends_with(" 0")).map(drop)
    });
    drop(idle);
    std::fs::remove_dir_all(folder).unwrap();
}

fn a_session_without_a_picture_says_why(mode: Mode) {
    let server = Server::start(mode, &[("publish.allow", "live/*"), ("play.allow", "live/*,other/*")]);
    let admin = Asker::admin(&server);
    let diagnosed = |what: &str, filter: &str| {
        until(what, SOON, || {
            let all = admin.get(&format!("/api/v1/sessions?{filter}"));
            let found = all["sessions"].as_array()?.iter().find(|s| s["diagnosis"].is_object())?.clone();
            Some(found["diagnosis"].clone())
        })
    };
    // A stream that is not there.
    let _ = common::server::get(server.http, "/live/nothing.flv");
    let why = diagnosed("no publisher", "stream=live/nothing");
    assert_eq!((&why["failed_step"], &why["fault"]), (&"publisher".into(), &"operator".into()), "{why}");
    // A name that is not allowed: the operator is told which rule, the peer is not.
    let refused = common::server::get(server.http, "/secret/x.flv").unwrap();
    assert_eq!(refused.0, 403);
    assert!(!String::from_utf8_lossy(&refused.1).contains("pattern"));
    let why = diagnosed("not allowed", "stream=secret/x");
    assert_eq!(why["failed_step"], "admission");
    assert!(why["why"].as_str().unwrap().contains("play.allow"), "{why}");
    // An encoder that never sends.
    let silent = Publisher::start(&server, "silent");
    let why = diagnosed("a silent encoder", "stream=live/silent&role=publisher");
    assert_eq!((&why["failed_step"], &why["fault"]), (&"first_packet".into(), &"peer".into()), "{why}");
    drop(silent);
}

fn lists_come_in_pieces_and_filtered(mode: Mode) {
    let server = Server::start(mode, &[]);
    let admin = Asker::admin(&server);
    let publishers: Vec<Publisher> = (0..5)
        .map(|n| {
            let mut publisher = Publisher::start(&server, &format!("p{n}"));
            publisher.send_all(&media::SMALL.tags());
            publisher
        })
        .collect();
    let names = |query: &str| -> Vec<String> {
        let all = admin.get(&format!("/api/v1/streams?{query}"));
        all["streams"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("limit=2&offset=3"), ["p3", "p4"]);
    assert_eq!(names("search=/p2"), ["p2"]);
    assert_eq!(names("live=false").len() + names("app=other").len(), 0);
    assert_eq!(admin.get("/api/v1/streams?limit=2")["total"], 5);
    let rtmp = admin.get("/api/v1/sessions?protocol=rtmp&address=127.0.0.1&role=publisher&limit=3");
    assert_eq!((rtmp["sessions"].as_array().unwrap().len(), &rtmp["total"]), (3, &json!(5)));
    assert_eq!(admin.get("/api/v1/sessions?address=10.0.0.1")["total"], 0);
    for wrong in ["limit=0", "limit=1001", "offset=-1", "live=maybe"] {
        let answer = admin.call("GET", &format!("/api/v1/streams?{wrong}"), None);
        assert_eq!(codes(&answer), (400, "bad_request"), "{wrong}");
    }
    drop(publishers);
}

#[test]
fn node_media_servers_users_find_what_they_know() {
    let server = Server::start(Mode::Epoll, &[("admin.nms_api", "true"), ("admin.anonymous", "metrics")]);
    let password = first_password(&server);
    let md5 = Command::new("sh").args(["-c", &format!("printf %s {password} | md5sum")]).output().unwrap();
    let md5 = String::from_utf8_lossy(&md5.stdout[..32]).into_owned();
    let mut nms = Asker { base: format!("http://{}", server.http), token: None };
    let login = |password: &str| {
        nms.call("POST", "/api/login", Some(&json!({ "username": "admin", "password": password })))
    };
    let (status, wrong) = login(&password);
    assert!(status == 200 && wrong["code"] != 200 && wrong["error"].is_string(), "{wrong}");
    let (status, right) = login(&md5);
    assert_eq!((status, &right["code"]), (200, &json!(200)));
    let token = right["data"]["token"].as_str().unwrap().to_owned();
    // The bare token, as its own clients send it.
    let bare = ["-H".to_owned(), format!("authorization: {token}")];
    let mut publisher = Publisher::start(&server, "n");
    publisher.send_all(&media::H264_AAC.tags());
    let player = Player::start(&server, Over::Ws, "n");
    player.wait_frames(1);
    let about = until("both are counted", SOON, || {
        let (status, about) = nms.curl("/api/server", &bare);
        (status == 200 && about["clients"]["ws"] == 1).then_some(about)
    });
    for field in ["os", "cpu", "mem", "net", "nodejs", "clients", "version"] {
        assert!(!about[field].is_null(), "{field} is not in {about}");
    }
    assert_eq!(about["clients"]["rtmp"], 1);
    let (_, streams) = nms.curl("/api/streams", &bare);
    let of = &streams["live"]["n"];
    assert_eq!((&of["publisher"]["app"], &of["publisher"]["stream"]), (&"live".into(), &"n".into()));
    assert_eq!(
        (&of["publisher"]["ip"], &of["subscribers"][0]["protocol"]),
        (&"127.0.0.1".into(), &"ws".into())
    );
    assert!(of["publisher"]["video"]["width"].as_u64() > Some(0), "{of}");
    let (_, one) = nms.curl("/api/streams/live/n", &bare);
    assert_eq!((&one["isLive"], &one["viewers"]), (&json!(true), &json!(1)));
    // Version 2 takes name and password with each request.
    nms.token = None;
    let basic = ["-u".to_owned(), format!("admin:{password}")];
    assert_eq!(nms.curl("/api/streams/live/n", &basic).1["isLive"], true);
    assert_eq!(nms.curl("/api/streams/live/n", &["-u".into(), "admin:admin".into()]).0, 401);
    let delete = ["-X".to_owned(), "DELETE".to_owned(), bare[0].clone(), bare[1].clone()];
    assert_eq!(nms.curl("/api/streams/live/n", &delete), (200, "ok".into()));
    until("the publisher is gone", SOON, || publisher.is_closed().then_some(()));
    assert_eq!(nms.curl("/api/streams/live/none", &delete).0, 404);
    // Switched off, none of it is there.
    let off = Server::start(Mode::Epoll, &[]);
    let nms = Asker::admin(&off);
    for path in ["/api/server", "/api/streams", "/api/streams/live/n"] {
        assert_eq!(nms.call("GET", path, None).0, 404, "{path}");
    }
}

#[test]
fn users_and_tokens_outlive_the_server() {
    let folder = scratch().join("api-data");
    let _ = std::fs::remove_dir_all(&folder);
    let start = || Server::start(Mode::Epoll, &[("admin.data_dir", folder.to_str().unwrap())]);
    let mut server = start();
    let admin = Asker::admin(&server);
    server.signal("TERM");
    assert!(server.wait(Duration::from_secs(10)).success());
    let server = start();
    assert!(!server.log().contains("admin / "), "the password is shown once");
    assert_eq!(admin.at(format!("http://{}", server.admin)).get("/api/v1/me")["name"], "admin");
    assert!(std::fs::read_to_string(folder.join("audit.jsonl")).unwrap().contains("POST /api/v1/login"));
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
    let (mut child, log) = Setup::new(Mode::Epoll).set("admin.data_dir", "/proc/nothing").spawn();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(std::fs::read_to_string(log).unwrap().contains("admin.data_dir cannot be used"));
}
