//! What a server answers, as a type.

use crate::rtmp::command::Command;

/// The code of an `onStatus`, `_result` or `_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the codes' own
pub enum StatusCode {
    ConnectSuccess,
    ConnectRejected,
    ConnectClosed,
    ConnectInvalidApp,
    /// The server asks to connect anew.
    ReconnectRequest,
    PublishStart,
    PublishBadName,
    PublishDenied,
    PublishRejected,
    UnpublishSuccess,
    PlayReset,
    PlayStart,
    PlayStop,
    PlayFailed,
    PlayStreamNotFound,
    PlayPublishNotify,
    PlayUnpublishNotify,
    /// Any other, cut to [`Status::MAX_BYTES`].
    Other(String),
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it says.
    pub code: StatusCode,
    /// Whether its level is `error`.
    pub is_error: bool,
    /// In the server's words, cut to [`Self::MAX_BYTES`].
    pub description: String,
}

impl Status {
    /// Longest text that is kept, in bytes.
    pub const MAX_BYTES: usize = 512;

    pub(super) fn of(command: &Command) -> Self {
        let text =
            |name: &str| crate::rtmp::url::cut(command.info(name).unwrap_or_default(), Self::MAX_BYTES);
        let code = text("code");
        Self {
            code: StatusCode::from(code),
            is_error: command.name == "_error" || text("level") == "error",
            description: text("description").to_owned(),
        }
    }
}

impl From<&str> for StatusCode {
    fn from(code: &str) -> Self {
        match code {
            "NetConnection.Connect.Success" => Self::ConnectSuccess,
            "NetConnection.Connect.Rejected" => Self::ConnectRejected,
            "NetConnection.Connect.Closed" => Self::ConnectClosed,
            "NetConnection.Connect.InvalidApp" => Self::ConnectInvalidApp,
            "NetConnection.Connect.ReconnectRequest" => Self::ReconnectRequest,
            "NetStream.Publish.Start" => Self::PublishStart,
            "NetStream.Publish.BadName" => Self::PublishBadName,
            "NetStream.Publish.Denied" => Self::PublishDenied,
            "NetStream.Publish.Rejected" => Self::PublishRejected,
            "NetStream.Unpublish.Success" => Self::UnpublishSuccess,
            "NetStream.Play.Reset" => Self::PlayReset,
            "NetStream.Play.Start" => Self::PlayStart,
            "NetStream.Play.Stop" => Self::PlayStop,
            "NetStream.Play.Failed" => Self::PlayFailed,
            "NetStream.Play.StreamNotFound" => Self::PlayStreamNotFound,
            "NetStream.Play.PublishNotify" => Self::PlayPublishNotify,
            "NetStream.Play.UnpublishNotify" => Self::PlayUnpublishNotify,
            other => Self::Other(other.to_owned()),
        }
    }
}
