//! Drivers: sockets to sessions. Joins the sans-I/O sessions of `protocols` to the shards of `engine`.
//!
//! [`start`] binds every address once a shard, starts the shards, and lets each accept. [`bridge`] drives any session;
//! [`table`] says which connection gets which. Nothing here parses, muxes or keeps media.

mod bridge;
mod burst;
mod config;
mod conn;
mod http;
mod local;
mod rtmp;
mod start;
mod table;
pub mod tls;

pub use config::{Asset, CodecForm, Config, ListenerConfig, Speaks};
pub use start::{Running, Start, StartError, start};
