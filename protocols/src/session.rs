//! The shape of every protocol session: mutate once with [`Session::handle`], then drain [`Session::poll`] until it
//! answers [`Output::Wait`].
//!
//! A session is plain data and `Send`, so a connection can move to another core between any two calls.
//!
//! # The life of a server session
//! 1. Bytes go in until a request comes out: [`Event::Publish`] or [`Event::Play`]. The session then holds still:
//!    bytes that come meanwhile are kept (bounded), no media is parsed.
//! 2. The driver asks for admission, moves the connection if another core owns the stream, and answers with
//!    [`Input::Verdict`].
//! 3. *Publisher*: the session replies to its peer and yields [`Event::Track`], [`Event::Metadata`] and
//!    [`Event::Packet`] until [`Event::PublishEnd`].
//!    *Viewer*: the session replies to its peer (all that must stand before the shared bytes). From then on the engine
//!    writes the shared bytes of the rendition to the socket itself; the session only sees what the peer
//!    sends, and what it answers is written between two units.
//! 4. [`Input::Stop`] lets the server end it with the protocol's proper goodbye; [`Event::Closed`] says that the
//!    connection is to be closed once the bytes before it are written.

use crate::Error;
use bytes::Bytes;
use media::{JoinStart, Metadata, Moment, Packet, Refusal, Rendition, StopReason, StreamKey, Track};

/// Pairs of a URL query, decoded, in order; later ones win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// Most pairs that are kept.
    pub const MAX_PAIRS: usize = 64;

    /// The last value under a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a name is there with a value other than `0`, `false` or `no`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.value(name).map(|v| !matches!(v, "0" | "false" | "no" | "off"))
    }
}

/// A peer wants to publish.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// Under which name.
    pub key: StreamKey,
    /// Query of the URL, all places merged.
    pub query: Query,
    /// What the peer says it is (`flashVer`, `User-Agent`), bounded.
    pub user_agent: String,
    /// The URL's host, as the peer wrote it (`tcUrl`, `Host`), bounded; empty if none.
    pub host: String,
}

/// A peer wants to play.
pub struct PlayRequest {
    /// Which stream.
    pub key: StreamKey,
    /// Query of the URL, all places merged.
    pub query: Query,
    /// What the peer says it is, bounded.
    pub user_agent: String,
    /// The URL's host, as the peer wrote it, bounded; empty if none.
    pub host: String,
    /// The shared bytes it will read.
    pub rendition: Box<dyn Rendition>,
    /// Where and how it starts.
    pub start: JoinStart,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Tell the peer why not, in the protocol's own words.
    Refuse(Refusal),
}

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes from the peer, cut anywhere.
    Bytes(&'a [u8]),
    /// The peer will send no more.
    Eof,
    /// The answer to the request in the last [`Event::Publish`] or [`Event::Play`].
    Verdict(Verdict),
    /// The server ends the session.
    Stop(StopReason),
    /// Only time has passed.
    Tick,
}

/// What a session says.
pub enum Output {
    /// For the peer, in order.
    Bytes(Bytes),
    /// For the driver, in order with the bytes.
    Event(Event),
    /// Nothing until more input, or until the moment if there is one (then give [`Input::Tick`]).
    Wait(Option<Moment>),
}

/// What happened, in terms of media only.
pub enum Event {
    /// The peer wants to publish; answer with a verdict.
    Publish(PublishRequest),
    /// The peer wants to play; answer with a verdict.
    Play(PlayRequest),
    /// A track, new or changed; comes before the packets it applies to.
    Track(Track),
    /// Descriptive metadata, new or changed.
    Metadata(Metadata),
    /// One access unit, stamps unwrapped but not repaired.
    Packet(Packet),
    /// The peer ended its publication in the proper way; the connection may live on.
    PublishEnd,
    /// The peer ended its playing in the proper way; the connection may live on.
    PlayEnd,
    /// A step of the session's life for its timeline: `handshake`, `connect`, ….
    Step(&'static str),
    /// Something that breaks a rule was accepted; named for a counter.
    Leniency(&'static str),
    /// Close the connection after the bytes before this. `None`: properly ended by either side.
    Closed(Option<Error>),
}

/// A protocol's state machine for one connection.
pub trait Session: Send {
    /// Takes one input. After an error the session is dead: `poll` yields what is left to send, then `Closed`.
    ///
    /// # Errors
    /// What the peer did wrong; the same error also comes out as [`Event::Closed`].
    fn handle(&mut self, now: Moment, input: Input<'_>) -> Result<(), Error>;

    /// The next output.
    fn poll(&mut self, now: Moment) -> Output;

    /// Bytes that this session holds for its peer's unfinished messages: for limits and statistics.
    fn buffered_bytes(&self) -> usize;

    /// Name of the protocol for logs and statistics: `rtmp`, `http-flv`, `ws-flv`.
    fn protocol(&self) -> &'static str;
}
