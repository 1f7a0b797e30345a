//! Bodies: Node Media Server's fields, and ours behind them.

use crate::events::Numbered;
use engine::{Event, Question, SessionId};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a body says, as JSON fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(pub Map<String, Value>);

impl Fields {
    /// Of something that happened.
    pub fn of_event(event: &Numbered) -> Self {
        let Event { key, request, accepted, at, bytes_in, bytes_out, generation, reason, .. } = &event.event;
        let ended = reason.is_some();
        let mut fields =
            Self::common(event.event.session, request, (key.app(), key.name()), *accepted, event.action());
        fields.put("endtime", json!(if ended { millis(*at) } else { 0 }));
        fields.put("inbytes", json!(bytes_in));
        fields.put("outbytes", json!(bytes_out));
        fields.put("generation", json!(generation));
        fields.put("sequence", json!(event.sequence));
        fields.put("reason", json!(reason));
        fields
    }

    /// Of a question.
    pub fn of_question(question: &Question, action: &str, now: SystemTime) -> Self {
        let key = (question.key.app(), question.key.name());
        Self::common(question.session, question, key, now, action)
    }

    fn common(
        session: SessionId,
        request: &Question,
        (app, name): (&str, &str),
        created: SystemTime,
        action: &str,
    ) -> Self {
        let query: Map<String, Value> =
            request.query.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let fields = json!({
            "id": session.to_string(),
            "ip": request.peer.to_string(),
            "app": app,
            "name": name,
            "query": query,
            "protocol": request.protocol,
            "createtime": millis(created),
            "endtime": 0,
            "inbytes": 0,
            "outbytes": 0,
            "action": action,
            "user_agent": &*request.user_agent,
        });
        match fields {
            Value::Object(fields) => Self(fields),
            _ => Self(Map::new()),
        }
    }

    /// Adds or replaces one.
    pub fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// As it is sent.
    pub fn text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

/// Since 1970.
pub(super) fn millis(at: SystemTime) -> u64 {
    crate::time::millis(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}
