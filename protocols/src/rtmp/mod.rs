//! RTMP and Enhanced RTMP: handshake, chunks, messages, commands, and the sessions of both sides.
//!
//! Adobe RTMP 1.0 and Enhanced RTMP v2, with what real encoders and players do beside them. Knows no socket and no
//! TLS: RTMPS is the same bytes inside TLS.
//!
//! [`ServerSession`] accepts publishers and players; [`RtmpRendition`] is what players share. [`PublisherSession`] and
//! [`PlayerSession`] connect to another server. Below them, from the wire up: [`handshake`], [`chunk`], [`message`],
//! [`command`], [`url`].

mod capability;
pub mod chunk;
mod client;
mod clock;
pub mod command;
pub mod handshake;
mod intake;
mod link;
pub mod message;
mod mux;
mod noise;
mod outbox;
mod server;
pub mod url;

pub use capability::FormChoice;
pub use client::{Dial, PlayerSession, Progress, PublisherSession, RawTag, Status, StatusCode, Wanted};
pub use mux::RtmpRendition;
pub use server::{Config, Limits, ServerSession};
