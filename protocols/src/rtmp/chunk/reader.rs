//! Chunks in, messages out.
//!
//! Bytes come cut anywhere; only an unfinished header is kept besides the unfinished
//! messages. A payload is copied
//! once, from the caller's slice into the message.
//!
//! Accepted against the rules, each counted: type 1 as the first header of a chunk stream (librtmp's ping reply), a
//! new header in the middle of a message (drops what was there), and no extended time on the type 3 chunks in
//! the middle of a message (old librtmp and others): there the four bytes count as time only if they repeat it.

use super::header::{Fields, MAX_HEADER, WireHeader, parse};
use super::lanes::{Lane, Lanes};
use super::{DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, Message};
use crate::Error;
use crate::rtmp::message::kind;

/// What one direction of one connection may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Chunk streams. Encoders use 3 to 6; each costs 56 bytes.
    pub lanes: usize,
    /// Longest audio, video, data or aggregate message, in bytes.
    pub media_bytes: usize,
    /// Longest message of any other type, in bytes.
    pub command_bytes: usize,
    /// All unfinished messages together, in bytes as reserved.
    pub partial_bytes: usize,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { lanes: 64, media_bytes: 8 << 20, command_bytes: 64 << 10, partial_bytes: 12 << 20 }
    }
}

impl ChunkLimits {
    pub(super) const fn message_limit(&self, message_kind: u8) -> usize {
        match message_kind {
            kind::AUDIO | kind::VIDEO | kind::DATA_AMF0 | kind::DATA_AMF3 | kind::AGGREGATE => {
                self.media_bytes
            }
            _ => self.command_bytes,
        }
    }
}

/// What the reader gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole message. Set Chunk Size and Abort have already had their effect.
    Message(Message),
    /// A broken rule that was accepted.
    Leniency(&'static str),
}

/// See the module.
#[derive(Debug)]
pub struct ChunkReader {
    limits: ChunkLimits,
    chunk_size: u32,
    lanes: Lanes,
    current: Option<Current>,
    head: [u8; MAX_HEADER],
    head_len: u8,
}

/// The chunk whose header was read.
#[derive(Clone, Copy, Debug)]
struct Current {
    lane: usize,
    left: u32,
}

/// A header with what the wire adds to it.
struct Parsed {
    header: WireHeader,
    extended: Option<u32>,
    size: usize,
}

impl ChunkReader {
    /// A reader at the start of a chunk stream.
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            lanes: Lanes::default(),
            current: None,
            head: [0; MAX_HEADER],
            head_len: 0,
        }
    }

    /// Takes bytes from `input` up to the end of the next item. `None`: all of `input` was taken.
    ///
    /// # Errors
    /// `misbehaved` for a type 2 or 3 header on a chunk stream that had none before, `malformed` for a chunk size
    /// outside 1 to 2^31 - 1, `limit` for a bound of [`ChunkLimits`].
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Item>, Error> {
        loop {
            let Some(current) = self.current else {
                if input.is_empty() && self.head_len == 0 {
                    return Ok(None);
                }
                let Some(parsed) = self.take_header(input)? else { return Ok(None) };
                if let Some(leniency) = self.begin(&parsed)? {
                    return Ok(Some(Item::Leniency(leniency)));
                }
                continue;
            };
            let left = self.take_body(current, input)?;
            if left > 0 {
                self.current = Some(Current { left, ..current });
                return Ok(None);
            }
            self.current = None;
            if self.lanes.lane(current.lane).is_some_and(|lane| lane.missing() > 0) {
                continue;
            }
            if let Some(message) = self.lanes.finish(current.lane) {
                self.obey(&message)?;
                return Ok(Some(Item::Message(message)));
            }
        }
    }

    /// Changes the limits; what is already held is not checked again.
    pub const fn set_limits(&mut self, limits: ChunkLimits) {
        self.limits = limits;
    }

    /// Bytes of unfinished messages and headers, as reserved.
    pub fn buffered_bytes(&self) -> usize {
        self.lanes.reserved_bytes().saturating_add(usize::from(self.head_len))
    }

    /// All the memory behind this reader, in bytes.
    pub const fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.lanes.heap_bytes()
    }

    /// Chunk size of the peer, in bytes.
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Reads a header from the slice, or from the slice and the bytes kept before it.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Parsed>, Error> {
        if self.head_len == 0
            && let Some(parsed) = self.parse(input)?
        {
            *input = input.get(parsed.size..).unwrap_or_default();
            return Ok(Some(parsed));
        }
        let held = usize::from(self.head_len);
        let added = input.len().min(MAX_HEADER.saturating_sub(held));
        let filled = held.saturating_add(added);
        if let (Some(free), Some(new)) = (self.head.get_mut(held..filled), input.get(..added)) {
            free.copy_from_slice(new);
        }
        let head = self.head;
        let Some(parsed) = self.parse(head.get(..filled).unwrap_or_default())? else {
            self.head_len = u8::try_from(filled).unwrap_or(u8::MAX);
            *input = input.get(added..).unwrap_or_default();
            return Ok(None);
        };
        *input = input.get(parsed.size.saturating_sub(held)..).unwrap_or_default();
        self.keep_head(parsed.size, held);
        Ok(Some(parsed))
    }

    /// Keeps the bytes from `start` to `end` that are held: what could have been an extended time was not one.
    fn keep_head(&mut self, start: usize, end: usize) {
        let left = end.saturating_sub(start);
        if left > 0 {
            self.head.copy_within(start..end, 0);
        }
        self.head_len = u8::try_from(left).unwrap_or(0);
    }

    /// Takes what is there of a chunk's body; gives how much is missing.
    fn take_body(&mut self, current: Current, input: &mut &[u8]) -> Result<u32, Error> {
        let mut wanted = usize::try_from(current.left).unwrap_or(usize::MAX);
        let held = usize::from(self.head_len);
        if held > 0 {
            let taken = wanted.min(held);
            let head = self.head;
            self.lanes.extend(current.lane, head.get(..taken).unwrap_or_default(), &self.limits)?;
            self.keep_head(taken, held);
            wanted = wanted.saturating_sub(taken);
        }
        let (piece, rest) = input.split_at(wanted.min(input.len()));
        *input = rest;
        if !piece.is_empty() {
            self.lanes.extend(current.lane, piece, &self.limits)?;
        }
        Ok(u32::try_from(wanted.saturating_sub(piece.len())).unwrap_or(u32::MAX))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Option<Parsed>, Error> {
        let Some(header) = parse(bytes) else { return Ok(None) };
        let after = bytes.get(header.size..).unwrap_or_default();
        let lane = self.lanes.find(header.csid);
        let wants_extended = match (header.fields, lane) {
            (Fields::SameLength { .. } | Fields::Same, None) => {
                return Err(Error::misbehaved("chunk type 2 or 3 before any type 0"));
            }
            (Fields::Same, Some(lane)) if lane.extended && lane.is_partial() => {
                match repeats(after, lane.step) {
                    Some(repeats) => repeats,
                    None => return Ok(None),
                }
            }
            (Fields::Same, Some(lane)) => lane.extended,
            (fields, _) => fields.is_extended(),
        };
        if !wants_extended {
            return Ok(Some(Parsed { header, extended: None, size: header.size }));
        }
        let Some(extended) = after.first_chunk() else { return Ok(None) };
        let extended = Some(u32::from_be_bytes(*extended));
        Ok(Some(Parsed { header, extended, size: header.size.saturating_add(4) }))
    }

    /// Puts a header on its lane and begins its chunk.
    fn begin(&mut self, parsed: &Parsed) -> Result<Option<&'static str>, Error> {
        let WireHeader { csid, fields, .. } = parsed.header;
        let is_new = self.lanes.find(csid).is_none();
        let at = self.lanes.find_or_add(csid, &self.limits)?;
        let mut leniency = None;
        if is_new && matches!(fields, Fields::SameStream { .. }) {
            leniency = Some("first chunk of a chunk stream is type 1");
        }
        if fields != Fields::Same && self.lanes.abort(csid) {
            leniency = Some("new chunk header in the middle of a message");
        }
        let Some(lane) = self.lanes.lane_mut(at) else { return Ok(None) };
        let continues = lane.is_partial();
        if !continues {
            set_header(lane, fields, parsed.extended);
            self.lanes.start(at, &self.limits)?;
        }
        let missing = self.lanes.lane(at).map_or(0, Lane::missing);
        self.current = Some(Current { lane: at, left: missing.min(self.chunk_size) });
        Ok(leniency)
    }

    fn obey(&mut self, message: &Message) -> Result<(), Error> {
        let value = || message.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        match message.kind {
            kind::SET_CHUNK_SIZE => {
                let size = value().ok_or(Error::malformed("Set Chunk Size without a size"))?;
                if size == 0 || size > 0x7fff_ffff {
                    return Err(Error::malformed("chunk size"));
                }
                self.chunk_size = size.min(MAX_CHUNK_SIZE);
            }
            kind::ABORT => {
                let csid = value().ok_or(Error::malformed("Abort without a chunk stream"))?;
                self.lanes.abort(csid);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether bytes begin with this time, all of it or without its top bit (which some peers clear); `None` while that is
/// open.
fn repeats(bytes: &[u8], time: u32) -> Option<bool> {
    let [top, rest @ ..] = time.to_be_bytes();
    let mut there = bytes.iter();
    match there.next() {
        None => return None,
        Some(&byte) if byte & 0x7f != top & 0x7f => return Some(false),
        Some(_) => {}
    }
    for expected in rest {
        match there.next() {
            None => return None,
            Some(&byte) if byte != expected => return Some(false),
            Some(_) => {}
        }
    }
    Some(true)
}

fn set_header(lane: &mut Lane, fields: Fields, extended: Option<u32>) {
    match fields {
        Fields::Full { length, kind, stream_id, .. } => {
            lane.length = length;
            lane.kind = kind;
            lane.stream_id = stream_id;
        }
        Fields::SameStream { length, kind, .. } => {
            lane.length = length;
            lane.kind = kind;
        }
        Fields::SameLength { .. } | Fields::Same => {}
    }
    if let Some(time) = extended.or(fields.time()) {
        lane.step = time;
    }
    if fields != Fields::Same {
        lane.extended = extended.is_some();
    }
    lane.timestamp = match fields {
        Fields::Full { .. } => lane.step,
        _ => lane.timestamp.wrapping_add(lane.step),
    };
}
