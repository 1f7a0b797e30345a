//! A publisher of tags over RTMP whose every stamp and byte the test chooses.

use super::flv::Tag;
use super::{Pace, SOON, Server};
use ::media::{Moment, StreamKey};
use protocols::container::flv::TagKind;
use protocols::rtmp::{Dial, Progress, PublisherSession, Status};
use protocols::{Event, Input, Output, Query, Session};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A publication that has begun. Dropped, its connection breaks; [`Self::finish`] ends it properly.
pub struct Publisher {
    session: PublisherSession,
    socket: TcpStream,
    closed: bool,
    buffer: Vec<u8>,
}

impl Publisher {
    /// Publishes `live/name`, and waits for the server to agree.
    #[track_caller]
    pub fn start(server: &Server, name: &str) -> Self {
        Self::try_start(server.rtmp, name).unwrap_or_else(|why| panic!("publish live/{name}: {why:?}"))
    }

    /// The same, with what the server said if it did not agree.
    pub fn try_start(addr: SocketAddr, name: &str) -> Result<Self, Option<Status>> {
        let mut publisher = Self::ask(addr, name);
        let start = Instant::now();
        loop {
            match publisher.session.progress() {
                Progress::Active => return Ok(publisher),
                Progress::Refused(status) | Progress::Stopped(status) => return Err(Some(status.clone())),
                _ if publisher.closed => return Err(None),
                _ => {}
            }
            assert!(start.elapsed() < SOON, "the server does not answer: {:?}", publisher.session.progress());
            publisher.turn(Duration::from_millis(50));
        }
    }

    /// Has only sent what can be sent without an answer.
    pub fn ask(addr: SocketAddr, name: &str) -> Self {
        let dial = dial(addr, name);
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(SOON)).unwrap();
        let seed = u64::from(socket.local_addr().unwrap().port());
        let session = PublisherSession::new(dial, seed);
        let mut publisher = Self { session, socket, closed: false, buffer: vec![0; 16 * 1024] };
        publisher.flush();
        publisher
    }

    /// How far it has come.
    pub fn progress(&mut self) -> Progress {
        self.turn(Duration::from_millis(1));
        self.session.progress().clone()
    }

    /// Whether the connection is over.
    pub fn is_closed(&mut self) -> bool {
        self.turn(Duration::from_millis(1));
        self.closed
    }

    /// Sends one tag; whether the connection still stands.
    pub fn send(&mut self, tag: &Tag) -> bool {
        let kind = TagKind::from_number(tag.kind).unwrap();
        if self.session.send(kind, tag.ms, &tag.body) {
            self.flush();
        }
        !self.closed
    }

    /// Sends all at once.
    pub fn send_all<'a>(&mut self, tags: impl IntoIterator<Item = &'a Tag>) {
        for tag in tags {
            assert!(self.send(tag), "the server closed the connection: {:?}", self.session.progress());
        }
        self.turn(Duration::from_millis(1));
    }

    /// Sends each when its time has come, `speed` times as fast as real time.
    pub fn send_paced<'a>(&mut self, tags: impl IntoIterator<Item = &'a Tag>, speed: f64) {
        let pace = Pace::new(speed);
        let mut first = None;
        for tag in tags {
            if let Some(early) = pace.early(tag.ms.wrapping_sub(*first.get_or_insert(tag.ms))) {
                self.turn(early);
            }
            assert!(self.send(tag), "the server closed the connection: {:?}", self.session.progress());
        }
    }

    /// Ends the publication in the proper way.
    pub fn finish(mut self) {
        self.session.finish();
        self.flush();
    }

    /// Reads what there is for at most this long.
    fn turn(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.socket.set_read_timeout(Some(left.max(Duration::from_micros(100)))).unwrap();
            match self.socket.read(&mut self.buffer) {
                Ok(0) => self.closed = true,
                Ok(n) => {
                    let _ = self.session.handle(Moment(0), Input::Bytes(&self.buffer[..n]));
                    self.flush();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
                Err(_) => self.closed = true,
            }
            if !matches!(self.session.progress(), Progress::Active) {
                return;
            }
        }
    }

    fn flush(&mut self) {
        loop {
            match self.session.poll(Moment(0)) {
                Output::Wait(_) => return,
                Output::Bytes(bytes) => self.closed |= self.socket.write_all(&bytes).is_err(),
                Output::Event(Event::Closed(_)) => self.closed = true,
                Output::Event(_) => {}
            }
        }
    }
}

/// How to reach `live/name`, or `live/name?query`.
pub fn dial(addr: SocketAddr, name: &str) -> Dial {
    let (name, query) = name.split_once('?').unwrap_or((name, ""));
    let mut dial = Dial::new(&addr.to_string(), StreamKey::parse("live", name, 255).unwrap());
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    dial.query = Query(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
    dial
}
