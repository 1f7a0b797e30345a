//! AMF3, as it comes inside AMF0 commands: values with tables of texts, traits and objects.
//!
//! The tables live as long as one value that AMF0 switches to, which is how encoders that send AMF3 commands use it.
//! A reference to an object is followed by reading that object again where it stands, so the table of objects holds
//! places and no copies, and what comes out counts against the bounds like everything else. A reference to an object
//! from inside itself is `Null`. So are byte arrays and vectors of numbers, which no command has.

use super::Budget;
use crate::Error;
use crate::read::Reader;
use media::MetaValue;
use std::rc::Rc;

#[derive(Default)]
struct Tables<'a> {
    texts: Vec<String>,
    traits: Vec<Rc<Traits>>,
    /// Marker of each object, array and so on, and where it goes on behind the marker.
    objects: Vec<(u8, Reader<'a>)>,
    /// Indices of the objects that are being read.
    open: Vec<usize>,
    /// Something is read again: it is in the tables already.
    again: bool,
}

struct Traits {
    names: Vec<String>,
    dynamic: bool,
}

pub(super) fn value(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<MetaValue, Error> {
    item(reader, budget, &mut Tables::default())
}

fn item<'a>(
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
) -> Result<MetaValue, Error> {
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
        marker @ 0x07..=0x11 => complex(marker, reader, budget, tables),
        _ => Err(Error::malformed("unknown AMF3 marker")),
    }
}

/// A value of the kinds that can be referred to, or a reference to one.
fn complex<'a>(
    marker: u8,
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
) -> Result<MetaValue, Error> {
    let place = *reader;
    let (inline, header) = header(reader)?;
    if !inline {
        return refer(header, budget, tables);
    }
    if tables.again {
        return body(marker, header, reader, budget, tables);
    }
    // Bounded: each was counted.
    tables.objects.push((marker, place));
    tables.open.push(tables.objects.len() - 1);
    let value = body(marker, header, reader, budget, tables)?;
    tables.open.pop();
    Ok(value)
}

/// Reads the object that a reference names once more.
fn refer(index: usize, budget: &mut Budget, tables: &mut Tables<'_>) -> Result<MetaValue, Error> {
    let Some((marker, mut place)) = tables.objects.get(index).copied() else {
        return Err(Error::malformed("AMF3 object reference"));
    };
    if tables.open.contains(&index) {
        return Ok(MetaValue::Null);
    }
    let before = std::mem::replace(&mut tables.again, true);
    tables.open.push(index);
    let (_, header) = header(&mut place)?;
    let value = body(marker, header, &mut place, budget, tables)?;
    tables.open.pop();
    tables.again = before;
    Ok(value)
}

/// What follows the marker and the header, which is a length, a count or flags.
fn body<'a>(
    marker: u8,
    header: usize,
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
) -> Result<MetaValue, Error> {
    budget.enter()?;
    let value = match marker {
        0x08 => MetaValue::Date(f64::from_bits(reader.u64()?)),
        0x09 => array(header, reader, budget, tables)?,
        0x0a => object(header, reader, budget, tables)?,
        // XML documents and XML.
        0x07 | 0x0b => MetaValue::Text(budget.text(reader, header)?),
        // Byte arrays.
        0x0c => {
            reader.take(header)?;
            MetaValue::Null
        }
        // Vectors of int, uint and double: whether the length is fixed, then fixed sizes.
        0x0d..=0x0f => {
            reader.u8()?;
            let size = if marker == 0x0f { 8 } else { 4 };
            reader.take(header.checked_mul(size).ok_or(Error::malformed("AMF3 vector too long"))?)?;
            MetaValue::Null
        }
        // Vectors of objects: whether the length is fixed, the class, then values.
        0x10 => {
            reader.u8()?;
            text(reader, budget, tables)?;
            MetaValue::Array(items(header, reader, budget, tables)?)
        }
        0x11 => dictionary(header, reader, budget, tables)?,
        _ => return Err(Error::malformed("unknown AMF3 marker")),
    };
    budget.leave();
    Ok(value)
}

fn array<'a>(
    count: usize,
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
) -> Result<MetaValue, Error> {
    let fields = dynamic_fields(reader, budget, tables)?;
    let values = items(count, reader, budget, tables)?;
    Ok(if fields.is_empty() { MetaValue::Array(values) } else { MetaValue::Object(fields) })
}

fn items<'a>(
    count: usize,
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
) -> Result<Vec<MetaValue>, Error> {
    let mut values = Vec::new();
    // Bounded by the budget and by the bytes, not by what the count claims.
    for _ in 0..count {
        values.push(item(reader, budget, tables)?);
    }
    Ok(values)
}

fn object<'a>(
    flags: usize,
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
) -> Result<MetaValue, Error> {
    let traits = traits(reader, budget, tables, flags)?;
    let mut fields = Vec::new();
    for name in &traits.names {
        budget.charge(name.len())?;
        fields.push((name.clone(), item(reader, budget, tables)?));
    }
    if traits.dynamic {
        fields.extend(dynamic_fields(reader, budget, tables)?);
    }
    Ok(MetaValue::Object(fields))
}

/// Keys can be of any kind; those that are texts are kept.
fn dictionary<'a>(
    count: usize,
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
) -> Result<MetaValue, Error> {
    reader.u8()?; // Whether the keys are weak.
    let mut fields = Vec::new();
    for _ in 0..count {
        let key = item(reader, budget, tables)?;
        let value = item(reader, budget, tables)?;
        if let MetaValue::Text(name) = key {
            fields.push((name, value));
        }
    }
    Ok(MetaValue::Object(fields))
}

fn traits(
    reader: &mut Reader<'_>,
    budget: &mut Budget,
    tables: &mut Tables<'_>,
    flags: usize,
) -> Result<Rc<Traits>, Error> {
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
    let traits = Rc::new(Traits { names, dynamic: flags & 4 != 0 });
    if !tables.again {
        tables.traits.push(Rc::clone(&traits));
    }
    Ok(traits)
}

fn dynamic_fields<'a>(
    reader: &mut Reader<'a>,
    budget: &mut Budget,
    tables: &mut Tables<'a>,
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

/// A text, or a reference to one; each reference pays for its copy.
fn text(reader: &mut Reader<'_>, budget: &mut Budget, tables: &mut Tables<'_>) -> Result<String, Error> {
    let (inline, header) = header(reader)?;
    if !inline {
        let text = tables.texts.get(header).ok_or(Error::malformed("AMF3 text reference"))?;
        budget.charge(text.len())?;
        return Ok(text.clone());
    }
    let text = budget.text(reader, header)?;
    if !text.is_empty() && !tables.again {
        budget.charge(text.len())?;
        tables.texts.push(text.clone());
    }
    Ok(text)
}

/// Whether a value follows, and its length, count or flags; otherwise the index of one that was there before.
fn header(reader: &mut Reader<'_>) -> Result<(bool, usize), Error> {
    let raw = u29(reader)?;
    Ok((raw & 1 == 1, usize::try_from(raw >> 1).unwrap_or(usize::MAX)))
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
