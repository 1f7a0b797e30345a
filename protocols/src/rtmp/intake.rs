//! Media messages of one peer in, media events out.
//!
//! The same for a publisher at the server and for the stream that a player gets.

use super::chunk::Message;
use super::clock::StampClock;
use super::command::without_format;
use super::message::{Aggregate, kind};
use super::outbox::Outbox;
use crate::container::flv::{TagDemuxer, TagKind, TagLimits};
use crate::{Error, ErrorKind};
use bytes::Bytes;

/// See the module. Large, so a session keeps it in a box and drops it with the stream.
pub(super) struct MediaIntake {
    clock: StampClock,
    demuxer: TagDemuxer,
}

impl MediaIntake {
    pub fn new(limits: TagLimits) -> Self {
        Self { clock: StampClock::default(), demuxer: TagDemuxer::new(limits) }
    }

    /// Takes an audio, video, data or aggregate message.
    pub fn message(&mut self, message: Message, outbox: &mut Outbox) -> Result<(), Error> {
        if message.kind != kind::AGGREGATE {
            return self.tag(message.kind, message.timestamp, message.payload, outbox);
        }
        for part in Aggregate::new(message.timestamp, message.payload) {
            match part {
                Ok(part) => self.tag(part.kind, part.timestamp, part.payload, outbox)?,
                // What stood before the cut is good.
                Err(error) if error == Error::malformed("truncated") => {
                    outbox.leniency("truncated aggregate")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn tag(&mut self, message_kind: u8, raw: u32, body: Bytes, outbox: &mut Outbox) -> Result<(), Error> {
        let (tag_kind, body) = match message_kind {
            kind::AUDIO => (TagKind::Audio, body),
            kind::VIDEO => (TagKind::Video, body),
            kind::DATA_AMF0 => (TagKind::Script, body),
            kind::DATA_AMF3 => (TagKind::Script, without_format(&body)),
            _ => {
                outbox.leniency("neither audio, video nor data in an aggregate");
                return Ok(());
            }
        };
        if body.is_empty() {
            outbox.leniency("empty media message");
            return Ok(());
        }
        let dts = self.clock.stamp(message_kind, raw);
        match self.demuxer.tag(tag_kind, dts, body, &mut |event| outbox.event(event)) {
            Err(error) if error.kind == ErrorKind::Limit => Err(error),
            Err(_) => {
                outbox.leniency("media message that cannot be read");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
