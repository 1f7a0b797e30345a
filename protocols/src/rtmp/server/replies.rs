//! What a server says, in the words that encoders and players know.
//!
//! Orders and codes as FMS, nginx-rtmp and SRS give them; level `error` makes ffmpeg, OBS and librtmp stop.

use super::config::Config;
use super::peer::Peer;
use crate::rtmp::capability;
use crate::rtmp::command::{object, status, text};
use crate::rtmp::link::Link;
use crate::rtmp::message::Control;
use media::{MetaValue, Refusal, StopReason};

/// Greets a peer that connected: windows, chunk size, then success.
pub(super) fn connected(link: &mut Link, config: &Config, peer: &Peer, transaction: f64) {
    link.control(Control::WindowAckSize(config.window_ack_size));
    link.control(Control::SetPeerBandwidth(config.peer_bandwidth.max(1), 2));
    link.announce_chunk_size(config.chunk_size.clamp(1, 65536));
    let mut properties = vec![("fmsVer", text("FMS/3,0,1,123")), ("capabilities", MetaValue::Number(31.0))];
    properties.extend(capability::of_server());
    let information = object(&[
        ("level", text("status")),
        ("code", text("NetConnection.Connect.Success")),
        ("description", text("Connection succeeded.")),
        ("objectEncoding", MetaValue::Number(peer.object_encoding)),
    ]);
    link.command(0, "_result", transaction, vec![object(&properties), information]);
}

/// Refuses a `connect`.
pub(super) fn connect_rejected(link: &mut Link, transaction: f64, why: &str) {
    let information = status("error", "NetConnection.Connect.Rejected", why);
    link.command(0, "_error", transaction, vec![MetaValue::Null, information]);
}

/// Answers a command with a value; one without a transaction wants no answer.
pub(super) fn result(link: &mut Link, transaction: f64, value: MetaValue) {
    if transaction != 0.0 {
        link.command(0, "_result", transaction, vec![MetaValue::Null, value]);
    }
}

pub(super) fn publish_started(link: &mut Link, stream_id: u32, name: &str) {
    on_status(link, stream_id, "status", "NetStream.Publish.Start", &format!("{name} is now published."));
}

pub(super) fn publish_refused(link: &mut Link, stream_id: u32, why: Refusal) {
    let code = match why {
        Refusal::BadName | Refusal::AlreadyPublishing => "NetStream.Publish.BadName",
        Refusal::NotAllowed => "NetStream.Publish.Denied",
        Refusal::NotFound | Refusal::Limit | Refusal::ShuttingDown | Refusal::Unavailable => {
            "NetStream.Publish.Rejected"
        }
    };
    on_status(link, stream_id, "error", code, why.name());
}

pub(super) fn unpublished(link: &mut Link, stream_id: u32, why: &str) {
    on_status(link, stream_id, "status", "NetStream.Unpublish.Success", why);
}

/// All that stands before the shared bytes.
pub(super) fn play_started(link: &mut Link, stream_id: u32, name: &str) {
    link.control(Control::StreamBegin(stream_id));
    on_status(link, stream_id, "status", "NetStream.Play.Reset", &format!("Playing and resetting {name}."));
    on_status(link, stream_id, "status", "NetStream.Play.Start", &format!("Started playing {name}."));
    link.data(stream_id, &[text("|RtmpSampleAccess"), MetaValue::Bool(false), MetaValue::Bool(false)]);
}

pub(super) fn play_refused(link: &mut Link, stream_id: u32, why: Refusal) {
    let code = match why {
        Refusal::BadName | Refusal::NotFound => "NetStream.Play.StreamNotFound",
        _ => "NetStream.Play.Failed",
    };
    on_status(link, stream_id, "error", code, why.name());
}

pub(super) fn play_stopped(link: &mut Link, stream_id: u32, why: &str) {
    link.control(Control::StreamEof(stream_id));
    on_status(link, stream_id, "status", "NetStream.Play.UnpublishNotify", why);
    on_status(link, stream_id, "status", "NetStream.Play.Stop", why);
}

/// The last words on a connection.
pub(super) fn connection_closed(link: &mut Link, why: StopReason, reconnects: bool) {
    if why == StopReason::ShuttingDown && reconnects {
        on_status(link, 0, "status", "NetConnection.Connect.ReconnectRequest", why.name());
    }
    on_status(link, 0, "status", "NetConnection.Connect.Closed", why.name());
}

fn on_status(link: &mut Link, stream_id: u32, level: &str, code: &str, description: &str) {
    link.command(stream_id, "onStatus", 0.0, vec![MetaValue::Null, status(level, code, description)]);
}
