//! The real `shardcast` as a child process.

use super::{SOON, until};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const BINARY: &str = env!("CARGO_BIN_EXE_shardcast");
/// Set for a child of the test program that is to become a server under the filter.
const LAUNCH: &str = "SHARDCAST_TEST_LAUNCH";
/// Between the arguments in it.
const BREAK: char = '\u{1f}';

/// What the server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Uring,
    Epoll,
    /// Epoll chosen by the server itself, since a filter forbids io_uring as container runtimes do.
    Seccomp,
}

impl Mode {
    const fn setting(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
            Self::Seccomp => "auto",
        }
    }

    /// As the API names it.
    pub const fn backend(self) -> &'static str {
        match self {
            Self::Uring => "io_uring",
            Self::Epoll | Self::Seccomp => "epoll",
        }
    }
}

/// Becomes a server under the filter, when this program started itself for that; else it has nothing to do.
#[test]
fn seccomp_exec() {
    let Ok(line) = std::env::var(LAUNCH) else { return };
    rt::seccomp::forbid_uring().unwrap();
    let error = Command::new(BINARY).args(line.split(BREAK)).env_remove(LAUNCH).exec();
    panic!("exec: {error}");
}

/// A port that nobody listens on, below those that the system hands out by itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id().wrapping_mul(101).wrapping_add(n * 7)) % 22_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// What a server is started with.
pub struct Setup {
    mode: Mode,
    ports: [u16; 5],
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// Two shards, free ports, all else as a user finds it.
    pub fn new(mode: Mode) -> Self {
        let cores = rt::online_cpus();
        let cores: Vec<String> = cores.iter().take(2).map(ToString::to_string).collect();
        let ports = std::array::from_fn(|_| free_port());
        let arguments = vec!["serve".to_owned()];
        let mut setup = Self { mode, ports, arguments, environment: Vec::new() };
        for (key, port) in
            ["rtmp.port", "http.port", "rtmps.port", "https.port", "admin.port"].iter().zip(ports)
        {
            setup = setup.set(key, port);
        }
        setup
            .set("server.bind", "127.0.0.1")
            .set("server.backend", mode.setting())
            .set("server.cores", cores.join(","))
            .set("server.max_connections", 3000)
            .set("server.drain_limit_ms", 2000)
            .set("log.level", "debug")
            .set("admin.data_dir", "")
            .set("admin.anonymous", "read")
    }

    /// One key more; the last value of a key is in force.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.arguments.push("--set".to_owned());
        self.arguments.push(format!("{key}={}", value.to_string()));
        self
    }

    /// A configuration file.
    #[must_use]
    pub fn config(mut self, path: &Path) -> Self {
        self.arguments.extend(["--config".to_owned(), path.display().to_string()]);
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The address of a port, by its place: RTMP, HTTP, RTMPS, HTTPS, admin.
    pub fn address(&self, at: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[at]).into()
    }

    /// The process, with both outputs to a file; whether it comes up is another matter.
    pub fn spawn(&self) -> (Child, PathBuf) {
        let (mut command, log) = (self.command(), self.log_file());
        let out = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        (command.spawn().unwrap(), log)
    }

    /// The command line.
    pub fn command(&self) -> Command {
        let mut command = if self.mode == Mode::Seccomp {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "common::server::seccomp_exec", "--nocapture", "--test-threads=1"]);
            command.env(LAUNCH, self.arguments.join(&BREAK.to_string()));
            command
        } else {
            let mut command = Command::new(BINARY);
            command.args(&self.arguments);
            command
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Server {
        let (child, log) = self.spawn();
        let [rtmp, http, rtmps, https, admin] = std::array::from_fn(|at| self.address(at));
        let mut server = Server { rtmp, http, rtmps, https, admin, child, log };
        until("the server answers", SOON, || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            get(server.admin, "/readyz").filter(|(status, _)| *status == 200)
        });
        let name = self.mode.backend();
        let log = server.log();
        let says = [format!("backend=\"{name}\""), format!("\"backend\":\"{name}\"")];
        // Logged unless only warnings are.
        let quiet = !log.contains("serving");
        assert!(quiet || says.iter().any(|said| log.contains(said)), "not on {name}: {log}");
        server
    }

    fn log_file(&self) -> PathBuf {
        let folder = scratch().join("logs");
        std::fs::create_dir_all(&folder).unwrap();
        let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
        folder.join(format!("{test}-{}-{}.log", std::process::id(), self.ports[0]))
    }
}

/// Where tests put what they make: inside the build folder.
pub fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned()
}

/// A running server.
pub struct Server {
    pub rtmp: SocketAddr,
    pub http: SocketAddr,
    pub rtmps: SocketAddr,
    pub https: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// As most tests want it: [`Setup::new`] and these keys.
    #[track_caller]
    pub fn start(mode: Mode, settings: &[(&str, &str)]) -> Self {
        settings.iter().fold(Setup::new(mode), |setup, (key, value)| setup.set(key, value)).start()
    }

    /// `rtmp://…/live/name`
    pub fn rtmp_url(&self, name: &str) -> String {
        format!("rtmp://{}/live/{name}", self.rtmp)
    }

    /// `http://…/live/name.flv`
    pub fn http_url(&self, name: &str) -> String {
        format!("http://{}/live/{name}.flv", self.http)
    }

    /// The API's answer; the test ends without one.
    #[track_caller]
    pub fn api(&self, path: &str) -> Value {
        until(path, SOON, || self.try_api(path))
    }

    /// The API's answer, if it has one now.
    pub fn try_api(&self, path: &str) -> Option<Value> {
        match get(self.admin, path)? {
            (200, body) => serde_json::from_slice(&body).ok(),
            _ => None,
        }
    }

    /// What the API says of `live/name`.
    pub fn stream(&self, name: &str) -> Option<Value> {
        self.try_api(&format!("/api/v1/streams/live/{name}"))
    }

    /// Waits until what the API says of `live/name` is as wanted.
    #[track_caller]
    pub fn until_stream(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(&format!("live/{name}: {what}"), SOON, || self.stream(name).filter(|stream| wanted(stream)))
    }

    /// Waits until so many viewers of `live/name` are served or wait.
    #[track_caller]
    pub fn until_viewers(&self, name: &str, count: u64) {
        self.until_stream(name, &format!("{count} viewers"), |stream| {
            stream["viewers"].as_u64().unwrap() + stream["waiting"].as_u64().unwrap() == count
        });
    }

    /// Sessions that have not ended.
    pub fn sessions(&self) -> Vec<Value> {
        let all = self.api("/api/v1/sessions");
        all["sessions"].as_array().unwrap().iter().filter(|s| s["ended"].is_null()).cloned().collect()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that is really there, in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that there was since [`Self::forget_peak`], in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// What is there now is the peak: the hash of the first password took some at the start.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    fn status(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by name: `TERM`, `INT`, `HUP`.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        until("the server ends", limit, || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let died = self.child.try_wait().ok().flatten();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if std::thread::panicking() {
            let from = log.len().saturating_sub(6000);
            let from = (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
            eprintln!(
                "-- the server's log ({}), ended before: {died:?}\n{}",
                self.log.display(),
                &log[from..]
            );
        } else {
            let _ = std::fs::remove_file(&self.log);
            assert!(!log.contains("panicked at"), "something panicked in the server:\n{log}");
        }
    }
}

/// Status and body of a GET over a connection of its own.
pub fn get(addr: SocketAddr, path: &str) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer.split_off(end + 4)))
}
