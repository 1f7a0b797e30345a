//! HTTP/1 without I/O: request heads, message bodies, response heads (RFC 9110, RFC 9112).
//!
//! It knows no media. Strict where two readers of one message could disagree about where it ends, because a proxy may
//! stand in front: [`RequestReader`] refuses such heads with the status to answer.
//!
//! Start at [`RequestReader`]; [`front`] says which paths are streams.

mod body;
mod cors;
pub mod front;
mod head;
mod request;
mod response;
mod target;

pub use body::{BodyDecoder, BodyLimits, BodyStep};
pub(crate) use cors::origin;
pub use cors::{AllowOrigin, Cors};
pub use head::{HeadError, HeadLimits, RequestReader};
pub use request::{BodyFraming, Headers, Method, Request, Version};
pub use response::{RequestHead, ResponseHead, reason, text};
pub(crate) use target::cut;
