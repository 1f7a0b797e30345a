//! Commands and data messages as lists of values, and the replies that have a fixed shape.
//!
//! Adobe RTMP 1.0 section 7; the AMF encoding itself is [`crate::amf`]'s.

use super::message::kind;
use crate::{Error, amf};
use bytes::Bytes;
use media::MetaValue;

/// A command as it was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Name of the procedure.
    pub name: String,
    /// Number that the reply repeats; 0 if none is wanted.
    pub transaction: f64,
    /// The command object, if it is one.
    pub object: Vec<(String, MetaValue)>,
    /// What follows the command object.
    pub arguments: Vec<MetaValue>,
}

impl Command {
    /// Reads the payload of a message of type 17 or 20.
    ///
    /// # Errors
    /// `malformed` if it does not begin with a name, `limit` as the AMF decoder says.
    pub fn parse(message_kind: u8, payload: &Bytes) -> Result<Self, Error> {
        let payload =
            if message_kind == kind::COMMAND_AMF3 { without_format(payload) } else { payload.clone() };
        let mut values = decode(&payload)?.into_iter();
        let Some(MetaValue::Text(name)) = values.next() else {
            return Err(Error::malformed("command without a name"));
        };
        let transaction = match values.next() {
            Some(MetaValue::Number(transaction)) => transaction,
            _ => 0.0,
        };
        let object = match values.next() {
            Some(MetaValue::Object(fields)) => fields,
            _ => Vec::new(),
        };
        Ok(Self { name, transaction, object, arguments: values.collect() })
    }

    /// A text field of the command object.
    pub fn field(&self, name: &str) -> Option<&str> {
        text_of(&self.object, name)
    }

    /// An argument behind the command object, as text.
    pub fn text(&self, at: usize) -> Option<&str> {
        match self.arguments.get(at) {
            Some(MetaValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An argument behind the command object, as a number.
    pub fn number(&self, at: usize) -> Option<f64> {
        match self.arguments.get(at) {
            Some(MetaValue::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// An argument behind the command object, as a truth value.
    pub fn flag(&self, at: usize) -> Option<bool> {
        match self.arguments.get(at) {
            Some(MetaValue::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// A text field of the object that is an `onStatus` or `_result`'s information: the first argument that has it.
    pub fn info(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find_map(|argument| match argument {
            MetaValue::Object(fields) => text_of(fields, name),
            _ => None,
        })
    }
}

/// Payload of a message of type 15, 16 or 17 without the format byte in front of it.
pub fn without_format(payload: &Bytes) -> Bytes {
    payload.slice(payload.len().min(1)..)
}

/// The object that says how a request went.
pub fn status(level: &str, code: &str, description: &str) -> MetaValue {
    object(&[("level", text(level)), ("code", text(code)), ("description", text(description))])
}

/// An object of named values.
pub fn object(fields: &[(&str, MetaValue)]) -> MetaValue {
    MetaValue::Object(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// A text value.
pub fn text(text: &str) -> MetaValue {
    MetaValue::Text(text.to_owned())
}

/// Values one after another in AMF0.
pub fn encode(values: &[MetaValue]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for value in values {
        amf::write_value(value, &mut out);
    }
    out
}

fn decode(payload: &[u8]) -> Result<Vec<MetaValue>, Error> {
    amf::decode_all(payload, &amf::Limits::default())
}

fn text_of<'a>(fields: &'a [(String, MetaValue)], name: &str) -> Option<&'a str> {
    fields.iter().find_map(|(key, value)| match value {
        MetaValue::Text(text) if key == name => Some(text.as_str()),
        _ => None,
    })
}
