//! FLV's byte stream for one viewer, taken apart as it comes, in any pieces (FLV specification 10.1, annex E.2 and E.3).

use super::watch::{Env, Watch};
use protocols::container::flv::TagKind;

const FILE_HEADER: u8 = 13;
const TAG_HEADER: u8 = 11;
/// PreviousTagSize and the next tag's header.
const BETWEEN: u8 = 4 + TAG_HEADER;

/// Where in the byte stream it is.
#[derive(Debug)]
pub struct Tags {
    header: [u8; BETWEEN as usize],
    have: u8,
    need: u8,
    /// Bytes of the body that are still to come, while `need` is 0.
    left: u32,
    previous: u32,
}

impl Tags {
    /// At the start.
    pub const fn new() -> Self {
        Self { header: [0; BETWEEN as usize], have: 0, need: FILE_HEADER, left: 0, previous: 0 }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What breaks the framing; all that follows is lost.
    pub fn take(
        &mut self,
        mut bytes: &[u8],
        watch: &mut Watch,
        env: &mut Env<'_>,
    ) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            if self.need == 0 {
                let (part, rest) = bytes.split_at_checked(self.left as usize).unwrap_or((bytes, &[]));
                self.left -= part.len() as u32;
                watch.body(part, env);
                bytes = rest;
            } else {
                let missing = usize::from(self.need - self.have);
                let (part, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
                let have = usize::from(self.have);
                if let Some(room) = self.header.get_mut(have..have + part.len()) {
                    room.copy_from_slice(part);
                }
                self.have += part.len() as u8;
                bytes = rest;
                if self.have < self.need {
                    return Ok(());
                }
                self.header(watch)?;
            }
            if self.need == 0 && self.left == 0 {
                watch.finish(env);
                (self.have, self.need) = (0, BETWEEN);
            }
        }
        Ok(())
    }

    fn header(&mut self, watch: &mut Watch) -> Result<(), &'static str> {
        self.have = 0;
        if self.need == FILE_HEADER {
            if !self.header.starts_with(b"FLV\x01")
                || self.header.get(5..13) != Some(&[0, 0, 0, 9, 0, 0, 0, 0])
            {
                return Err("no FLV header");
            }
            // The first tag has no PreviousTagSize of its own: it was the end of the header.
            self.need = TAG_HEADER;
            return Ok(());
        }
        let mut fields = [0; BETWEEN as usize];
        if self.need == BETWEEN {
            fields = self.header;
        } else if let (Some(to), Some(from)) = (fields.get_mut(4..), self.header.get(..11)) {
            to.copy_from_slice(from);
        }
        let [p0, p1, p2, p3, kind, s0, s1, s2, t1, t2, t3, t0, i0, i1, i2] = fields;
        if u32::from_be_bytes([p0, p1, p2, p3]) != self.previous {
            return Err("wrong PreviousTagSize");
        }
        let Some(kind) = TagKind::from_number(kind) else { return Err("unknown kind of tag") };
        if [i0, i1, i2] != [0; 3] {
            return Err("StreamID is not 0");
        }
        let size = u32::from_be_bytes([0, s0, s1, s2]);
        self.left = size;
        self.previous = size + u32::from(TAG_HEADER);
        self.need = 0;
        watch.begin(kind, u32::from_be_bytes([t0, t1, t2, t3]), size);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::{Clip, Mark};
    use crate::measure::{Faults, Tally};
    use crate::scenario;

    const START: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

    fn tag(kind: u8, ms: u32, body: &[u8], out: &mut Vec<u8>) {
        let [_, s0, s1, s2] = (body.len() as u32).to_be_bytes();
        let [t0, t1, t2, t3] = ms.to_be_bytes();
        out.extend([kind, s0, s1, s2, t1, t2, t3, t0, 0, 0, 0]);
        out.extend(body);
        out.extend((body.len() as u32 + 11).to_be_bytes());
    }

    fn wire(clip: &Clip, count: u64) -> Vec<u8> {
        let (mut out, mut body) = (START.to_vec(), Vec::new());
        tag(18, 0, b"script", &mut out);
        for kind in [TagKind::Video, TagKind::Audio] {
            tag(kind.number(), 0, clip.config(kind), &mut out);
        }
        for number in 0..count {
            clip.write(Mark { number, stream: 0, sent_us: 0 }, &mut body);
            // Past 24 bits, so that the fourth byte counts.
            let ms = u32::try_from(clip.stamp_ms(number)).unwrap() + 0x0123_4567;
            tag(clip.piece(number).unwrap().kind.number(), ms, &body, &mut out);
        }
        out
    }

    fn viewed(clip: &Clip, wire: &[u8], piece: usize) -> (Result<(), &'static str>, Tally) {
        let mut tally = Tally::default();
        let (mut tags, mut watch) = (Tags::new(), Watch::new(0, Faults::All, true, 0));
        for bytes in wire.chunks(piece) {
            let mut env = Env { clip, tally: &mut tally, now_us: 1 };
            if let Err(what) = tags.take(bytes, &mut watch, &mut env) {
                return (Err(what), tally);
            }
        }
        (Ok(()), tally)
    }

    fn clip() -> Clip {
        Clip::of(&scenario::Clip { video_kbps: 100, ..Default::default() }).unwrap()
    }

    #[test]
    fn tags_come_out_cut_anywhere() {
        let clip = clip();
        let wire = wire(&clip, 8);
        for piece in 1..=wire.len() {
            let (result, tally) = viewed(&clip, &wire, piece);
            assert_eq!(result, Ok(()), "pieces of {piece}");
            let seen = &tally.seen;
            assert_eq!(
                (tally.packets, seen.corrupt, seen.gaps, seen.joined),
                (8, 0, 0, 1),
                "{:?}",
                seen.notes
            );
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_seen() {
        let clip = clip();
        let wire = wire(&clip, 4);
        let script = START.len()..START.len() + 11 + 6 + 4;
        for at in (0..wire.len()).filter(|at| !script.contains(at)) {
            // The header's flags say which tracks there are; players do without.
            if at == 4 {
                continue;
            }
            let mut changed = wire.clone();
            changed[at] ^= 0x24;
            let (result, tally) = viewed(&clip, &changed, usize::MAX);
            let seen = &tally.seen;
            let unfinished = tally.packets < 4;
            // The stamp of a sequence header is the server's affair, and nothing follows the last size.
            let config = |from: usize, len: usize| (from + 4..from + 8).contains(&at) && len > 0;
            let first = script.end;
            let second = first + 15 + clip.config(TagKind::Video).len();
            let free = config(first, 1) || config(second, 1) || at >= wire.len() - 4;
            assert!(free || result.is_err() || seen.corrupt > 0 || unfinished, "byte {at}");
        }
    }
}
