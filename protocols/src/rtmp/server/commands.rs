//! Commands of the peer and what they change. Adobe RTMP 1.0 section 7.2, and the FMS verbs that encoders send.
//!
//! What expects an answer gets one, in order; pausing, seeking and the like have no meaning for a live stream and
//! are passed over in silence, as other live servers do: ffmpeg takes an error for the end.

use super::config::Config;
use super::peer::Peer;
use super::{Asked, Phase, Role, ServerSession, replies};
use crate::container::flv::{Form, TrackFilter};
use crate::rtmp::capability::FormChoice;
use crate::rtmp::command::Command;
use crate::rtmp::mux::RtmpRendition;
use crate::rtmp::url::Address;
use crate::{Error, Event, PlayRequest, PublishRequest, Query};
use media::{JoinStart, MetaValue, Refusal};

/// Message streams of one connection. Numbers count up from 1 and are not given out again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streams {
    last: u32,
    open: u32,
}

impl Streams {
    fn create(&mut self, most: u32) -> Result<u32, Error> {
        if self.open >= most {
            return Err(Error::limit("message streams"));
        }
        self.open += 1;
        self.last = self.last.saturating_add(1);
        Ok(self.last)
    }

    const fn delete(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    const fn has_created(self, stream_id: u32) -> bool {
        stream_id > 0 && stream_id <= self.last
    }
}

impl ServerSession {
    /// Obeys one command, which came on a message stream.
    pub(super) fn command(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        if self.peer.is_none() && command.name != "connect" {
            return Err(Error::misbehaved("command before connect"));
        }
        let transaction = command.transaction;
        match command.name.as_str() {
            "connect" => return self.connect(command),
            "createStream" => {
                let id = self.streams.create(self.config.limits.streams)?;
                replies::result(&mut self.link, transaction, MetaValue::Number(f64::from(id)));
            }
            "publish" if command.flag(0) == Some(false) => self.end_request(),
            "play" if command.flag(0) == Some(false) => self.end_request(),
            "publish" => return self.publish(stream_id, command),
            "play" => return self.play(stream_id, command),
            "deleteStream" => {
                self.streams.delete();
                self.end_stream(command.number(0).map_or(stream_id, to_id));
            }
            "closeStream" => self.end_stream(stream_id),
            "FCUnpublish" if matches!(self.phase, Phase::Publishing { .. }) => self.end_request(),
            "releaseStream" | "FCPublish" | "FCUnpublish" | "FCSubscribe" | "_checkbw" => {
                replies::result(&mut self.link, transaction, MetaValue::Null);
            }
            "getStreamLength" | "getMovLen" => {
                replies::result(&mut self.link, transaction, MetaValue::Number(0.0));
            }
            "receiveAudio" => self.receive(command.flag(0), |filter| &mut filter.audio),
            "receiveVideo" => self.receive(command.flag(0), |filter| &mut filter.video),
            "_result" | "_error" | "onStatus" | "pause" | "pauseRaw" | "seek" | "play2" | "close"
            | "set_playlist" | "ping" => {}
            _ => self.link.outbox.leniency("unknown command"),
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command) -> Result<(), Error> {
        if self.peer.is_some() {
            return Err(Error::misbehaved("second connect"));
        }
        match Peer::from_connect(command, &self.config.limits) {
            Ok(peer) => {
                replies::connected(&mut self.link, &self.config, &peer, command.transaction);
                self.peer = Some(Box::new(peer));
                self.link.outbox.event(Event::Step("connect"));
                Ok(())
            }
            Err(error) => {
                replies::connect_rejected(&mut self.link, command.transaction, error.what);
                Err(error)
            }
        }
    }

    fn publish(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        if self.is_busy() {
            replies::publish_refused(&mut self.link, stream_id, Refusal::AlreadyPublishing);
            return Ok(());
        }
        if command.text(1).is_some_and(|how| !how.is_empty() && how != "live") {
            self.link.outbox.leniency("publish to record or append taken as live");
        }
        let Some(Address { key, query }) = self.address(command) else {
            replies::publish_refused(&mut self.link, stream_id, Refusal::BadName);
            return Err(Error::misbehaved("name of the published stream"));
        };
        let (user_agent, host) = self.who();
        self.ask(Role::Publish, stream_id, key.as_str());
        self.link.outbox.event(Event::Publish(PublishRequest { key, query, user_agent, host }));
        Ok(())
    }

    fn play(&mut self, stream_id: u32, command: &Command) -> Result<(), Error> {
        if self.is_busy() {
            replies::play_refused(&mut self.link, stream_id, Refusal::Limit);
            return Ok(());
        }
        let Some(Address { key, query }) = self.address(command) else {
            replies::play_refused(&mut self.link, stream_id, Refusal::BadName);
            return Err(Error::misbehaved("name of the played stream"));
        };
        let (user_agent, host) = self.who();
        let rendition = Box::new(self.rendition(stream_id, &query));
        let start = JoinStart {
            gop: query.flag("gop"),
            class: query.value("class").and_then(|class| class.parse().ok()),
        };
        self.ask(Role::Play, stream_id, key.as_str());
        let request = PlayRequest { key, query, user_agent, host, rendition, start };
        self.link.outbox.event(Event::Play(request));
        Ok(())
    }

    fn ask(&mut self, role: Role, stream_id: u32, name: &str) {
        if !self.streams.has_created(stream_id) {
            self.link.outbox.leniency("request on a message stream that was not created");
        }
        self.phase =
            Phase::Asked(Box::new(Asked { role, stream_id, name: name.to_owned(), held: Vec::new() }));
    }

    fn end_stream(&mut self, stream_id: u32) {
        let active = match &self.phase {
            Phase::Publishing { stream_id, .. } | Phase::Playing { stream_id } => *stream_id,
            _ => return,
        };
        // 0 is what peers say that never created a stream.
        if stream_id == active || stream_id == 0 {
            self.end_request();
        }
    }

    fn receive(&mut self, wanted: Option<bool>, part: impl FnOnce(&mut TrackFilter) -> &mut bool) {
        if matches!(self.phase, Phase::Playing { .. }) {
            // The bytes are shared: what one player does not want cannot be left out for it alone.
            self.link.outbox.leniency("receiveAudio or receiveVideo while playing ignored");
        } else if let Some(wanted) = wanted {
            *part(&mut self.filter) = wanted;
        }
    }

    const fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Publishing { .. } | Phase::Playing { .. })
    }

    fn address(&self, command: &Command) -> Option<Address> {
        let place = &self.peer.as_ref()?.place;
        place.address(command.text(0)?, self.config.limits.name_bytes).ok()
    }

    fn who(&self) -> (String, String) {
        self.peer.as_ref().map(|peer| (peer.agent.clone(), peer.place.host().to_owned())).unwrap_or_default()
    }

    fn rendition(&self, message_stream_id: u32, query: &Query) -> RtmpRendition {
        let Config { form, chunk_size, .. } = *self.config;
        let choice = query.value("codec_form").and_then(FormChoice::from_query).unwrap_or(form);
        let announced = self.peer.as_ref().map(|peer| peer.announced);
        RtmpRendition {
            form: choice.form(announced.unwrap_or(Form::LEGACY)),
            chunk_size: chunk_size.clamp(1, 65536),
            message_stream_id,
            filter: filter(self.filter, query),
        }
    }
}

/// What the commands before and the query leave; all if that would be nothing.
fn filter(received: TrackFilter, query: &Query) -> TrackFilter {
    let flag = |names: [&str; 2]| names.into_iter().find_map(|name| query.flag(name)).unwrap_or(false);
    let audio = received.audio && !flag(["onlyVideo", "onlyvideo"]);
    let video = received.video && !flag(["onlyAudio", "onlyaudio"]);
    if audio || video { TrackFilter { video, audio } } else { TrackFilter::ALL }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates; no stream has such a number
fn to_id(number: f64) -> u32 {
    number as u32
}
