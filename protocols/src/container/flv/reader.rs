//! The byte stream of tags, cut anywhere, into media events: for publishers over HTTP and WebSocket.
//!
//! Lenient: a wrong PreviousTagSize, unknown and encrypted tags are passed over and counted.

use super::demux::Emit;
use super::{TagDemuxer, TagKind, TagLimits};
use crate::{Error, Event};
use bytes::{Bytes, BytesMut};
use media::Timestamp;
use media::time::Unwrap32;

const HEADER_BYTES: usize = 9;
const TAG_HEADER_BYTES: usize = 11;

/// Bounds on what a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlvLimits {
    /// Bytes of one tag.
    pub tag_bytes: usize,
    /// Extra bytes of the file header.
    pub header_bytes: usize,
    /// Bounds inside tags.
    pub tags: TagLimits,
}

impl Default for FlvLimits {
    fn default() -> Self {
        Self { tag_bytes: 8 << 20, header_bytes: 1024, tags: TagLimits::default() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Head {
    number: u8,
    encrypted: bool,
    stamp: u32,
    size: usize,
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    FileHeader,
    /// Extra bytes of the header, to be passed over.
    Skip(usize),
    /// PreviousTagSize (4 bytes) and, at once, the next tag's header.
    TagHeader {
        previous: u32,
    },
    Body(Head),
}

/// See the module.
#[derive(Debug)]
pub struct FlvReader {
    limits: FlvLimits,
    demuxer: TagDemuxer,
    expect: Expect,
    held: BytesMut,
    unwrap: Unwrap32,
}

impl FlvReader {
    /// At the start of the stream.
    pub fn new(limits: FlvLimits) -> Self {
        Self {
            limits,
            demuxer: TagDemuxer::new(limits.tags),
            expect: Expect::FileHeader,
            held: BytesMut::new(),
            unwrap: Unwrap32::default(),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// `malformed` if it is no FLV, `limit` past a bound.
    pub fn push(&mut self, mut bytes: &[u8], emit: Emit<'_>) -> Result<(), Error> {
        loop {
            let need = self.need();
            let missing = need.saturating_sub(self.held.len());
            let (head, tail) = bytes.split_at(missing.min(bytes.len()));
            // Grows with what came, not with what a tag claims.
            self.held.extend_from_slice(head);
            bytes = tail;
            if self.held.len() < need {
                return Ok(());
            }
            let unit = self.held.split().freeze();
            self.step(unit, emit)?;
        }
    }

    /// Bytes held of an unfinished unit.
    pub fn buffered_bytes(&self) -> usize {
        self.held.len()
    }

    const fn need(&self) -> usize {
        match self.expect {
            Expect::FileHeader => HEADER_BYTES,
            Expect::Skip(n) => n,
            Expect::TagHeader { .. } => 4 + TAG_HEADER_BYTES,
            Expect::Body(head) => head.size,
        }
    }

    fn step(&mut self, unit: Bytes, emit: Emit<'_>) -> Result<(), Error> {
        self.expect = match self.expect {
            Expect::FileHeader => self.file_header(&unit)?,
            Expect::Skip(_) => Expect::TagHeader { previous: 0 },
            Expect::TagHeader { previous } => Expect::Body(self.tag_header(&unit, previous, emit)?),
            Expect::Body(head) => {
                self.body(head, unit, emit)?;
                let size = head.size.saturating_add(TAG_HEADER_BYTES);
                Expect::TagHeader { previous: u32::try_from(size).unwrap_or(u32::MAX) }
            }
        };
        // A tag without a body is complete with its header.
        if let Expect::Body(head) = self.expect
            && head.size == 0
        {
            return self.step(Bytes::new(), emit);
        }
        Ok(())
    }

    fn file_header(&self, unit: &[u8]) -> Result<Expect, Error> {
        let [b'F', b'L', b'V', version, _, offset @ ..] = unit else {
            return Err(Error::malformed("not FLV"));
        };
        if *version != 1 {
            return Err(Error::unsupported("FLV version"));
        }
        let offset = u32::from_be_bytes(offset.try_into().map_err(|_| Error::malformed("FLV header"))?);
        let extra = usize::try_from(offset).ok().and_then(|offset| offset.checked_sub(HEADER_BYTES));
        match extra {
            None => Err(Error::malformed("FLV header length")),
            Some(0) => Ok(Expect::TagHeader { previous: 0 }),
            Some(extra) if extra > self.limits.header_bytes => Err(Error::limit("FLV header too long")),
            Some(extra) => Ok(Expect::Skip(extra)),
        }
    }

    fn tag_header(&self, unit: &[u8], previous: u32, emit: Emit<'_>) -> Result<Head, Error> {
        let [p0, p1, p2, p3, kind, s0, s1, s2, t1, t2, t3, t0, ..] = *unit else {
            return Err(Error::malformed("tag header"));
        };
        if u32::from_be_bytes([p0, p1, p2, p3]) != previous {
            emit(Event::Leniency("wrong PreviousTagSize"));
        }
        let size = usize::try_from(u32::from_be_bytes([0, s0, s1, s2])).unwrap_or(usize::MAX);
        if size > self.limits.tag_bytes {
            return Err(Error::limit("tag too large"));
        }
        Ok(Head {
            number: kind & 0x1f,
            encrypted: kind & 0x20 != 0,
            stamp: u32::from_be_bytes([t0, t1, t2, t3]),
            size,
        })
    }

    fn body(&mut self, head: Head, body: Bytes, emit: Emit<'_>) -> Result<(), Error> {
        if head.encrypted {
            emit(Event::Leniency("encrypted tag"));
            return Ok(());
        }
        let (kind, body) = match TagKind::from_number(head.number) {
            Some(kind) => (kind, body),
            // AMF3 data: one format byte, then AMF0 values.
            None if head.number == 15 => (TagKind::Script, body.slice(body.len().min(1)..)),
            None => {
                emit(Event::Leniency("unknown tag"));
                return Ok(());
            }
        };
        // Script tags are often stamped 0 in the middle of a stream: they must not move the others.
        let ms = if kind == TagKind::Script {
            self.unwrap.clone().unwrap(head.stamp)
        } else {
            self.unwrap.unwrap(head.stamp)
        };
        self.demuxer.tag(kind, Timestamp::from_millis(ms), body, emit)
    }
}
