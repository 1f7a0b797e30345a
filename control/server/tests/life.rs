//! The life of the process: start, complaints in one line, signals, drain, back-ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::server::{BINARY, Setup, scratch};
use common::{Mode, Player, Publisher, SOON, Server, media, play::Over, until};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(BINARY).args(arguments).envs(environment.iter().copied()).output().unwrap()
}

/// Exit code 2 and one line that holds all of these.
fn refused(arguments: &[&str], environment: &[(&str, &str)], words: &[&str]) {
    let output = run(arguments, environment);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn bad_settings_are_refused_with_key_value_what_is_allowed_and_where_from() {
    refused(&["check-config", "--set", "rtmp.prot=1"], &[], &["rtmp.prot", "rtmp.port", "--set"]);
    refused(&["check-config", "--rtmp-port", "70000"], &[], &["rtmp.port", "70000", "65535", "--rtmp-port"]);
    refused(&["check-config"], &[("RTMP_PORT", "x")], &["rtmp.port", "\"x\"", "RTMP_PORT"]);
    refused(
        &["check-config"],
        &[("SHARDCAST__GOP__CACHE", "perhaps")],
        &["gop.cache", "perhaps", "SHARDCAST__GOP__CACHE"],
    );
    let file = common::server::scratch().join("bad.yaml");
    std::fs::write(&file, "rtmp:\n  chunk_size: 7\n").unwrap();
    let file = file.to_str().unwrap();
    refused(&["serve", "--config", file], &[], &["rtmp.chunk_size", "7", "128", "65536", "bad.yaml"]);
    refused(&["check-config", "--config", "/does/not/exist.toml"], &[], &["/does/not/exist.toml"]);
    refused(
        &[
            "check-config",
            "--set",
            "https.enabled=true",
            "--set",
            "tls.cert_file=/no/cert",
            "--set",
            "tls.key_file=/no/key",
        ],
        &[],
        &["/no/cert"],
    );
}

#[test]
fn the_sources_of_the_configuration_win_in_their_order() {
    let file = common::server::scratch().join("layers.ini");
    std::fs::write(&file, "[rtmp]\nport = 2001\nchunk_size = 4096\n[gop]\ncache = false\n").unwrap();
    let file = file.to_str().unwrap();
    let output = run(
        &["print-config", "--config", file, "--set", "http.port=2003"],
        &[("RTMP_PORT", "2002"), ("HTTP_PORT", "2009"), ("SHARDCAST__LOG__LEVEL", "warn")],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["port = 2002", "chunk_size = 4096", "cache = false", "port = 2003", "level = \"warn\""] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let json = run(&["print-config", "--format", "json"], &[]);
    assert!(serde_json::from_slice::<serde_json::Value>(&json.stdout).is_ok());
    assert!(String::from_utf8(run(&["version"], &[]).stdout).unwrap().starts_with("shardcast "));
}

#[test]
fn a_port_in_use_is_one_line_with_the_remedy() {
    for (at, key) in [(0, "rtmp.port"), (1, "http.port"), (4, "admin.port")] {
        let setup = Setup::new(Mode::Epoll);
        let _taken = TcpListener::bind(setup.address(at)).unwrap();
        let output = setup.set("log.level", "error").command().output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains("in use") && text.contains(key), "{text}");
    }
}

#[test]
fn a_start_that_fails_does_not_swallow_the_first_password() {
    let folder = scratch().join("first-password");
    let _ = std::fs::remove_dir_all(&folder);
    let setup = Setup::new(Mode::Epoll).set("admin.data_dir", folder.display());
    let taken = TcpListener::bind(setup.address(0)).unwrap();
    assert_eq!(setup.command().output().unwrap().status.code(), Some(1));
    drop(taken);
    let server = setup.start();
    assert!(server.log().contains("first login    admin / "), "{}", server.log());
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn too_few_descriptors_are_one_line_with_the_remedy() {
    let setup = Setup::new(Mode::Epoll).set("server.max_connections", 5_000_000).set("log.level", "error");
    let output = setup.command().output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("server.max_connections") && text.contains("ulimit"), "{text}");
}

#[test]
fn a_core_that_is_not_there_is_one_line() {
    let output = Setup::new(Mode::Epoll).set("server.cores", "9999").command().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some_and(|code| code != 0) && text.contains("server.cores"), "{text}");
}

#[test]
fn where_io_uring_is_forbidden_it_says_why_and_runs_on_the_other() {
    let server = Server::start(Mode::Seccomp, &[]);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("io_uring cannot be had")).expect("a line");
    assert!(line.contains("WARN") && line.contains("why") && line.contains("remedy"), "{line}");
}

#[test]
fn forced_io_uring_that_is_forbidden_ends_the_start() {
    let setup = Setup::new(Mode::Seccomp).set("server.backend", "io_uring").set("log.level", "error");
    let output = setup.command().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("server.backend = io_uring") && text.contains("auto"), "{text}");
}

on_backends! {
    a_drain_tells_everybody_and_ends_with_0;
    a_second_server_on_the_same_ports_does_not_start;
}

fn a_drain_tells_everybody_and_ends_with_0(mode: Mode) {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(mode, &[]);
        let tags = media::SMALL.tags();
        let mut publisher = Publisher::start(&server, "drain");
        publisher.send_all(&tags);
        let players: Vec<Player> =
            Over::ALL.into_iter().map(|over| Player::start(&server, over, "drain")).collect();
        for player in &players {
            player.wait_frames(5);
        }
        server.signal(signal);
        let mut ends = Vec::new();
        for player in players {
            ends.push(player.to_end().1);
        }
        assert!(ends.iter().all(|why| !why.contains("reset")), "{ends:?}");
        until("the publisher is told", SOON, || publisher.is_closed().then_some(()));
        assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0), "{}", server.log());
        assert!(server.log().contains("drained"));
    }
}

fn a_second_server_on_the_same_ports_does_not_start(mode: Mode) {
    let setup = Setup::new(mode);
    let again = Setup::new(mode).set("rtmp.port", setup.address(0).port()).set("log.level", "error");
    let server = setup.start();
    let output = again.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"));
    drop(server);
}

#[test]
fn node_media_servers_names_in_the_environment_are_understood() {
    let port = common::server::free_port();
    // Not over arguments, which win: the harness sets the ports, so a key is used that it does not set.
    let output = run(
        &["print-config"],
        &[
            ("RTMP_PORT", &port.to_string()),
            ("GOP_CACHE", "0"),
            ("RTMP_CHUNK_SIZE", "4096"),
            ("BIND_ADDR", "127.0.0.1"),
            ("LOG_LEVEL", "warn"),
        ],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    for word in
        [&format!("port = {port}"), "cache = false", "chunk_size = 4096", "127.0.0.1", "level = \"warn\""]
    {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn logs_can_be_json_with_key_peer_protocol_and_why() {
    let mut server = Server::start(Mode::Epoll, &[("log.format", "json"), ("log.level", "info")]);
    let mut publisher = Publisher::start(&server, "logged");
    publisher.send_all(&media::SMALL.tags());
    let player = Player::start(&server, Over::Http, "logged");
    player.wait_frames(3);
    publisher.finish();
    player.to_end();
    server.signal("TERM");
    server.wait(Duration::from_secs(10));
    let log = server.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ended = lines
        .iter()
        .find(|line| line["message"] == "ended" && line["role"] == "viewer")
        .unwrap_or_else(|| panic!("no line of the viewer's end in\n{log}"));
    assert_eq!((&ended["stream"], &ended["protocol"]), (&"live/logged".into(), &"http-flv".into()));
    assert_eq!(ended["why"], "stream ended");
    assert!(ended["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
}
