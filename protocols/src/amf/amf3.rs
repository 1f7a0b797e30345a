//! AMF3, as far as it comes inside AMF0 commands: values with tables of texts and traits.
//!
//! The tables live as long as one value that AMF0 switches to, which is how encoders that send AMF3 commands
//! use it. References to whole objects are not followed.

use super::Budget;
use crate::Error;
use crate::read::Reader;
use media::MetaValue;

struct Tables {
    texts: Vec<String>,
    traits: Vec<Traits>,
}

#[derive(Clone)]
struct Traits {
    names: Vec<String>,
    dynamic: bool,
}

pub(super) fn value(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<MetaValue, Error> {
    item(reader, budget, &mut Tables { texts: Vec::new(), traits: Vec::new() })
}

fn item(reader: &mut Reader<'_>, budget: &mut Budget, tables: &mut Tables) -> Result<MetaValue, Error> {
    budget.count()?;
    match reader.u8()? {
        0x00 | 0x01 => Ok(MetaValue::Null),
        0x02 => Ok(MetaValue::Bool(false)),
        0x03 => Ok(MetaValue::Bool(true)),
        0x04 => {
            let raw = u29(reader)?;
            // 29 bits, signed.
            let signed = (raw << 3).cast_signed() >> 3;
            Ok(MetaValue::Number(f64::from(signed)))
        }
        0x05 => Ok(MetaValue::Number(f64::from_bits(reader.u64()?))),
        0x06 => Ok(MetaValue::Text(text(reader, budget, tables)?)),
        0x08 => match header(reader)? {
            Header::Reference => Ok(MetaValue::Null),
            Header::Value(_) => Ok(MetaValue::Date(f64::from_bits(reader.u64()?))),
        },
        0x09 => array(reader, budget, tables),
        0x0a => object(reader, budget, tables),
        // XML documents, XML, byte arrays: passed over by their length.
        0x07 | 0x0b | 0x0c => {
            if let Header::Value(len) = header(reader)? {
                reader.take(len)?;
            }
            Ok(MetaValue::Null)
        }
        // Vectors of int, uint and double: a length, a byte, then fixed sizes.
        marker @ 0x0d..=0x0f => {
            if let Header::Value(count) = header(reader)? {
                reader.u8()?;
                let size = if marker == 0x0f { 8 } else { 4 };
                reader.take(count.checked_mul(size).ok_or(Error::malformed("AMF3 vector too long"))?)?;
            }
            Ok(MetaValue::Null)
        }
        0x10 | 0x11 => Err(Error::unsupported("AMF3 vector of objects or dictionary")),
        _ => Err(Error::malformed("unknown AMF3 marker")),
    }
}

enum Header {
    Reference,
    /// Length, count or flags, without the low bit.
    Value(usize),
}

fn header(reader: &mut Reader<'_>) -> Result<Header, Error> {
    let raw = u29(reader)?;
    if raw & 1 == 0 {
        return Ok(Header::Reference);
    }
    Ok(Header::Value(usize::try_from(raw >> 1).unwrap_or(usize::MAX)))
}

/// 1 to 4 bytes: seven bits each with a go-on bit, the fourth has eight.
fn u29(reader: &mut Reader<'_>) -> Result<u32, Error> {
    let mut value = 0_u32;
    for _ in 0..3 {
        let byte = reader.u8()?;
        value = value << 7 | u32::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Ok(value << 8 | u32::from(reader.u8()?))
}

fn text(reader: &mut Reader<'_>, budget: &Budget, tables: &mut Tables) -> Result<String, Error> {
    let raw = u29(reader)?;
    let index = usize::try_from(raw >> 1).unwrap_or(usize::MAX);
    if raw & 1 == 0 {
        return tables.texts.get(index).cloned().ok_or(Error::malformed("AMF3 text reference"));
    }
    let text = budget.text(reader, index)?;
    if !text.is_empty() && tables.texts.len() < budget.limits.values {
        tables.texts.push(text.clone());
    }
    Ok(text)
}

fn array(reader: &mut Reader<'_>, budget: &mut Budget, tables: &mut Tables) -> Result<MetaValue, Error> {
    let Header::Value(count) = header(reader)? else { return Ok(MetaValue::Null) };
    budget.enter()?;
    let fields = dynamic_fields(reader, budget, tables)?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(item(reader, budget, tables)?);
    }
    budget.leave();
    Ok(if fields.is_empty() { MetaValue::Array(values) } else { MetaValue::Object(fields) })
}

fn object(reader: &mut Reader<'_>, budget: &mut Budget, tables: &mut Tables) -> Result<MetaValue, Error> {
    let Header::Value(flags) = header(reader)? else { return Ok(MetaValue::Null) };
    budget.enter()?;
    let traits = traits(reader, budget, tables, flags)?;
    let mut fields = Vec::new();
    for name in traits.names {
        fields.push((name, item(reader, budget, tables)?));
    }
    if traits.dynamic {
        fields.extend(dynamic_fields(reader, budget, tables)?);
    }
    budget.leave();
    Ok(MetaValue::Object(fields))
}

fn traits(
    reader: &mut Reader<'_>,
    budget: &mut Budget,
    tables: &mut Tables,
    flags: usize,
) -> Result<Traits, Error> {
    if flags & 1 == 0 {
        return tables.traits.get(flags >> 1).cloned().ok_or(Error::malformed("AMF3 traits reference"));
    }
    if flags & 2 != 0 {
        return Err(Error::unsupported("AMF3 externalizable object"));
    }
    text(reader, budget, tables)?; // Class name.
    let mut names = Vec::new();
    for _ in 0..flags >> 3 {
        budget.count()?;
        names.push(text(reader, budget, tables)?);
    }
    let traits = Traits { names, dynamic: flags & 4 != 0 };
    tables.traits.push(traits.clone());
    Ok(traits)
}

fn dynamic_fields(
    reader: &mut Reader<'_>,
    budget: &mut Budget,
    tables: &mut Tables,
) -> Result<Vec<(String, MetaValue)>, Error> {
    let mut fields = Vec::new();
    loop {
        let name = text(reader, budget, tables)?;
        if name.is_empty() {
            return Ok(fields);
        }
        fields.push((name, item(reader, budget, tables)?));
    }
}
