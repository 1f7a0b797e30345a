//! Publishes an FLV file over and over at real time, as an encoder would: the picture of `deploy/run --demo`.
//!
//! One connection on the calling thread. Tags are sent as they stand in the file; only their stamps go on from loop to
//! loop. Decoder configurations and metadata are sent once.

use media::{Moment, StreamKey};
use protocols::container::flv::TagKind;
use protocols::rtmp::{Dial, Progress, PublisherSession};
use protocols::{Event, Input, Output, Query, Session};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// RTMP's registered port.
const DEFAULT_PORT: u16 = 1935;
/// Bytes of a clip: it is read whole.
const MAX_CLIP_BYTES: u64 = 256 << 20;
/// How long the server may take to agree, or to take what is sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one look at the socket waits.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes read from the socket at once; the server says little.
const READ_BYTES: usize = 16 << 10;
/// Bytes of `app/name`.
const MAX_NAME_BYTES: usize = 1024;
/// Bytes of the file header with the size field behind it.
const FILE_HEADER: usize = 13;

/// Publishes until the connection ends.
///
/// # Errors
/// One line: what is wrong with the file or the address, or how the connection ended.
pub fn publish(file: &Path, url: &str) -> Result<(), String> {
    let clip = Clip::read(file)?;
    let (host, dial) = dial(url)?;
    let mut link = Link::connect(&host, dial)?;
    let limit = Instant::now() + PATIENCE;
    while *link.session.progress() != Progress::Active {
        if Instant::now() > limit {
            return Err(format!("{url}: the server did not agree within {} s", PATIENCE.as_secs()));
        }
        link.turn()?;
    }
    let begun = Instant::now();
    for tag in &clip.heads {
        link.session.send(tag.kind, 0, &tag.body);
    }
    for round in 0_u64.. {
        let start = round.saturating_mul(clip.period_ms);
        for tag in &clip.media {
            let ms = start.saturating_add(u64::from(tag.ms));
            while begun.elapsed() < Duration::from_millis(ms) {
                link.turn()?;
            }
            // The wire's clock has 32 bits and wraps after 49 days.
            link.session.send(tag.kind, (ms & u64::from(u32::MAX)) as u32, &tag.body);
            link.flush()?;
        }
    }
    Ok(())
}

struct Tag {
    kind: TagKind,
    ms: u32,
    body: Vec<u8>,
}

/// What a tag is for.
enum TagRole {
    /// Metadata or a decoder configuration.
    Head,
    Media,
    /// Says that the stream ends, or nothing: not for a loop.
    End,
}

struct Clip {
    /// Metadata and decoder configurations.
    heads: Vec<Tag>,
    media: Vec<Tag>,
    /// How far stamps go on from loop to loop.
    period_ms: u64,
}

impl Clip {
    fn read(file: &Path) -> Result<Self, String> {
        let say = |why: &str| format!("{}: {why}", file.display());
        let length = std::fs::metadata(file).map_err(|error| say(&error.to_string()))?.len();
        if length > MAX_CLIP_BYTES {
            return Err(say("larger than 256 MiB"));
        }
        let bytes = std::fs::read(file).map_err(|error| say(&error.to_string()))?;
        Self::parse(&bytes).map_err(say)
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if !bytes.starts_with(b"FLV\x01") {
            return Err("not an FLV file");
        }
        let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
        let (mut heads, mut media) = (Vec::new(), Vec::new());
        while let Some((tag, after)) = Tag::cut(rest) {
            rest = after;
            let Some(tag) = tag else { continue };
            match tag.role() {
                TagRole::Head => heads.push(tag),
                TagRole::Media => media.push(tag),
                TagRole::End => {}
            }
        }
        let period_ms =
            [TagKind::Audio, TagKind::Video].into_iter().map(|kind| period_ms(&media, kind)).max();
        match period_ms {
            Some(period_ms) if period_ms > 0 => Ok(Self { heads, media, period_ms }),
            _ => Err("fewer than two tags of audio or video"),
        }
    }
}

impl Tag {
    /// The first tag, `None` in it if it is of no known kind, and what comes behind it.
    fn cut(bytes: &[u8]) -> Option<(Option<Self>, &[u8])> {
        let [kind, s0, s1, s2, t1, t2, t3, t0, _, _, _, rest @ ..] = bytes else {
            return None;
        };
        let size = u32::from_be_bytes([0, *s0, *s1, *s2]) as usize;
        let body = rest.get(..size)?;
        let ms = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        let tag = TagKind::from_number(kind & 0x1f).map(|kind| Self { kind, ms, body: body.to_vec() });
        // PreviousTagSize stands behind each tag; the last one may lack it.
        Some((tag, rest.get(size.saturating_add(4)..).unwrap_or_default()))
    }

    /// By the packet type of AAC, AVC and HEVC in their older form and of every codec in the enhanced one.
    fn role(&self) -> TagRole {
        let packet_type = match (self.kind, self.body.as_slice()) {
            (TagKind::Script, _) => return TagRole::Head,
            (TagKind::Audio, [first, second, ..]) => match first >> 4 {
                10 => *second,
                9 => first & 0x0f,
                _ => return TagRole::Media,
            },
            (TagKind::Video, [first, second, ..]) => match (first & 0x80, first & 0x0f) {
                (0, 7 | 12) => *second,
                (0, _) => return TagRole::Media,
                (_, packet_type) => packet_type,
            },
            _ => return TagRole::End,
        };
        match packet_type {
            0 => TagRole::Head,
            2 => TagRole::End,
            _ => TagRole::Media,
        }
    }
}

/// From the first stamp to where the next picture or sound would follow, by the mean step.
fn period_ms(media: &[Tag], kind: TagKind) -> u64 {
    let mut stamps = media.iter().filter(|tag| tag.kind == kind).map(|tag| u64::from(tag.ms));
    let Some(first) = stamps.next() else { return 0 };
    let (steps, last) = stamps.fold((0_u64, first), |(steps, _), ms| (steps.saturating_add(1), ms));
    let span = last.saturating_sub(first);
    let step = span.saturating_add(steps / 2).checked_div(steps).unwrap_or(0);
    span.saturating_add(step)
}

/// Host and port to connect to, and what is said there.
fn dial(url: &str) -> Result<((String, u16), Dial), String> {
    let wrong = || format!("{url}: write it as rtmp://host:port/app/name");
    let (authority, path) =
        url.strip_prefix("rtmp://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (app, name) = path.rsplit_once('/').ok_or_else(wrong)?;
    let key = StreamKey::parse(app, name, MAX_NAME_BYTES).map_err(|_| wrong())?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (authority, DEFAULT_PORT),
    };
    let mut dial = Dial::new(authority, key);
    dial.query = Query(
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    );
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(((host, port), dial))
}

/// The session on its socket.
struct Link {
    socket: TcpStream,
    session: PublisherSession,
    begun: Instant,
    buffer: Vec<u8>,
}

impl Link {
    fn connect(host: &(String, u16), dial: Dial) -> Result<Self, String> {
        let socket = TcpStream::connect((host.0.as_str(), host.1))
            .and_then(|socket| {
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(LOOK))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(socket)
            })
            .map_err(|error| format!("cannot connect to {}:{}: {error}", host.0, host.1))?;
        // The seed only has to differ from run to run.
        let seed =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()));
        Ok(Self {
            socket,
            session: PublisherSession::new(dial, seed),
            begun: Instant::now(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Sends what waits to be sent, then looks for bytes of the server for a moment.
    fn turn(&mut self) -> Result<(), String> {
        self.flush()?;
        let now = self.now();
        let told = match self.socket.read(&mut self.buffer) {
            Ok(0) => self.session.handle(now, Input::Eof),
            Ok(n) => self.session.handle(now, Input::Bytes(self.buffer.get(..n).unwrap_or_default())),
            Err(error) if is_wait(error.kind()) => self.session.handle(now, Input::Tick),
            Err(error) => return Err(format!("the connection ended: {error}")),
        };
        told.map_err(|error| format!("the server sent what cannot be: {error}"))?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), String> {
        loop {
            match self.session.poll(self.now()) {
                Output::Bytes(bytes) => {
                    self.socket
                        .write_all(&bytes)
                        .map_err(|error| format!("the connection ended: {error}"))?;
                }
                Output::Event(Event::Closed(why)) => return Err(self.ended(why)),
                Output::Event(_) => {}
                Output::Wait(_) => break,
            }
        }
        match self.session.progress() {
            Progress::Refused(_) | Progress::Stopped(_) | Progress::Closed => Err(self.ended(None)),
            _ => Ok(()),
        }
    }

    fn ended(&self, why: Option<protocols::Error>) -> String {
        match (self.session.progress(), why) {
            (Progress::Refused(status), _) => format!("the server refused: {status:?}"),
            (Progress::Stopped(status), _) => format!("the server ended it: {status:?}"),
            (_, Some(error)) => format!("the connection ended: {error}"),
            _ => "the server closed the connection".into(),
        }
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

fn is_wait(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flv(tags: &[(u8, u32, &[u8])]) -> Vec<u8> {
        let mut out = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        for (kind, ms, body) in tags {
            let stamp = ms.to_be_bytes();
            out.push(*kind);
            out.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
            out.extend_from_slice(&[stamp[1], stamp[2], stamp[3], stamp[0], 0, 0, 0]);
            out.extend_from_slice(body);
            out.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
        }
        out
    }

    #[test]
    fn configurations_are_apart_and_the_period_is_that_of_the_longer_track() {
        let clip = Clip::parse(&flv(&[
            (18, 0, b"meta"),
            (9, 0, &[0x17, 0, 0, 0, 0, 1]),
            (8, 0, &[0xaf, 0, 0x11]),
            (9, 40, &[0x17, 1, 0, 0, 0, 9]),
            (8, 0, &[0xaf, 1, 7]),
            (9, 80, &[0x27, 1, 0, 0, 0, 9]),
            (8, 21, &[0xaf, 1, 7]),
            (9, 120, &[0x27, 1, 0, 0, 0, 9]),
            (9, 120, &[0x17, 2, 0, 0, 0]),
            (19, 0, b"unknown"),
        ]))
        .unwrap();
        assert_eq!((clip.heads.len(), clip.media.len()), (3, 5));
        assert_eq!(clip.period_ms, 120);
    }

    #[test]
    fn a_file_cut_anywhere_is_no_panic() {
        let whole = flv(&[(9, 0, &[0x17, 1, 0, 0, 0, 9]), (9, 40, &[0x27, 1, 0, 0, 0, 9])]);
        for length in 0..whole.len() {
            let _ = Clip::parse(&whole[..length]);
        }
        assert!(Clip::parse(&whole).is_ok());
        assert!(Clip::parse(b"MZ").is_err());
    }

    #[test]
    fn the_clip_of_the_demo_is_eight_seconds_of_both() {
        let clip = Clip::parse(include_bytes!("../../../deploy/demo.flv")).unwrap();
        assert_eq!(clip.period_ms, 8000);
        assert_eq!(clip.heads.len(), 3);
        assert_eq!(clip.media.iter().filter(|tag| tag.kind == TagKind::Video).count(), 200);
        assert_eq!(clip.media.iter().filter(|tag| tag.kind == TagKind::Audio).count(), 375);
    }

    #[test]
    fn addresses() {
        let (host, said) = dial("rtmp://127.0.0.1:1936/live/demo?a=1&b").unwrap();
        assert_eq!(host, ("127.0.0.1".to_owned(), 1936));
        assert_eq!((said.key.to_string().as_str(), said.host.as_str()), ("live/demo", "127.0.0.1:1936"));
        assert_eq!(said.query.value("a"), Some("1"));
        let (host, said) = dial("rtmp://[::1]/a/b/c").unwrap();
        assert_eq!(host, ("::1".to_owned(), 1935));
        assert_eq!((said.key.app(), said.key.name()), ("a/b", "c"));
        for wrong in ["http://h/a/b", "rtmp://h", "rtmp://h/a", "rtmp://h:x/a/b", "rtmp://h:70000/a/b"] {
            assert!(dial(wrong).is_err(), "{wrong}");
        }
    }
}
