//! Descriptive metadata of a stream, free of any encoding.

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaValue {
    /// A number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// Named values in order.
    Object(Vec<(String, MetaValue)>),
    /// Values in order.
    Array(Vec<MetaValue>),
    /// Milliseconds since 1970 UTC.
    Date(f64),
    /// Nothing.
    Null,
}

impl Eq for MetaValue {}

/// Named values in the order the publisher sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name and value.
    pub fields: Vec<(String, MetaValue)>,
}

impl Metadata {
    /// The number under a name.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.fields.iter().find_map(|(key, value)| match value {
            MetaValue::Number(n) if key == name => Some(*n),
            _ => None,
        })
    }

    /// The truth value under a name.
    pub fn bool(&self, name: &str) -> Option<bool> {
        self.fields.iter().find_map(|(key, value)| match value {
            MetaValue::Bool(b) if key == name => Some(*b),
            _ => None,
        })
    }

    /// The text under a name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|(key, value)| match value {
            MetaValue::Text(t) if key == name => Some(t.as_str()),
            _ => None,
        })
    }

    /// Sets a value in place or appends it.
    pub fn set(&mut self, name: &str, value: MetaValue) {
        match self.fields.iter_mut().find(|(key, _)| key == name) {
            Some(slot) => slot.1 = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// Removes a value.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(key, _)| key != name);
    }
}
