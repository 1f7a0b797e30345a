//! The insides of the media path, for the benches alone: nothing here is part of the crate's interface.

use crate::config::GopConfig;
use media::Packet;
use std::io::IoSlice;

/// The shared bytes of a rendition.
#[derive(Default)]
pub struct Log(crate::log::Log);

impl Log {
    /// Appends a unit of these bytes.
    pub fn append(&mut self, packet: &Packet) {
        self.0.append(packet.payload.len() + 64, packet.dts, packet.flags.keyframe, 0, |out| {
            out.extend_from_slice(&packet.payload);
        });
    }

    /// What a viewer at `from` would write; bytes.
    pub fn gather(&self, from: u64) -> usize {
        let mut slices = [IoSlice::new(&[]); 16];
        self.0.gather(from, self.0.end(), &mut slices).1
    }

    /// Where a viewer that is at `from` would go on.
    pub fn join(&self, from: u64) -> Option<u64> {
        self.0.entry_from(from).map(|unit| unit.start)
    }

    /// Drops what is older than `offset`.
    pub fn trim(&mut self, offset: u64) {
        self.0.trim(offset);
    }

    /// Offset behind the newest byte.
    pub const fn end(&self) -> u64 {
        self.0.end()
    }
}

/// The recent packets of a stream.
pub struct Ring(crate::ring::Ring);

impl Ring {
    /// An empty one.
    pub const fn new(config: GopConfig) -> Self {
        Self(crate::ring::Ring::new(config))
    }

    /// Takes a packet of a stream with pictures.
    pub fn push(&mut self, packet: &Packet) {
        self.0.push(packet, true);
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
