//! The server's side of one RTMP connection, for publishers and players.
//!
//! Its life is that of [`crate::session`]: handshake and commands until a request comes out; then it holds still and keeps
//! what comes until the verdict; then it is a publisher's parser, or next to nothing for a player, whose
//! bytes the engine writes. A connection serves one request at a time and another one after it.
//!
//! Invariants: no media is parsed before a verdict; whatever is held is bounded by [`Limits`]; after an error
//! nothing is read any more.

mod commands;
mod config;
mod peer;
mod replies;

pub use config::{Config, Limits};

use super::chunk::Message;
use super::command::Command;
use super::handshake::ServingHandshake;
use super::intake::MediaIntake;
use super::link::Link;
use super::message::kind;
use crate::container::flv::TrackFilter;
use crate::{Error, Event, Input, Output, Session, Verdict};
use commands::Streams;
use media::{Moment, Refusal, StopReason};
use peer::Peer;
use std::sync::Arc;

/// See the module.
pub struct ServerSession {
    config: Arc<Config>,
    link: Link,
    phase: Phase,
    peer: Option<Box<Peer>>,
    streams: Streams,
    filter: TrackFilter,
    deadline: Option<Moment>,
}

enum Phase {
    Handshake(Box<ServingHandshake>),
    /// Commands.
    Ready,
    /// A request is out.
    Asked(Box<Asked>),
    Publishing {
        stream_id: u32,
        intake: Box<MediaIntake>,
    },
    Playing {
        stream_id: u32,
    },
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Publish,
    Play,
}

struct Asked {
    role: Role,
    stream_id: u32,
    name: String,
    held: Vec<u8>,
}

impl Session for ServerSession {
    fn handle(&mut self, now: Moment, input: Input<'_>) -> Result<(), Error> {
        if matches!(self.phase, Phase::Closed) {
            return Ok(());
        }
        let result = match input {
            Input::Bytes(bytes) => self.bytes(bytes),
            Input::Verdict(verdict) => self.verdict(verdict),
            Input::Eof => {
                self.close(None);
                Ok(())
            }
            Input::Stop(reason) => {
                self.stop(reason);
                Ok(())
            }
            Input::Tick => Ok(()),
        };
        let result = result.and_then(|()| self.check_deadline(now));
        if let Err(error) = result {
            self.close(Some(error));
        }
        result
    }

    fn poll(&mut self, _now: Moment) -> Output {
        self.link.outbox.poll(self.deadline)
    }

    fn buffered_bytes(&self) -> usize {
        let phase = match &self.phase {
            Phase::Handshake(handshake) => handshake.buffered_bytes(),
            Phase::Asked(asked) => asked.held.len(),
            _ => 0,
        };
        phase.saturating_add(self.link.buffered_bytes())
    }

    fn protocol(&self) -> &'static str {
        "rtmp"
    }
}

impl ServerSession {
    /// A session that waits for the handshake. `seed` differs from connection to connection.
    pub fn new(config: Arc<Config>, seed: u64, now: Moment) -> Self {
        let deadline = config.handshake_timeout.map(|timeout| now.plus(timeout));
        let link = Link::new(config.limits.command_chunks());
        Self {
            config,
            link,
            phase: Phase::Handshake(Box::new(ServingHandshake::new(seed))),
            peer: None,
            streams: Streams::default(),
            filter: TrackFilter::ALL,
            deadline,
        }
    }

    /// All the memory behind this session, in bytes, without what [`Session::poll`] has still to say.
    pub fn memory_bytes(&self) -> usize {
        let phase = match &self.phase {
            Phase::Handshake(handshake) => size_of::<ServingHandshake>() + handshake.buffered_bytes(),
            Phase::Asked(asked) => size_of::<Asked>() + asked.name.capacity() + asked.held.capacity(),
            Phase::Publishing { .. } => size_of::<MediaIntake>(),
            Phase::Ready | Phase::Playing { .. } | Phase::Closed => 0,
        };
        let peer = self.peer.as_ref().map_or(0, |peer| peer.heap_bytes());
        size_of::<Self>() + phase + peer + self.link.heap_bytes()
    }

    fn bytes(&mut self, mut input: &[u8]) -> Result<(), Error> {
        loop {
            match &mut self.phase {
                Phase::Handshake(handshake) => {
                    if !handshake.read(&mut input, self.link.outbox.bytes())? {
                        return Ok(());
                    }
                    self.phase = Phase::Ready;
                    self.deadline = None;
                    self.link.outbox.event(Event::Step("handshake"));
                }
                Phase::Asked(asked) => {
                    if asked.held.len().saturating_add(input.len()) > self.config.limits.pending_bytes {
                        return Err(Error::limit("bytes before the verdict"));
                    }
                    asked.held.extend_from_slice(input);
                    return Ok(());
                }
                Phase::Closed => return Ok(()),
                Phase::Ready | Phase::Publishing { .. } | Phase::Playing { .. } => {
                    let Some(message) = self.link.read(&mut input)? else {
                        self.link.acknowledge();
                        return Ok(());
                    };
                    self.message(message)?;
                }
            }
        }
    }

    fn message(&mut self, message: Message) -> Result<(), Error> {
        match message.kind {
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => {
                let command = Command::parse(message.kind, &message.payload)?;
                if command.is_cut {
                    self.link.outbox.leniency("command with stray bytes");
                }
                self.command(message.stream_id, &command)
            }
            kind::AUDIO | kind::VIDEO | kind::DATA_AMF0 | kind::DATA_AMF3 | kind::AGGREGATE => {
                match &mut self.phase {
                    Phase::Publishing { intake, .. } => intake.message(message, &mut self.link.outbox),
                    _ => {
                        self.link.outbox.leniency("media outside a publication");
                        Ok(())
                    }
                }
            }
            kind::SHARED_OBJECT_AMF0 | kind::SHARED_OBJECT_AMF3 => Ok(()),
            _ => {
                self.link.outbox.leniency("unknown message type");
                Ok(())
            }
        }
    }

    fn verdict(&mut self, verdict: Verdict) -> Result<(), Error> {
        let Phase::Asked(asked) = &mut self.phase else { return Ok(()) };
        let Asked { role, stream_id, name, held } = std::mem::replace(
            asked.as_mut(),
            Asked { role: Role::Play, stream_id: 0, name: String::new(), held: Vec::new() },
        );
        match verdict {
            Verdict::Refuse(why) => {
                self.refuse(role, stream_id, why);
                return Ok(());
            }
            Verdict::Allow if role == Role::Publish => {
                self.link.set_limits(self.config.limits.chunks);
                self.link.outbox.set_busy(true);
                let intake = Box::new(MediaIntake::new(self.config.limits.tags));
                self.phase = Phase::Publishing { stream_id, intake };
                replies::publish_started(&mut self.link, stream_id, &name);
            }
            Verdict::Allow => {
                self.phase = Phase::Playing { stream_id };
                replies::play_started(&mut self.link, stream_id, &name);
            }
        }
        self.bytes(&held)
    }

    fn refuse(&mut self, role: Role, stream_id: u32, why: Refusal) {
        match role {
            Role::Publish => replies::publish_refused(&mut self.link, stream_id, why),
            Role::Play => replies::play_refused(&mut self.link, stream_id, why),
        }
        self.close(None);
    }

    /// The peer ended what it did; the connection lives on.
    fn end_request(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Publishing { stream_id, .. } => {
                self.link.set_limits(self.config.limits.command_chunks());
                self.link.outbox.set_busy(false);
                replies::unpublished(&mut self.link, stream_id, "unpublished");
                self.link.outbox.event(Event::PublishEnd);
            }
            Phase::Playing { .. } => self.link.outbox.event(Event::PlayEnd),
            other => self.phase = other,
        }
    }

    fn stop(&mut self, why: StopReason) {
        match &self.phase {
            Phase::Publishing { stream_id, .. } => {
                replies::unpublished(&mut self.link, *stream_id, why.name())
            }
            Phase::Playing { stream_id } => replies::play_stopped(&mut self.link, *stream_id, why.name()),
            _ => {}
        }
        if let Some(peer) = &self.peer {
            replies::connection_closed(&mut self.link, why, peer.reconnects);
        }
        self.close(None);
    }

    fn close(&mut self, why: Option<Error>) {
        self.phase = Phase::Closed;
        self.deadline = None;
        self.link.outbox.event(Event::Closed(why));
    }

    fn check_deadline(&self, now: Moment) -> Result<(), Error> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return Err(Error::limit("handshake timeout"));
        }
        Ok(())
    }
}
