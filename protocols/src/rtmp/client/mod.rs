//! The connecting side: publishes at or plays from another server. For relays, load tests and tests.
//!
//! Both are [`crate::Session`]s. Progress comes as [`crate::Event::Step`]: `handshake`, `connect`, then `publish` or `play`
//! once the server agreed; a refusal comes as [`crate::Event::Closed`], and [`Progress`] and [`Status`] say what the server
//! said.

mod dial;
mod dialer;
mod player;
mod publisher;
mod status;

pub use dial::Dial;
pub use dialer::Progress;
pub use player::{PlayerSession, RawTag, Wanted};
pub use publisher::PublisherSession;
pub use status::{Status, StatusCode};
