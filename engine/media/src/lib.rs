//! What media is: packets, tracks, time, stream keys, metadata and the bit syntax of codecs.
//!
//! Pure data and pure functions: no socket, no clock, no runtime, no wire format of a protocol. Everything else
//! in the workspace depends on this crate and it depends on `bytes` alone.
//!
//! Start at [`Packet`], then [`Track`], then [`mux::Muxer`], which is how a wire format meets the engine.

pub mod bits;
pub mod codec;
mod key;
mod metadata;
pub mod mux;
mod packet;
mod play;
pub mod time;
pub mod timeline;
mod track;

pub use key::{KeyError, StreamKey};
pub use metadata::{MetaValue, Metadata};
pub use mux::{Muxer, Rendition};
pub use packet::{Flags, Kind, Packet, TrackId};
pub use play::{JoinStart, LatencyClass, Refusal, StopReason};
pub use time::{Moment, Timestamp};
pub use track::{AudioParams, Codec, StreamInfo, Track, VideoParams};
