//! What both sides of a connection do below the commands: read messages, answer pings, acknowledge, write messages.
//!
//! Knows no role. Bytes are counted from the first after the handshake.

use super::chunk::{ChunkLimits, ChunkReader, Item, Message, MessageHeader, write_message};
use super::command;
use super::message::{Control, csid, kind};
use super::outbox::Outbox;
use crate::Error;
use media::MetaValue;

/// Window until the peer names one, in bytes.
const DEFAULT_WINDOW: u32 = 5_000_000;
/// Smallest window that is followed, in bytes: a smaller one would turn every read into an acknowledgement.
const MIN_WINDOW: u32 = 8192;

/// See the module.
pub(super) struct Link {
    reader: ChunkReader,
    pub outbox: Outbox,
    out_chunk_size: u32,
    window: u32,
    received: u32,
    acknowledged: u32,
}

impl Link {
    /// A link that has not spoken yet: its chunks are of the default size.
    pub fn new(limits: ChunkLimits) -> Self {
        Self {
            reader: ChunkReader::new(limits),
            outbox: Outbox::default(),
            out_chunk_size: super::chunk::DEFAULT_CHUNK_SIZE,
            window: DEFAULT_WINDOW,
            received: 0,
            acknowledged: 0,
        }
    }

    /// The next message that is not protocol control; `None` once all of `input` was taken.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        let before = input.len();
        let result = self.read_uncounted(input);
        let taken = u32::try_from(before.saturating_sub(input.len())).unwrap_or(u32::MAX);
        self.received = self.received.wrapping_add(taken);
        result
    }

    /// Acknowledges what was received, if half a window was; to be called once a read of the socket.
    pub fn acknowledge(&mut self) {
        if self.received.wrapping_sub(self.acknowledged) >= self.window / 2 {
            self.acknowledged = self.received;
            self.control(Control::Acknowledgement(self.received));
        }
    }

    /// Changes the limits of messages that come.
    pub const fn set_limits(&mut self, limits: ChunkLimits) {
        self.reader.set_limits(limits);
    }

    /// Announces the size of all chunks from here on.
    pub fn announce_chunk_size(&mut self, size: u32) {
        self.control(Control::SetChunkSize(size));
        self.out_chunk_size = size;
    }

    pub fn control(&mut self, control: Control) {
        control.write(self.out_chunk_size, self.outbox.bytes());
    }

    /// Writes a command: its name, its transaction, its arguments from the command object on.
    pub fn command(&mut self, stream_id: u32, name: &str, transaction: f64, arguments: Vec<MetaValue>) {
        let mut values = vec![MetaValue::Text(name.to_owned()), MetaValue::Number(transaction)];
        values.extend(arguments);
        self.values(csid::COMMAND, kind::COMMAND_AMF0, stream_id, &values);
    }

    /// Writes a data message.
    pub fn data(&mut self, stream_id: u32, values: &[MetaValue]) {
        self.values(csid::DATA, kind::DATA_AMF0, stream_id, values);
    }

    /// Writes a whole message.
    pub fn message(&mut self, header: MessageHeader, body: &[u8]) {
        write_message(header, body, self.out_chunk_size, self.outbox.bytes());
    }

    pub const fn out_chunk_size(&self) -> u32 {
        self.out_chunk_size
    }

    pub fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.reader.memory_bytes().saturating_sub(size_of::<ChunkReader>()) + self.outbox.heap_bytes()
    }

    fn read_uncounted(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        while let Some(item) = self.reader.read(input)? {
            match item {
                Item::Leniency(what) => self.outbox.leniency(what),
                Item::Message(message) if message.kind <= kind::SET_PEER_BANDWIDTH => self.obey(&message),
                Item::Message(message) => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    /// A control message that cannot be read is passed over: nothing depends on it.
    fn obey(&mut self, message: &Message) {
        match Control::parse(message.kind, &message.payload) {
            Ok(Control::WindowAckSize(bytes)) => self.window = bytes.max(MIN_WINDOW),
            Ok(Control::PingRequest(stamp)) => self.control(Control::PingResponse(stamp)),
            Ok(Control::SetPeerBandwidth(bytes, _)) => self.control(Control::WindowAckSize(bytes)),
            Ok(_) => {}
            Err(_) => self.outbox.leniency("control message without its fields"),
        }
    }

    fn values(&mut self, csid: u8, message_kind: u8, stream_id: u32, values: &[MetaValue]) {
        let body = command::encode(values);
        self.message(MessageHeader { csid, timestamp: 0, kind: message_kind, stream_id }, &body);
    }
}
