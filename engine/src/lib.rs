//! How media moves: shards own streams, viewers are cursors on shared logs, and no protocol's name is known here.
//!
//! - [`start`] makes the shards, each on a core of its own, and gives a [`Handle`] to the control side.
//! - On a shard, drivers hold a [`Shard`]: they register sessions, ask for admission, [publish](Shard::publish),
//!   [attach](Shard::attach) viewers and [hand connections over](Shard::hand_off).
//! - A stream's packets pass one timeline, go into a ring, and are muxed once for each rendition in use.
//!
//! What it deliberately does not know: what bytes mean, where configuration comes from, who may do what.

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench_api;
mod clock;
pub mod config;
mod event;
mod fanout;
mod handle;
mod log;
mod mesh;
mod mirror;
mod play;
mod publish;
mod rendition;
mod ring;
mod session;
mod shard;
mod slab;
mod start;
mod stats;
mod stop;
mod stream;
mod transport;
mod viewer;
mod visitor;

pub use clock::{date, now};
pub use config::Config;
pub use event::{Event, What};
pub use handle::{Action, Grant, Handle, Question, Which};
pub use mesh::Arrival;
pub use play::{Attach, Place};
pub use publish::{Ask, Publication};
pub use session::{Record, StopSignal, Travelling};
pub use shard::{SessionGuard, Shard};
pub use start::{Engine, StartError, Started, start};
pub use stats::{
    JOIN_BUCKETS_MS, Joins, MeshDrops, Role, SessionId, SessionStats, ShardStats, Step, StreamStats,
    TrackStats,
};
pub use transport::{Peer, PeerState, Sealed, Transport};
pub use visitor::Visitor;
