//! One viewer: its connection, what it asks for, and its way from the bytes to the check.

mod carrier;
mod flv;
mod watch;

pub use watch::{Env, Watch};

use crate::scenario::Protocol;
use carrier::{Carrier, Part};
use flv::Tags;
use media::{LatencyClass, Moment, StreamKey};
use protocols::rtmp::{Dial, PlayerSession, Wanted};
use protocols::{Event, Input, Output, Query, Session};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// All that comes.
    Full,
    /// A tenth of the stream's rate.
    Slow,
    /// Nothing, once it got its first tag.
    Stalled,
}

/// What a viewer asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The stream's name.
    pub key: StreamKey,
    /// Over what.
    pub protocol: Protocol,
    /// Host and port, as it stands in the request.
    pub host: String,
    /// Latency class, for a server that knows it.
    pub class: Option<LatencyClass>,
}

enum Way {
    Flv(Carrier, Tags),
    Rtmp(Box<PlayerSession>),
}

/// See the module.
pub struct Viewer {
    fd: OwnedFd,
    way: Way,
    /// What came, so far.
    pub watch: Watch,
    /// How it reads.
    pub pace: Pace,
    out: Vec<u8>,
    /// When bytes came last.
    pub last_us: u64,
    /// Whether bytes came in the counted time.
    pub heard: bool,
    /// Whether the silence that lasts was counted as a stall.
    pub stalled: bool,
    /// Bytes that a slow reader may read.
    pub allowed: u64,
}

impl Viewer {
    /// Whose connection is being made.
    pub fn new(fd: OwnedFd, wish: &Wish, pace: Pace, watch: Watch, now_us: u64, seed: u64) -> Self {
        let (way, out) = match wish.protocol {
            Protocol::Rtmp => (Way::Rtmp(Box::new(player(wish, seed))), Vec::new()),
            Protocol::HttpFlv => (Way::Flv(Carrier::new(false), Tags::new()), request(wish, "")),
            Protocol::WsFlv => {
                let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                               Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                (Way::Flv(Carrier::new(true), Tags::new()), request(wish, upgrade))
            }
        };
        let mut viewer =
            Self { fd, way, watch, pace, out, last_us: now_us, heard: false, stalled: false, allowed: 0 };
        let _ = viewer.answers(now_us);
        viewer
    }

    /// Whether it reads by the clock, or not at all, from now on.
    pub fn is_held_back(&self) -> bool {
        self.pace != Pace::Full && self.watch.has_started()
    }

    /// Its socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Writes what is to be said, as far as there is room.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn write(&mut self) -> Result<(), String> {
        while !self.out.is_empty() {
            match rt::sock::send_now(self.fd.as_fd(), &self.out) {
                Ok(sent) => {
                    self.out.drain(..sent);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        self.out = Vec::new();
        Ok(())
    }

    /// Reads what is there, at most `most` bytes, and looks at it.
    ///
    /// # Errors
    /// Why it is over.
    pub fn read(&mut self, scratch: &mut [u8], most: usize, env: &mut Env<'_>) -> Result<(), String> {
        let mut left = most;
        while left > 0 {
            let room = left.min(scratch.len());
            let Some(buffer) = scratch.get_mut(..room) else { return Ok(()) };
            let count = match rt::recv_now(self.fd.as_fd(), buffer) {
                Ok(0) => return Err("closed by the server".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            env.tally.bytes += count as u64;
            (self.last_us, self.heard, self.stalled) = (env.now_us, true, false);
            self.take(buffer.get(..count).unwrap_or_default(), env)?;
            left -= count;
            // Less than there was room for: the next edge tells of more.
            if count < room || self.is_held_back() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Throws away what is there; whether the connection was found to be over.
    pub fn drain(&self, scratch: &mut [u8]) -> bool {
        loop {
            match rt::recv_now(self.fd.as_fd(), scratch) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], env: &mut Env<'_>) -> Result<(), String> {
        match &mut self.way {
            Way::Flv(carrier, tags) => {
                while !bytes.is_empty() {
                    match carrier.next(&mut bytes)? {
                        Part::Payload(part) => tags.take(part, &mut self.watch, env)?,
                        Part::Passed => {}
                        // An empty pong under a mask of zeros.
                        Part::Ping => self.out.extend([0x8a, 0x80, 0, 0, 0, 0]),
                    }
                }
            }
            Way::Rtmp(session) => {
                let result = session.handle(Moment(env.now_us), Input::Bytes(bytes));
                while let Some(tag) = session.next_tag() {
                    let size = u32::try_from(tag.body.len()).unwrap_or(u32::MAX);
                    self.watch.begin(tag.kind, tag.milliseconds, size);
                    self.watch.body(&tag.body, env);
                    self.watch.finish(env);
                }
                result.map_err(|error| error.to_string())?;
                self.answers(env.now_us)?;
            }
        }
        if self.out.is_empty() { Ok(()) } else { self.write() }
    }

    /// What an RTMP session has to say.
    fn answers(&mut self, now_us: u64) -> Result<(), String> {
        let Way::Rtmp(session) = &mut self.way else { return Ok(()) };
        loop {
            match session.poll(Moment(now_us)) {
                Output::Bytes(bytes) => self.out.extend_from_slice(&bytes),
                Output::Event(Event::Closed(_)) => {
                    return Err(format!("ended by the server: {:?}", session.progress()));
                }
                Output::Event(_) => {}
                Output::Wait(_) => return Ok(()),
            }
        }
    }
}

fn request(wish: &Wish, more: &str) -> Vec<u8> {
    let query = wish.class.map(|class| format!("?class={}", class.name())).unwrap_or_default();
    format!(
        "GET /{}.flv{query} HTTP/1.1\r\nHost: {}\r\nUser-Agent: loadtest\r\nAccept: */*\r\n{more}\r\n",
        wish.key, wish.host
    )
    .into_bytes()
}

fn player(wish: &Wish, seed: u64) -> PlayerSession {
    let mut dial = Dial::new(&wish.host, wish.key.clone());
    if let Some(class) = wish.class {
        dial.query = Query(vec![("class".into(), class.name().into())]);
    }
    PlayerSession::new(dial, Wanted { media: false, tags: true }, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_viewers_take_little_memory() {
        assert!(size_of::<Viewer>() <= 640, "{} bytes", size_of::<Viewer>());
    }
}
