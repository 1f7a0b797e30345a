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
    /// To be added to the presentation time, 0 to 999 microseconds.
    pub micros: i64,
}

/// Reads the extensions that may stand before the packet type.
pub(super) fn head(reader: &mut Reader<'_>, first: u8, numbers: Numbers) -> Result<Head, Error> {
    let mut head = Head { packet_type: first, micros: 0 };
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
            head.micros = i64::from(data.u24()?.min(999_999) / 1000);
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
pub(super) fn parts<'r, 'a>(
    reader: &'r mut Reader<'a>,
    packet_type: u8,
    numbers: Numbers,
) -> Result<Parts<'r, 'a>, Error> {
    if packet_type != numbers.multitrack {
        let codec = codec_of(reader.array()?);
        return Ok(Parts { reader, layout: Layout::Single, packet_type, codec, read: 0, done: false });
    }
    let byte = reader.u8()?;
    let packet_type = byte & 0x0f;
    if packet_type == numbers.multitrack {
        return Err(Error::malformed("multitrack inside multitrack"));
    }
    let layout = match byte >> 4 {
        0 => Layout::OneTrack,
        1 => Layout::ManyTracks,
        2 => Layout::ManyCodecs,
        _ => return Err(Error::malformed("multitrack type")),
    };
    let codec = if layout == Layout::ManyCodecs { None } else { codec_of(reader.array()?) };
    Ok(Parts { reader, layout, packet_type, codec, read: 0, done: false })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// No number: the body is all that is left.
    Single,
    /// A number, then the body.
    OneTrack,
    /// A number and a length in front of each body.
    ManyTracks,
    /// A fourCC in front of each number.
    ManyCodecs,
}

/// The tracks of one tag; ends behind the first that cannot be read.
#[derive(Debug)]
pub(super) struct Parts<'r, 'a> {
    reader: &'r mut Reader<'a>,
    layout: Layout,
    packet_type: u8,
    codec: Option<Codec>,
    read: usize,
    done: bool,
}

impl<'a> Iterator for Parts<'_, 'a> {
    type Item = Result<Part<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || (self.layout != Layout::Single && self.reader.is_empty()) {
            return None;
        }
        let part = self.part();
        self.read += 1;
        self.done = part.is_err() || matches!(self.layout, Layout::Single | Layout::OneTrack);
        Some(part)
    }
}

impl<'a> Parts<'_, 'a> {
    fn part(&mut self) -> Result<Part<'a>, Error> {
        if self.read >= MAX_TRACKS {
            return Err(Error::limit("too many tracks in a tag"));
        }
        let packet_type = self.packet_type;
        if self.layout == Layout::Single {
            return Ok(Part { packet_type, codec: self.codec, track: 0, body: self.reader.rest() });
        }
        let codec = match self.layout {
            Layout::ManyCodecs => codec_of(self.reader.array()?),
            _ => self.codec,
        };
        let track = self.reader.u8()?;
        let body = match self.layout {
            Layout::OneTrack => self.reader.rest(),
            _ => {
                let size = usize::try_from(self.reader.u24()?).unwrap_or(usize::MAX);
                self.reader.take(size)?
            }
        };
        Ok(Part { packet_type, codec, track, body })
    }
}
