//! Real programs: where they are, running them with a limit of time, and what they saw.

use super::until;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// No program of a test may run longer.
const LIMIT: Duration = Duration::from_secs(45);

/// Where `deploy/test-tools` puts what is no package of the system.
pub fn tools() -> PathBuf {
    if let Some(path) = std::env::var_os("SHARDCAST_TEST_TOOLS") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"));
    cache.join("shardcast-test")
}

/// The system's ffmpeg: an old one, without Enhanced RTMP.
pub fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]);
    command
}

/// A program that `deploy/test-tools` installs.
pub fn tool(name: &str) -> PathBuf {
    let program = tools().join(name);
    assert!(program.exists(), "{} is missing: run deploy/test-tools", program.display());
    program
}

/// A newer ffmpeg, with Enhanced RTMP.
pub fn ffmpeg_new() -> Command {
    let program = tools().join("ffmpeg-new");
    assert!(program.exists(), "{} is missing: run deploy/test-tools", program.display());
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]);
    command
}

/// A program that runs beside the test; ended when dropped.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    line: String,
}

/// What a program left.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Starts a program.
#[track_caller]
pub fn start(command: &mut Command) -> Running {
    let line = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}; run deploy/test"));
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    Running { child, stdout, stderr, line }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Runs a program to its good end; what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> Vec<u8> {
    start(command).success()
}

impl Running {
    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        let line = self.line.clone();
        let status = until(&line, LIMIT, || self.child.try_wait().unwrap());
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ended { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }

    /// Waits for its good end; what it printed.
    #[track_caller]
    pub fn success(mut self) -> Vec<u8> {
        let ended = self.wait();
        assert!(ended.status.success(), "{}: {}\n{}", self.line, ended.status, ended.stderr);
        ended.stdout
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One packet as `-f framemd5` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub stream: usize,
    /// In units of the stream.
    pub dts: i64,
    pub pts: i64,
    pub size: usize,
    pub md5: String,
}

/// What a URL or file holds.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// By stream: what `#codec_id` says.
    pub codecs: Vec<String>,
    pub frames: Vec<Frame>,
}

impl Listing {
    /// Reads what ffmpeg wrote.
    #[track_caller]
    pub fn parse(text: &[u8]) -> Self {
        let mut listing = Self::default();
        for line in String::from_utf8_lossy(text).lines() {
            if let Some((_, codec)) = line.strip_prefix("#codec_id ").and_then(|rest| rest.split_once(": ")) {
                listing.codecs.push(codec.to_owned());
            }
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [stream, dts, pts, _, size, md5, ..] = fields[..] else { continue };
            if line.starts_with('#') {
                continue;
            }
            listing.frames.push(Frame {
                stream: stream.parse().unwrap(),
                dts: dts.parse().unwrap(),
                pts: pts.parse().unwrap(),
                size: size.parse().unwrap(),
                md5: md5.to_owned(),
            });
        }
        listing
    }

    /// The packets of the stream whose codec is this.
    pub fn of(&self, codec: &str) -> Vec<&Frame> {
        let at = self.codecs.iter().position(|there| there == codec);
        self.frames.iter().filter(|frame| Some(frame.stream) == at).collect()
    }
}

/// Lists the packets of a URL or file, as a new ffmpeg reads them.
pub fn list(input: &[&str]) -> Running {
    let mut command = ffmpeg_new();
    command.args(input).args(["-map", "0", "-c", "copy", "-copyts", "-f", "framemd5", "-"]);
    start(&mut command)
}

/// That `out` is `input`, packet by packet: the same bytes in the same order, the stamps apart by one offset common to
/// all streams. Sound from before the first picture may be missing at the start.
#[track_caller]
pub fn assert_same(input: &Listing, out: &Listing, who: &str) {
    let mut codecs = (input.codecs.clone(), out.codecs.clone());
    codecs.0.sort();
    codecs.1.sort();
    assert_eq!(codecs.0, codecs.1, "{who}: the tracks");
    let video =
        input.frames.iter().find(|frame| is_video(&input.codecs[frame.stream])).map(|frame| frame.dts);
    let mut offset = None;
    for codec in &input.codecs {
        let (sent, seen) = (input.of(codec), out.of(codec));
        let needed = sent
            .iter()
            .filter(|frame| is_video(codec) || video.is_none_or(|video| frame.dts >= video))
            .count();
        assert!(
            seen.len() >= needed.max(1) && seen.len() <= sent.len(),
            "{who}: {} of {} packets of {codec} ({needed} needed)",
            seen.len(),
            sent.len()
        );
        let mut last = i64::MIN;
        for (at, (sent, seen)) in sent[sent.len() - seen.len()..].iter().zip(&seen).enumerate() {
            assert_eq!((sent.size, &sent.md5), (seen.size, &seen.md5), "{who}: packet {at} of {codec}");
            let offset = *offset.get_or_insert(seen.dts - sent.dts);
            assert_eq!(
                (seen.dts - offset, seen.pts - offset),
                (sent.dts, sent.pts),
                "{who}: stamps of packet {at} of {codec}, offset {offset}"
            );
            assert!(seen.dts >= last, "{who}: packet {at} of {codec} goes back");
            last = seen.dts;
        }
    }
}

fn is_video(codec: &str) -> bool {
    ["h264", "hevc", "av1", "vp9", "vp8", "flv1"].contains(&codec)
}
