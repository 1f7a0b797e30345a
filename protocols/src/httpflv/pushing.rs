//! A publisher whose verdict was good: its body or its frames, down to media events.

use super::answer::{Reply, error_code, error_status};
use super::config::Config;
use super::outbox::Outbox;
use super::viewing::Socket;
use crate::container::flv::FlvReader;
use crate::http::{BodyDecoder, BodyStep};
use crate::ws::{Mask, Piece, WsError, close_codes};
use crate::{Error, Event};
use media::Moment;

/// Payload is unmasked in pieces of this size, in bytes; a multiple of the mask's four.
const UNMASK_BYTES: usize = 8 * 1024;
/// What stands behind the last tag, in bytes.
const PREVIOUS_TAG_SIZE_BYTES: usize = 4;
/// File header, in bytes: less is no FLV.
const LEAST_FLV_BYTES: u64 = 9;
const _: () = assert!(UNMASK_BYTES.is_multiple_of(4));

pub(super) struct Pushing {
    pub flv: FlvReader,
    pub carrier: Carrier,
    /// Bytes of FLV so far.
    pub received: u64,
}

pub(super) enum Carrier {
    Http { body: BodyDecoder, reply: Reply },
    Socket(Socket),
}

/// Where a publisher stands after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Going,
    /// Properly ended and answered. With how many of the bytes belonging to what follows, if something may.
    Ended(Option<usize>),
}

impl Pushing {
    /// Takes bytes.
    ///
    /// # Errors
    /// What is wrong with them; the peer was told.
    pub fn bytes(
        &mut self,
        mut bytes: &[u8],
        now: Moment,
        config: &Config,
        out: &mut Outbox,
    ) -> Result<Progress, Error> {
        let Self { flv, carrier, received } = self;
        match carrier {
            Carrier::Http { body, reply } => match read_body(body, flv, &mut bytes, received, out) {
                Ok(false) => Ok(Progress::Going),
                Ok(true) => {
                    finish(flv, *received, Some(reply), config, out);
                    Ok(Progress::Ended(reply.keep.then_some(bytes.len())))
                }
                Err(error) => {
                    reply.keep = false;
                    out.bytes(reply.text(error_status(error), error.what, config));
                    Err(error)
                }
            },
            Carrier::Socket(socket) => match read_frames(socket, flv, bytes, now, config, out) {
                Ok(false) => Ok(Progress::Going),
                Ok(true) => {
                    finish(flv, u64::MAX, None, config, out);
                    Ok(Progress::Ended(None))
                }
                Err(WsError { code, error }) => {
                    Socket::close(code, error.what, out);
                    Err(error)
                }
            },
        }
    }

    /// The peer sends no more. Whether that is a proper end, which was answered then.
    pub fn eof(&mut self, config: &Config, out: &mut Outbox) -> bool {
        match &mut self.carrier {
            Carrier::Http { body, reply } if body.may_end_here() => {
                reply.keep = false;
                finish(&self.flv, self.received, Some(reply), config, out);
                true
            }
            _ => false,
        }
    }
}

/// Ends the publication properly, with HTTP's answer to the whole body.
fn finish(flv: &FlvReader, received: u64, reply: Option<&Reply>, config: &Config, out: &mut Outbox) {
    if flv.buffered_bytes() > PREVIOUS_TAG_SIZE_BYTES {
        out.leniency("FLV ends inside a tag");
    }
    if let Some(reply) = reply {
        let (status, why) =
            if received < LEAST_FLV_BYTES { (400, "no FLV in the body") } else { (200, "ok") };
        out.bytes(reply.text(status, why, config));
    }
    out.event(Event::PublishEnd);
}

/// Whether the body is complete.
fn read_body(
    body: &mut BodyDecoder,
    flv: &mut FlvReader,
    bytes: &mut &[u8],
    received: &mut u64,
    out: &mut Outbox,
) -> Result<bool, Error> {
    loop {
        match body.step(bytes)? {
            BodyStep::Data(data) => {
                *received = received.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
                flv.push(data, &mut |event| out.event(event))?;
            }
            BodyStep::More => return Ok(false),
            BodyStep::End => return Ok(true),
        }
    }
}

/// Whether the peer has closed.
fn read_frames(
    socket: &mut Socket,
    flv: &mut FlvReader,
    mut bytes: &[u8],
    now: Moment,
    config: &Config,
    out: &mut Outbox,
) -> Result<bool, WsError> {
    loop {
        let piece = socket.reader.step(&mut bytes)?;
        if socket.reader.take_long_lengths() {
            out.leniency("frame length longer than needed");
        }
        match piece {
            None => return Ok(false),
            Some(Piece::Data { text: true, .. }) => {
                let error = Error::misbehaved("text message from a publisher");
                return Err(WsError { code: close_codes::UNSUPPORTED, error });
            }
            Some(Piece::Data { masked, mask, .. }) => {
                read_payload(flv, masked, mask, out)
                    .map_err(|error| WsError { code: error_code(error), error })?;
            }
            Some(control) => {
                if socket.control(&control, now, config, out) {
                    return Ok(true);
                }
            }
        }
    }
}

fn read_payload(flv: &mut FlvReader, masked: &[u8], mask: Mask, out: &mut Outbox) -> Result<(), Error> {
    let mut room = [0; UNMASK_BYTES];
    for part in masked.chunks(UNMASK_BYTES) {
        let Some(plain) = room.get_mut(..part.len()) else { continue };
        plain.copy_from_slice(part);
        mask.apply(plain);
        flv.push(plain, &mut |event| out.event(event))?;
    }
    Ok(())
}
