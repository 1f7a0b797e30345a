//! The bridge: drives any [`Session`] on a connection and joins it to the engine. It knows no protocol.
//!
//! A session passes three stages: until its request is known (bounded in time and bytes), admission (on the shard that
//! serves the stream, so the connection may move first), then publishing here or being attached as a viewer, after which the
//! engine serves it alone.

mod moving;
mod playing;
mod publishing;

use crate::conn::{Conn, Got};
use crate::local::Local;
use crate::table::AnySession;
use engine::{Action, Ask, Grant, Place, Publication, Role, SessionGuard, Shard};
use media::{Moment, Refusal, StopReason, StreamKey};
use protocols::{Error, Event, Input, Output, PlayRequest, PublishRequest, Query, Session, Verdict};
use rt::Either;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// How long a session with no deadline of its own is left alone between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// A session on its connection.
pub(crate) struct Bridge {
    pub local: Rc<Local>,
    pub conn: Conn,
    pub session: AnySession,
    pub guard: SessionGuard,
    pub alarm: Alarm,
}

/// A timer that is kept while what it is set for moves away: going off early is no harm, and setting one costs.
#[derive(Default)]
pub(crate) struct Alarm(Option<(Moment, Sleep)>);

type Sleep = Pin<Box<dyn Future<Output = ()>>>;

impl Alarm {
    /// Waits until the moment, or somewhat less.
    async fn wait(&mut self, now: Moment, until: Moment) {
        let (_, sleep) = match &mut self.0 {
            Some(set) if set.0 <= until => set,
            slot => slot.insert((until, Box::pin(rt::sleep(until.since(now))))),
        };
        sleep.await;
        self.0 = None;
    }
}

/// How a session left the bridge.
#[allow(clippy::large_enum_variant)] // Handed up and taken apart at once.
pub(crate) enum Left {
    /// The connection is over, or somebody else's.
    Gone,
    /// The connection can carry another request.
    Free(Bridge),
}

/// A request that came out of a session.
enum Request {
    Publish(Box<PublishRequest>),
    Play(Box<PlayRequest>),
}

/// What draining a session brought.
#[derive(Default)]
struct Drained {
    out: Vec<u8>,
    request: Option<Request>,
    ended: bool,
    closed: Option<Option<Error>>,
    media: bool,
    wait: Option<Moment>,
}

enum Heard {
    Bytes,
    Eof,
    Time,
    Stop(StopReason),
}

impl Bridge {
    /// Drives the session until it is over. `opened`: since when it may take its time to its request.
    pub async fn run(mut self, mut opened: Moment) -> Left {
        loop {
            match self.until_request(opened).await {
                Err(why) => return self.gone(why).await,
                Ok(None) => return Left::Free(self),
                Ok(Some(request)) => match self.serve(request, false).await {
                    Left::Free(bridge) if bridge.session.is_one_request() => return Left::Free(bridge),
                    Left::Free(bridge) => {
                        self = bridge;
                        opened = self.shard().now();
                    }
                    Left::Gone => return Left::Gone,
                },
            }
        }
    }

    /// Lets a session whose request is over say the rest; `false` if the peer did not take it.
    pub async fn finish(mut self) -> (Self, bool) {
        loop {
            let drained = self.drain(None);
            if self.send(&drained).await.is_err() || drained.closed.is_some() {
                return (self, false);
            }
            if !drained.ended && drained.request.is_none() {
                return (self, true);
            }
        }
    }

    /// Goes on with a request, on the shard that serves its stream.
    async fn serve(self, request: Request, admitted: bool) -> Left {
        match request {
            Request::Publish(request) => {
                let owner = self.shard().owner(&request.key);
                if owner != self.shard().index() {
                    return self.hand_off(owner, Request::Publish(request), admitted);
                }
                if admitted { self.publish(*request).await } else { self.ask_to_publish(request).await }
            }
            Request::Play(request) => match self.shard().place(&request.key) {
                Place::There(owner) => self.hand_off(owner, Request::Play(request), admitted),
                Place::Here if admitted => self.play(*request).await,
                Place::Here => self.ask_to_play(request).await,
            },
        }
    }

    /// Lets the control side decide. A stream under another name may be another shard's.
    async fn ask_to_publish(self, mut request: Box<PublishRequest>) -> Left {
        let PublishRequest { key, query, user_agent, host } = &*request;
        let grant = match self.admit(Role::Publisher, key, query, user_agent, host).await {
            Ok(grant) => grant,
            Err(refusal) => return self.refuse(refusal).await,
        };
        if let Some(key) = grant.key {
            self.guard.set_request(Role::Publisher, &key, &request.user_agent);
            request.key = key;
        }
        let owner = self.shard().owner(&request.key);
        if owner != self.shard().index() {
            return self.hand_off(owner, Request::Publish(request), true);
        }
        self.publish(*request).await
    }

    async fn ask_to_play(self, mut request: Box<PlayRequest>) -> Left {
        let PlayRequest { key, query, user_agent, host, .. } = &*request;
        let grant = match self.admit(Role::Viewer, key, query, user_agent, host).await {
            Ok(grant) => grant,
            Err(refusal) => return self.refuse(refusal).await,
        };
        request.start.class = grant.class.or(request.start.class);
        if let Some(key) = grant.key {
            self.guard.set_request(Role::Viewer, &key, &request.user_agent);
            request.key = key;
        }
        match self.shard().place(&request.key) {
            Place::There(owner) => self.hand_off(owner, Request::Play(request), true),
            Place::Here => self.play(*request).await,
        }
    }

    /// `None`: the session's request is over and the connection may carry another.
    async fn until_request(&mut self, opened: Moment) -> Result<Option<Request>, Why> {
        let limits = &self.local.config;
        let (timeout, most) = (limits.request_timeout, limits.request_bytes);
        let deadline = opened.plus(timeout);
        let mut received = 0_usize;
        loop {
            let drained = self.drain(None);
            self.send(&drained).await?;
            if let Some(request) = drained.request {
                return Ok(Some(request));
            }
            if let Some(error) = drained.closed {
                return Err(Why::Session(error));
            }
            if drained.ended {
                return Ok(None);
            }
            if received > most {
                self.shard().count_limit("request bytes");
                return Err(Why::Session(Some(Error::limit("too many bytes before a request"))));
            }
            let (heard, n) = self.listen(drained.wait.map_or(deadline, |w| w.min(deadline))).await?;
            received = received.saturating_add(n);
            match heard {
                Heard::Bytes => {}
                Heard::Eof => self.tell(Input::Eof),
                Heard::Stop(reason) => return Err(Why::Stop(reason)),
                Heard::Time if self.shard().now() >= deadline => {
                    self.shard().count_limit("request timeout");
                    return Err(Why::Session(Some(Error::limit("no request in time"))));
                }
                Heard::Time => self.tell(Input::Tick),
            }
        }
    }

    /// Notes what is asked for and lets the control side decide.
    async fn admit(
        &self,
        role: Role,
        key: &StreamKey,
        query: &Query,
        user_agent: &str,
        host: &str,
    ) -> Result<Grant, Refusal> {
        self.guard.set_request(role, key, user_agent);
        self.name_protocol();
        self.guard.step("request", self.shard().now());
        let action = if role == Role::Publisher { Action::Publish } else { Action::Play };
        let ask = Ask { action, key, query: &query.0, user_agent, host };
        let verdict = self.shard().admit(&self.guard, ask).await;
        self.guard.step("admission", self.shard().now());
        verdict
    }

    async fn refuse(mut self, refusal: Refusal) -> Left {
        tracing::info!(
            session = %self.guard.id(),
            peer = %self.guard.peer(),
            protocol = self.guard.protocol(),
            why = refusal.name(),
            "refused"
        );
        self.guard.step("refused", self.shard().now());
        self.tell(Input::Verdict(Verdict::Refuse(refusal)));
        let drained = self.drain(None);
        let sent = self.send(&drained).await;
        match (sent, drained.ended) {
            (Ok(()), true) => {
                self.guard.clear_request();
                Left::Free(self)
            }
            (sent, _) => {
                self.guard.end(format!("refused: {refusal}"));
                self.gone(sent.err().unwrap_or(Why::Session(None))).await
            }
        }
    }

    /// Notes why, says goodbye if there is a way to, and closes.
    async fn gone(mut self, why: Why) -> Left {
        if let Why::Stop(reason) = why {
            self.tell(Input::Stop(reason));
            let drained = self.drain(None);
            // It ends either way.
            let _ = self.send(&drained).await;
        }
        if let Why::Session(Some(error)) = why {
            self.shard().count_error(error.what);
        }
        self.guard.end(why.text());
        if !matches!(why, Why::Io(_)) {
            self.conn.close(&self.local.scratch).await;
        }
        Left::Gone
    }

    /// Waits for the peer, the time or a stop; bytes go to the session at once. Cancelled, it loses nothing.
    async fn listen(&mut self, until: Moment) -> Result<(Heard, usize), Why> {
        let now = self.local.shard.now();
        let record = self.guard.record();
        let session = &mut self.session;
        // What is wrong with the bytes comes out of the session when it is drained.
        let take = |bytes: &[u8]| {
            let _ = session.handle(now, Input::Bytes(bytes));
        };
        let read = self.conn.read(&self.local.scratch, take);
        let heard = rt::either(read, rt::either(record.stop.wait(), self.alarm.wait(now, until))).await;
        match heard {
            Either::Left(Ok(Got::Bytes(n))) => {
                record.add_in(n);
                Ok((Heard::Bytes, n))
            }
            // What TLS has to say to that is sent with what the session says: not here, where a write may be cancelled.
            Either::Left(Ok(Got::Nothing)) => Ok((Heard::Bytes, 0)),
            Either::Left(Ok(Got::Eof)) => Ok((Heard::Eof, 0)),
            Either::Left(Err(error)) => Err(error.into()),
            Either::Right(Either::Left(reason)) => Ok((Heard::Stop(reason), 0)),
            Either::Right(Either::Right(())) => Ok((Heard::Time, 0)),
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        let now = self.local.shard.now();
        // What is wrong comes out when the session is drained.
        let _ = self.session.handle(now, input);
    }

    /// Takes all that the session has to say, up to a request.
    fn drain(&mut self, publication: Option<&Publication>) -> Drained {
        let mut drained = Drained::default();
        let shard = &self.local.shard;
        let now = shard.now();
        loop {
            let event = match self.session.poll(now) {
                Output::Bytes(bytes) => {
                    drained.out.extend_from_slice(&bytes);
                    continue;
                }
                Output::Wait(until) => {
                    drained.wait = until;
                    return drained;
                }
                Output::Event(event) => event,
            };
            match (event, publication) {
                (Event::Packet(packet), Some(publication)) => {
                    drained.media = true;
                    publication.packet(packet);
                }
                (Event::Track(track), Some(publication)) => publication.track(track),
                (Event::Metadata(metadata), Some(publication)) => publication.metadata(metadata),
                (Event::Packet(_) | Event::Track(_) | Event::Metadata(_), None) => {}
                (Event::Publish(request), _) => {
                    drained.request = Some(Request::Publish(Box::new(request)));
                    return drained;
                }
                (Event::Play(request), _) => {
                    drained.request = Some(Request::Play(Box::new(request)));
                    return drained;
                }
                (Event::PublishEnd | Event::PlayEnd, _) => {
                    drained.ended = true;
                    return drained;
                }
                (Event::Step(name), _) => self.guard.step(name, now),
                (Event::Leniency(name), _) => {
                    self.guard.add_leniency();
                    shard.count_leniency(name);
                }
                (Event::Closed(error), _) => {
                    drained.closed = Some(error);
                    return drained;
                }
            }
        }
    }

    async fn send(&mut self, drained: &Drained) -> Result<(), Why> {
        if !drained.out.is_empty() || self.conn.has_words() {
            self.conn.write(&drained.out).await?;
            self.guard.add_out(drained.out.len());
        }
        Ok(())
    }

    fn shard(&self) -> &Shard {
        &self.local.shard
    }

    /// The protocol as the session turned out to speak it; inside TLS its name says so.
    fn name_protocol(&self) {
        self.guard.set_protocol(match (self.session.protocol(), self.conn.is_tls()) {
            ("rtmp", true) => "rtmps",
            ("http-flv", true) => "https-flv",
            ("ws-flv", true) => "wss-flv",
            (name, _) => name,
        });
    }
}

/// Why a session is over.
enum Why {
    Session(Option<Error>),
    Eof,
    Io(io::Error),
    Stop(StopReason),
}

impl Why {
    fn text(&self) -> String {
        match self {
            Self::Session(None) => "ended by peer".into(),
            Self::Session(Some(error)) => error.to_string(),
            Self::Eof => "peer closed".into(),
            Self::Io(error) => format!("socket: {error}"),
            Self::Stop(reason) => reason.name().into(),
        }
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
