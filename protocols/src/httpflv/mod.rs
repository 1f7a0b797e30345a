//! FLV over HTTP and over WebSocket, both ways: [`HttpFlvSession`] serves one request, [`client`] is the other side.
//!
//! Knows neither which path is a stream's (that is [`crate::http::front`]) nor what a tag means (that is
//! [`crate::container::flv`]); here is what stands around the bytes.

mod answer;
pub mod client;
mod config;
mod outbox;
mod plan;
mod pushing;
mod session;
mod viewing;

pub use config::{Config, FormChoice, Limits};
pub use session::HttpFlvSession;
