//! Tag bodies, in the form that a group of viewers understands.

use super::{Form, TagKind, TrackFilter, fourcc, has_composition};
use crate::amf;
use media::{Codec, Kind, MetaValue, Metadata, Packet, StreamInfo, Track};

/// Packet types of the enhanced forms.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const CODED_FRAMES_X: u8 = 3;

/// What the server calls itself in the metadata.
const SERVER: &str = concat!("Shardcast/", env!("CARGO_PKG_VERSION"));

/// How a track is spelt.
enum Spelling {
    /// Video codec number, with packet type and composition time.
    Numbered(u8),
    /// Video codec number alone.
    Bare(u8),
    /// AAC: format byte and packet type.
    Aac,
    /// Sound: the format byte alone.
    Format(u8),
    Fourcc([u8; 4]),
}

fn spelling(track: &Track, form: Form) -> Option<Spelling> {
    let byte = track.audio.format_byte;
    let format = |number: u8| Spelling::Format(if byte >> 4 == number { byte } else { number << 4 | 0x02 });
    Some(match track.codec {
        Codec::H264 => Spelling::Numbered(7),
        Codec::H265 if !form.fourcc_video => Spelling::Numbered(12),
        Codec::LegacyVideo { id } => Spelling::Bare(id),
        Codec::Aac => Spelling::Aac,
        Codec::Mp3 if byte >> 4 == 14 => Spelling::Format(byte),
        // 44 kHz, 16 bits, stereo where the encoder said nothing.
        Codec::Mp3 if byte == 0 => Spelling::Format(0x2f),
        Codec::Mp3 => format(2),
        Codec::Speex if byte == 0 => Spelling::Format(0xb2),
        Codec::Speex => format(11),
        Codec::Nellymoser { id } | Codec::Pcm { id } => format(id),
        Codec::G711A => format(7),
        Codec::G711U => format(8),
        Codec::Opus if !form.fourcc_audio => Spelling::Format(0xdf),
        Codec::Script => return None,
        codec => Spelling::Fourcc(fourcc(codec)?),
    })
}

/// Appends the body of the tag that carries a packet; `None`, and nothing appended, if it has no form here.
pub fn write_packet(
    track: Option<&Track>,
    packet: &Packet,
    form: Form,
    out: &mut Vec<u8>,
) -> Option<TagKind> {
    if packet.kind == Kind::Data {
        out.extend_from_slice(&packet.payload);
        return Some(TagKind::Script);
    }
    let track = track?;
    let frame_type = match (packet.flags.keyframe, packet.flags.discardable) {
        (true, _) => 0x10,
        (_, true) => 0x30,
        _ => 0x20,
    };
    // Signed 24 bits of milliseconds.
    let composition = (packet.pts.millis() - packet.dts.millis()).clamp(-0x80_0000, 0x7f_ffff);
    let [.., a, b, c] = composition.to_be_bytes();
    match spelling(track, form)? {
        Spelling::Numbered(number) => out.extend_from_slice(&[frame_type | number, CODED_FRAMES, a, b, c]),
        Spelling::Bare(number) => out.push(frame_type | number),
        Spelling::Aac => out.extend_from_slice(&[0xaf, CODED_FRAMES]),
        Spelling::Format(byte) => out.push(byte),
        Spelling::Fourcc(code) if packet.kind == Kind::Video => {
            let with_composition = has_composition(track.codec) && composition != 0;
            let packet_type =
                if with_composition || !has_composition(track.codec) { CODED_FRAMES } else { CODED_FRAMES_X };
            out.push(0x80 | frame_type | packet_type);
            out.extend_from_slice(&code);
            if with_composition {
                out.extend_from_slice(&[a, b, c]);
            }
        }
        Spelling::Fourcc(code) => {
            out.push(0x90 | CODED_FRAMES);
            out.extend_from_slice(&code);
        }
    }
    out.extend_from_slice(&packet.payload);
    Some(if packet.kind == Kind::Video { TagKind::Video } else { TagKind::Audio })
}

/// Appends the body of a track's sequence header; `None`, and nothing appended, if it has none in this form.
///
/// Opus by fourCC always has one, for players start no sound without it: where the publisher sent none (format 13, say),
/// one is made of what is known.
pub fn write_config(track: &Track, form: Form, out: &mut Vec<u8>) -> Option<TagKind> {
    let spelling = spelling(track, form)?;
    let head = opus_head(track.audio.channels);
    let config = match spelling {
        Spelling::Fourcc(_) if track.codec == Codec::Opus && track.config.is_empty() => head.as_slice(),
        _ if track.config.is_empty() => return None,
        _ => &track.config,
    };
    match spelling {
        Spelling::Numbered(number) => out.extend_from_slice(&[0x10 | number, SEQUENCE_START, 0, 0, 0]),
        Spelling::Aac => out.extend_from_slice(&[0xaf, SEQUENCE_START]),
        Spelling::Bare(_) | Spelling::Format(_) => return None,
        Spelling::Fourcc(code) => {
            // A keyframe of the enhanced form, and the enhanced sound format, happen to be the same bits.
            out.push(0x90 | SEQUENCE_START);
            out.extend_from_slice(&code);
        }
    }
    out.extend_from_slice(config);
    Some(if track.kind() == Kind::Video { TagKind::Video } else { TagKind::Audio })
}

/// The least `OpusHead` (RFC 7845 clause 5.1): 48 kHz, no pre-skip, no gain, one stream of one or two channels.
fn opus_head(channels: u8) -> [u8; 19] {
    let channels = if channels == 1 { 1 } else { 2 };
    let [r0, r1, r2, r3] = 48_000_u32.to_le_bytes();
    [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', 1, channels, 0, 0, r0, r1, r2, r3, 0, 0, 0]
}

/// Appends the body of the metadata tag: the publisher's own values, with what concerns the tracks set to what is sent.
/// `None`, and nothing appended, if nothing is known of the stream.
pub fn write_metadata(
    info: &StreamInfo,
    form: Form,
    filter: TrackFilter,
    out: &mut Vec<u8>,
) -> Option<TagKind> {
    let video = info.video.as_ref().filter(|_| filter.video);
    let audio = info.audio.as_ref().filter(|_| filter.audio);
    if info.metadata.is_none() && video.is_none() && audio.is_none() {
        return None;
    }
    let mut metadata = info.metadata.clone().unwrap_or_default();
    // A live stream has neither an end nor a place to seek to.
    for name in ["duration", "filesize", "keyframes"] {
        metadata.remove(name);
    }
    describe_video(&mut metadata, video, form);
    describe_audio(&mut metadata, audio, form);
    metadata.set("server", MetaValue::Text(SERVER.into()));
    amf::write_text("onMetaData", out);
    amf::write_ecma_array(&metadata.fields, out);
    Some(TagKind::Script)
}

fn describe_video(metadata: &mut Metadata, track: Option<&Track>, form: Form) {
    metadata.set("hasVideo", MetaValue::Bool(track.is_some()));
    let Some(track) = track else {
        for name in ["videocodecid", "width", "height", "framerate", "videodatarate"] {
            metadata.remove(name);
        }
        return;
    };
    metadata.set("videocodecid", MetaValue::Number(codec_number(track, form)));
    if track.video.width > 0 && track.video.height > 0 {
        metadata.set("width", MetaValue::Number(f64::from(track.video.width)));
        metadata.set("height", MetaValue::Number(f64::from(track.video.height)));
    }
    if metadata.number("framerate").is_none() && track.video.frame_rate_milli > 0 {
        metadata.set("framerate", MetaValue::Number(f64::from(track.video.frame_rate_milli) / 1000.0));
    }
}

fn describe_audio(metadata: &mut Metadata, track: Option<&Track>, form: Form) {
    metadata.set("hasAudio", MetaValue::Bool(track.is_some()));
    let Some(track) = track else {
        for name in ["audiocodecid", "audiosamplerate", "audiosamplesize", "audiodatarate", "stereo"] {
            metadata.remove(name);
        }
        return;
    };
    metadata.set("audiocodecid", MetaValue::Number(codec_number(track, form)));
    if metadata.number("audiosamplerate").is_none() && track.audio.sample_rate > 0 {
        metadata.set("audiosamplerate", MetaValue::Number(f64::from(track.audio.sample_rate)));
    }
    if metadata.bool("stereo").is_none() && track.audio.channels > 0 {
        metadata.set("stereo", MetaValue::Bool(track.audio.channels > 1));
    }
}

/// The number of a codec in the metadata: the classic one, or the fourCC read as a number.
fn codec_number(track: &Track, form: Form) -> f64 {
    match spelling(track, form) {
        Some(Spelling::Numbered(number) | Spelling::Bare(number)) => f64::from(number),
        Some(Spelling::Aac) => 10.0,
        Some(Spelling::Format(byte)) => f64::from(byte >> 4),
        Some(Spelling::Fourcc(code)) => f64::from(u32::from_be_bytes(code)),
        None => 0.0,
    }
}
