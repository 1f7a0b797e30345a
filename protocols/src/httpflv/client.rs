//! The connecting side: requests, and what comes back down to FLV bytes or media events. Serves tests and load tests.
//!
//! No randomness: the nonce and the mask are arguments. [`PlayReader`] takes off the HTTP head, the chunks or the
//! frames; [`PlayEvents`] reads the FLV inside too.

use crate::container::flv::{FlvLimits, FlvReader};
use crate::http::{BodyDecoder, BodyFraming, BodyLimits, BodyStep, RequestHead};
use crate::ws::frame::{write_close, write_frame};
use crate::ws::{FrameLimits, FrameReader, Opcode, Piece, Side, close_codes};
use crate::{Error, Event};
use base64::Engine;
use tungstenite::handshake::derive_accept_key;

/// Longest response head that is read, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most header lines of a response.
const MAX_HEADERS: usize = 64;
/// What this side says it is.
const USER_AGENT: &str = "Shardcast";

/// Head of a request to play.
pub fn play_request(target: &str, host: &str) -> Vec<u8> {
    RequestHead::new("GET", target, host).header("User-Agent", USER_AGENT).header("Accept", "*/*").finish()
}

/// Head of a request to publish; the body follows in chunks ([`write_chunk`]).
pub fn push_request(target: &str, host: &str) -> Vec<u8> {
    RequestHead::new("POST", target, host)
        .header("User-Agent", USER_AGENT)
        .header("Content-Type", "video/x-flv")
        .header("Transfer-Encoding", "chunked")
        .finish()
}

/// Head of a request to become a WebSocket; with protocol `publisher` to publish.
pub fn websocket_request(target: &str, host: &str, nonce: [u8; 16], protocol: Option<&str>) -> Vec<u8> {
    let key = base64::engine::general_purpose::STANDARD.encode(nonce);
    let head = RequestHead::new("GET", target, host)
        .header("User-Agent", USER_AGENT)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", &key);
    match protocol {
        Some(protocol) => head.header("Sec-WebSocket-Protocol", protocol).finish(),
        None => head.finish(),
    }
}

/// Appends one chunk; an empty one would end the body and is left out.
pub fn write_chunk(out: &mut Vec<u8>, payload: &[u8]) {
    if !payload.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", payload.len()).as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the end of a chunked body.
pub fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends one masked binary message.
pub fn write_message(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    write_frame(out, Opcode::Binary, true, payload, Some(mask));
}

/// Appends a masked close frame that ends properly.
pub fn write_goodbye(out: &mut Vec<u8>, mask: [u8; 4]) {
    write_close(out, close_codes::NORMAL, "", Some(mask));
}

/// A response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// How the body is delimited.
    pub body: BodyFraming,
    /// Names and values in order; a value that is no text is replaced.
    pub headers: Vec<(String, String)>,
}

impl Response {
    /// The first value under a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(there, _)| there.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    fn parse(head: &[u8]) -> Result<Self, Error> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut fields);
        if !matches!(parsed.parse(head), Ok(httparse::Status::Complete(_))) {
            return Err(Error::malformed("response head"));
        }
        let owned = |header: &httparse::Header<'_>| {
            (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())
        };
        let headers = parsed.headers.iter().map(owned).collect();
        let mut response =
            Self { status: parsed.code.unwrap_or_default(), body: BodyFraming::UntilEof, headers };
        let length = response.header("content-length").and_then(|value| value.parse().ok());
        response.body = if response.header("transfer-encoding").is_some() {
            BodyFraming::Chunked
        } else if matches!(response.status, 101 | 204 | 304) {
            BodyFraming::None
        } else {
            length.map_or(BodyFraming::UntilEof, BodyFraming::Length)
        };
        Ok(response)
    }
}

/// Reads a response head cut anywhere; interim ones (`100 Continue`) are passed over.
#[derive(Debug, Default)]
pub struct ResponseReader {
    held: Vec<u8>,
}

impl ResponseReader {
    /// Takes bytes, and moves `input` behind what it took. `None`: more are needed.
    ///
    /// # Errors
    /// `malformed` or `limit`.
    pub fn push(&mut self, input: &mut &[u8]) -> Result<Option<Response>, Error> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            self.held.push(*byte);
            if self.held.ends_with(b"\r\n\r\n") {
                let response = Response::parse(&self.held)?;
                self.held.clear();
                if response.status == 101 || response.status >= 200 {
                    return Ok(Some(response));
                }
            }
            if self.held.len() > MAX_HEAD_BYTES {
                return Err(Error::limit("response head too long"));
            }
        }
        Ok(None)
    }
}

enum PlayState {
    Head(ResponseReader),
    Body(BodyDecoder),
    Frames(Box<FrameReader>),
    Ended,
}

/// Reads what a server sends to a viewer, down to FLV bytes.
pub struct PlayReader {
    state: PlayState,
    accept: Option<String>,
    mask: [u8; 4],
    status: Option<u16>,
    close: Option<u16>,
}

impl PlayReader {
    /// After [`play_request`].
    pub fn http() -> Self {
        Self::new(None, [0; 4])
    }

    /// After [`websocket_request`] with the same nonce; `mask` masks the answers to pings.
    pub fn websocket(nonce: [u8; 16], mask: [u8; 4]) -> Self {
        let key = base64::engine::general_purpose::STANDARD.encode(nonce);
        Self::new(Some(derive_accept_key(key.as_bytes())), mask)
    }

    fn new(accept: Option<String>, mask: [u8; 4]) -> Self {
        let state = PlayState::Head(ResponseReader::default());
        Self { state, accept, mask, status: None, close: None }
    }

    /// Takes bytes. FLV bytes go to `take` in pieces (those of an answer other than 200 and 101 do not); what the peer
    /// is to be answered is appended to `reply`.
    ///
    /// # Errors
    /// What the server did wrong, or what `take` says.
    pub fn push(
        &mut self,
        bytes: &[u8],
        reply: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut input = bytes;
        loop {
            let next = match &mut self.state {
                PlayState::Ended => return Ok(()),
                PlayState::Head(reader) => match reader.push(&mut input)? {
                    None => return Ok(()),
                    Some(response) => self.begin(&response)?,
                },
                PlayState::Body(body) => match body.step(&mut input)? {
                    BodyStep::More => return Ok(()),
                    BodyStep::End => PlayState::Ended,
                    BodyStep::Data(data) => {
                        if self.status == Some(200) {
                            take(data)?;
                        }
                        continue;
                    }
                },
                PlayState::Frames(frames) => match frames.step(&mut input).map_err(|e| e.error)? {
                    None => return Ok(()),
                    Some(Piece::Data { text: true, .. }) => {
                        return Err(Error::misbehaved("text message with media"));
                    }
                    Some(Piece::Data { masked, .. }) => {
                        take(masked)?;
                        continue;
                    }
                    Some(Piece::Ping(control)) => {
                        write_frame(reply, Opcode::Pong, true, control.payload(), Some(self.mask));
                        continue;
                    }
                    Some(Piece::Pong(_)) => continue,
                    Some(Piece::Close(code)) => {
                        self.close = code;
                        write_close(reply, code.unwrap_or(close_codes::NORMAL), "", Some(self.mask));
                        PlayState::Ended
                    }
                },
            };
            self.state = next;
        }
    }

    /// Status of the answer, once it is known.
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Code with which the server closed a WebSocket.
    pub const fn close_code(&self) -> Option<u16> {
        self.close
    }

    /// Whether the server said that nothing more comes.
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, PlayState::Ended)
    }

    fn begin(&mut self, response: &Response) -> Result<PlayState, Error> {
        self.status = Some(response.status);
        if response.status != 101 {
            return Ok(PlayState::Body(BodyDecoder::new(response.body, BodyLimits::default())));
        }
        if self.accept.is_none() || response.header("sec-websocket-accept") != self.accept.as_deref() {
            return Err(Error::misbehaved("WebSocket accept key"));
        }
        let limits = FrameLimits { frame_bytes: 64 << 20 };
        Ok(PlayState::Frames(Box::new(FrameReader::new(Side::Connecting, limits))))
    }
}

/// Reads what a server sends to a viewer, down to media events.
pub struct PlayEvents {
    reader: PlayReader,
    flv: FlvReader,
}

impl PlayEvents {
    /// On top of a reader.
    pub fn new(reader: PlayReader) -> Self {
        Self { reader, flv: FlvReader::new(FlvLimits::default()) }
    }

    /// Takes bytes; as [`PlayReader::push`].
    ///
    /// # Errors
    /// What the server did wrong.
    pub fn push(
        &mut self,
        bytes: &[u8],
        reply: &mut Vec<u8>,
        emit: &mut dyn FnMut(Event),
    ) -> Result<(), Error> {
        let flv = &mut self.flv;
        self.reader.push(bytes, reply, &mut |data| flv.push(data, emit))
    }

    /// What stands around the FLV.
    pub const fn reader(&self) -> &PlayReader {
        &self.reader
    }
}
