//! The names and numbers by which both sides say what of Enhanced RTMP they understand.
//!
//! Enhanced RTMP v2, "Enhancing NetConnection connect Command".

use super::command::{object, text};
use crate::container::flv::Form;
use media::MetaValue;

/// Which spelling of HEVC and Opus the other side gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FormChoice {
    /// FourCC as far as it announced that, the older numbers otherwise.
    #[default]
    Auto,
    /// Always by fourCC.
    Fourcc,
    /// Always the older numbers: video 12, audio 13.
    Legacy,
}

impl FormChoice {
    /// From the query `codec_form`.
    pub(in crate::rtmp) fn from_query(value: &str) -> Option<Self> {
        match value {
            "fourcc" => Some(Self::Fourcc),
            "legacy" => Some(Self::Legacy),
            _ => None,
        }
    }

    /// The form, given what the other side announced.
    pub(in crate::rtmp) const fn form(self, announced: Form) -> Form {
        match self {
            Self::Auto => announced,
            Self::Fourcc => Form::ENHANCED,
            Self::Legacy => Form::LEGACY,
        }
    }
}

/// List of fourCC codes.
const LIST: &str = "fourCcList";
/// Masks of video codes.
const VIDEO_MAP: &str = "videoFourCcInfoMap";
/// Masks of audio codes.
const AUDIO_MAP: &str = "audioFourCcInfoMap";
/// Mask of other abilities.
pub(super) const CAPS: &str = "capsEx";

/// Bit of a codec's mask.
const CAN_DECODE: u32 = 1;
/// Bit of a codec's mask.
const CAN_FORWARD: u32 = 4;

const RECONNECT: u32 = 1;
const MOD_EX: u32 = 4;
const NANO_OFFSET: u32 = 8;

const VIDEO_CODES: [&str; 6] = ["avc1", "hvc1", "vvc1", "av01", "vp09", "vp08"];
const AUDIO_CODES: [&str; 6] = ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];

/// What this server can do, as fields of its reply to `connect`.
pub(super) fn of_server() -> Vec<(&'static str, MetaValue)> {
    let list = VIDEO_CODES.iter().chain(&AUDIO_CODES).map(|code| text(code)).collect();
    vec![
        (LIST, MetaValue::Array(list)),
        (VIDEO_MAP, map(&VIDEO_CODES, CAN_FORWARD)),
        (AUDIO_MAP, map(&AUDIO_CODES, CAN_FORWARD)),
        (CAPS, MetaValue::Number(f64::from(RECONNECT | MOD_EX | NANO_OFFSET))),
    ]
}

/// What the connecting side announces that understands these codes; nothing if there are none.
pub(super) fn of_codes(codes: &[String]) -> Vec<(&'static str, MetaValue)> {
    if codes.is_empty() {
        return Vec::new();
    }
    let list = codes.iter().map(|code| text(code)).collect();
    vec![
        (LIST, MetaValue::Array(list)),
        (CAPS, MetaValue::Number(f64::from(RECONNECT | MOD_EX | NANO_OFFSET))),
    ]
}

/// What the other side announced to understand, in the fields of `connect` or of its reply.
pub(super) fn announced(fields: &[(String, MetaValue)]) -> Form {
    Form {
        fourcc_video: announces(fields, VIDEO_MAP, "hvc1"),
        fourcc_audio: announces(fields, AUDIO_MAP, "Opus"),
    }
}

/// Whether the list or the map names the code, or all codes, as one that can be decoded or passed on.
fn announces(fields: &[(String, MetaValue)], map: &str, fourcc: &str) -> bool {
    let value = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let names = |value: &MetaValue| matches!(value, MetaValue::Text(text) if text == fourcc || text == "*");
    let listed = match value(LIST) {
        Some(MetaValue::Array(list)) => list.iter().any(names),
        Some(MetaValue::Object(list)) => list.iter().any(|(_, value)| names(value)),
        Some(single) => names(single),
        None => false,
    };
    let mapped = match value(map) {
        Some(MetaValue::Object(map)) => map.iter().any(|(key, value)| {
            let able = matches!(value, MetaValue::Number(mask) if has_any(*mask, CAN_DECODE | CAN_FORWARD));
            able && (key == fourcc || key == "*")
        }),
        _ => false,
    };
    listed || mapped
}

/// Whether a mask has any of these bits.
fn has_any(mask: f64, bits: u32) -> bool {
    // A mask is a small whole number; anything else has no bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    let mask = mask as u32;
    mask & bits != 0
}

/// Whether a `capsEx` says that a request to reconnect is followed.
pub(super) fn has_reconnect(caps: f64) -> bool {
    has_any(caps, RECONNECT)
}

fn map(codes: &[&str], mask: u32) -> MetaValue {
    let fields: Vec<_> = codes.iter().map(|code| (*code, MetaValue::Number(f64::from(mask)))).collect();
    object(&fields)
}
