//! Commands and data messages as lists of values, and the replies that have a fixed shape.
//!
//! Adobe RTMP 1.0 section 7; the AMF encoding itself is [`crate::amf`]'s.

use super::message::kind;
use crate::{Error, ErrorKind, amf};
use bytes::Bytes;
use media::MetaValue;

/// Most values of one command or data message that are read: ten times what any has.
const MAX_VALUES: usize = 64;

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
    /// Whether bytes follow that could not be read.
    pub is_cut: bool,
}

impl Command {
    /// Reads the payload of a message of type 17 or 20.
    ///
    /// # Errors
    /// `malformed` if it does not begin with a name, `limit` as the AMF decoder says. What cannot be read behind the name is
    /// left out, for some encoders end their commands with stray bytes.
    pub fn parse(message_kind: u8, payload: &Bytes) -> Result<Self, Error> {
        let payload =
            if message_kind == kind::COMMAND_AMF3 { without_format(payload) } else { payload.clone() };
        let (values, is_cut) = decode(&payload)?;
        let mut values = values.into_iter();
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
        Ok(Self { name, transaction, object, arguments: values.collect(), is_cut })
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

/// The values as far as they can be read, and whether something is left.
fn decode(mut payload: &[u8]) -> Result<(Vec<MetaValue>, bool), Error> {
    let mut values = Vec::new();
    while !payload.is_empty() && values.len() < MAX_VALUES {
        match amf::decode_first(payload, &amf::Limits::default()) {
            Ok((value, size)) => {
                values.push(value);
                payload = payload.get(size.max(1)..).unwrap_or_default();
            }
            Err(error) if error.kind == ErrorKind::Malformed => break,
            Err(error) => return Err(error),
        }
    }
    Ok((values, !payload.is_empty()))
}

fn text_of<'a>(fields: &'a [(String, MetaValue)], name: &str) -> Option<&'a str> {
    fields.iter().find_map(|(key, value)| match value {
        MetaValue::Text(text) if key == name => Some(text.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(message_kind: u8, payload: Vec<u8>) -> Result<Command, Error> {
        Command::parse(message_kind, &Bytes::from(payload))
    }

    #[test]
    fn a_command_is_read_as_far_as_it_goes() {
        let values = [text("publish"), MetaValue::Number(5.0), MetaValue::Null, text("demo"), text("live")];
        let whole = encode(&values);
        let command = parse(kind::COMMAND_AMF0, whole.clone()).unwrap();
        assert_eq!((command.text(0), command.text(1), command.is_cut), (Some("demo"), Some("live"), false));
        assert_eq!(parse(kind::COMMAND_AMF3, [&[0], whole.as_slice()].concat()), Ok(command));
        let stray = parse(kind::COMMAND_AMF0, [whole.as_slice(), &[0xff, 0xff]].concat()).unwrap();
        assert_eq!((stray.text(1), stray.is_cut), (Some("live"), true));
        let name_end = 3 + "publish".len();
        for end in 0..whole.len() {
            let cut = parse(kind::COMMAND_AMF0, whole[..end].to_vec());
            assert_eq!(cut.is_ok(), end >= name_end, "{end}");
            if let Ok(cut) = cut {
                assert_eq!(cut.name, "publish");
                assert!(cut.text(1).is_none());
            }
        }
    }

    #[test]
    fn values_are_bounded() {
        let many = vec![MetaValue::Null; 60_000];
        let payload = [encode(&[text("x")]), encode(&many)].concat();
        let command = parse(kind::COMMAND_AMF0, payload).unwrap();
        assert!(command.is_cut);
        assert_eq!(command.arguments.len(), MAX_VALUES - 3);
    }

    #[test]
    fn information_is_found_behind_the_command_object() {
        let values =
            [text("onStatus"), MetaValue::Number(0.0), MetaValue::Null, status("error", "A.B", "why")];
        let command = parse(kind::COMMAND_AMF0, encode(&values)).unwrap();
        assert_eq!(
            (command.info("code"), command.info("level"), command.info("x")),
            (Some("A.B"), Some("error"), None)
        );
    }
}
