//! Messages in, chunks out: a type 0 header first, type 3 after it, the extended time repeated on each.
//!
//! Every message carries its absolute time, so any reader can begin at any message. [`OpenMessage`] lets a caller write
//! the body straight behind the header and cuts it afterwards in place; [`write_message`] takes a body that exists.

use super::{EXTENDED, MAX_CHUNK_SIZE};

/// Header of a message to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// Chunk stream, 2 to 63.
    pub csid: u8,
    /// Milliseconds, wrapping.
    pub timestamp: u32,
    /// Type number.
    pub kind: u8,
    /// Message stream.
    pub stream_id: u32,
}

impl MessageHeader {
    const fn is_extended(self) -> bool {
        self.timestamp >= EXTENDED
    }

    /// Bytes of a type 3 header.
    const fn continuation(self) -> usize {
        if self.is_extended() { 5 } else { 1 }
    }

    fn write_first(self, length: usize, out: &mut Vec<u8>) {
        out.push(self.csid & 0x3f);
        push_u24(self.timestamp.min(EXTENDED), out);
        push_u24(u32::try_from(length).unwrap_or(u32::MAX), out);
        out.push(self.kind);
        out.extend_from_slice(&self.stream_id.to_le_bytes());
        if self.is_extended() {
            out.extend_from_slice(&self.timestamp.to_be_bytes());
        }
    }

    /// A type 3 header; only the first [`Self::continuation`] bytes count.
    const fn next(self) -> [u8; 5] {
        let [a, b, c, d] = self.timestamp.to_be_bytes();
        [0xc0 | (self.csid & 0x3f), a, b, c, d]
    }
}

/// A message whose body is being appended to the buffer.
#[derive(Clone, Copy, Debug)]
#[must_use = "an open message is not cut into chunks yet"]
pub struct OpenMessage {
    header: MessageHeader,
    start: usize,
    body: usize,
}

impl OpenMessage {
    /// Appends the header; the caller appends the body next.
    pub fn begin(header: MessageHeader, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        header.write_first(0, out);
        Self { header, start, body: out.len() }
    }

    /// Sets the length and cuts the body into chunks. A body too long for a message is taken back.
    pub fn finish(self, chunk_size: u32, out: &mut Vec<u8>) {
        let length = out.len().saturating_sub(self.body);
        let Some(length_field) = u32::try_from(length).ok().filter(|&n| n <= MAX_CHUNK_SIZE) else {
            return self.cancel(out);
        };
        let [_, field @ ..] = length_field.to_be_bytes();
        if let Some(place) = out.get_mut(self.start + 4..self.start + 7) {
            place.copy_from_slice(&field);
        }
        let size = clamp(chunk_size);
        let more = length.saturating_sub(1) / size;
        if more == 0 {
            return;
        }
        let added = self.header.continuation();
        let header = self.header.next();
        let header = header.get(..added).unwrap_or_default();
        out.resize(out.len() + more * added, 0);
        // From the last chunk to the second, each moves behind the headers that come before it.
        for index in (1..=more).rev() {
            let from = self.body + index * size;
            let to = from + index * added;
            let end = (from + size).min(self.body + length);
            out.copy_within(from..end, to);
            if let Some(place) = out.get_mut(to - added..to) {
                place.copy_from_slice(header);
            }
        }
    }

    /// Takes the header and what was appended back.
    pub fn cancel(self, out: &mut Vec<u8>) {
        out.truncate(self.start);
    }
}

/// Appends a whole message. A body longer than 16 MiB - 1 has no form and is not written.
pub fn write_message(header: MessageHeader, body: &[u8], chunk_size: u32, out: &mut Vec<u8>) {
    if u32::try_from(body.len()).ok().is_none_or(|length| length > MAX_CHUNK_SIZE) {
        return;
    }
    let size = clamp(chunk_size);
    let more = body.len().saturating_sub(1) / size;
    let added = header.continuation();
    out.reserve(16 + body.len() + more * added);
    header.write_first(body.len(), out);
    let next = header.next();
    let next = next.get(..added).unwrap_or_default();
    for (index, piece) in body.chunks(size).enumerate() {
        if index > 0 {
            out.extend_from_slice(next);
        }
        out.extend_from_slice(piece);
    }
}

fn clamp(chunk_size: u32) -> usize {
    usize::try_from(chunk_size.clamp(1, MAX_CHUNK_SIZE)).unwrap_or(usize::MAX)
}

fn push_u24(value: u32, out: &mut Vec<u8>) {
    let [_, bytes @ ..] = value.to_be_bytes();
    out.extend_from_slice(&bytes);
}
