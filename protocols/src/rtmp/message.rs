//! What the types of messages mean: protocol control, user control, aggregates. Adobe RTMP 1.0 sections 5.4, 6 and 7.1.
//!
//! Works on whole messages; knows no chunk and no session.

use super::chunk::{MessageHeader, write_message};
use crate::Error;
use crate::read::Reader;
use bytes::Bytes;

/// Type numbers.
#[allow(missing_docs)] // the names are the specification's own
pub mod kind {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACK_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_AMF3: u8 = 15;
    pub const SHARED_OBJECT_AMF3: u8 = 16;
    pub const COMMAND_AMF3: u8 = 17;
    pub const DATA_AMF0: u8 = 18;
    pub const SHARED_OBJECT_AMF0: u8 = 19;
    pub const COMMAND_AMF0: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// Chunk streams that are written. Peers accept any; these are the usual ones.
pub(super) mod csid {
    pub const CONTROL: u8 = 2;
    pub const COMMAND: u8 = 3;
    pub const AUDIO: u8 = 4;
    pub const DATA: u8 = 5;
    pub const VIDEO: u8 = 6;
}

/// Most messages inside one aggregate: FMS packs a few dozen.
pub const MAX_AGGREGATED: usize = 1024;

/// Protocol control and user control messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Chunk size from now on, in bytes.
    SetChunkSize(u32),
    /// The unfinished message of a chunk stream is not coming.
    Abort(u32),
    /// Bytes received so far, wrapping.
    Acknowledgement(u32),
    /// How many bytes may be sent without an acknowledgement.
    WindowAckSize(u32),
    /// How many bytes the other side should send without an acknowledgement; 0 hard, 1 soft, 2 dynamic.
    SetPeerBandwidth(u32, u8),
    /// A message stream carries data now.
    StreamBegin(u32),
    /// A message stream is at its end.
    StreamEof(u32),
    /// Message stream, milliseconds.
    SetBufferLength(u32, u32),
    /// A stamp to be sent back.
    PingRequest(u32),
    /// The stamp sent back.
    PingResponse(u32),
    /// Another user control event.
    OtherEvent(u16),
}

impl Control {
    /// Reads a message of types 1 to 6.
    ///
    /// # Errors
    /// `malformed` if it is shorter than its fields or of another type.
    pub fn parse(message_kind: u8, payload: &[u8]) -> Result<Self, Error> {
        let mut from = Reader::new(payload);
        Ok(match message_kind {
            kind::SET_CHUNK_SIZE => Self::SetChunkSize(from.u32()?),
            kind::ABORT => Self::Abort(from.u32()?),
            kind::ACKNOWLEDGEMENT => Self::Acknowledgement(from.u32()?),
            kind::WINDOW_ACK_SIZE => Self::WindowAckSize(from.u32()?),
            // The limit type is missing from some peers' messages.
            kind::SET_PEER_BANDWIDTH => Self::SetPeerBandwidth(from.u32()?, from.u8().unwrap_or(2)),
            kind::USER_CONTROL => match from.u16()? {
                0 => Self::StreamBegin(from.u32()?),
                1 => Self::StreamEof(from.u32()?),
                3 => Self::SetBufferLength(from.u32()?, from.u32()?),
                6 => Self::PingRequest(from.u32()?),
                7 => Self::PingResponse(from.u32()?),
                other => Self::OtherEvent(other),
            },
            _ => return Err(Error::malformed("not a control message")),
        })
    }

    /// Appends it as a message of its own.
    pub fn write(self, chunk_size: u32, out: &mut Vec<u8>) {
        let (message_kind, event, fields) = match self {
            Self::SetChunkSize(size) => (kind::SET_CHUNK_SIZE, None, [Some(size), None]),
            Self::Abort(csid) => (kind::ABORT, None, [Some(csid), None]),
            Self::Acknowledgement(bytes) => (kind::ACKNOWLEDGEMENT, None, [Some(bytes), None]),
            Self::WindowAckSize(bytes) => (kind::WINDOW_ACK_SIZE, None, [Some(bytes), None]),
            Self::SetPeerBandwidth(bytes, _) => (kind::SET_PEER_BANDWIDTH, None, [Some(bytes), None]),
            Self::StreamBegin(id) => (kind::USER_CONTROL, Some(0), [Some(id), None]),
            Self::StreamEof(id) => (kind::USER_CONTROL, Some(1), [Some(id), None]),
            Self::SetBufferLength(id, ms) => (kind::USER_CONTROL, Some(3), [Some(id), Some(ms)]),
            Self::PingRequest(stamp) => (kind::USER_CONTROL, Some(6), [Some(stamp), None]),
            Self::PingResponse(stamp) => (kind::USER_CONTROL, Some(7), [Some(stamp), None]),
            Self::OtherEvent(event) => (kind::USER_CONTROL, Some(event), [None, None]),
        };
        let mut body = Vec::with_capacity(10);
        if let Some(event) = event {
            body.extend_from_slice(&u16::to_be_bytes(event));
        }
        for field in fields.into_iter().flatten() {
            body.extend_from_slice(&field.to_be_bytes());
        }
        if let Self::SetPeerBandwidth(_, limit) = self {
            body.push(limit);
        }
        let header = MessageHeader { csid: csid::CONTROL, timestamp: 0, kind: message_kind, stream_id: 0 };
        write_message(header, &body, chunk_size, out);
    }
}

/// One message inside an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregated {
    /// Type number.
    pub kind: u8,
    /// Milliseconds, wrapping, already shifted to the aggregate's own time.
    pub timestamp: u32,
    /// Content: a copy, so that a small message does not keep a large aggregate alive.
    pub payload: Bytes,
}

/// Walks the messages of an aggregate. Ends at the first error.
#[derive(Clone, Debug)]
pub struct Aggregate {
    body: Bytes,
    timestamp: u32,
    first: Option<u32>,
    count: usize,
}

impl Aggregate {
    /// Over the payload of a message of type 22 with the message's time.
    pub const fn new(timestamp: u32, body: Bytes) -> Self {
        Self { body, timestamp, first: None, count: 0 }
    }

    fn step(&mut self) -> Result<Aggregated, Error> {
        self.count += 1;
        if self.count > MAX_AGGREGATED {
            return Err(Error::limit("messages in an aggregate"));
        }
        let mut from = Reader::new(&self.body);
        let message_kind = from.u8()?;
        let length = usize::try_from(from.u24()?).unwrap_or(usize::MAX);
        let [mid, low, lowest, top] = from.array()?;
        from.u24()?;
        let payload = Bytes::copy_from_slice(from.take(length)?);
        // The back pointer is not needed, and the last one is missing from some peers' messages.
        let _ = from.u32();
        let next = self.body.len().saturating_sub(from.len());
        if message_kind == kind::AGGREGATE {
            return Err(Error::malformed("aggregate in an aggregate"));
        }
        let time = u32::from_be_bytes([top, mid, low, lowest]);
        let first = *self.first.get_or_insert(time);
        let timestamp = self.timestamp.wrapping_add(time.wrapping_sub(first));

        self.body = self.body.slice(next..);
        Ok(Aggregated { kind: message_kind, timestamp, payload })
    }
}

impl Iterator for Aggregate {
    type Item = Result<Aggregated, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.body.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.body = Bytes::new();
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::rtmp::chunk::{ChunkLimits, ChunkReader, Item};
    use proptest::prelude::*;

    #[test]
    fn control_messages_are_read_back() {
        for control in [
            Control::SetChunkSize(60000),
            Control::Abort(7),
            Control::Acknowledgement(u32::MAX),
            Control::WindowAckSize(5_000_000),
            Control::SetPeerBandwidth(5_000_000, 2),
            Control::StreamBegin(1),
            Control::StreamEof(1),
            Control::SetBufferLength(1, 3000),
            Control::PingRequest(9),
            Control::PingResponse(9),
            Control::OtherEvent(31),
        ] {
            let mut bytes = Vec::new();
            control.write(128, &mut bytes);
            let mut input = bytes.as_slice();
            let item = ChunkReader::new(ChunkLimits::default()).read(&mut input).unwrap();
            let Some(Item::Message(message)) = item else { panic!("{control:?}") };
            assert_eq!((message.csid, message.stream_id, input.len()), (2, 0, 0));
            assert_eq!(Control::parse(message.kind, &message.payload), Ok(control));
            for end in 0..message.payload.len() {
                // The limit type of the peer's bandwidth may be missing; nothing else may.
                let may = matches!(control, Control::SetPeerBandwidth(..)) && end == 4;
                assert_eq!(
                    Control::parse(message.kind, &message.payload[..end]).is_ok(),
                    may,
                    "{control:?} {end}"
                );
            }
        }
        assert!(Control::parse(8, &[0; 16]).is_err());
    }

    fn sub(message_kind: u8, time: u32, body: &[u8]) -> Vec<u8> {
        let [top, time @ ..] = time.to_be_bytes();
        let mut out = vec![message_kind, 0, 0, body.len() as u8];
        out.extend(time);
        out.push(top);
        out.extend([0, 0, 0]);
        out.extend(body);
        out.extend((11 + body.len() as u32).to_be_bytes());
        out
    }

    fn split(timestamp: u32, body: Vec<u8>) -> Result<Vec<(u8, u32, Vec<u8>)>, Error> {
        Aggregate::new(timestamp, Bytes::from(body))
            .map(|step| step.map(|m| (m.kind, m.timestamp, m.payload.to_vec())))
            .collect()
    }

    #[test]
    fn an_aggregate_is_split_and_shifted_to_its_own_time() {
        let body = [sub(8, 0x0100_0005, b"a"), sub(9, 0x0100_0015, b""), sub(8, 0x0100_0003, b"bc")].concat();
        let expected = vec![(8, 1000, b"a".to_vec()), (9, 1016, vec![]), (8, 998, b"bc".to_vec())];
        assert_eq!(split(1000, body.clone()), Ok(expected.clone()));
        assert_eq!(
            split(1000, body[..body.len() - 4].to_vec()),
            Ok(expected),
            "without the last back pointer"
        );
        assert_eq!(split(1000, vec![]), Ok(vec![]));
        let ends = [12 + 4, 12 + 4 + 11 + 4, body.len(), 12, 27, body.len() - 4];
        for end in 1..body.len() {
            assert_eq!(split(0, body[..end].to_vec()).is_ok(), ends.contains(&end), "{end}");
        }
    }

    #[test]
    fn an_aggregate_has_bounds() {
        assert_eq!(split(0, sub(22, 0, b"")).unwrap_err().kind, ErrorKind::Malformed);
        assert!(split(0, sub(8, 0, b"x").repeat(MAX_AGGREGATED)).is_ok());
        assert_eq!(split(0, sub(8, 0, b"x").repeat(MAX_AGGREGATED + 1)).unwrap_err().kind, ErrorKind::Limit);
        let mut lying = sub(8, 0, b"x");
        lying[1] = 0xff;
        assert_eq!(split(0, lying).unwrap_err().kind, ErrorKind::Malformed);
    }

    proptest! {
        #[test]
        fn arbitrary_aggregates_end(bytes in proptest::collection::vec(any::<u8>(), 0..300), time in any::<u32>()) {
            let steps = Aggregate::new(time, Bytes::from(bytes.clone())).count();
            prop_assert!(steps <= bytes.len());
        }
    }
}
