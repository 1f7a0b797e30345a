//! 32-bit stamps of one publisher made into stamps that do not wrap.
//!
//! Audio, video and data each count on their own, so that one that lags behind a wrap does not pull the others back;
//! but the first stamp of audio or video is read near what the other has reached, and data near either.

use media::Timestamp;
use media::time::Unwrap32;

use super::message::kind;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StampClock {
    audio: Option<Unwrap32>,
    video: Option<Unwrap32>,
    data: Option<Unwrap32>,
}

impl StampClock {
    /// The stamp of a message of an audio, video or data type.
    pub fn stamp(&mut self, message_kind: u8, raw: u32) -> Timestamp {
        let Self { audio, video, data } = *self;
        let (slot, near) = match message_kind {
            kind::AUDIO => (&mut self.audio, audio.or(video)),
            kind::VIDEO => (&mut self.video, video.or(audio)),
            _ => (&mut self.data, data.or(video).or(audio)),
        };
        let mut unwrap = near.unwrap_or_default();
        let stamp = unwrap.unwrap(raw);
        *slot = Some(unwrap);
        Timestamp::from_millis(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_and_picture_may_stand_on_two_sides_of_a_wrap() {
        let mut clock = StampClock::default();
        assert_eq!(clock.stamp(kind::DATA_AMF0, 0), Timestamp::ZERO);
        assert_eq!(clock.stamp(kind::VIDEO, u32::MAX - 9), Timestamp::from_millis((1 << 32) - 10));
        assert_eq!(clock.stamp(kind::AUDIO, 5), Timestamp::from_millis((1 << 32) + 5));
        assert_eq!(clock.stamp(kind::VIDEO, u32::MAX), Timestamp::from_millis((1 << 32) - 1));
        assert_eq!(clock.stamp(kind::VIDEO, 20), Timestamp::from_millis((1 << 32) + 20));
        assert_eq!(clock.stamp(kind::AUDIO, u32::MAX), Timestamp::from_millis((1 << 32) - 1));
    }
}
