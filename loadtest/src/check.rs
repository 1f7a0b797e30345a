//! Compares what one viewer gets with what was published, byte by byte, as it comes: order, stamps, content.
//!
//! Knows no framing and no socket: whoever takes a protocol apart tells where a tag begins, its bytes in any pieces, and
//! its end. Nothing is stored but the first bytes of a tag (up to the end of its mark).

use crate::clip::{Clip, Mark, NUMBERS, lane, mark_at};
use crate::measure::{Faults, Tally};
use protocols::container::flv::TagKind;

/// Room for the bytes of a tag up to the end of its mark.
const HEAD: usize = 56;
/// Stamps may be off by so much, in milliseconds: servers round.
const STAMP_SLACK_MS: i64 = 1;

/// What the tag that comes just now is compared with.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// Its first bytes will tell.
    Unknown,
    /// Script data, which servers write anew.
    Anything,
    /// The sequence header of its kind.
    Config,
    /// A packet.
    Packet(Mark),
    /// Nothing that was published.
    Nothing,
}

/// A packet that has come whole.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Whether it is a picture to start with.
    pub keyframe: bool,
    /// When it was sent; `None` if its content is not what was sent.
    pub sent_us: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Check {
    stream: u32,
    /// The server's stamps less the published ones, from the first packet on.
    offset_ms: Option<i64>,
    lanes: [Sequence; 2],
    kind: TagKind,
    ms: u32,
    size: u32,
    pos: u32,
    good: bool,
    expect: Expect,
    head: [u8; HEAD],
}

impl Check {
    /// Before the first tag of a viewer of this stream.
    pub fn new(stream: u32) -> Self {
        Self {
            stream,
            offset_ms: None,
            lanes: [Sequence::default(); 2],
            kind: TagKind::Script,
            ms: 0,
            size: 0,
            pos: 0,
            good: true,
            expect: Expect::Anything,
            head: [0; HEAD],
        }
    }

    /// A tag begins.
    pub const fn begin(&mut self, kind: TagKind, ms: u32, size: u32) {
        self.kind = kind;
        self.ms = ms;
        self.size = size;
        self.pos = 0;
        self.good = true;
        self.expect = match kind {
            TagKind::Script => Expect::Anything,
            _ if size < 2 => Expect::Nothing,
            _ => Expect::Unknown,
        };
    }

    /// Some of its bytes; all together must be the size that was told.
    pub fn take(&mut self, clip: &Clip, mut bytes: &[u8]) {
        if matches!(self.expect, Expect::Unknown) {
            let need = (mark_at(self.kind) + NUMBERS).min(self.size as usize);
            let pos = self.pos as usize;
            let (part, rest) = bytes.split_at_checked(need.saturating_sub(pos)).unwrap_or((bytes, &[]));
            if let Some(room) = self.head.get_mut(pos..pos + part.len()) {
                room.copy_from_slice(part);
            }
            self.pos += part.len() as u32;
            bytes = rest;
            if pos + part.len() < need {
                return;
            }
            self.identify(clip, need);
        }
        let pos = self.pos as usize;
        let end = pos + bytes.len();
        self.pos = u32::try_from(end).unwrap_or(u32::MAX);
        let expected = match self.expect {
            Expect::Config => clip.config(self.kind),
            Expect::Packet(mark) => clip.piece(mark.number).map_or(&[][..], |piece| &piece.body),
            _ => return,
        };
        self.good &= expected.get(pos..end) == Some(bytes);
    }

    /// All of the tag has come.
    pub fn finish(&mut self, clip: &Clip, tally: &mut Tally, faults: Faults) -> Option<Arrived> {
        match self.expect {
            Expect::Anything => None,
            Expect::Config => {
                if !self.good {
                    tally.corrupt(faults, || format!("stream {}: another sequence header", self.stream));
                }
                None
            }
            Expect::Unknown | Expect::Nothing => {
                tally.packets += 1;
                self.skip_one(self.kind);
                let (kind, size, head) = (self.kind, self.size, self.head.get(..48).unwrap_or_default());
                tally.corrupt(faults, || {
                    format!(
                        "stream {}: {kind:?} of {size} bytes without a mark, at {}: {head:02x?}",
                        self.stream, self.ms
                    )
                });
                Some(Arrived { keyframe: false, sent_us: None })
            }
            Expect::Packet(mark) => Some(self.packet(mark, clip, tally, faults)),
        }
    }

    /// The first bytes are there.
    fn identify(&mut self, clip: &Clip, have: usize) {
        let head = self.head.get(..have).unwrap_or_default();
        // Packet type 0: a sequence header.
        if head.get(1) == Some(&0) {
            let config = clip.config(self.kind);
            self.good = config.len() == self.size as usize && config.starts_with(head);
            self.expect = Expect::Config;
            return;
        }
        let at = mark_at(self.kind);
        let mark = head.get(at..at + NUMBERS).and_then(Mark::read);
        let Some(mark) = mark else {
            self.expect = Expect::Nothing;
            return;
        };
        self.good = mark.stream == self.stream
            && clip.piece(mark.number).is_some_and(|piece| {
                piece.kind == self.kind
                    && piece.body.len() == self.size as usize
                    && piece.body.get(..at) == head.get(..at)
            });
        self.expect = Expect::Packet(mark);
    }

    fn packet(&mut self, mark: Mark, clip: &Clip, tally: &mut Tally, faults: Faults) -> Arrived {
        tally.packets += 1;
        let Some(piece) = clip.piece(mark.number) else { return Arrived { keyframe: false, sent_us: None } };
        if mark.stream != self.stream || piece.kind != self.kind {
            self.skip_one(self.kind);
            let stream = self.stream;
            tally.corrupt(faults, || format!("stream {stream}: a packet of stream {}", mark.stream));
            return Arrived { keyframe: false, sent_us: None };
        }
        if let Some(sequence) = self.lanes.get_mut(lane(self.kind)) {
            let order = sequence.see(clip.ordinal(mark.number));
            let (stream, kind, number) = (self.stream, self.kind, mark.number);
            tally
                .order(order, faults, || format!("stream {stream}: {order:?} at packet {number} ({kind:?})"));
        }
        let published = clip.stamp_ms(mark.number);
        let off = i64::from(self.ms).wrapping_sub(published as i64);
        let shift = wrapped(off.wrapping_sub(*self.offset_ms.get_or_insert(off)));
        let stamped = shift.abs() <= STAMP_SLACK_MS;
        if !self.good || !stamped {
            let (stream, good, ms) = (self.stream, self.good, self.ms);
            tally.corrupt(faults, || {
                let what =
                    if good { format!("stamp {ms} is off by {shift} ms") } else { "other bytes".into() };
                format!("stream {stream}: packet {}: {what}", mark.number)
            });
        }
        Arrived { keyframe: piece.keyframe, sent_us: self.good.then_some(mark.sent_us) }
    }

    /// A packet whose number is not known stands for the one that was due.
    fn skip_one(&mut self, kind: TagKind) {
        if let Some(sequence) = self.lanes.get_mut(lane(kind)) {
            sequence.assume();
        }
    }
}

/// A difference of stamps that wrap at 31 bits, as FLV's do.
const fn wrapped(difference: i64) -> i64 {
    const HALF: i64 = 1 << 30;
    (difference.wrapping_add(HALF)).rem_euclid(HALF * 2) - HALF
}

/// How a packet stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The next one, or the first.
    Next,
    /// So many were left out before it.
    Gap(u64),
    /// It has come before.
    Repeat,
    /// It was left out before.
    Late,
    /// It is older than the first that came.
    Early,
}

/// The order of one track's packets.
#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    /// First number seen and the next that is due; both 0 before the first.
    first: u64,
    next: u64,
    /// Bit `k`: number `next - 1 - k` has come.
    seen: u64,
}

impl Sequence {
    fn see(&mut self, number: u64) -> Order {
        if self.seen == 0 {
            (self.first, self.next, self.seen) = (number, number + 1, 1);
            return Order::Next;
        }
        if number >= self.next {
            let skipped = number - self.next;
            let shift = u32::try_from(skipped + 1).unwrap_or(64);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.next = number + 1;
            return if skipped == 0 { Order::Next } else { Order::Gap(skipped) };
        }
        if number < self.first {
            return Order::Early;
        }
        let bit = u32::try_from(self.next - 1 - number).ok().and_then(|back| 1_u64.checked_shl(back));
        match bit {
            Some(bit) if self.seen & bit == 0 => {
                self.seen |= bit;
                Order::Late
            }
            _ => Order::Repeat,
        }
    }

    fn assume(&mut self) {
        if self.seen != 0 {
            self.see(self.next);
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
