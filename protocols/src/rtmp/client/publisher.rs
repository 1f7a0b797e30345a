//! The connecting side that publishes.

use super::dial::Dial;
use super::dialer::{Dialer, Progress, Role};
use super::status::Status;
use crate::container::flv::{Form, TagKind, TrackFilter, write_metadata};
use crate::rtmp::chunk::MessageHeader;
use crate::rtmp::message::csid;
use crate::rtmp::mux::{RtmpMuxer, RtmpRendition};
use crate::{Error, Input, Output, Session, amf};
use media::{Moment, Muxer, Packet, StreamInfo, Timestamp};

/// Publishes one stream at a server. [`Self::progress`] says when media may be sent; what is sent at another time is not
/// taken.
pub struct PublisherSession {
    dialer: Dialer,
}

impl PublisherSession {
    /// Begins the handshake. `seed` differs from connection to connection.
    pub fn new(dial: Dial, seed: u64) -> Self {
        Self { dialer: Dialer::new(dial, Role::Publish, seed) }
    }

    /// Sends a tag body that is already muxed; `false` if the server has not agreed (or not any more).
    pub fn send(&mut self, tag_kind: TagKind, milliseconds: u32, body: &[u8]) -> bool {
        if self.dialer.is_active() {
            let header = self.header(tag_kind, milliseconds);
            self.dialer.link.message(header, body);
        }
        self.dialer.is_active()
    }

    /// Sends metadata, to be kept by the server, and decoder configurations; as [`Self::send`].
    pub fn announce(&mut self, info: &StreamInfo, at: Timestamp) -> bool {
        if !self.dialer.is_active() {
            return false;
        }
        let mut body = Vec::new();
        amf::write_text("@setDataFrame", &mut body);
        if write_metadata(info, self.form(), TrackFilter::ALL, &mut body).is_some() {
            // At 0, as encoders send it.
            self.send(TagKind::Script, 0, &body);
        }
        let muxer = self.muxer();
        muxer.configs(info, at, self.dialer.link.outbox.bytes());
        true
    }

    /// Sends one packet; as [`Self::send`].
    pub fn packet(&mut self, info: &StreamInfo, packet: &Packet) -> bool {
        if self.dialer.is_active() {
            let mut muxer = self.muxer();
            muxer.packet(info, packet, self.dialer.link.outbox.bytes());
        }
        self.dialer.is_active()
    }

    /// Ends the publication in the proper way and closes.
    pub fn finish(&mut self) {
        self.dialer.leave();
    }

    /// How far it has come.
    pub const fn progress(&self) -> &Progress {
        self.dialer.progress()
    }

    /// The last answer of the server.
    pub const fn last_status(&self) -> Option<&Status> {
        self.dialer.last_status()
    }

    /// Spelling of HEVC and Opus in what is sent from packets.
    pub const fn form(&self) -> Form {
        self.dialer.form()
    }

    fn header(&self, tag_kind: TagKind, timestamp: u32) -> MessageHeader {
        let csid = match tag_kind {
            TagKind::Audio => csid::AUDIO,
            TagKind::Video => csid::VIDEO,
            TagKind::Script => csid::DATA,
        };
        MessageHeader { csid, timestamp, kind: tag_kind.number(), stream_id: self.dialer.stream_id() }
    }

    const fn muxer(&self) -> RtmpMuxer {
        RtmpMuxer::new(RtmpRendition {
            form: self.form(),
            chunk_size: self.dialer.link.out_chunk_size(),
            message_stream_id: self.dialer.stream_id(),
            filter: TrackFilter::ALL,
        })
    }
}

impl Session for PublisherSession {
    fn handle(&mut self, _now: Moment, input: Input<'_>) -> Result<(), Error> {
        // What a server sends to a publisher as media has no meaning.
        self.dialer.handle(input, |_, _| Ok(()))
    }

    fn poll(&mut self, _now: Moment) -> Output {
        self.dialer.link.outbox.poll(None)
    }

    fn buffered_bytes(&self) -> usize {
        self.dialer.buffered_bytes()
    }

    fn protocol(&self) -> &'static str {
        "rtmp"
    }
}
