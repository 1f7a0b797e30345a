//! The session of one request for a stream: play or publish, over HTTP or WebSocket.
//!
//! The driver makes it of a request head that it has read, and of the bytes behind it. When a request is over and its
//! connection can carry another, the session says [`Event::PlayEnd`] or [`Event::PublishEnd`] and
//! [`HttpFlvSession::into_next`] has the bytes that came after it; otherwise [`Event::Closed`] follows. A request that is
//! answered without a verdict (OPTIONS, a wrong method, a bad name) ends the same way.
//!
//! Invariants: while the verdict is awaited no byte of a body is parsed; a session that plays holds less than 512
//! bytes, the heap included.

use super::answer::{Reply, refusal_status, stop_code, stop_status};
use super::config::Config;
use super::outbox::Outbox;
use super::plan::{Plan, plan};
use super::pushing::{Carrier, Progress, Pushing};
use super::viewing::{Socket, Viewing};
use crate::container::flv::{FlvReader, Framing};
use crate::http::{BodyDecoder, BodyFraming, Request};
use crate::ws::{FrameReader, Side, Upgrade};
use crate::{Error, Event, Input, Output, Session, Verdict};
use bytes::Bytes;
use media::{Moment, Refusal, StopReason};
use std::sync::Arc;

/// See the module.
pub struct HttpFlvSession {
    config: Arc<Config>,
    outbox: Outbox,
    state: State,
    websocket: bool,
}

enum State {
    Asking(Box<Asking>),
    Pushing(Box<Pushing>),
    Viewing(Viewing),
    /// What was received behind the request, if the connection may carry another.
    Done(Option<Vec<u8>>),
    Failed(Error),
}

/// A request whose verdict is awaited.
struct Asking {
    reply: Reply,
    wish: Wish,
    upgrade: Option<Upgrade>,
    /// What came behind the head.
    pending: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Wish {
    Play { framing: Framing, head_only: bool },
    Push { body: BodyFraming, expects: bool },
}

impl HttpFlvSession {
    /// For a request and the bytes that came behind its head.
    pub fn new(request: Request, leftover: Bytes, config: Arc<Config>) -> Self {
        let reply = Reply::new(&request);
        let mut outbox = Outbox::default();
        let plan = plan(&request, &reply, &config, &mut |what| outbox.leniency(what));
        drop(request);
        let (wish, upgrade) = match plan {
            Plan::Answer(answer) => {
                let mut session = Self { config, outbox, state: State::Done(None), websocket: false };
                session.outbox.bytes(answer);
                session.end(Event::PlayEnd, reply.keep.then(|| leftover.to_vec()));
                return session;
            }
            Plan::Play { request, framing, head_only, upgrade } => {
                outbox.event(Event::Play(*request));
                (Wish::Play { framing, head_only }, upgrade)
            }
            Plan::Push { request, body, expects, upgrade } => {
                outbox.event(Event::Publish(*request));
                (Wish::Push { body, expects }, upgrade)
            }
        };
        let websocket = upgrade.is_some();
        let asking = Asking { reply, wish, upgrade, pending: Vec::new() };
        let mut session = Self { config, outbox, state: State::Asking(Box::new(asking)), websocket };
        // An excess comes out as `Closed`.
        let _ = session.bytes(Moment::default(), &leftover);
        session
    }

    /// Whether the request is over and its connection can carry another.
    pub const fn reusable(&self) -> bool {
        matches!(self.state, State::Done(Some(_)))
    }

    /// What was received behind the request; `None` if the connection cannot carry another.
    pub fn into_next(self) -> Option<Bytes> {
        match self.state {
            State::Done(next) => next.map(Bytes::from),
            _ => None,
        }
    }

    fn bytes(&mut self, now: Moment, bytes: &[u8]) -> Result<(), Error> {
        let result = match &mut self.state {
            State::Asking(asking) => asking.keep(bytes, self.config.limits.waiting_bytes, &mut self.outbox),
            State::Pushing(pushing) => {
                let progress = pushing.bytes(bytes, now, &self.config, &mut self.outbox);
                if let Ok(Progress::Ended(left)) = progress {
                    let next =
                        left.map(|left| bytes.get(bytes.len().saturating_sub(left)..).unwrap_or_default());
                    self.finish(next.map(<[u8]>::to_vec));
                }
                progress.map(|_| ())
            }
            State::Viewing(viewing) => {
                let ended = viewing.bytes(bytes, now, &self.config, &mut self.outbox);
                if ended == Ok(true) {
                    self.finish(None);
                }
                ended.map(|_| ())
            }
            State::Done(Some(next)) => {
                next.extend_from_slice(bytes);
                if next.len() > self.config.limits.waiting_bytes {
                    Err(Error::limit("too many bytes behind a request"))
                } else {
                    Ok(())
                }
            }
            State::Done(None) => Ok(()),
            State::Failed(error) => return Err(*error),
        };
        result.map_err(|error| self.fail(error))
    }

    fn verdict(&mut self, now: Moment, verdict: Verdict) -> Result<(), Error> {
        let State::Asking(asking) = &mut self.state else { return Ok(()) };
        let Asking { reply, wish, upgrade, pending } = &mut **asking;
        let pending = std::mem::take(pending);
        match (verdict, *wish) {
            (Verdict::Refuse(refusal), wish) => {
                let answer = reply.refusal(refusal, &wish, &self.config);
                let next = reply.keep.then_some(pending);
                self.outbox.bytes(answer);
                // Not reusable: nothing was begun that could end.
                match next {
                    Some(next) => self.end(wish.end(), Some(next)),
                    None => self.finish(None),
                }
                Ok(())
            }
            (Verdict::Allow, Wish::Play { framing, head_only: true }) => {
                let answer = reply.media(framing, &self.config);
                let next = reply.keep.then_some(pending);
                self.outbox.bytes(answer);
                self.end(Event::PlayEnd, next);
                Ok(())
            }
            (Verdict::Allow, Wish::Play { framing, head_only: false }) => {
                let viewing = match upgrade {
                    Some(upgrade) => {
                        self.outbox.bytes(Reply::switch(upgrade));
                        Viewing::Socket(socket(now, &self.config))
                    }
                    None => {
                        self.outbox.bytes(reply.media(framing, &self.config));
                        Viewing::Http { chunked: framing == Framing::HttpChunk, ignored: 0 }
                    }
                };
                self.state = State::Viewing(viewing);
                self.bytes(now, &pending)
            }
            (Verdict::Allow, Wish::Push { body, expects }) => {
                let State::Asking(asking) = std::mem::replace(&mut self.state, State::Done(None)) else {
                    return Ok(());
                };
                let carrier = self.open_push(now, *asking, body, expects && pending.is_empty());
                let flv = FlvReader::new(self.config.flv);
                self.state = State::Pushing(Box::new(Pushing { flv, carrier, received: 0 }));
                self.bytes(now, &pending)
            }
        }
    }

    fn open_push(&mut self, now: Moment, asking: Asking, body: BodyFraming, expects: bool) -> Carrier {
        if let Some(upgrade) = asking.upgrade {
            self.outbox.bytes(Reply::switch(&upgrade));
            return Carrier::Socket(socket(now, &self.config));
        }
        if expects {
            self.outbox.bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        }
        let mut reply = asking.reply;
        reply.body_read(body);
        Carrier::Http { body: BodyDecoder::new(body, self.config.limits.body), reply }
    }

    fn stop(&mut self, reason: StopReason) {
        match &mut self.state {
            State::Asking(asking) => refuse_on(&mut asking.reply, reason, &self.config, &mut self.outbox),
            State::Pushing(pushing) => match &mut pushing.carrier {
                Carrier::Http { reply, .. } => refuse_on(reply, reason, &self.config, &mut self.outbox),
                Carrier::Socket(_) => Socket::close(stop_code(reason), reason.name(), &mut self.outbox),
            },
            State::Viewing(Viewing::Socket(_)) => {
                Socket::close(stop_code(reason), reason.name(), &mut self.outbox);
            }
            State::Viewing(Viewing::Http { chunked: true, .. }) => self.outbox.bytes(b"0\r\n\r\n".to_vec()),
            State::Viewing(Viewing::Http { chunked: false, .. }) | State::Done(Some(_)) => {}
            State::Done(None) | State::Failed(_) => return,
        }
        self.finish(None);
    }

    fn eof(&mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Pushing(pushing) => {
                if pushing.eof(&self.config, &mut self.outbox) {
                    self.finish(None);
                    return Ok(());
                }
                Err(self.fail(Error::misbehaved("connection ended before the publication")))
            }
            State::Asking(_) | State::Viewing(_) | State::Done(Some(_)) => {
                self.finish(None);
                Ok(())
            }
            State::Done(None) => Ok(()),
            State::Failed(error) => Err(*error),
        }
    }

    fn tick(&mut self, now: Moment) {
        if let Some(socket) = self.state.socket() {
            socket.tick(now, &self.config, &mut self.outbox);
        }
    }

    /// Ends the request with its event.
    fn end(&mut self, event: Event, next: Option<Vec<u8>>) {
        self.outbox.event(event);
        self.finish(next);
    }

    fn finish(&mut self, next: Option<Vec<u8>>) {
        if next.is_none() {
            self.outbox.event(Event::Closed(None));
        }
        self.state = State::Done(next);
    }

    fn fail(&mut self, error: Error) -> Error {
        self.outbox.event(Event::Closed(Some(error)));
        self.state = State::Failed(error);
        error
    }
}

impl Session for HttpFlvSession {
    fn handle(&mut self, now: Moment, input: Input<'_>) -> Result<(), Error> {
        match input {
            Input::Bytes(bytes) => return self.bytes(now, bytes),
            Input::Verdict(verdict) => return self.verdict(now, verdict),
            Input::Eof => return self.eof(),
            Input::Stop(reason) => self.stop(reason),
            Input::Tick => self.tick(now),
        }
        Ok(())
    }

    fn poll(&mut self, _now: Moment) -> Output {
        let wait = self.state.socket().and_then(|socket| socket.ping_at);
        let quiet = !matches!(self.state, State::Pushing(_));
        self.outbox.poll(wait, quiet)
    }

    fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Asking(asking) => asking.pending.len(),
            State::Pushing(pushing) => pushing.flv.buffered_bytes(),
            State::Done(Some(next)) => next.len(),
            State::Viewing(_) | State::Done(None) | State::Failed(_) => 0,
        }
    }

    fn protocol(&self) -> &'static str {
        if self.websocket { "ws-flv" } else { "http-flv" }
    }
}

impl Asking {
    /// Keeps bytes for after the verdict. Behind a request without a body they are further requests, which an excess
    /// costs the peer.
    fn keep(&mut self, bytes: &[u8], most: usize, out: &mut Outbox) -> Result<(), Error> {
        if self.pending.len().saturating_add(bytes.len()) <= most {
            self.pending.extend_from_slice(bytes);
            return Ok(());
        }
        if matches!(self.wish, Wish::Push { .. }) || self.upgrade.is_some() {
            return Err(Error::limit("too many bytes before the verdict"));
        }
        self.reply.keep = false;
        self.pending = Vec::new();
        out.leniency("too many requests in advance");
        Ok(())
    }
}

impl Wish {
    const fn end(&self) -> Event {
        match self {
            Self::Play { .. } => Event::PlayEnd,
            Self::Push { .. } => Event::PublishEnd,
        }
    }
}

impl Reply {
    fn refusal(&self, refusal: Refusal, wish: &Wish, config: &Config) -> Vec<u8> {
        let push = matches!(wish, Wish::Push { .. });
        self.text(refusal_status(refusal, push), refusal.name(), config)
    }
}

impl State {
    const fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Viewing(Viewing::Socket(socket)) => Some(socket),
            Self::Pushing(pushing) => match &mut pushing.carrier {
                Carrier::Socket(socket) => Some(socket),
                Carrier::Http { .. } => None,
            },
            _ => None,
        }
    }
}

fn socket(now: Moment, config: &Config) -> Socket {
    Socket::new(FrameReader::new(Side::Accepting, config.limits.frames), now, config)
}

/// Answers a request that is not complete, or not yet allowed.
fn refuse_on(reply: &mut Reply, reason: StopReason, config: &Config, out: &mut Outbox) {
    reply.keep = false;
    out.bytes(reply.text(stop_status(reason), reason.name(), config));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, RequestReader};

    /// What a session that plays has of its own, the heap included.
    fn playing_bytes(head: &str) -> usize {
        let (request, leftover) =
            RequestReader::new(HeadLimits::default()).push(head.as_bytes()).unwrap().unwrap();
        let mut session = HttpFlvSession::new(request, leftover, Arc::new(Config::default()));
        let drain = |session: &mut HttpFlvSession| {
            while !matches!(session.poll(Moment(0)), Output::Wait(_)) {}
        };
        drain(&mut session);
        session.handle(Moment(0), Input::Verdict(Verdict::Allow)).unwrap();
        drain(&mut session);
        assert!(matches!(session.state, State::Viewing(_)));
        size_of::<HttpFlvSession>() + session.outbox.heap_bytes()
    }

    #[test]
    fn a_session_that_plays_is_small() {
        let agent = "x".repeat(4000);
        let http = format!("GET /live/a.flv?{agent} HTTP/1.1\r\nUser-Agent: {agent}\r\n\r\n");
        let socket = format!(
            "GET /live/a.flv HTTP/1.1\r\nUser-Agent: {agent}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        for head in [http, socket] {
            let bytes = playing_bytes(&head);
            assert!(bytes < 512, "{bytes} bytes");
        }
    }
}
