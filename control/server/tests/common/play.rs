//! Players of tags: over HTTP in a few lines of its own, over WebSocket by tungstenite, over RTMP by the client session.

use super::flv::{Reader, Tag};
use super::{SOON, Server};
use ::media::Moment;
use protocols::rtmp::{Dial, PlayerSession, Progress, Wanted};
use protocols::{Input, Output, Session};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A carrier of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Rtmp,
    Http,
    Ws,
}

impl Over {
    pub const ALL: [Self; 3] = [Self::Rtmp, Self::Http, Self::Ws];
}

#[derive(Default)]
struct State {
    tags: Vec<Tag>,
    flags: Option<u8>,
    ended: Option<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn tag(&self, tag: Tag) {
        self.lock().tags.push(tag);
        self.changed.notify_all();
    }

    fn end(&self, why: String) {
        self.lock().ended = Some(why);
        self.changed.notify_all();
    }
}

/// A connection that plays, read by a thread of its own from the start.
pub struct Player {
    shared: Arc<Shared>,
    socket: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Plays `live/name`.
    pub fn start(server: &Server, over: Over, name: &str) -> Self {
        match over {
            Over::Rtmp => Self::rtmp(server, name, |_| ()),
            Over::Http => Self::http(server, &path(name)),
            Over::Ws => Self::ws(server, &path(name)),
        }
    }

    /// GET of a path.
    pub fn http(server: &Server, path: &str) -> Self {
        let addr = server.http;
        let path = path.to_owned();
        Self::spawn(addr, move |socket, shared| {
            let mut body = http_get(socket, addr, &path)?;
            if body.status != 200 {
                let text = body.text();
                return Ok(format!("status {}: {}", body.status, text.trim()));
            }
            read_flv(body, shared)
        })
    }

    /// The same over WebSocket.
    pub fn ws(server: &Server, path: &str) -> Self {
        let addr = server.http;
        let url = format!("ws://{addr}{path}");
        Self::spawn(addr, move |socket, shared| {
            let (peer, _) = tungstenite::client(&url, socket).map_err(io::Error::other)?;
            read_flv(WsBody { peer, rest: Vec::new(), at: 0 }, shared)
        })
    }

    /// `rtmp://…/live/name`; `tune` may change how it connects.
    pub fn rtmp(server: &Server, name: &str, tune: impl FnOnce(&mut Dial)) -> Self {
        let mut dial = super::publish::dial(server.rtmp, name);
        tune(&mut dial);
        Self::spawn(server.rtmp, move |socket, shared| read_rtmp(socket, dial, shared))
    }

    fn spawn<F>(addr: SocketAddr, read: F) -> Self
    where
        F: FnOnce(TcpStream, &Shared) -> io::Result<String> + Send + 'static,
    {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        let shared = Arc::new(Shared::default());
        let (theirs, reading) = (Arc::clone(&shared), socket.try_clone().unwrap());
        let thread = std::thread::spawn(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(reading, &theirs)));
            theirs.end(match result {
                Ok(Ok(why)) => why,
                Ok(Err(error)) => format!("end: {error}"),
                Err(_) => "panicked".to_owned(),
            });
        });
        Self { shared, socket, thread: Some(thread) }
    }

    /// What came so far.
    pub fn tags(&self) -> Vec<Tag> {
        self.shared.lock().tags.clone()
    }

    /// How many tags came so far.
    pub fn count(&self) -> usize {
        self.shared.lock().tags.len()
    }

    /// Flags of the FLV header.
    pub fn flags(&self) -> Option<u8> {
        self.shared.lock().flags
    }

    /// Why it ended, if it did.
    pub fn ended(&self) -> Option<String> {
        self.shared.lock().ended.clone()
    }

    /// Waits until what came is enough.
    #[track_caller]
    pub fn wait(&self, what: &str, enough: impl Fn(&[Tag]) -> bool) -> Vec<Tag> {
        let limit = Instant::now() + SOON;
        let mut state = self.shared.lock();
        loop {
            if enough(&state.tags) {
                return state.tags.clone();
            }
            let left = limit.saturating_duration_since(Instant::now());
            let last = state.tags.last();
            assert!(
                state.ended.is_none() && !left.is_zero(),
                "{what}: {} tags, last {last:?}, ended: {:?}",
                state.tags.len(),
                state.ended
            );
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until so many frames came.
    #[track_caller]
    pub fn wait_frames(&self, count: usize) -> Vec<Tag> {
        self.wait(&format!("{count} frames"), |tags| {
            tags.iter().filter(|tag| tag.is_frame()).count() >= count
        })
    }

    /// Waits for the first frame; `false` if it ended before.
    #[track_caller]
    pub fn is_let_in(&self) -> bool {
        let seen = |state: &mut State| state.tags.iter().any(Tag::is_frame);
        let state = self.shared.lock();
        let (mut state, late) = self
            .shared
            .changed
            .wait_timeout_while(state, SOON, |state| state.ended.is_none() && !seen(state))
            .unwrap();
        assert!(!late.timed_out(), "neither a frame nor an end");
        seen(&mut state)
    }

    /// Waits for the server to end it; all that came, and why it ended.
    #[track_caller]
    pub fn to_end(&self) -> (Vec<Tag>, String) {
        let state = self.shared.lock();
        let (state, late) =
            self.shared.changed.wait_timeout_while(state, SOON, |state| state.ended.is_none()).unwrap();
        assert!(!late.timed_out(), "does not end; {} tags", state.tags.len());
        (state.tags.clone(), state.ended.clone().unwrap())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_flv(from: impl Read, shared: &Shared) -> io::Result<String> {
    let mut reader = Reader::new(from)?;
    shared.lock().flags = Some(reader.flags);
    loop {
        match reader.next() {
            Ok(tag) => shared.tag(tag),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok("end of body".to_owned()),
            Err(error) => return Err(error),
        }
    }
}

fn read_rtmp(mut socket: TcpStream, dial: Dial, shared: &Shared) -> io::Result<String> {
    let wanted = Wanted { media: false, tags: true };
    let mut session = PlayerSession::new(dial, wanted, 0x5eed ^ u64::from(socket.local_addr()?.port()));
    let now = Moment(0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let mut closed = false;
        loop {
            match session.poll(now) {
                Output::Wait(_) => break,
                Output::Bytes(bytes) => socket.write_all(&bytes)?,
                Output::Event(event) => closed |= matches!(event, protocols::Event::Closed(_)),
            }
        }
        while let Some(tag) = session.next_tag() {
            shared.tag(Tag { kind: tag.kind.number(), ms: tag.milliseconds, body: tag.body.to_vec() });
        }
        match session.progress() {
            Progress::Refused(status) | Progress::Stopped(status) => return Ok(format!("{:?}", status.code)),
            _ if closed => return Ok("closed".to_owned()),
            _ => {}
        }
        let n = socket.read(&mut buffer)?;
        let input = if n == 0 { Input::Eof } else { Input::Bytes(&buffer[..n]) };
        if let Err(error) = session.handle(now, input) {
            let said = session.last_status().map(|status| format!("{:?}", status.code));
            return Ok(said.filter(|_| n > 0).unwrap_or_else(|| format!("{error}")));
        }
        if n == 0 {
            return Ok("end of connection".to_owned());
        }
    }
}

/// An HTTP answer whose body is still to be read.
pub struct Body {
    from: BufReader<TcpStream>,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    left: Option<u64>,
    chunked: bool,
    done: bool,
}

impl Body {
    /// Value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// The rest of the body as text.
    pub fn text(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The connection, for the next request.
    pub fn into_socket(self) -> BufReader<TcpStream> {
        assert!(self.done || self.left == Some(0), "the body is not over");
        self.from
    }
}

/// Sends a GET.
pub fn http_get(mut socket: TcpStream, host: SocketAddr, path: &str) -> io::Result<Body> {
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    read_head(BufReader::new(socket), false)
}

/// Reads the head of an answer. `bodiless`: the request was HEAD.
pub fn read_head(mut from: BufReader<TcpStream>, bodiless: bool) -> io::Result<Body> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.strip_suffix("\r\n").ok_or_else(|| io::Error::other("a line without its end"))?;
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let status = lines[0].split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap();
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let value = |name: &str| headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str());
    let chunked = value("transfer-encoding") == Some("chunked");
    let nothing = bodiless || matches!(status, 100 | 101 | 204 | 304);
    let left = if nothing { Some(0) } else { value("content-length").map(|length| length.parse().unwrap()) };
    Ok(Body { from, status, headers, left, chunked: chunked && !nothing, done: nothing })
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.done {
            return Ok(0);
        }
        if self.chunked && self.left.is_none_or(|left| left == 0) {
            let mut line = String::new();
            if self.left.is_some() {
                self.from.read_line(&mut line)?;
                assert_eq!(line, "\r\n", "end of a chunk");
                line.clear();
            }
            self.from.read_line(&mut line)?;
            let size = line.strip_suffix("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
            self.left = Some(u64::from_str_radix(size, 16).map_err(io::Error::other)?);
            if self.left == Some(0) {
                line.clear();
                self.from.read_line(&mut line)?;
                assert_eq!(line, "\r\n", "end of the body");
                self.done = true;
                return Ok(0);
            }
        }
        let most = self.left.map_or(out.len(), |left| out.len().min(usize::try_from(left).unwrap()));
        if most == 0 {
            self.done = true;
            return Ok(0);
        }
        let n = self.from.read(&mut out[..most])?;
        if let Some(left) = &mut self.left {
            *left -= n as u64;
        }
        Ok(n)
    }
}

struct WsBody {
    peer: tungstenite::WebSocket<TcpStream>,
    rest: Vec<u8>,
    at: usize,
}

impl Read for WsBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.rest.len() {
            match self.peer.read() {
                Ok(tungstenite::Message::Binary(bytes)) => (self.rest, self.at) = (bytes.to_vec(), 0),
                Ok(tungstenite::Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => {
                    return Ok(0);
                }
                Ok(tungstenite::Message::Text(text)) => panic!("text among media: {text}"),
                Ok(_) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let n = out.len().min(self.rest.len() - self.at);
        out[..n].copy_from_slice(&self.rest[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// A connection with limits on how long it waits.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

/// `/live/name.flv`, or with a query.
fn path(name: &str) -> String {
    let (name, query) = name.split_once('?').unwrap_or((name, ""));
    format!("/live/{name}.flv?{query}")
}
