//! RTMP and Enhanced RTMP: handshake, chunks, messages, commands, and the sessions of both sides.
//!
//! Adobe RTMP 1.0 and Enhanced RTMP v2, with what real encoders and players do beside them. Knows no socket and no
//! TLS: RTMPS is the same bytes inside TLS.
//!
//! From the wire up: [`handshake`], [`chunk`], [`message`].

pub mod chunk;
pub mod handshake;
pub mod message;
mod noise;
