//! The floor: a program that does nothing but send. It makes the clip itself and writes the same prepared bytes to every
//! viewer at the same ticks, one `send` a viewer and tick from one contiguous buffer. What it costs is what the kernel
//! alone costs; a server's overhead is its own cost minus this.
//!
//! It runs as a child process on the scenario's cores, so that the system accounts for it as for any server. It speaks
//! just enough HTTP for the viewers of this harness, and knows one stream.

use crate::clip::{Clip, Mark};
use crate::clock::now_us;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::servers::{Running, free_ports};
use crate::target::Target;
use protocols::container::flv::TagKind;
use rt::{Backend, Poller, Ready, ShardSpec};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

const LISTENER: u64 = u64::MAX;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n";
const FLV_HEADER: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4_096;
/// Longest sleep, so that those who come are answered.
const NAP: Duration = Duration::from_millis(20);

/// Ticks at which the latency classes write, unless told otherwise.
pub fn tick_of(scenario: &Scenario) -> u64 {
    match scenario.view.class {
        Some(media::LatencyClass::Live) => 0,
        Some(media::LatencyClass::Bulk) => 350,
        _ => 40,
    }
}

/// Whether each write leaves at once, as the scenario tells Shardcast.
fn nodelay_of(scenario: &Scenario) -> bool {
    let class = scenario.view.class.unwrap_or(media::LatencyClass::Normal);
    let off = format!("latency.{}.nodelay=false", class.name());
    !scenario.server.set.contains(&off)
}

/// Runs a scenario's viewers against the floor. `tick_ms` 0: one write a packet.
///
/// # Errors
/// One line that says why there is no result.
pub fn main(scenario: &Scenario, tick_ms: Option<u64>, progress: bool) -> Result<Outcome, String> {
    if scenario.publish.streams != 1 {
        return Err("the floor knows one stream".into());
    }
    let tick_ms = tick_ms.unwrap_or_else(|| tick_of(scenario));
    let [http] = free_ports()?;
    let told = |error: io::Error| format!("floor: {error}");
    let text = serde_json::to_string(scenario).map_err(|error| error.to_string())?;
    let log = std::env::temp_dir().join(format!("loadtest-floor-{}.log", http.port()));
    let out = std::fs::File::create(&log).map_err(told)?;
    let child = Command::new(std::env::current_exe().map_err(told)?)
        .args(["floor-server", &http.to_string(), &tick_ms.to_string(), &text])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(out)
        .process_group(0)
        .spawn()
        .map_err(told)?;
    let target = Target {
        name: "floor".into(),
        version: format!("{tick_ms} ms"),
        rtmp: http,
        http: Some(http),
        app: "live".into(),
        pid: Some(child.id()),
        feeds_itself: true,
    };
    let running = Running::wait(child, target, log)?;
    crate::run::drive(scenario, running.target(), progress)
}

/// The child process: serves until it is killed.
///
/// # Errors
/// One line that says what it was told wrong, or what the system refused.
pub fn serve(address: SocketAddr, tick_ms: u64, scenario: &str) -> Result<(), String> {
    let scenario: Scenario = serde_json::from_str(scenario).map_err(|error| error.to_string())?;
    let files = scenario.view.all() as u64 + 64;
    rt::limits::raise_nofile(files)
        .and_then(|_| rt::limits::reserve_files(files))
        .map_err(|error| error.to_string())?;
    let nodelay = nodelay_of(&scenario);
    let threads: Result<Vec<_>, _> = scenario
        .server
        .cores
        .iter()
        .map(|core| {
            let asked = scenario.clip.clone();
            let spec = ShardSpec { name: format!("floor-{core}"), cpu: Some(*core), backend: Backend::Epoll };
            rt::spawn_shard(spec, move || async move {
                let served = Clip::of(&asked).and_then(|clip| {
                    let mut floor = Floor::new(clip, address, nodelay).map_err(|error| error.to_string())?;
                    floor.run(tick_ms * 1000).map_err(|error| error.to_string())
                });
                if let Err(why) = served {
                    eprintln!("{why}");
                }
            })
        })
        .collect();
    for thread in threads.map_err(|error| error.to_string())? {
        thread.join()?;
    }
    Err("a thread ended".into())
}

struct Viewer {
    fd: OwnedFd,
    /// Offset in the log; `None`: has not asked yet.
    at: Option<u64>,
    blocked: bool,
}

struct Floor {
    clip: Clip,
    nodelay: bool,
    listener: TcpListener,
    poller: Poller,
    viewers: Vec<Option<Viewer>>,
    free: Vec<usize>,
    /// Bytes from `base` on; what is older than the GOP and everybody's place is dropped.
    log: Vec<u8>,
    base: u64,
    gop_at: u64,
    next: u64,
    begun_us: u64,
    greeting: Vec<u8>,
    body: Vec<u8>,
}

impl Floor {
    fn new(clip: Clip, address: SocketAddr, nodelay: bool) -> io::Result<Self> {
        let listener = rt::bind_tcp(address, BACKLOG)?;
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(listener.as_fd(), LISTENER)?;
        let mut greeting = [HEAD, FLV_HEADER].concat();
        for kind in [TagKind::Video, TagKind::Audio] {
            let config = clip.config(kind);
            if !config.is_empty() {
                tag(kind, 0, config, &mut greeting);
            }
        }
        Ok(Self {
            nodelay,
            clip,
            listener,
            poller,
            viewers: Vec::new(),
            free: Vec::new(),
            log: Vec::new(),
            base: 0,
            gop_at: 0,
            next: 0,
            begun_us: now_us(),
            greeting,
            body: Vec::new(),
        })
    }

    fn run(&mut self, tick_us: u64) -> io::Result<()> {
        let (mut ready, mut scratch) = (Vec::new(), vec![0; 16 * 1024]);
        let mut tick_at = now_us();
        loop {
            let due_us = if tick_us == 0 { self.due_us() } else { tick_at };
            let wait = Duration::from_micros(due_us.saturating_sub(now_us())).min(NAP);
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
            self.poll(&mut ready, &mut scratch)?;
            let now = now_us();
            if tick_us == 0 {
                while self.due_us() <= now {
                    self.append();
                    self.write_all();
                }
            } else if now >= tick_at {
                while self.due_us() <= now {
                    self.append();
                }
                self.write_all();
                tick_at = (tick_at + tick_us).max(now_us());
            }
            self.trim();
        }
    }

    fn due_us(&self) -> u64 {
        self.begun_us + self.clip.stamp_ms(self.next) * 1000
    }

    /// The next packet, marked as if it had come from a publisher when it was due.
    fn append(&mut self) {
        let mark = Mark { number: self.next, stream: 0, sent_us: self.due_us() };
        let ms = self.clip.stamp_ms(self.next);
        self.clip.write(mark, &mut self.body);
        if let Some(piece) = self.clip.piece(self.next) {
            if piece.keyframe {
                self.gop_at = self.base + self.log.len() as u64;
            }
            tag(piece.kind, ms, &self.body, &mut self.log);
        }
        self.next += 1;
    }

    fn write_all(&mut self) {
        for index in 0..self.viewers.len() {
            self.write(index);
        }
    }

    fn write(&mut self, index: usize) {
        let Some(Some(viewer)) = self.viewers.get_mut(index) else { return };
        let Some(at) = viewer.at.filter(|_| !viewer.blocked) else { return };
        let from = usize::try_from(at - self.base).unwrap_or(usize::MAX);
        let Some(bytes) = self.log.get(from..).filter(|bytes| !bytes.is_empty()) else { return };
        match rt::sock::send_now(viewer.fd.as_fd(), bytes) {
            Ok(count) => {
                viewer.at = Some(at + count as u64);
                viewer.blocked = count < bytes.len();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => viewer.blocked = true,
            Err(_) => self.leave(index),
        }
    }

    fn poll(&mut self, ready: &mut Vec<Ready>, scratch: &mut [u8]) -> io::Result<()> {
        ready.clear();
        while self.poller.poll(ready)? > 0 {
            for event in ready.drain(..) {
                if event.token == LISTENER {
                    self.accept()?;
                    continue;
                }
                let index = usize::try_from(event.token).unwrap_or(usize::MAX);
                if event.readable {
                    self.read(index, scratch);
                }
                if event.writable {
                    if let Some(Some(viewer)) = self.viewers.get_mut(index) {
                        viewer.blocked = false;
                    }
                    self.write(index);
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let fd: OwnedFd = match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(self.nodelay)?;
                    stream.into()
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let index = self.free.pop().unwrap_or(self.viewers.len());
            self.poller.add(fd.as_fd(), index as u64)?;
            let viewer = Some(Viewer { fd, at: None, blocked: false });
            match self.viewers.get_mut(index) {
                Some(slot) => *slot = viewer,
                None => self.viewers.push(viewer),
            }
        }
    }

    /// The harness's viewers ask in one piece; what they ask is known.
    fn read(&mut self, index: usize, scratch: &mut [u8]) {
        let Some(Some(viewer)) = self.viewers.get_mut(index) else { return };
        match rt::recv_now(viewer.fd.as_fd(), scratch) {
            Ok(0) => self.leave(index),
            Ok(_) if viewer.at.is_none() => {
                viewer.at = Some(self.gop_at);
                // A new connection has room for this.
                let _ = rt::sock::send_now(viewer.fd.as_fd(), &self.greeting);
                self.write(index);
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.leave(index),
            _ => {}
        }
    }

    fn leave(&mut self, index: usize) {
        if let Some(slot) = self.viewers.get_mut(index)
            && slot.take().is_some()
        {
            self.free.push(index);
        }
    }

    fn trim(&mut self) {
        let kept = self.gop_at.saturating_sub(self.base);
        if kept < 1 << 20 {
            return;
        }
        let behind = self.viewers.iter().flatten().filter_map(|viewer| viewer.at).min();
        let from = behind.map_or(self.gop_at, |at| at.min(self.gop_at));
        let count = usize::try_from(from - self.base).unwrap_or(0).min(self.log.len());
        self.log.drain(..count);
        self.base += count as u64;
    }
}

/// One FLV tag with its trailer (FLV specification, annex E.4.1).
fn tag(kind: TagKind, ms: u64, body: &[u8], out: &mut Vec<u8>) {
    let what = if matches!(kind, TagKind::Audio) { 8 } else { 9 };
    let [.., s3, s2, s1, s0] = ms.to_be_bytes();
    let [.., n2, n1, n0] = body.len().to_be_bytes();
    out.extend([what, n2, n1, n0, s2, s1, s0, s3, 0, 0, 0]);
    out.extend(body);
    out.extend(u32::try_from(body.len() + 11).unwrap_or(u32::MAX).to_be_bytes());
}
