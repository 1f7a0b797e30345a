//! The configuration from outside: every source, which wins, and what an operator reads when something is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on must stop

use control::config::{Argument, ConfigError, Origin, Resolved, Sources, load, show};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("shardcast-config-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind in the system's temporary folder at worst.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sources(file: Option<&Path>, environment: &[(&str, &str)], arguments: &[&str]) -> Sources {
    Sources {
        file: file.map(Path::to_owned),
        environment: environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        arguments: arguments.iter().map(|text| Argument::set(text).unwrap()).collect(),
    }
}

fn arguments(arguments: &[&str]) -> Result<Resolved, ConfigError> {
    load(&sources(None, &[], arguments))
}

fn error(sources: &Sources) -> String {
    let text = load(sources).unwrap_err().to_string();
    assert!(!text.contains('\n'), "more than a line: {text}");
    text
}

#[test]
fn nothing_written_is_node_media_servers_ports() {
    let resolved = load(&Sources::default()).unwrap();
    let all = resolved.settings();
    let ports = (all.rtmp.port, all.http.port, all.https.port, all.admin.port);
    assert_eq!(ports, (1935, 8000, 8443, 8001));
    assert_eq!((all.rtmp.chunk_size, all.gop.cache, all.https.enabled), (60_000, true, false));
    assert!(resolved.entries().all(|(.., origin)| *origin == Origin::Default));
}

#[test]
fn each_source_is_stronger_than_the_one_before() {
    let folder = Folder::new();
    let file = folder.file("a.toml", "[rtmp]\nport = 1001\n");
    let nms = ("RTMP_PORT", "1002");
    let own = ("SHARDCAST__RTMP__PORT", "1003");
    let cases: [(Sources, u16, Origin); 6] = [
        (sources(None, &[], &[]), 1935, Origin::Default),
        (sources(Some(&file), &[], &[]), 1001, Origin::File(file.clone())),
        (sources(Some(&file), &[nms], &[]), 1002, Origin::Variable(nms.0.into())),
        (sources(Some(&file), &[own, nms], &[]), 1003, Origin::Variable(own.0.into())),
        (sources(Some(&file), &[own, nms], &["rtmp.port=1004"]), 1004, Origin::Argument("--set".into())),
        (sources(None, &[], &["rtmp.port=1004", "rtmp.port=1005"]), 1005, Origin::Argument("--set".into())),
    ];
    for (sources, port, origin) in cases {
        let resolved = load(&sources).unwrap();
        assert_eq!(resolved.settings().rtmp.port, port);
        assert_eq!(resolved.origin("rtmp.port"), Some(&origin));
        assert_eq!(resolved.origin("http.port"), Some(&Origin::Default));
    }
}

#[test]
fn the_three_file_formats_say_the_same() {
    let folder = Folder::new();
    let toml = folder.file(
        "a.toml",
        "[server]\nbind = [\"127.0.0.1\", \"::1\"]\ncores = \"0-1,3\"\n[gop]\ncache = false\n[latency.live]\ntick_ms = 5\n",
    );
    let yaml = folder.file(
        "a.yaml",
        "server:\n  bind: [\"127.0.0.1\", \"::1\"]\n  cores: 0-1,3\ngop:\n  cache: false\nlatency:\n  live:\n    tick_ms: 5\n",
    );
    let ini = folder.file(
        "a.ini",
        "; as Node Media Server's file looks\n[server]\nbind = 127.0.0.1, ::1\ncores = 0-1,3\n[gop]\ncache = 0\n[latency.live]\ntick_ms = 5\n",
    );
    for file in [toml, yaml, ini] {
        let resolved = load(&sources(Some(&file), &[], &[])).unwrap();
        let all = resolved.settings();
        assert_eq!(all.server.bind.len(), 2, "{}", file.display());
        assert_eq!(all.server.cores.0, [0, 1, 3], "{}", file.display());
        assert_eq!(all.latency_live.tick_ms, Duration::from_millis(5), "{}", file.display());
        assert!(!all.gop.cache, "{}", file.display());
    }
}

#[test]
fn node_media_servers_variables_are_understood() {
    let environment = [
        ("BIND_ADDR", "127.0.0.1"),
        ("RTMP_PORT", "2935"),
        ("RTMP_CHUNK_SIZE", "4096"),
        ("HTTP_PORT", "9000"),
        ("GOP_CACHE", "0"),
        ("LOG_LEVEL", "debug"),
        ("KMP_PORT", "6935"),
        ("CRYPTO_KEY", "1234567890123456"),
    ];
    let resolved = load(&sources(None, &environment, &[])).unwrap();
    let all = resolved.settings();
    assert_eq!((all.rtmp.port, all.rtmp.chunk_size, all.http.port), (2935, 4096, 9000));
    assert_eq!((all.gop.cache, all.log.level.word()), (false, "debug"));
    assert_eq!(all.server.bind, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    let [note] = resolved.notes() else { panic!("one line: {:?}", resolved.notes()) };
    assert!(note.contains("CRYPTO_KEY, KMP_PORT"), "{note}");
}

#[test]
fn a_certificate_for_node_media_server_turns_https_on() {
    let folder = Folder::new();
    let (cert, key) = (folder.file("c.pem", "x"), folder.file("k.pem", "x"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let all = [("HTTPS_PORT", "9443"), ("CERT_FILE", cert), ("KEY_FILE", key)];
    let resolved = load(&sources(None, &all, &[])).unwrap();
    assert_eq!((resolved.settings().https.enabled, resolved.settings().https.port), (true, 9443));
    assert!(!load(&sources(None, &all[..1], &[])).unwrap().settings().https.enabled);
    let off = sources(None, &all, &["https.enabled=false"]);
    assert!(!load(&off).unwrap().settings().https.enabled);
}

#[test]
fn what_is_wrong_is_one_line_with_key_value_rule_and_origin() {
    let folder = Folder::new();
    let typed = folder.file("typed.toml", "[rtmp]\nport = \"1935\"\n");
    let nested = folder.file("nested.toml", "[rtmp.port]\nx = 1\n");
    let misspelt = folder.file("misspelt.yaml", "rtmp:\n  prot: 1\n");
    let at = |path: &Path| path.display().to_string();
    for (sources, expected) in [
        (
            sources(None, &[("RTMP_PORT", "70000")], &[]),
            "rtmp.port = \"70000\": must be a whole number from 0 to 65535 (from environment variable RTMP_PORT)"
                .to_owned(),
        ),
        (
            sources(None, &[], &["server.backend=kqueue"]),
            "server.backend = \"kqueue\": must be one of auto, io_uring, epoll (from argument --set)".to_owned(),
        ),
        (
            sources(Some(&typed), &[], &[]),
            format!("rtmp.port = \"1935\": must be a whole number from 0 to 65535 (from file {})", at(&typed)),
        ),
        (
            sources(Some(&misspelt), &[], &[]),
            format!("rtmp.prot: unknown key; did you mean rtmp.port? (from file {})", at(&misspelt)),
        ),
        (
            sources(Some(&nested), &[], &[]),
            format!("rtmp.port.x: unknown key; did you mean rtmp.port? (from file {})", at(&nested)),
        ),
        (
            sources(None, &[("SHARDCAST__GOP__CACHES", "1")], &[]),
            "gop.caches: unknown key; did you mean gop.cache? (from environment variable SHARDCAST__GOP__CACHES)"
                .to_owned(),
        ),
        (
            sources(None, &[], &["http.port=1935"]),
            "http.port = 1935: must differ from rtmp.port (from argument --set)".to_owned(),
        ),
        (
            sources(None, &[], &["https.enabled=true"]),
            "tls.cert_file = \"\": must name a PEM file, for https.enabled is true (from default)".to_owned(),
        ),
        (
            sources(None, &[], &["latency.bulk.tick_ms=1000", "latency.bulk.budget_ms=1500"]),
            "latency.bulk.budget_ms = 1500: must be at least twice latency.bulk.tick_ms, which is 1000 (from argument --set)"
                .to_owned(),
        ),
        (
            sources(None, &[], &["rtmp.enabled=false", "http.enabled=false"]),
            "rtmp.enabled = false: must be true, or rtmps, http or https be enabled: nothing would be served (from argument --set)"
                .to_owned(),
        ),
        (
            sources(None, &[], &["notify.url=http://a/x", "notify.targets=http://a/x actions=prePlay"]),
            "notify.targets = [\"http://a/x actions=prePlay\"]: must name each address once, and not that of notify.url: put all \
             actions and streams behind it (from argument --set)"
                .to_owned(),
        ),
    ] {
        assert_eq!(error(&sources), expected);
    }
    let said = Argument::set("rtmp.port").unwrap_err().to_string();
    assert_eq!(said, "--set \"rtmp.port\": must be key=value, such as rtmp.port=1936");
}

#[test]
fn ports_may_be_the_same_where_the_addresses_are_not() {
    let apart = arguments(&["server.bind=127.0.0.1", "admin.bind=127.0.0.2", "admin.port=8000"]);
    assert!(apart.is_ok());
    let anywhere = arguments(&["admin.bind=127.0.0.2", "admin.port=8000"]).unwrap_err().to_string();
    assert!(anywhere.starts_with("admin.port = 8000: must differ from http.port"), "{anywhere}");
    assert!(arguments(&["rtmp.port=0", "http.port=0", "admin.port=0"]).is_ok(), "0 is a free port each time");
    assert!(arguments(&["http.port=1935", "http.enabled=false"]).is_ok(), "what is off takes no port");
}

#[test]
fn addresses_must_make_sense_together() {
    assert!(arguments(&["server.bind=::"]).is_ok());
    for wrong in ["server.bind=", "server.bind=0.0.0.0,::", "server.bind=::1,::1"] {
        let said = arguments(&[wrong]).unwrap_err().to_string();
        assert!(said.starts_with("server.bind = ["), "{wrong}: {said}");
    }
}

#[test]
fn files_that_are_no_configuration_are_named() {
    let folder = Folder::new();
    let big = "#".repeat((1 << 20) + 1);
    for (name, text, expected) in [
        ("a.txt", "", "its name must end in .toml, .yaml, .yml or .ini"),
        ("broken.toml", "[rtmp]\nport = = 3\n", "line 2"),
        ("broken.yaml", "rtmp: [1", ""),
        ("list.yaml", "- 1\n- 2\n", ""),
        ("aliases.yaml", "rtmp: &a\n  port: 0\nhttp: *a\n", "aliases (*name) are not supported"),
        ("large.toml", &big, "larger than 1048576 bytes"),
    ] {
        let path = folder.file(name, text);
        let said = error(&sources(Some(&path), &[], &[]));
        assert!(said.starts_with(&format!("configuration file {}", path.display())), "{name}: {said}");
        assert!(said.contains(expected), "{name}: {said}");
    }
    let device = folder.0.join("device.toml");
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    assert!(error(&sources(Some(&device), &[], &[])).ends_with("it is not a file"));
    let missing = folder.0.join("missing.toml");
    assert!(error(&sources(Some(&missing), &[], &[])).contains("No such file"));
}

#[test]
fn a_reference_that_would_fill_the_memory_is_refused() {
    let folder = Folder::new();
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (from, to) in ('a'..'i').zip('b'..='i') {
        let items = vec![format!("*{from}"); 9].join(",");
        text.push_str(&format!("{to}: &{to} [{items}]\n"));
    }
    let path = folder.file("bomb.yaml", &text);
    assert!(error(&sources(Some(&path), &[], &[])).contains("aliases"));
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let folder = Folder::new();
    for (name, text) in [
        ("a.ini", "\u{feff}[rtmp]\nport=1937\n"),
        ("a.toml", "\u{feff}[rtmp]\nport=1937\n"),
        ("a.yaml", "\u{feff}rtmp:\n  port: 1937\n"),
    ] {
        let path = folder.file(name, text);
        assert_eq!(load(&sources(Some(&path), &[], &[])).unwrap().settings().rtmp.port, 1937, "{name}");
    }
}

#[test]
fn empty_variables_of_node_media_server_change_nothing() {
    let empty = ["BIND_ADDR", "RTMP_PORT", "HTTP_PORT", "HTTPS_PORT", "GOP_CACHE", "LOG_LEVEL", "CERT_FILE"];
    let environment: Vec<(&str, &str)> = empty.iter().map(|name| (*name, "")).collect();
    let resolved = load(&sources(None, &environment, &[])).unwrap();
    assert_eq!(resolved, load(&Sources::default()).unwrap());
    let own = error(&sources(None, &[("SHARDCAST__RTMP__PORT", "")], &[]));
    assert!(own.starts_with("rtmp.port = \"\": must be"), "{own}");
}

#[test]
fn what_is_hardly_meant_is_noted() {
    let folder = Folder::new();
    let cert = format!("tls.cert_file={}", folder.file("c.pem", "x").display());
    assert!(load(&Sources::default()).unwrap().notes().is_empty());
    for (set, expected) in [
        (vec!["gop.max_bytes=65536"], Some("gop.max_bytes is less than rtmp.message_bytes")),
        (vec!["gop.max_bytes=65536", "gop.cache=false"], None),
        (vec![cert.as_str()], Some("tls.cert_file and tls.key_file are not used")),
        (vec!["publish.allow="], Some("publish.allow is empty: nobody may publish")),
        (vec!["play.allow="], Some("play.allow is empty: nobody may play")),
        (vec!["admin.bind=0.0.0.0", "admin.anonymous=read"], Some("admin.bind is 0.0.0.0")),
        (vec!["admin.bind=0.0.0.0"], None),
        (vec!["admin.bind=::1"], None),
    ] {
        let resolved = arguments(&set).unwrap();
        match (resolved.notes(), expected) {
            ([], None) => {}
            ([note], Some(expected)) => assert!(note.starts_with(expected), "{set:?}: {note}"),
            (notes, _) => panic!("{set:?}: {notes:?}"),
        }
    }
    let environment = [("SHARDCAST_RTMP_PORT", "1936")];
    let resolved = load(&sources(None, &environment, &[])).unwrap();
    let expected = "ignored from the environment: SHARDCAST_RTMP_PORT; did you mean SHARDCAST__RTMP__PORT?";
    assert_eq!(resolved.notes(), [expected]);
    assert_eq!(resolved.settings().rtmp.port, 1935);
}

#[test]
fn an_error_is_one_line_whatever_names_hold() {
    let folder = Folder::new();
    error(&sources(None, &[("SHARDCAST__A\nB", "1")], &[]));
    error(&sources(None, &[], &["rtmp\n.port=1"]));
    error(&sources(None, &[], &["log.level=a\nb"]));
    error(&sources(Some(&folder.file("a\nb.toml", "x = 1\n")), &[], &[]));
    error(&sources(Some(&folder.0.join("not\nthere.toml")), &[], &[]));
}

#[test]
fn certificate_files_must_be_readable_files() {
    let folder = Folder::new();
    let good = folder.file("c.pem", "x");
    let set = |cert: &Path, key: &Path| {
        vec![
            "rtmps.enabled=true".to_owned(),
            format!("tls.cert_file={}", cert.display()),
            format!("tls.key_file={}", key.display()),
        ]
    };
    let load = |all: Vec<String>| arguments(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(load(set(&good, &good)).is_ok());
    let missing = load(set(&good, &folder.0.join("none.pem"))).unwrap_err().to_string();
    assert!(missing.starts_with("tls.key_file = ") && missing.contains("must be readable"), "{missing}");
    let directory = load(set(&folder.0, &good)).unwrap_err().to_string();
    assert!(directory.contains("it is not a file"), "{directory}");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let folder = Folder::new();
    let first = arguments(&["rtmp.port=1936", "publish.allow=live/*,vip/*", "server.cores=0-1"]).unwrap();
    let printed = show::toml(&first);
    assert!(printed.contains("port = 1936 # argument --set\n"), "{printed}");
    let again = load(&sources(Some(&folder.file("printed.toml", &printed)), &[], &[])).unwrap();
    assert_eq!(first.settings(), again.settings());
    let json: serde_json::Value = serde_json::from_str(&show::json(&first)).unwrap();
    assert_eq!(json["rtmp.port"], serde_json::json!({ "value": 1936, "origin": "argument --set" }));
    assert_eq!(json["publish.allow"]["value"], serde_json::json!(["live/*", "vip/*"]));
}

#[test]
fn secrets_are_not_shown_and_what_stands_for_them_is_no_secret() {
    let set = [
        "auth.secret=s3cret-one",
        "auth.secrets=vip=s3cret-two",
        "auth.keys=publish live/* s3cret-three",
        "auth.names=live/s3cret-four=live/room",
        "auth.jwks=https://user:s3cret-five@keys.example.org/set?t=s3cret-six",
        "notify.url=http://10.0.0.1/hook?t=s3cret-seven",
        "notify.targets=http://10.0.0.2/hook actions=postPlay secret=s3cret-eight",
    ];
    let resolved = arguments(&set).unwrap();
    for shown in [show::toml(&resolved), show::json(&resolved)] {
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("http://10.0.0.2/hook actions=postPlay secret=***"), "{shown}");
        assert!(shown.contains("https://keys.example.org/set?***"), "{shown}");
    }
    for shown in ["auth.secret=***", "auth.secrets=vip=***", "notify.targets=http://10.0.0.2/hook secret=***"]
    {
        let said = arguments(&[shown]).unwrap_err().to_string();
        assert!(said.contains("must be the secret itself"), "{said}");
    }
    let said = arguments(&["auth.keys=s3cret"]).unwrap_err().to_string();
    assert!(said.starts_with("auth.keys = ***: must be") && !said.contains("s3cret"), "{said}");
    let said = arguments(&["auth.secrets=vip=nodemedia2017privatekey"]).unwrap_err().to_string();
    assert!(said.contains("must be a secret of your own"), "{said}");
}
