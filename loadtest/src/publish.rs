//! One publisher: an RTMP connection that sends the clip in a loop, each packet when its stamp is due.

use crate::clip::{Clip, Mark};
use media::{Moment, StreamKey, Timestamp};
use protocols::rtmp::{Dial, Progress, PublisherSession};
use protocols::{Event, Input, Output, Session};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes that a server may leave unread before its publisher gives up.
const MAX_UNSENT: usize = 16 << 20;

/// See the module.
pub struct Publisher {
    fd: OwnedFd,
    session: PublisherSession,
    stream: u32,
    /// When packet 0 was due; known once the server agreed.
    begun_us: Option<u64>,
    /// First due moment is so much after the server's agreement, so that keyframes of streams do not coincide.
    phase_us: u64,
    next: u64,
    unsent: Vec<u8>,
    body: Vec<u8>,
}

impl Publisher {
    /// Whose connection is being made.
    pub fn new(fd: OwnedFd, host: &str, key: StreamKey, stream: u32, phase_us: u64) -> Self {
        let session = PublisherSession::new(Dial::new(host, key), u64::from(stream).wrapping_add(0x5eed));
        Self { fd, session, stream, begun_us: None, phase_us, next: 0, unsent: Vec::new(), body: Vec::new() }
    }

    /// Its socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Milliseconds of media sent.
    pub fn sent_ms(&self, clip: &Clip) -> u64 {
        if self.next == 0 { 0 } else { clip.stamp_ms(self.next) }
    }

    /// Reads what the server says.
    ///
    /// # Errors
    /// Why it is over.
    pub fn read(&mut self, scratch: &mut [u8], now_us: u64) -> Result<(), String> {
        loop {
            match rt::recv_now(self.fd.as_fd(), scratch) {
                Ok(0) => return Err(format!("closed by the server ({:?})", self.session.progress())),
                Ok(count) => {
                    let bytes = scratch.get(..count).unwrap_or_default();
                    self.session
                        .handle(Moment(now_us), Input::Bytes(bytes))
                        .map_err(|error| error.to_string())?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.flush(now_us),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Sends what is due by now.
    ///
    /// # Errors
    /// Why it is over.
    pub fn send_due(&mut self, clip: &Clip, clock: impl Fn() -> u64) -> Result<(), String> {
        if *self.session.progress() != Progress::Active {
            return Ok(());
        }
        let now_us = clock();
        let begun_us = match self.begun_us {
            Some(begun_us) => begun_us,
            None => {
                self.session.announce(&clip.info, Timestamp::ZERO);
                *self.begun_us.insert(now_us.saturating_add(self.phase_us))
            }
        };
        while begun_us.saturating_add(clip.stamp_ms(self.next) * 1000) <= now_us {
            let Some(piece) = clip.piece(self.next) else { break };
            let mark = Mark { number: self.next, stream: self.stream, sent_us: clock() };
            clip.write(mark, &mut self.body);
            let ms = u32::try_from(clip.stamp_ms(self.next) & 0xffff_ffff).unwrap_or(0);
            self.session.send(piece.kind, ms, &self.body);
            self.next += 1;
            self.flush(now_us)?;
        }
        Ok(())
    }

    /// Writes what there is, as far as there is room.
    ///
    /// # Errors
    /// Why it is over.
    pub fn flush(&mut self, now_us: u64) -> Result<(), String> {
        loop {
            match self.session.poll(Moment(now_us)) {
                Output::Bytes(bytes) => self.unsent.extend_from_slice(&bytes),
                Output::Event(Event::Closed(_)) => {
                    return Err(format!("ended by the server: {:?}", self.session.progress()));
                }
                Output::Event(_) => {}
                Output::Wait(_) => break,
            }
        }
        let mut sent = 0;
        let result = loop {
            let rest = self.unsent.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match rt::sock::send_now(self.fd.as_fd(), rest) {
                Ok(count) => sent += count,
                // Not connected yet, or full.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break Ok(());
                }
                Err(error) => break Err(error.to_string()),
            }
        };
        self.unsent.drain(..sent);
        if self.unsent.len() > MAX_UNSENT {
            return Err("the server does not read".into());
        }
        result
    }
}
