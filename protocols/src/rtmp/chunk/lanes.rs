//! What is remembered of each chunk stream: the last header, and the message that is not complete yet.
//!
//! Invariants: as many lanes as the limit at most; the memory of unfinished messages, as reserved and not only as
//! filled, stays within the limit and within a small multiple of what was received.

use super::{ChunkLimits, Message};
use crate::Error;
use bytes::Bytes;

/// First reservation for a message, in bytes: no encoder's ordinary frame needs a second one.
const FIRST_RESERVE: usize = 64 * 1024;

/// One chunk stream.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub csid: u32,
    pub timestamp: u32,
    /// Last time field: the delta, or after a type 0 header the absolute time, which a type 3 repeats as a delta.
    pub step: u32,
    pub length: u32,
    pub stream_id: u32,
    pub kind: u8,
    /// Whether `step` came in an extended field.
    pub extended: bool,
    /// What was received of the unfinished message.
    partial: Option<Vec<u8>>,
}

impl Lane {
    pub const fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes still missing of the unfinished message.
    pub fn missing(&self) -> u32 {
        let held = self.partial.as_ref().map_or(0, Vec::len);
        self.length.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX))
    }
}

/// All chunk streams of one direction.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    list: Vec<Lane>,
    reserved: usize,
}

impl Lanes {
    /// The lane of a chunk stream, made if there is none.
    pub fn find_or_add(&mut self, csid: u32, limits: &ChunkLimits) -> Result<usize, Error> {
        if let Some(at) = self.position(csid) {
            return Ok(at);
        }
        let at = self.list.len();
        if at >= limits.lanes {
            return Err(Error::limit("chunk streams"));
        }
        // One at a time: most peers use three and keep them for hours.
        self.list.reserve_exact(1);
        self.list.push(Lane { csid, ..Lane::default() });
        Ok(at)
    }

    /// Starts a message on a lane whose header is set.
    pub fn start(&mut self, at: usize, limits: &ChunkLimits) -> Result<(), Error> {
        let Some(lane) = self.list.get_mut(at) else { return Ok(()) };
        let length = usize::try_from(lane.length).unwrap_or(usize::MAX);
        if length > limits.message_limit(lane.kind) {
            return Err(Error::limit("message length"));
        }
        let partial = Vec::with_capacity(length.min(FIRST_RESERVE));
        self.reserved = self.reserved.saturating_add(partial.capacity());
        lane.partial = Some(partial);
        self.check(limits)
    }

    /// Adds received bytes to a lane's message.
    pub fn extend(&mut self, at: usize, bytes: &[u8], limits: &ChunkLimits) -> Result<(), Error> {
        let Some(lane) = self.list.get_mut(at) else { return Ok(()) };
        let Some(partial) = &mut lane.partial else { return Ok(()) };
        let needed = partial.len().saturating_add(bytes.len());
        let before = partial.capacity();
        if needed > before {
            let whole = usize::try_from(lane.length).unwrap_or(usize::MAX);
            let target = needed.saturating_mul(4).min(whole);
            partial.reserve_exact(target.saturating_sub(partial.len()));
            self.reserved = self.reserved.saturating_add(partial.capacity().saturating_sub(before));
        }
        partial.extend_from_slice(bytes);
        self.check(limits)
    }

    /// Takes the message of a lane.
    pub fn finish(&mut self, at: usize) -> Option<Message> {
        let lane = self.list.get_mut(at)?;
        let partial = lane.partial.take()?;
        self.reserved = self.reserved.saturating_sub(partial.capacity());
        Some(Message {
            kind: lane.kind,
            timestamp: lane.timestamp,
            stream_id: lane.stream_id,
            csid: lane.csid,
            payload: Bytes::from(partial),
        })
    }

    /// Forgets the unfinished message of a lane; whether there was one.
    pub fn abort(&mut self, csid: u32) -> bool {
        self.position(csid).and_then(|at| self.finish(at)).is_some()
    }

    /// The lane at a place that [`Self::find_or_add`] gave.
    pub fn lane_mut(&mut self, at: usize) -> Option<&mut Lane> {
        self.list.get_mut(at)
    }

    pub fn lane(&self, at: usize) -> Option<&Lane> {
        self.list.get(at)
    }

    pub fn find(&self, csid: u32) -> Option<&Lane> {
        self.list.iter().find(|lane| lane.csid == csid)
    }

    pub const fn reserved_bytes(&self) -> usize {
        self.reserved
    }

    /// Bytes on the heap.
    pub const fn heap_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Lane>() + self.reserved
    }

    fn position(&self, csid: u32) -> Option<usize> {
        self.list.iter().position(|lane| lane.csid == csid)
    }

    const fn check(&self, limits: &ChunkLimits) -> Result<(), Error> {
        if self.reserved > limits.partial_bytes {
            return Err(Error::limit("bytes of unfinished messages"));
        }
        Ok(())
    }
}
