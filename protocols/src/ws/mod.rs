//! WebSocket without I/O (RFC 6455): the handshake, an incremental frame reader, writers of frame headers.
//!
//! It knows no media. Frames of media are not assembled here: payload is handed on as it arrives, so a message without
//! end costs nothing. No extension is offered; compressed media does not shrink.

pub mod frame;
pub mod handshake;

pub use frame::{FrameLimits, FrameReader, Mask, Opcode, Piece, Side, WsError, close_codes};
pub use handshake::{Upgrade, UpgradeError, upgrade};
