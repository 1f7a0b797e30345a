//! What the enhanced forms of audio and video have in common: ModEx, multitrack, fourCC.
//!
//! Enhanced RTMP v2, "Enhanced Audio" and "Enhanced Video".

use super::codec_of;
use crate::Error;
use crate::read::Reader;
use media::Codec;

/// Most extensions in front of one packet.
const MAX_MODEX: usize = 16;
/// Most tracks looked at in one tag.
const MAX_TRACKS: usize = 64;

/// Numbers of the packet types that differ between audio and video.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub multitrack: u8,
    pub modex: u8,
}

/// Start of a tag, with the extensions read.
#[derive(Debug)]
pub(super) struct Head {
    pub packet_type: u8,
    /// To be added to the presentation time, in nanoseconds.
    pub nanos: u32,
}

/// Reads the extensions that may stand before the packet type.
pub(super) fn head(reader: &mut Reader<'_>, first: u8, numbers: Numbers) -> Result<Head, Error> {
    let mut head = Head { packet_type: first, nanos: 0 };
    for _ in 0..MAX_MODEX {
        if head.packet_type != numbers.modex {
            return Ok(head);
        }
        let mut size = usize::from(reader.u8()?) + 1;
        if size == 256 {
            size = usize::from(reader.u16()?) + 1;
        }
        let mut data = reader.sub(size)?;
        let next = reader.u8()?;
        head.packet_type = next & 0x0f;
        if next >> 4 == 0 && size >= 3 {
            head.nanos = data.u24()?.min(999_999);
        }
    }
    Err(Error::limit("too many extensions in a tag"))
}

/// One track's part of a tag.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub packet_type: u8,
    pub codec: Option<Codec>,
    /// 0 unless the tag is of several tracks.
    pub track: u8,
    pub body: &'a [u8],
}

/// Splits what follows the head into tracks.
pub(super) fn parts<'a>(
    reader: &mut Reader<'a>,
    packet_type: u8,
    numbers: Numbers,
) -> Result<Vec<Part<'a>>, Error> {
    if packet_type != numbers.multitrack {
        let codec = codec_of(reader.array()?);
        return Ok(vec![Part { packet_type, codec, track: 0, body: reader.rest() }]);
    }
    let byte = reader.u8()?;
    let (form, packet_type) = (byte >> 4, byte & 0x0f);
    if packet_type == numbers.multitrack || form > 2 {
        return Err(Error::malformed("multitrack"));
    }
    let mut codec = if form == 2 { None } else { codec_of(reader.array()?) };
    let mut parts = Vec::new();
    while !reader.is_empty() {
        if parts.len() >= MAX_TRACKS {
            return Err(Error::limit("too many tracks in a tag"));
        }
        if form == 2 {
            codec = codec_of(reader.array()?);
        }
        let track = reader.u8()?;
        let body = if form == 0 {
            reader.rest()
        } else {
            let size = usize::try_from(reader.u24()?).unwrap_or(usize::MAX);
            reader.take(size)?
        };
        parts.push(Part { packet_type, codec, track, body });
    }
    Ok(parts)
}
