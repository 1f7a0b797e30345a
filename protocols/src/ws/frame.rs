//! Frames: the incremental reader for either side, masks, and the writers of headers. RFC 6455, section 5.
//!
//! Invariants: the reader holds one header and one control frame's payload at most (125 bytes), whatever comes; payload
//! of data frames is handed on as slices of the input, whole messages are never assembled.

use crate::Error;
use crate::http::cut;

/// Close codes of RFC 6455, 7.4.1, as far as they are sent from here.
pub mod close_codes {
    /// The purpose is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server goes down.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// A kind of data that is not taken here.
    pub const UNSUPPORTED: u16 = 1003;
    /// Data that does not fit its type.
    pub const INVALID_DATA: u16 = 1007;
    /// A rule of this server.
    pub const POLICY: u16 = 1008;
    /// More than is taken here.
    pub const TOO_BIG: u16 = 1009;
    /// Not now.
    pub const TRY_AGAIN_LATER: u16 = 1013;
}

/// Longest payload of a control frame, in bytes.
pub const MAX_CONTROL_BYTES: usize = 125;
/// Longest header: two bytes, eight of length, four of mask.
const MAX_HEADER_BYTES: usize = 14;

/// Bounds on what a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Payload of one frame, in bytes. Costs no memory; more than any publisher puts into one frame.
    pub frame_bytes: u64,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { frame_bytes: 16 << 20 }
    }
}

/// Which side of the connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server: frames that come must be masked.
    Accepting,
    /// The one that connected: frames that come must not be masked.
    Connecting,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the RFC's own
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    const fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A masking key, turned to the place where it is to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask([u8; 4]);

impl Mask {
    /// Changes nothing.
    pub const NONE: Self = Self([0; 4]);

    /// At the start of a payload.
    pub const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Masks or unmasks in place, eight bytes at a time.
    pub fn apply(self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, tail) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip(self.0.into_iter().cycle()) {
            *byte ^= key;
        }
    }

    /// For what stands `bytes` further on.
    const fn turned(self, bytes: usize) -> Self {
        let [a, b, c, d] = self.0;
        Self(match bytes % 4 {
            0 => [a, b, c, d],
            1 => [b, c, d, a],
            2 => [c, d, a, b],
            _ => [d, a, b, c],
        })
    }
}

/// Payload of a control frame.
#[derive(Clone, Copy)]
pub struct Control {
    bytes: [u8; MAX_CONTROL_BYTES],
    len: u8,
}

impl Control {
    const EMPTY: Self = Self { bytes: [0; MAX_CONTROL_BYTES], len: 0 };

    /// The payload, unmasked.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn extend(&mut self, bytes: &[u8], mask: Mask) {
        let start = usize::from(self.len);
        let Some(room) = self.bytes.get_mut(start..start.saturating_add(bytes.len())) else { return };
        room.copy_from_slice(bytes);
        mask.apply(room);
        self.len = self.len.saturating_add(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.payload().fmt(f)
    }
}

/// What came next.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Some payload of a data message, never empty.
    Data {
        /// Of a text message; otherwise of a binary one.
        text: bool,
        /// As it came: to be copied, then unmasked.
        masked: &'a [u8],
        /// Its mask.
        mask: Mask,
    },
    /// Answer with a pong of the same payload.
    Ping(Control),
    /// An answer to a ping, or a sign of life.
    Pong(Control),
    /// The peer ends the connection, with its code if it gave one. Nothing is read after it.
    Close(Option<u16>),
}

/// What the peer did wrong, and the code to close with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WsError {
    /// One of [`close_codes`].
    pub code: u16,
    /// What is wrong.
    pub error: Error,
}

impl WsError {
    const fn protocol(what: &'static str) -> Self {
        Self { code: close_codes::PROTOCOL_ERROR, error: Error::malformed(what) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Payload {
    opcode: Opcode,
    left: u64,
    mask: Mask,
}

/// Reads frames cut anywhere.
#[derive(Clone, Debug)]
pub struct FrameReader {
    side: Side,
    limits: FrameLimits,
    header: [u8; MAX_HEADER_BYTES],
    header_len: u8,
    payload: Option<Payload>,
    /// Kind of the message whose last frame is still to come: text or binary.
    message: Option<Opcode>,
    control: Control,
    closed: bool,
    long_lengths: bool,
}

impl FrameReader {
    /// For the side that reads.
    pub const fn new(side: Side, limits: FrameLimits) -> Self {
        Self {
            side,
            limits,
            header: [0; MAX_HEADER_BYTES],
            header_len: 0,
            payload: None,
            message: None,
            control: Control::EMPTY,
            closed: false,
            long_lengths: false,
        }
    }

    /// Takes the next step on `input`, which it moves forward. `None`: all of it is used up.
    ///
    /// # Errors
    /// [`WsError`] with the close code to answer; the place in the stream is lost then.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, WsError> {
        if self.closed {
            *input = &[];
        }
        loop {
            let Some(payload) = self.payload else {
                if !self.read_header(input)? {
                    return Ok(None);
                }
                continue;
            };
            let n = usize::try_from(payload.left).unwrap_or(usize::MAX).min(input.len());
            let (bytes, rest) = input.split_at(n);
            *input = rest;
            let left = payload.left.saturating_sub(u64::try_from(n).unwrap_or(u64::MAX));
            self.payload = (left > 0).then_some(Payload { left, mask: payload.mask.turned(n), ..payload });
            if payload.opcode.is_control() {
                self.control.extend(bytes, payload.mask);
                if left > 0 {
                    return Ok(None);
                }
                return self.control_frame(payload.opcode).map(Some);
            }
            if n > 0 {
                let text = payload.opcode == Opcode::Text;
                return Ok(Some(Piece::Data { text, masked: bytes, mask: payload.mask }));
            }
            if left > 0 {
                return Ok(None);
            }
        }
    }

    /// Whether a length was written in more bytes than it needs since this was asked last: against the RFC, and
    /// harmless.
    pub const fn take_long_lengths(&mut self) -> bool {
        std::mem::replace(&mut self.long_lengths, false)
    }

    /// Whether the reader stands between two messages.
    pub const fn is_between_messages(&self) -> bool {
        self.payload.is_none() && self.message.is_none() && self.header_len == 0
    }

    /// Reads what is missing of a header. Whether it is complete; `payload` is set then.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, WsError> {
        loop {
            let have = usize::from(self.header_len);
            let need = self.header_bytes();
            if have == need && need > 1 {
                self.header_len = 0;
                self.payload = Some(self.open_frame()?);
                return Ok(true);
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(false) };
            *input = rest;
            if let Some(slot) = self.header.get_mut(have) {
                *slot = *byte;
            }
            self.header_len = self.header_len.saturating_add(1);
            if self.header_len == 2 {
                self.check_start()?;
            }
        }
    }

    /// As far as can be told from what is there.
    const fn header_bytes(&self) -> usize {
        if self.header_len < 2 {
            return 2;
        }
        let [_, second, ..] = self.header;
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    /// What the first two bytes tell.
    fn check_start(&self) -> Result<(), WsError> {
        let [first, second, ..] = self.header;
        let Some(opcode) = Opcode::of(first & 0x0f) else {
            return Err(WsError::protocol("reserved opcode"));
        };
        if first & 0x70 != 0 {
            return Err(WsError::protocol("reserved bit of a frame"));
        }
        match (self.side, second & 0x80 != 0) {
            (Side::Accepting, false) => return Err(WsError::protocol("frame without mask")),
            (Side::Connecting, true) => return Err(WsError::protocol("masked frame from a server")),
            _ => {}
        }
        let last = first & 0x80 != 0;
        if opcode.is_control() && (!last || second & 0x7f > 125) {
            return Err(WsError::protocol("control frame too long or fragmented"));
        }
        match opcode {
            Opcode::Continuation if self.message.is_none() => {
                Err(WsError::protocol("continuation of nothing"))
            }
            Opcode::Text | Opcode::Binary if self.message.is_some() => {
                Err(WsError::protocol("new message inside a message"))
            }
            _ => Ok(()),
        }
    }

    /// From a complete header.
    fn open_frame(&mut self) -> Result<Payload, WsError> {
        let [first, second, l0, l1, l2, l3, l4, l5, l6, l7, ..] = self.header;
        let (left, least, mask_at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([l0, l1])), 126, 4),
            127 => (u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]), 0x1_0000, 10),
            short => (u64::from(short), 0, 2),
        };
        if left > i64::MAX as u64 {
            return Err(WsError::protocol("frame length past 63 bits"));
        }
        if left > self.limits.frame_bytes {
            return Err(WsError { code: close_codes::TOO_BIG, error: Error::limit("frame too long") });
        }
        self.long_lengths |= left < least;
        let key = self.header.get(mask_at..).and_then(<[u8]>::first_chunk::<4>);
        let mask = if second & 0x80 == 0 { Mask::NONE } else { key.copied().map_or(Mask::NONE, Mask::new) };
        let opcode = Opcode::of(first & 0x0f).ok_or(WsError::protocol("reserved opcode"))?;
        if opcode.is_control() {
            self.control = Control::EMPTY;
            return Ok(Payload { opcode, left, mask });
        }
        let kind = self.message.unwrap_or(opcode);
        self.message = (first & 0x80 == 0).then_some(kind);
        Ok(Payload { opcode: kind, left, mask })
    }

    fn control_frame(&mut self, opcode: Opcode) -> Result<Piece<'static>, WsError> {
        match opcode {
            Opcode::Ping => return Ok(Piece::Ping(self.control)),
            Opcode::Pong => return Ok(Piece::Pong(self.control)),
            _ => {}
        }
        self.closed = true;
        match self.control.payload() {
            [] => Ok(Piece::Close(None)),
            [high, low, ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                    Ok(Piece::Close(Some(code)))
                } else {
                    Err(WsError::protocol("close code"))
                }
            }
            [_] => Err(WsError::protocol("half a close code")),
        }
    }
}

/// Appends a frame's header, 2 to 14 bytes: the shortest length there is, and the mask if the connecting side
/// writes.
pub fn write_header(out: &mut Vec<u8>, opcode: Opcode, last: bool, len: u64, mask: Option<[u8; 4]>) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.push(opcode as u8 | if last { 0x80 } else { 0 });
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => out.push(masked | short),
        (_, Ok(long)) => {
            out.push(masked | 126);
            out.extend_from_slice(&long.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |key| &key[..]));
}

/// Appends one whole frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, last: bool, payload: &[u8], mask: Option<[u8; 4]>) {
    write_header(out, opcode, last, u64::try_from(payload.len()).unwrap_or(u64::MAX), mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some((key, payload)) = mask.zip(out.get_mut(start..)) {
        Mask::new(key).apply(payload);
    }
}

/// Appends a close frame; a reason past the bound of control frames is cut.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str, mask: Option<[u8; 4]>) {
    let reason = cut(reason, MAX_CONTROL_BYTES - 2);
    let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
    write_frame(out, Opcode::Close, true, &payload, mask);
}

#[cfg(test)]
mod tests;
