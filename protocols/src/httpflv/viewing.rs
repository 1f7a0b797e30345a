//! A viewer whose shared bytes the engine writes: what it still sends, and what is said to it in between.

use super::config::Config;
use super::outbox::Outbox;
use crate::ws::frame::{write_close, write_frame};
use crate::ws::{FrameReader, Opcode, Piece, WsError};
use crate::{Error, Event};
use media::Moment;
use std::time::Duration;

/// Longest second: pings are counted by it.
const SECOND: Duration = Duration::from_secs(1);

/// The WebSocket side of either role: pings, pongs and close.
pub(super) struct Socket {
    pub reader: FrameReader,
    /// When to ping next.
    pub ping_at: Option<Moment>,
    pongs_since: Moment,
    pongs: u32,
}

impl Socket {
    pub fn new(reader: FrameReader, now: Moment, config: &Config) -> Self {
        Self { reader, ping_at: next_ping(now, config), pongs_since: now, pongs: 0 }
    }

    /// Answers a control frame. `true`: the peer has closed, and was answered.
    pub fn control(&mut self, piece: &Piece<'_>, now: Moment, config: &Config, out: &mut Outbox) -> bool {
        match piece {
            Piece::Ping(control) => {
                if now.since(self.pongs_since) >= SECOND {
                    (self.pongs_since, self.pongs) = (now, 0);
                }
                self.pongs = self.pongs.saturating_add(1);
                if self.pongs > config.limits.pongs_per_second {
                    out.leniency("ping not answered");
                    return false;
                }
                let mut frame = Vec::new();
                write_frame(&mut frame, Opcode::Pong, true, control.payload(), None);
                out.bytes(frame);
                false
            }
            Piece::Close(code) => {
                let mut frame = Vec::new();
                match code {
                    Some(code) => write_close(&mut frame, *code, "", None),
                    None => write_frame(&mut frame, Opcode::Close, true, &[], None),
                }
                out.bytes(frame);
                true
            }
            Piece::Pong(_) | Piece::Data { .. } => false,
        }
    }

    pub fn tick(&mut self, now: Moment, config: &Config, out: &mut Outbox) {
        if self.ping_at.is_some_and(|at| now >= at) {
            self.ping_at = next_ping(now, config);
            let mut frame = Vec::new();
            write_frame(&mut frame, Opcode::Ping, true, &[], None);
            out.bytes(frame);
        }
    }

    pub fn close(code: u16, reason: &str, out: &mut Outbox) {
        let mut frame = Vec::new();
        write_close(&mut frame, code, reason, None);
        out.bytes(frame);
    }
}

fn next_ping(now: Moment, config: &Config) -> Option<Moment> {
    (!config.ping_interval.is_zero()).then(|| now.plus(config.ping_interval))
}

pub(super) enum Viewing {
    /// Whether in chunks, and how many bytes were ignored.
    Http {
        chunked: bool,
        ignored: usize,
    },
    Socket(Socket),
}

impl Viewing {
    /// Takes what the viewer sends. `true`: it has ended its playing.
    ///
    /// # Errors
    /// What is wrong with it; a WebSocket was told.
    pub fn bytes(
        &mut self,
        mut bytes: &[u8],
        now: Moment,
        config: &Config,
        out: &mut Outbox,
    ) -> Result<bool, Error> {
        match self {
            Self::Http { ignored, .. } => {
                if !bytes.is_empty() {
                    out.leniency("bytes from a viewer");
                }
                *ignored = ignored.saturating_add(bytes.len());
                if *ignored > config.limits.viewer_bytes {
                    return Err(Error::limit("too many bytes from a viewer"));
                }
                Ok(false)
            }
            Self::Socket(socket) => loop {
                match socket.reader.step(&mut bytes) {
                    // What a viewer says is of no use here, but no error either.
                    Ok(Some(Piece::Data { .. })) => {}
                    Ok(Some(piece)) => {
                        if socket.control(&piece, now, config, out) {
                            out.event(Event::PlayEnd);
                            return Ok(true);
                        }
                    }
                    Ok(None) => return Ok(false),
                    Err(WsError { code, error }) => {
                        Socket::close(code, error.what, out);
                        return Err(error);
                    }
                }
            },
        }
    }
}
