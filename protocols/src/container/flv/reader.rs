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
        // A keyframe of 4K video takes a megabyte or two; no writer is known that adds to the header.
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
    /// Extra bytes of the header that are still to be passed over.
    Skip(usize),
    /// PreviousTagSize (4 bytes) and, at once, the next tag's header.
    TagHeader {
        previous: u32,
    },
    Body(Head),
}

/// Room made at once for a tag that is announced. Larger ones grow with what comes: a claim alone costs nothing.
const ROOM_BYTES: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub struct FlvReader {
    limits: FlvLimits,
    demuxer: TagDemuxer,
    expect: Expect,
    /// An unfinished header.
    header: Vec<u8>,
    /// An unfinished body.
    body: BytesMut,
    unwrap: Unwrap32,
}

impl FlvReader {
    /// At the start of the stream.
    pub fn new(limits: FlvLimits) -> Self {
        Self {
            limits,
            demuxer: TagDemuxer::new(limits.tags),
            expect: Expect::FileHeader,
            header: Vec::with_capacity(4 + TAG_HEADER_BYTES),
            body: BytesMut::new(),
            unwrap: Unwrap32::default(),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// `malformed` if it is no FLV, `limit` past a bound.
    pub fn push(&mut self, mut bytes: &[u8], emit: Emit<'_>) -> Result<(), Error> {
        loop {
            let taken = match self.expect {
                Expect::FileHeader => self.take_header(HEADER_BYTES, bytes),
                Expect::TagHeader { .. } => self.take_header(4 + TAG_HEADER_BYTES, bytes),
                Expect::Skip(left) => left.min(bytes.len()),
                Expect::Body(tag) => {
                    let missing = tag.size.saturating_sub(self.body.len());
                    let part = bytes.get(..missing).unwrap_or(bytes);
                    self.body.extend_from_slice(part);
                    part.len()
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
            if !self.step(taken, emit)? {
                return Ok(());
            }
        }
    }

    /// Bytes held of an unfinished unit.
    pub fn buffered_bytes(&self) -> usize {
        self.header.len() + self.body.len()
    }

    /// Adds to a header up to its size; gives how many bytes that took.
    fn take_header(&mut self, size: usize, bytes: &[u8]) -> usize {
        let part = bytes.get(..size.saturating_sub(self.header.len())).unwrap_or(bytes);
        self.header.extend_from_slice(part);
        part.len()
    }

    /// Goes on to what comes next if what was expected is complete; whether it is.
    fn step(&mut self, taken: usize, emit: Emit<'_>) -> Result<bool, Error> {
        let next = match self.expect {
            Expect::FileHeader if self.header.len() == HEADER_BYTES => self.file_header(&self.header)?,
            Expect::Skip(left) if left > taken => {
                self.expect = Expect::Skip(left - taken);
                return Ok(false);
            }
            Expect::Skip(_) => Expect::TagHeader { previous: 0 },
            Expect::TagHeader { previous } if self.header.len() == 4 + TAG_HEADER_BYTES => {
                let tag = self.tag_header(&self.header, previous, emit)?;
                self.body.reserve(tag.size.min(ROOM_BYTES));
                Expect::Body(tag)
            }
            Expect::Body(tag) if self.body.len() == tag.size => {
                let body = std::mem::take(&mut self.body).freeze();
                self.tag(tag, body, emit)?;
                let size = tag.size.saturating_add(TAG_HEADER_BYTES);
                Expect::TagHeader { previous: u32::try_from(size).unwrap_or(u32::MAX) }
            }
            _ => return Ok(false),
        };
        self.header.clear();
        self.expect = next;
        Ok(true)
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

    fn tag(&mut self, head: Head, body: Bytes, emit: Emit<'_>) -> Result<(), Error> {
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
            { self.unwrap }.unwrap(head.stamp)
        } else {
            self.unwrap.unwrap(head.stamp)
        };
        self.demuxer.tag(kind, Timestamp::from_millis(ms), body, emit)
    }
}
