//! The connecting side that plays.

use super::dial::Dial;
use super::dialer::{Dialer, Progress, Role};
use super::status::Status;
use crate::container::flv::TagKind;
use crate::rtmp::chunk::Message;
use crate::rtmp::intake::MediaIntake;
use crate::rtmp::message::kind;
use crate::{Error, Input, Output, Session};
use bytes::Bytes;
use media::Moment;
use std::collections::VecDeque;

/// Most tags kept for [`PlayerSession::next_tag`]: more than one read of a socket brings.
const MAX_TAGS: usize = 65536;

/// What a player makes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Tracks, metadata and packets, as events.
    pub media: bool,
    /// Tag bodies as they came, by [`PlayerSession::next_tag`].
    pub tags: bool,
}

/// One audio, video or data message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTag {
    /// Kind.
    pub kind: TagKind,
    /// Milliseconds, wrapping.
    pub milliseconds: u32,
    /// Body.
    pub body: Bytes,
}

/// Plays one stream of a server.
pub struct PlayerSession {
    dialer: Dialer,
    intake: Option<Box<MediaIntake>>,
    tags: Option<VecDeque<RawTag>>,
}

impl PlayerSession {
    /// Begins the handshake. `seed` differs from connection to connection.
    pub fn new(dial: Dial, wanted: Wanted, seed: u64) -> Self {
        let intake = wanted.media.then(|| Box::new(MediaIntake::new(dial.tags)));
        Self { dialer: Dialer::new(dial, Role::Play, seed), intake, tags: wanted.tags.then(VecDeque::new) }
    }

    /// The next tag body, if they are wanted; to be drained after each input.
    pub fn next_tag(&mut self) -> Option<RawTag> {
        self.tags.as_mut()?.pop_front()
    }

    /// Ends in the proper way and closes.
    pub fn finish(&mut self) {
        self.dialer.leave();
    }

    /// How far it has come.
    pub const fn progress(&self) -> &Progress {
        self.dialer.progress()
    }

    /// The last answer of the server.
    pub const fn last_status(&self) -> Option<&Status> {
        self.dialer.last_status()
    }
}

impl Session for PlayerSession {
    fn handle(&mut self, _now: Moment, input: Input<'_>) -> Result<(), Error> {
        let Self { dialer, intake, tags } = self;
        dialer.handle(input, |message, outbox| {
            if let Some(tags) = tags {
                keep_tag(&message, tags)?;
            }
            match intake {
                Some(intake) => intake.message(message, outbox),
                None => Ok(()),
            }
        })
    }

    fn poll(&mut self, _now: Moment) -> Output {
        self.dialer.link.outbox.poll(None)
    }

    fn buffered_bytes(&self) -> usize {
        self.dialer.buffered_bytes()
    }

    fn protocol(&self) -> &'static str {
        "rtmp"
    }
}

/// Keeps what is audio, video or AMF0 data; nothing else is sent by servers of today.
fn keep_tag(message: &Message, tags: &mut VecDeque<RawTag>) -> Result<(), Error> {
    let tag_kind = match message.kind {
        kind::AUDIO => TagKind::Audio,
        kind::VIDEO => TagKind::Video,
        kind::DATA_AMF0 => TagKind::Script,
        _ => return Ok(()),
    };
    if tags.len() >= MAX_TAGS {
        return Err(Error::limit("tags that nobody took"));
    }
    tags.push_back(RawTag { kind: tag_kind, milliseconds: message.timestamp, body: message.payload.clone() });
    Ok(())
}
