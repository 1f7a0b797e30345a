//! Whole sessions: a peer that says anything, a server or client that stays bounded and ends properly.

use crate::cut;
use crate::readers::told;
use media::{Moment, Refusal, StopReason, StreamKey};
use protocols::http::{HeadLimits, RequestReader};
use protocols::httpflv::HttpFlvSession;
use protocols::rtmp::handshake::HandshakeForm;
use protocols::rtmp::{Dial, PlayerSession, PublisherSession, ServerSession, Wanted};
use protocols::{Event, Input, Output, Session, Verdict};
use std::sync::Arc;

/// More outputs than an input of a few kilobytes can ask for.
const MAX_OUTPUTS: usize = 100_000;
/// Bytes that are sent back for an input of a few kilobytes: a few answers to each command.
const MAX_SENT: usize = 8 << 20;
/// All that a session may hold: the limits of its parts, with their defaults.
const MAX_HELD: usize = 13 << 20;

/// What a target decides from its first byte.
#[derive(Clone, Copy)]
struct Plan {
    verdict: Verdict,
    stop: bool,
}

struct Driven<'a> {
    session: &'a mut dyn Session,
    plan: Plan,
    now: Moment,
    seen: Vec<String>,
    sent: usize,
    closed: bool,
}

impl Driven<'_> {
    fn input(&mut self, input: Input<'_>) {
        if self.closed {
            return;
        }
        self.now = Moment(self.now.0 + 1000);
        let failed = self.session.handle(self.now, input).is_err();
        self.drain();
        assert!(self.session.buffered_bytes() <= MAX_HELD, "holds too much");
        assert!(!failed || self.closed, "an error ends the session");
    }

    fn drain(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            match self.session.poll(self.now) {
                Output::Wait(_) => return,
                Output::Bytes(bytes) => {
                    assert!(!bytes.is_empty());
                    self.sent += bytes.len();
                    assert!(self.sent <= MAX_SENT, "sends too much");
                }
                Output::Event(event) => self.event(&event),
            }
        }
        panic!("never waits");
    }

    fn event(&mut self, event: &Event) {
        assert!(!self.closed, "something after the end: {}", told(event));
        match event {
            // Repeated ones may be told once.
            Event::Leniency(_) => return,
            Event::Closed(_) => self.closed = true,
            _ => {}
        }
        self.seen.push(told(event));
        if matches!(event, Event::Publish(_) | Event::Play(_)) {
            let _ = self.session.handle(self.now, Input::Verdict(self.plan.verdict));
        }
    }
}

/// Drives a session with the bytes cut this way, then ends it; what it said.
fn drive(session: &mut dyn Session, pieces: &[&[u8]], plan: Plan) -> Vec<String> {
    let mut driven = Driven { session, plan, now: Moment(0), seen: Vec::new(), sent: 0, closed: false };
    driven.drain();
    for piece in pieces {
        driven.input(Input::Bytes(piece));
    }
    driven.input(Input::Tick);
    driven.input(if plan.stop { Input::Stop(StopReason::ShuttingDown) } else { Input::Eof });
    driven.seen
}

fn plan(control: u8) -> Plan {
    let verdict = match control >> 4 & 7 {
        0 => Verdict::Refuse(Refusal::NotFound),
        1 => Verdict::Refuse(Refusal::AlreadyPublishing),
        _ => Verdict::Allow,
    };
    Plan { verdict, stop: control & 0x80 != 0 }
}

/// A peer of the RTMP server. Most inputs begin behind the handshake.
pub fn rtmp_server(data: &[u8]) {
    let Some((control, data)) = data.split_first() else { return };
    let mut stream = if control & 1 == 0 { shaken(false) } else { Vec::new() };
    stream.extend_from_slice(data);
    let run = |pieces: &[&[u8]]| {
        let mut session = ServerSession::new(Arc::default(), 7, Moment(0));
        drive(&mut session, pieces, plan(*control))
    };
    assert_eq!(run(&[&stream]), run(&cut(&stream, *control)), "the same however it is cut");
}

/// A server of the RTMP client, in either role.
pub fn rtmp_client(data: &[u8]) {
    let Some((control, data)) = data.split_first() else { return };
    let mut stream = if control & 1 == 0 { shaken(true) } else { Vec::new() };
    stream.extend_from_slice(data);
    let key = StreamKey::parse("live", "fuzz", 255).expect("a good name");
    let run = |pieces: &[&[u8]]| {
        let mut dial = Dial::new("127.0.0.1", key.clone());
        dial.handshake = HandshakeForm::Simple;
        if control & 2 == 0 {
            drive(&mut PublisherSession::new(dial, 7), pieces, plan(*control))
        } else {
            let wanted = Wanted { media: true, tags: false };
            drive(&mut PlayerSession::new(dial, wanted, 7), pieces, plan(*control))
        }
    };
    assert_eq!(run(&[&stream]), run(&cut(&stream, *control)), "the same however it is cut");
}

/// The three packets of one side, in the simple form; the echo is not looked at.
fn shaken(_server: bool) -> Vec<u8> {
    let mut bytes = vec![0; 1 + 1536 + 1536];
    bytes[0] = 3;
    bytes
}

/// A peer of the HTTP server that plays or pushes FLV. Most inputs begin with a whole head.
pub fn httpflv(data: &[u8]) {
    let Some((control, data)) = data.split_first() else { return };
    let head: &[u8] = match control & 7 {
        0 => b"",
        1 => b"GET /live/a.flv HTTP/1.1\r\nHost: h\r\n\r\n",
        2 => b"HEAD /live/a.flv HTTP/1.1\r\nHost: h\r\n\r\n",
        3 => b"POST /live/a.flv HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        4 => b"POST /live/a.flv HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n",
        5 => b"PUT /live/a.flv HTTP/1.0\r\n\r\n",
        6 => {
            b"GET /live/a.flv HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        }
        _ => {
            b"GET /live/a.flv HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Protocol: publisher\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        }
    };
    let stream = [head, data].concat();
    let run = |split: bool| {
        let mut reader = RequestReader::new(HeadLimits::default());
        let Ok(Some((request, behind))) = reader.push(&stream) else { return Vec::new() };
        let whole = [&behind[..]];
        let pieces = if split { cut(&behind, *control) } else { whole.to_vec() };
        let mut session = HttpFlvSession::new(request, bytes::Bytes::new(), Arc::default());
        drive(&mut session, &pieces, plan(*control))
    };
    assert_eq!(run(false), run(true), "the same however it is cut");
}
