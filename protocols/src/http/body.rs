//! The incremental decoder of message bodies: by length, in chunks, until the end of the connection.
//!
//! It holds no payload: what it is given comes back as slices of the same bytes. Chunked coding is RFC 9112, 7.1;
//! extensions and trailers are passed over within bounds. Lines end in CR LF and nothing else.

use super::BodyFraming;
use crate::Error;

/// Bounds of the chunked coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Line with a chunk's size and extensions, in bytes: no known sender writes extensions.
    pub chunk_line_bytes: u32,
    /// All trailer lines, in bytes: as much as a small head.
    pub trailer_bytes: u32,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { chunk_line_bytes: 256, trailer_bytes: 4096 }
    }
}

/// What came next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStep<'a> {
    /// Payload, never empty.
    Data(&'a [u8]),
    /// All input is used up; the body goes on.
    More,
    /// The body is complete; the input that is left belongs to what follows.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of a body with a length.
    Plain(u64),
    UntilEof,
    /// In a chunk's size: value, digits so far.
    Size(u64, u8),
    /// Behind the size, before the end of the line.
    Extension(u64),
    /// The line's CR was there.
    SizeLf(u64),
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    /// At the start of a trailer line.
    TrailerStart,
    TrailerLine,
    TrailerLf,
    /// The CR of the last, empty line was there.
    LastLf,
    Done,
}

/// Decodes one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyDecoder {
    state: State,
    limits: BodyLimits,
    /// Bytes of the line or of all trailers, against the limit.
    counted: u32,
}

impl BodyDecoder {
    /// For a body of this framing.
    pub const fn new(framing: BodyFraming, limits: BodyLimits) -> Self {
        let state = match framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(n) => State::Plain(n),
            BodyFraming::Chunked => State::Size(0, 0),
            BodyFraming::UntilEof => State::UntilEof,
        };
        Self { state, limits, counted: 0 }
    }

    /// Takes the next step on `input`, which it moves forward. Call it until it answers `More` or `End`.
    ///
    /// # Errors
    /// `malformed` or `limit`; the place in the stream is lost then.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<BodyStep<'a>, Error> {
        loop {
            match self.state {
                State::Done => return Ok(BodyStep::End),
                _ if input.is_empty() => return Ok(BodyStep::More),
                State::UntilEof => return Ok(BodyStep::Data(std::mem::take(input))),
                State::Plain(left) => {
                    let (data, left) = take(input, left);
                    self.state = if left == 0 { State::Done } else { State::Plain(left) };
                    return Ok(BodyStep::Data(data));
                }
                State::Chunk(left) => {
                    let (data, left) = take(input, left);
                    self.state = if left == 0 { State::ChunkCr } else { State::Chunk(left) };
                    return Ok(BodyStep::Data(data));
                }
                _ => {
                    let Some((byte, rest)) = input.split_first() else { return Ok(BodyStep::More) };
                    *input = rest;
                    self.state = self.framing_byte(*byte)?;
                }
            }
        }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the end of the connection is a proper end of the body.
    pub fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilEof)
    }

    fn framing_byte(&mut self, byte: u8) -> Result<State, Error> {
        self.count()?;
        Ok(match (self.state, byte) {
            (State::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let Some(size) = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)))
                else {
                    return Err(Error::limit("chunk size"));
                };
                State::Size(size, digits.saturating_add(1))
            }
            (State::Size(_, 0), _) => return Err(Error::malformed("chunk size is no number")),
            (State::Size(size, _) | State::Extension(size), b'\r') => State::SizeLf(size),
            (State::Size(size, _), b';' | b' ' | b'\t') => State::Extension(size),
            (State::Extension(size), b' '..=b'~' | b'\t' | 0x80..) => State::Extension(size),
            (State::SizeLf(size), b'\n') => {
                self.counted = 0;
                if size == 0 { State::TrailerStart } else { State::Chunk(size) }
            }
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkLf, b'\n') => {
                self.counted = 0;
                State::Size(0, 0)
            }
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerLine, b'\r') => State::TrailerLf,
            (State::TrailerStart | State::TrailerLine, b' '..=b'~' | b'\t' | 0x80..) => State::TrailerLine,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Done,
            (State::ChunkCr | State::ChunkLf, _) => {
                return Err(Error::malformed("chunk longer than its size"));
            }
            _ => return Err(Error::malformed("line of the chunked coding")),
        })
    }

    fn count(&mut self) -> Result<(), Error> {
        self.counted = self.counted.saturating_add(1);
        let trailers =
            matches!(self.state, State::TrailerStart | State::TrailerLine | State::TrailerLf | State::LastLf);
        if trailers && self.counted > self.limits.trailer_bytes {
            return Err(Error::limit("trailers"));
        }
        if !trailers && self.counted > self.limits.chunk_line_bytes {
            return Err(Error::limit("chunk extensions"));
        }
        Ok(())
    }
}

/// Up to `left` bytes of the input, and how many are left of `left` then.
fn take<'a>(input: &mut &'a [u8], left: u64) -> (&'a [u8], u64) {
    let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    let (data, rest) = input.split_at(n);
    *input = rest;
    (data, left.saturating_sub(u64::try_from(n).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payload, whether it ended, bytes left over; by pieces of a size.
    fn decode(framing: BodyFraming, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, bool, usize), Error> {
        let mut decoder = BodyDecoder::new(framing, BodyLimits::default());
        let (mut out, mut used) = (Vec::new(), 0);
        for part in bytes.chunks(piece) {
            let mut input = part;
            loop {
                match decoder.step(&mut input)? {
                    BodyStep::Data(data) => out.extend_from_slice(data),
                    BodyStep::More => break,
                    BodyStep::End => return Ok((out, true, bytes.len() - used - (part.len() - input.len()))),
                }
            }
            used += part.len();
        }
        Ok((out, decoder.is_done(), 0))
    }

    #[test]
    fn every_framing_in_pieces_of_every_size() {
        let chunked =
            b"5\r\nhello\r\n006 ; a=b;c=\"d\"\r\n world\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\nNEXT";
        for piece in 1..=chunked.len() {
            let (out, ended, left) = decode(BodyFraming::Chunked, chunked, piece).unwrap();
            assert_eq!((out.as_slice(), ended, left), (&b"hello world0123456789"[..], true, 4), "{piece}");
            let (out, ended, left) = decode(BodyFraming::Length(11), b"hello worldNEXT", piece).unwrap();
            assert_eq!((out.as_slice(), ended, left), (&b"hello world"[..], true, 4), "{piece}");
            let (out, ended, _) = decode(BodyFraming::UntilEof, b"hello", piece).unwrap();
            assert_eq!((out.as_slice(), ended), (&b"hello"[..], false));
            let (out, ended, left) = decode(BodyFraming::Length(0), b"NEXT", piece).unwrap();
            assert_eq!((out.len(), ended, left), (0, true, 4));
        }
        let (out, ended, _) = decode(BodyFraming::Length(u64::MAX), b"hello", 2).unwrap();
        assert_eq!((out.as_slice(), ended), (&b"hello"[..], false));
    }

    #[test]
    fn chunked_codings_that_could_be_read_in_two_ways_are_refused() {
        for bytes in [
            &b"\r\n"[..],
            b"5\nhello",
            b" 5\r\nhello\r\n",
            b"-5\r\n",
            b"+5\r\n",
            b"0x5\r\n",
            b"g\r\n",
            b"5\rhello",
            b"5\r\nhello!",
            b"5\r\nhello\n",
            b"5\r\nhello\rx",
            b"10000000000000000\r\n",
            b"5;a\nb\r\n",
            b"5;\0\r\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\n\rX",
        ] {
            assert!(decode(BodyFraming::Chunked, bytes, 1).is_err(), "{}", String::from_utf8_lossy(bytes));
            assert!(decode(BodyFraming::Chunked, bytes, 100).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(decode(BodyFraming::Chunked, b"ffffffffffffffff\r\nabc", 1).is_ok());
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let endless = |start: &str| {
            decode(BodyFraming::Chunked, format!("{start}{}", "a".repeat(10_000)).as_bytes(), 7)
        };
        assert_eq!(endless("5;").unwrap_err(), Error::limit("chunk extensions"));
        assert_eq!(endless("0\r\n").unwrap_err(), Error::limit("trailers"));
        let zeros = "0".repeat(10_000);
        assert_eq!(
            decode(BodyFraming::Chunked, zeros.as_bytes(), 9).unwrap_err(),
            Error::limit("chunk extensions")
        );
        // Many small chunks are no extensions.
        let many = "1;x\r\na\r\n".repeat(10_000);
        assert_eq!(decode(BodyFraming::Chunked, many.as_bytes(), 11).unwrap().0.len(), 10_000);
    }

    proptest::proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in "[0-9a-f;\r\n x]{0,60}", piece in 1_usize..20) {
            let whole = decode(BodyFraming::Chunked, bytes.as_bytes(), 1000);
            proptest::prop_assert_eq!(whole, decode(BodyFraming::Chunked, bytes.as_bytes(), piece));
        }
    }
}
