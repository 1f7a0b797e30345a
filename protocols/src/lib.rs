//! Sans-I/O protocols: what bytes mean.
//!
//! Every protocol is a state machine that implements [`Session`]: bytes, verdicts and time go in, bytes and
//! [`Event`]s come out. Nothing here opens a socket, reads a clock, draws a random number or knows a runtime.
//! One folder a protocol; no protocol imports another. What they share stands beside them: [`amf`], [`container`],
//! [`http`] heads and [`ws`] frames.
//!
//! Start at [`session`].

pub mod amf;
pub mod container;
pub mod error;
pub mod http;
pub mod httpflv;
pub mod read;
pub mod rtmp;
pub mod session;
pub mod ws;

pub use error::{Error, ErrorKind};
pub use session::{Event, Input, Output, PlayRequest, PublishRequest, Query, Session, Verdict};
