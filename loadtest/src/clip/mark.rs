//! The mark that every published packet carries in front of its media: which packet of which stream it is, and when
//! it was sent. In H.264 it is a user-data SEI unit (H.264 annex D.1.7), in AAC a data stream element (ISO/IEC
//! 14496-3 clause 4.4.2.5), so servers and players pass over it.
//!
//! Numbers are written seven bits a byte with the top bit set, so that no start code and no emulation prevention can
//! appear. A check value makes a changed bit visible.

/// Tells this harness's user data from others'.
const UUID: [u8; 16] = *b"shardcast.loadt1";
/// Bytes of the numbers behind the UUID.
pub const NUMBERS: usize = 24;
/// What stands in front of the numbers of a picture, inside its payload: unit length, SEI, user data, its size, UUID.
pub const VIDEO_PREFIX: usize = 4 + 3 + UUID.len();
/// The same of a frame of sound: element with byte alignment, its size, UUID.
pub const AUDIO_PREFIX: usize = 2 + UUID.len();

const NUMBERS_U8: u8 = 24;
const USER_DATA: u8 = 16 + NUMBERS_U8;

/// One packet's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Number of the packet in its stream, from 0, all tracks together.
    pub number: u64,
    /// Number of the stream.
    pub stream: u32,
    /// When it was handed to the socket: microseconds of this process's clock.
    pub sent_us: u64,
}

impl Mark {
    /// Its bytes.
    pub fn bytes(self) -> [u8; NUMBERS] {
        let fields = [(self.number, 8), (u64::from(self.stream), 3), (self.sent_us, 8), (self.check(), 5)];
        let digits = fields.into_iter().flat_map(|(value, count)| {
            (0..count).rev().map(move |at| 0x80 | (value >> (7 * at)).to_le_bytes()[0])
        });
        let mut out = [0; NUMBERS];
        for (byte, digit) in out.iter_mut().zip(digits) {
            *byte = digit;
        }
        out
    }

    /// The mark of these bytes; `None` if they are no mark, or a changed one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; NUMBERS] = bytes.try_into().ok()?;
        if bytes.iter().any(|byte| byte & 0x80 == 0) {
            return None;
        }
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (stream, rest) = rest.split_first_chunk::<3>()?;
        let (sent_us, check) = rest.split_first_chunk::<8>()?;
        let mark = Self {
            number: joined(number),
            stream: u32::try_from(joined(stream)).ok()?,
            sent_us: joined(sent_us),
        };
        (mark.check() == joined(check)).then_some(mark)
    }

    /// 35 bits of a mix of the fields.
    const fn check(self) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mix = self.number.wrapping_add(1).wrapping_mul(ODD);
        mix = (mix ^ (mix >> 31) ^ self.stream as u64).wrapping_mul(ODD);
        mix = (mix ^ (mix >> 29) ^ self.sent_us).wrapping_mul(ODD);
        mix >> 29
    }
}

/// A mark's place in front of a picture: a unit of its own, its numbers still 0x80.
pub fn video_unit() -> Vec<u8> {
    let mut unit = vec![0, 0, 0, USER_DATA + 4, 0x06, 5, USER_DATA];
    unit.extend(UUID);
    unit.extend([0x80; NUMBERS]);
    unit.push(0x80);
    unit
}

/// A mark's place in front of a frame of sound.
pub fn audio_element() -> Vec<u8> {
    // Element 4, tag 0, byte aligned.
    let mut element = vec![0x81, USER_DATA];
    element.extend(UUID);
    element.extend([0x80; NUMBERS]);
    element
}

fn joined(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value << 7 | u64::from(digit & 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_any_changed_bit_is_seen() {
        for mark in [
            Mark { number: 0, stream: 0, sent_us: 0 },
            Mark { number: (1 << 56) - 1, stream: (1 << 21) - 1, sent_us: (1 << 56) - 1 },
            Mark { number: 12_345, stream: 77, sent_us: 98_765_432_100 },
        ] {
            let bytes = mark.bytes();
            assert_eq!(Mark::read(&bytes), Some(mark));
            for bit in 0..NUMBERS * 8 {
                let mut changed = bytes;
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Mark::read(&changed), None, "bit {bit}");
            }
            assert_eq!(Mark::read(&bytes[1..]), None);
        }
    }

    #[test]
    fn the_places_have_the_lengths_they_claim() {
        let unit = video_unit();
        assert_eq!(usize::from(unit[3]) + 4, unit.len());
        assert_eq!(unit.len(), VIDEO_PREFIX + NUMBERS + 1);
        assert_eq!(usize::from(unit[6]), UUID.len() + NUMBERS);
        let element = audio_element();
        assert_eq!(usize::from(element[1]) + 2, element.len());
        assert_eq!(element.len(), AUDIO_PREFIX + NUMBERS);
    }
}
