//! AMF0 and AMF3: the value encodings of commands and script data.
//!
//! Knows nothing of messages. Values become [`MetaValue`]s; what has no such form (AMF0 references, byte arrays)
//! becomes `Null`, so that what follows it can still be read. Decoding is bounded in depth, in number of values and in
//! bytes of text, each and in all.
//!
//! Action Message Format 0 (Adobe, December 2007) and 3 (January 2013).

mod amf0;
mod amf3;
#[cfg(test)]
mod tests;

pub use amf0::{write_bool, write_ecma_array, write_null, write_number, write_text, write_value};

use crate::Error;
use crate::read::Reader;
use media::MetaValue;

/// Bounds of one decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects and arrays inside one another.
    pub depth: usize,
    /// Values in all.
    pub values: usize,
    /// Bytes of one text; all of them together may have [`TEXTS`] times as many.
    pub text_bytes: usize,
}

/// How many texts of full length one decoding may give. AMF3 can name one text again and again in a byte or two each,
/// so the bytes that came in do not bound what comes out.
pub const TEXTS: usize = 4;

/// Deeper than allowed: no encoder does that.
pub const TOO_DEEP: Error = Error::limit("AMF nested too deep");

impl Default for Limits {
    fn default() -> Self {
        // Deeper or more than any encoder sends, and small enough to be harmless.
        Self { depth: 32, values: 4096, text_bytes: 64 * 1024 }
    }
}

/// Decodes AMF0 values (with AMF3 ones inside, after their marker) up to the end of the bytes.
///
/// # Errors
/// `malformed`, or `limit` past a bound.
pub fn decode_all(bytes: &[u8], limits: &Limits) -> Result<Vec<MetaValue>, Error> {
    let mut reader = Reader::new(bytes);
    let mut budget = Budget::new(*limits);
    let mut values = Vec::new();
    while !reader.is_empty() {
        values.push(amf0::value(&mut reader, &mut budget)?);
    }
    Ok(values)
}

/// Decodes the first AMF0 value; gives how many bytes it took.
///
/// # Errors
/// `malformed`, or `limit` past a bound.
pub fn decode_first(bytes: &[u8], limits: &Limits) -> Result<(MetaValue, usize), Error> {
    let mut reader = Reader::new(bytes);
    let value = amf0::value(&mut reader, &mut Budget::new(*limits))?;
    Ok((value, bytes.len() - reader.len()))
}

/// Decodes one AMF3 value (without the AMF0 marker in front of it).
///
/// # Errors
/// `malformed`, or `limit` past a bound.
pub fn decode_amf3(bytes: &[u8], limits: &Limits) -> Result<MetaValue, Error> {
    amf3::value(&mut Reader::new(bytes), &mut Budget::new(*limits))
}

/// What is left of the bounds.
struct Budget {
    limits: Limits,
    depth: usize,
    values: usize,
    text_bytes: usize,
}

impl Budget {
    const fn new(limits: Limits) -> Self {
        Self { limits, depth: 0, values: 0, text_bytes: limits.text_bytes.saturating_mul(TEXTS) }
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(TOO_DEEP);
        }
        Ok(())
    }

    const fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn count(&mut self) -> Result<(), Error> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(Error::limit("too many AMF values"));
        }
        Ok(())
    }

    /// Takes bytes of text from what is left for all.
    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.text_bytes = self.text_bytes.checked_sub(bytes).ok_or(Error::limit("too much AMF text"))?;
        Ok(())
    }

    fn text(&mut self, reader: &mut Reader<'_>, len: usize) -> Result<String, Error> {
        if len > self.limits.text_bytes {
            return Err(Error::limit("AMF text too long"));
        }
        let bytes = reader.take(len)?;
        self.charge(len)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}
