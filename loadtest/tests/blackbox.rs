//! The real harness against the real server: no fault where there is none, and exactly the fault that a proxy makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

/// The server's program, beside our own; built, for an old one would tell nothing.
fn shardcast() -> PathBuf {
    static BUILT: Once = Once::new();
    let path = Path::new(LOADTEST).with_file_name("shardcast");
    BUILT.call_once(|| {
        let target = path.parent().unwrap().parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-q", "-p", "shardcast", "--target-dir"]).arg(target);
        if path.parent().unwrap().ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    });
    path
}

struct Server {
    child: Child,
    rtmp: SocketAddr,
    http: SocketAddr,
}

impl Server {
    /// On ports that were free a moment ago; on others if somebody was quicker.
    fn start() -> Self {
        let begin = Instant::now();
        loop {
            let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
            let ports: Vec<SocketAddr> = held.iter().map(|held| held.local_addr().unwrap()).collect();
            drop(held);
            let mut command = Command::new(shardcast());
            command.args(["serve", "--set", "server.bind=127.0.0.1", "--set", "admin.data_dir="]);
            for (key, address) in ["rtmp", "http", "admin"].iter().zip(&ports) {
                command.arg("--set").arg(format!("{key}.port={}", address.port()));
            }
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut server = Self { child, rtmp: ports[0], http: ports[1] };
            while server.child.try_wait().unwrap().is_none() {
                if TcpStream::connect(server.http).is_ok() && TcpStream::connect(server.rtmp).is_ok() {
                    return server;
                }
                assert!(begin.elapsed() < Duration::from_secs(60), "the server does not answer");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a scenario; what the viewers saw.
fn run(name: &str, scenario: &str, rtmp: SocketAddr, http: SocketAddr) -> Value {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.toml", std::process::id()));
    let core = rt::online_cpus()[0];
    std::fs::write(&file, format!("name = \"{name}\"\n{scenario}\n[server]\ngenerator_cores = [{core}]\n"))
        .unwrap();
    let output = Command::new(LOADTEST)
        .args(["run", "--json", "--rtmp", &rtmp.to_string(), "--http", &http.to_string()])
        .arg(&file)
        .output()
        .unwrap();
    let _ = std::fs::remove_file(file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    outcome["viewers"].clone()
}

fn number(seen: &Value, name: &str) -> u64 {
    seen[name].as_u64().unwrap_or_else(|| panic!("{name} in {seen}"))
}

#[test]
fn a_good_server_shows_no_fault_over_any_protocol() {
    let server = Server::start();
    for protocol in ["http-flv", "ws-flv", "rtmp"] {
        let scenario = format!(
            "[publish]\nstreams = 2\n[view]\nviewers = 20\nramp = 100\nprotocols = [\"{protocol}\"]\n\
             [time]\nsettle_ms = 500\nmeasure_ms = 2000"
        );
        let seen = run(protocol, &scenario, server.rtmp, server.http);
        for fault in ["failed", "silent", "gaps", "repeats", "reordered", "corrupt"] {
            assert_eq!(number(&seen, fault), 0, "{protocol}: {fault}: {seen}");
        }
        assert_eq!((number(&seen, "asked"), number(&seen, "joined")), (20, 20));
        // 20 viewers, 68 packets a second; half of it on a machine that is very busy.
        assert!(number(&seen, "packets") > 20 * 68, "{seen}");
        assert!(
            seen["delay_ms"]["p50"].as_f64().unwrap() > 0.0 && seen["join_ms"]["p50"].as_f64().unwrap() > 0.0
        );
    }
}

#[test]
fn churned_slow_and_stalled_viewers_are_no_faults() {
    let server = Server::start();
    let scenario = "[view]\nviewers = 20\nslow = 3\nstalled = 3\nchurn = 20\n\
                    protocols = [\"http-flv\", \"ws-flv\", \"rtmp\"]\n[time]\nsettle_ms = 500\nmeasure_ms = 3000";
    let seen = run("churn", scenario, server.rtmp, server.http);
    for fault in ["failed", "gaps", "repeats", "reordered", "corrupt"] {
        assert_eq!(number(&seen, fault), 0, "{fault}: {seen}");
    }
    assert_eq!(number(&seen, "asked"), 26);
    let churned = number(&seen, "churned");
    assert!((30..=80).contains(&churned), "{seen}");
}

/// What the proxy does to one chunk of one viewer.
#[derive(Clone, Copy)]
enum Harm {
    Flip,
    Drop,
    Repeat,
}

/// Behind a viewer's first GOP at most and the settling, before the end of the count: see the scenario.
const HARMED_CHUNK: u32 = 230;

/// A proxy of HTTP that harms one chunk of its first viewer.
fn proxy(to: SocketAddr, harm: Harm) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let first = Arc::new(AtomicBool::new(true));
    thread::spawn(move || {
        for viewer in listener.incoming() {
            let (viewer, server) = (viewer.unwrap(), TcpStream::connect(to).unwrap());
            let (mut asks, mut answers) = (viewer.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut asks, &mut answers));
            let harm = first.swap(false, Ordering::Relaxed).then_some(harm);
            thread::spawn(move || pass(server, viewer, harm));
        }
    });
    address
}

/// Passes an answer on, chunk by chunk, until either side ends.
fn pass(server: TcpStream, mut viewer: TcpStream, harm: Option<Harm>) -> Option<()> {
    let mut server = BufReader::new(server);
    let mut line = Vec::new();
    while line != b"\r\n" {
        line.clear();
        server.read_until(b'\n', &mut line).ok().filter(|count| *count > 0)?;
        viewer.write_all(&line).ok()?;
    }
    for at in 0.. {
        let mut chunk = Vec::new();
        server.read_until(b'\n', &mut chunk).ok().filter(|count| *count > 0)?;
        let size = usize::from_str_radix(std::str::from_utf8(&chunk).ok()?.trim(), 16).ok()?;
        let head = chunk.len();
        chunk.resize(head + size + 2, 0);
        server.read_exact(&mut chunk[head..]).ok()?;
        let times = match harm.filter(|_| at == HARMED_CHUNK) {
            Some(Harm::Drop) => 0,
            Some(Harm::Repeat) => 2,
            Some(Harm::Flip) => {
                chunk[head + 111] ^= 0x10;
                1
            }
            None => 1,
        };
        for _ in 0..times {
            viewer.write_all(&chunk).ok()?;
        }
    }
    None
}

#[test]
fn exactly_what_a_proxy_harms_is_found() {
    let server = Server::start();
    // A GOP of 2 s is 136 packets at most, the settling another 34, what is counted 272.
    let scenario = "[view]\nviewers = 5\nramp = 0\n[time]\nsettle_ms = 500\nmeasure_ms = 4000";
    for (harm, expected) in [(Harm::Flip, [0, 0, 1]), (Harm::Drop, [1, 0, 0]), (Harm::Repeat, [0, 1, 0])] {
        let seen = run("harm", scenario, server.rtmp, proxy(server.http, harm));
        let found = ["gaps", "repeats", "corrupt"].map(|name| number(&seen, name));
        assert_eq!(found, expected, "{seen}");
        assert_eq!(number(&seen, "reordered") + number(&seen, "failed"), 0, "{seen}");
    }
}

#[test]
fn what_cannot_be_run_is_one_line() {
    for (arguments, code, what) in [
        (&["run", "/nowhere.toml", "--rtmp", "127.0.0.1:1"][..], 2, "/nowhere.toml: "),
        (&["run"], 2, "SCENARIO"),
        (&["fly"], 2, "unrecognized"),
        (&["report", "/nowhere.jsonl"], 2, "/nowhere.jsonl: "),
        (&["peers", "/nowhere.toml"], 2, "/nowhere.toml: "),
        (&["peers", "/nowhere.toml", "--with", "apache"], 2, "apache"),
    ] {
        let output = Command::new(LOADTEST).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.to_uppercase().contains(&what.to_uppercase()), "{told}");
    }
    let quick = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quick.toml");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = Command::new(LOADTEST).args(["run", "--rtmp", &nobody]).arg(quick).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("quick: publisher 0: "), "{told}");
}
