//! What lies between a connection and FLV's byte stream: the head of an HTTP answer, then nothing, chunks (RFC 9112
//! clause 7.1) or WebSocket frames (RFC 6455 clause 5.2). Payload is handed on as slices of what was read.

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 8192;

/// What comes next.
#[derive(Debug)]
pub enum Carrier {
    /// The head of the answer, so far.
    Head {
        /// What came of it.
        bytes: Vec<u8>,
        /// Whether 101 is wanted rather than 200.
        upgrade: bool,
    },
    /// The body is the stream.
    Plain,
    /// Chunks.
    Chunked(Chunk),
    /// WebSocket frames.
    Frames(Frame),
}

/// Place in a chunk.
#[derive(Debug)]
pub enum Chunk {
    /// In the line with its size; `true` once an extension began.
    Size(u64, bool),
    /// In its payload; what is left of it.
    Payload(u64),
    /// Before the line end behind the payload: bytes of it still to come.
    End(u8),
}

/// Place in a frame.
#[derive(Debug, Default)]
pub struct Frame {
    header: [u8; 10],
    have: u8,
    left: u64,
    control: bool,
}

/// What was found in front of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Payload.
    Payload(&'a [u8]),
    /// Something else was passed over.
    Passed,
    /// A ping: answer it.
    Ping,
}

impl Carrier {
    /// Before an answer.
    pub const fn new(upgrade: bool) -> Self {
        Self::Head { bytes: Vec::new(), upgrade }
    }

    /// Takes the next part off `bytes`, which must not be empty.
    ///
    /// # Errors
    /// What the server answered instead, or what breaks the framing.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Part<'a>, String> {
        match self {
            Self::Head { bytes: held, upgrade } => {
                let upgrade = *upgrade;
                let Some(chunked) = head(held, upgrade, bytes)? else { return Ok(Part::Passed) };
                *self = match (upgrade, chunked) {
                    (true, _) => Self::Frames(Frame::default()),
                    (false, true) => Self::Chunked(Chunk::Size(0, false)),
                    (false, false) => Self::Plain,
                };
                Ok(Part::Passed)
            }
            Self::Plain => Ok(Part::Payload(std::mem::take(bytes))),
            Self::Chunked(chunk) => chunk.next(bytes),
            Self::Frames(frame) => frame.next(bytes),
        }
    }
}

/// Takes a head; once it is whole, whether what follows is chunked.
fn head(held: &mut Vec<u8>, upgrade: bool, bytes: &mut &[u8]) -> Result<Option<bool>, String> {
    while let Some((byte, rest)) = bytes.split_first() {
        held.push(*byte);
        *bytes = rest;
        if held.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8_lossy(held).to_ascii_lowercase();
            let status = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
            if status != if upgrade { "101" } else { "200" } {
                return Err(format!("answered {status}"));
            }
            let chunked = text.lines().any(|l| l.starts_with("transfer-encoding:") && l.contains("chunked"));
            return Ok(Some(chunked));
        }
        if held.len() > MAX_HEAD {
            return Err("head of the answer too long".into());
        }
    }
    Ok(None)
}

fn split<'a>(bytes: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let most = usize::try_from(*left).unwrap_or(usize::MAX);
    let (part, rest) = bytes.split_at_checked(most).unwrap_or((*bytes, &[]));
    *left -= part.len() as u64;
    *bytes = rest;
    part
}

impl Chunk {
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Part<'a>, String> {
        if let Self::Payload(left) = self {
            let part = split(bytes, left);
            if *left == 0 {
                *self = Self::End(2);
            }
            return Ok(Part::Payload(part));
        }
        let Some((byte, rest)) = bytes.split_first() else { return Ok(Part::Passed) };
        *bytes = rest;
        match (&mut *self, *byte) {
            (Self::End(2), b'\r') => *self = Self::End(1),
            (Self::End(1), b'\n') => *self = Self::Size(0, false),
            (Self::Size(0, _), b'\n') => return Err("the body ended".into()),
            (Self::Size(size, _), b'\n') => *self = Self::Payload(*size),
            (Self::Size(_, _), b'\r') => {}
            (Self::Size(_, extension), b';') => *extension = true,
            (Self::Size(_, true), _) => {}
            (Self::Size(size, _), digit) => {
                let Some(value) = char::from(digit).to_digit(16) else { return Err("no chunk size".into()) };
                *size = size.checked_mul(16).ok_or("chunk size")? + u64::from(value);
            }
            _ => return Err("chunk without its end".into()),
        }
        Ok(Part::Passed)
    }
}

impl Frame {
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Part<'a>, String> {
        if self.left > 0 {
            let part = split(bytes, &mut self.left);
            return Ok(if self.control { Part::Passed } else { Part::Payload(part) });
        }
        let Some((byte, rest)) = bytes.split_first() else { return Ok(Part::Passed) };
        *bytes = rest;
        if let Some(room) = self.header.get_mut(usize::from(self.have)) {
            *room = *byte;
        }
        self.have += 1;
        let [first, second, a, b, c, d, e, f, g, h] = self.header;
        let (size, left) = match second & 0x7f {
            127 => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            126 => (4, u64::from(u16::from_be_bytes([a, b]))),
            short => (2, u64::from(short)),
        };
        if self.have < 2 || self.have < size {
            return Ok(Part::Passed);
        }
        if second & 0x80 != 0 {
            return Err("masked frame from a server".into());
        }
        (self.have, self.left) = (0, left);
        self.control = first & 0x08 != 0;
        match first & 0x0f {
            8 => Err("closed by a WebSocket frame".into()),
            9 => Ok(Part::Ping),
            _ => Ok(Part::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(upgrade: bool, wire: &[u8], piece: usize) -> Result<Vec<u8>, String> {
        let mut carrier = Carrier::new(upgrade);
        let mut all = Vec::new();
        for mut bytes in wire.chunks(piece) {
            while !bytes.is_empty() {
                if let Part::Payload(part) = carrier.next(&mut bytes)? {
                    all.extend_from_slice(part);
                }
            }
        }
        Ok(all)
    }

    #[test]
    fn payload_comes_out_of_every_framing_cut_anywhere() {
        let plain = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nabcdef".to_vec();
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0002\r\nab\r\n4;x=y\r\ncdef\r\n".to_vec();
        let mut frames =
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x02ab\x89\x03xyz\x82\x7e\x00\x01c".to_vec();
        frames.extend(b"\x82\x7f\0\0\0\0\0\0\0\x03def");
        for (upgrade, wire) in [(false, plain), (false, chunked), (true, frames)] {
            for piece in 1..=wire.len() {
                assert_eq!(payload(upgrade, &wire, piece).unwrap(), b"abcdef", "pieces of {piece}");
            }
        }
    }

    #[test]
    fn refusals_and_ends_are_told() {
        for (upgrade, wire, what) in [
            (false, &b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "answered 404"),
            (true, b"HTTP/1.1 200 OK\r\n\r\n", "answered 200"),
            (false, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "the body ended"),
            (false, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab", "chunk without its end"),
            (true, b"HTTP/1.1 101 x\r\n\r\n\x88\x00", "closed by a WebSocket frame"),
        ] {
            assert_eq!(payload(upgrade, wire, 3).unwrap_err(), what);
        }
    }
}
