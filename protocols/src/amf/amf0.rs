//! AMF0: one marker byte, then the value.
//!
//! Lenient as the field needs it: the count of an ECMA array is a hint, and an object may lack its end, or a part of
//! it, at the end of the bytes.

use super::{Budget, amf3};
use crate::Error;
use crate::read::Reader;
use media::MetaValue;

const OBJECT_END: u8 = 0x09;

pub(super) fn value(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<MetaValue, Error> {
    budget.count()?;
    match reader.u8()? {
        0x00 => Ok(MetaValue::Number(f64::from_bits(reader.u64()?))),
        0x01 => Ok(MetaValue::Bool(reader.u8()? != 0)),
        0x02 => {
            let len = reader.u16()?;
            Ok(MetaValue::Text(budget.text(reader, usize::from(len))?))
        }
        0x03 => object(reader, budget),
        // Null, undefined, unsupported.
        0x05 | 0x06 | 0x0d => Ok(MetaValue::Null),
        0x07 => {
            reader.u16()?;
            Ok(MetaValue::Null)
        }
        0x08 => {
            reader.u32()?;
            object(reader, budget)
        }
        0x0a => strict_array(reader, budget),
        0x0b => {
            let at = f64::from_bits(reader.u64()?);
            reader.u16()?;
            Ok(MetaValue::Date(at))
        }
        // Long text and XML document.
        0x0c | 0x0f => {
            let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
            Ok(MetaValue::Text(budget.text(reader, len)?))
        }
        0x10 => {
            let len = reader.u16()?;
            budget.text(reader, usize::from(len))?;
            object(reader, budget)
        }
        0x11 => amf3::value(reader, budget),
        _ => Err(Error::malformed("unknown AMF0 marker")),
    }
}

fn object(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<MetaValue, Error> {
    budget.enter()?;
    let mut fields = Vec::new();
    loop {
        if matches!(reader.peek(), [] | [0] | [0, 0]) {
            reader.rest();
            break;
        }
        let len = usize::from(reader.u16()?);
        if len == 0 && reader.peek().first() == Some(&OBJECT_END) {
            reader.u8()?;
            break;
        }
        let name = budget.text(reader, len)?;
        fields.push((name, value(reader, budget)?));
    }
    budget.leave();
    Ok(MetaValue::Object(fields))
}

fn strict_array(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<MetaValue, Error> {
    budget.enter()?;
    let count = reader.u32()?;
    let mut values = Vec::new();
    // Bounded by the budget and by the bytes, not by what the count claims.
    for _ in 0..count {
        values.push(value(reader, budget)?);
    }
    budget.leave();
    Ok(MetaValue::Array(values))
}

/// Appends a value. Texts longer than 65,535 bytes become long texts; names longer than that are cut.
pub fn write_value(value: &MetaValue, out: &mut Vec<u8>) {
    match value {
        MetaValue::Number(number) => write_number(*number, out),
        MetaValue::Bool(flag) => write_bool(*flag, out),
        MetaValue::Text(text) => write_text(text, out),
        MetaValue::Object(fields) => {
            out.push(0x03);
            write_fields(fields, out);
        }
        MetaValue::Array(values) => {
            out.push(0x0a);
            out.extend_from_slice(&u32::try_from(values.len()).unwrap_or(u32::MAX).to_be_bytes());
            for value in values {
                write_value(value, out);
            }
        }
        MetaValue::Date(at) => {
            out.push(0x0b);
            out.extend_from_slice(&at.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        MetaValue::Null => write_null(out),
    }
}

/// Appends named values as an ECMA array, the form of `onMetaData`.
pub fn write_ecma_array(fields: &[(String, MetaValue)], out: &mut Vec<u8>) {
    out.push(0x08);
    out.extend_from_slice(&u32::try_from(fields.len()).unwrap_or(u32::MAX).to_be_bytes());
    write_fields(fields, out);
}

/// Appends a number.
pub fn write_number(number: f64, out: &mut Vec<u8>) {
    out.push(0x00);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends a truth value.
pub fn write_bool(flag: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x01, u8::from(flag)]);
}

/// Appends a text.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    match u16::try_from(text.len()) {
        Ok(len) => {
            out.push(0x02);
            out.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            out.push(0x0c);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends nothing, as a value.
pub fn write_null(out: &mut Vec<u8>) {
    out.push(0x05);
}

fn write_fields(fields: &[(String, MetaValue)], out: &mut Vec<u8>) {
    for (name, value) in fields {
        let bytes = name.as_bytes();
        let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
        out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(bytes);
        write_value(value, out);
    }
    out.extend_from_slice(&[0, 0, OBJECT_END]);
}
