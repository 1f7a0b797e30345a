//! What the peer said of itself in `connect`.

use super::config::Limits;
use crate::Error;
use crate::container::flv::Form;
use crate::rtmp::capability;
use crate::rtmp::command::Command;
use crate::rtmp::url::{Place, cut};
use media::MetaValue;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub place: Place,
    pub agent: String,
    /// What of the enhanced forms it announced to understand.
    pub announced: Form,
    /// Whether it follows a request to reconnect.
    pub reconnects: bool,
    /// 0 or 3, repeated in the reply.
    pub object_encoding: f64,
}

impl Peer {
    pub fn from_connect(connect: &Command, limits: &Limits) -> Result<Self, Error> {
        let app = connect.field("app").unwrap_or_default();
        let tc_url = connect.field("tcUrl").unwrap_or_default();
        if app.len() > limits.url_bytes || tc_url.len() > limits.url_bytes {
            return Err(Error::limit("length of app or tcUrl"));
        }
        let agent = cut(connect.field("flashVer").unwrap_or_default(), limits.agent_bytes);
        let number = |name: &str| {
            connect.object.iter().find_map(|(key, value)| match value {
                MetaValue::Number(number) if key == name => Some(*number),
                _ => None,
            })
        };
        Ok(Self {
            place: Place::from_connect(app, tc_url),
            agent: agent.to_owned(),
            announced: capability::announced(&connect.object),
            reconnects: number(capability::CAPS).is_some_and(capability::has_reconnect),
            object_encoding: if number("objectEncoding") == Some(3.0) { 3.0 } else { 0.0 },
        })
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.place.heap_bytes() + self.agent.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::command::{object, text};

    fn form(fields: &[(&str, MetaValue)]) -> (bool, bool) {
        let MetaValue::Object(object) = object(fields) else { panic!("not an object") };
        let connect = Command {
            name: "connect".to_owned(),
            transaction: 1.0,
            object,
            arguments: vec![],
            is_cut: false,
        };
        let form = Peer::from_connect(&connect, &Limits::default()).unwrap().announced;
        (form.fourcc_video, form.fourcc_audio)
    }

    #[test]
    fn fourcc_is_used_only_as_far_as_announced() {
        let list = |codes: &[&str]| MetaValue::Array(codes.iter().map(|code| text(code)).collect());
        let map = |code: &str, mask: f64| object(&[(code, MetaValue::Number(mask))]);
        assert_eq!(form(&[]), (false, false));
        assert_eq!(form(&[("fourCcList", list(&["av01", "hvc1"]))]), (true, false));
        assert_eq!(form(&[("fourCcList", list(&["Opus"]))]), (false, true));
        assert_eq!(form(&[("fourCcList", list(&["*"]))]), (true, true));
        assert_eq!(form(&[("fourCcList", text("*"))]), (true, true));
        assert_eq!(form(&[("fourCcList", list(&["av01"]))]), (false, false));
        assert_eq!(form(&[("videoFourCcInfoMap", map("hvc1", 1.0))]), (true, false));
        assert_eq!(form(&[("videoFourCcInfoMap", map("*", 4.0))]), (true, false));
        assert_eq!(form(&[("videoFourCcInfoMap", map("hvc1", 2.0))]), (false, false), "can only encode");
        assert_eq!(form(&[("audioFourCcInfoMap", map("Opus", 7.0))]), (false, true));
    }

    #[test]
    fn long_texts_are_refused_or_cut() {
        let connect = |app: String, agent: String| Command {
            name: "connect".to_owned(),
            transaction: 1.0,
            object: vec![
                ("app".to_owned(), MetaValue::Text(app)),
                ("flashVer".to_owned(), MetaValue::Text(agent)),
            ],
            arguments: vec![],
            is_cut: false,
        };
        let limits = Limits::default();
        assert!(Peer::from_connect(&connect("a".repeat(4097), String::new()), &limits).is_err());
        let peer = Peer::from_connect(&connect("a".repeat(4096), "ä".repeat(200)), &limits).unwrap();
        assert_eq!(peer.agent.len(), 254, "cut between two characters");
    }
}
