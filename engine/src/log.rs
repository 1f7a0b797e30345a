//! The shared bytes of a rendition: an append-only log that viewers read at byte offsets.
//!
//! It knows neither what the bytes mean nor who reads them. Bytes are kept in blocks; a unit (what the muxer
//! wrote in one call) never spans two blocks, so a viewer that is moved away in the middle of a unit can keep that one
//! block alive until the unit is finished, whatever is trimmed meanwhile.
//!
//! Invariants: offsets only grow; `units` are contiguous and cover `start..end`; a block is dropped when its last unit is.

use media::Timestamp;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

/// A block is closed once it holds this many bytes.
const BLOCK_BYTES: usize = 32 * 1024;

/// One unit's place and what a cursor must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset behind its last byte.
    pub end: u64,
    /// Decoding time of its packet.
    pub dts: Timestamp,
    /// A viewer can start here.
    pub entry: bool,
    /// Which announcement of the tracks it belongs to.
    pub epoch: u32,
}

struct Block {
    start: u64,
    bytes: Rc<Vec<u8>>,
}

/// A piece of the log that outlives trimming.
pub(crate) struct Kept {
    bytes: Rc<Vec<u8>>,
    from: usize,
    to: usize,
}

impl Kept {
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }

    /// Forgets the first `n` bytes; `true` if none is left.
    pub fn advance(&mut self, n: usize) -> bool {
        self.from = self.from.saturating_add(n).min(self.to);
        self.from == self.to
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Log {
    blocks: VecDeque<Block>,
    units: VecDeque<Unit>,
    end: u64,
    last_entry: Option<u64>,
}

impl Log {
    /// Appends what `write` appends to the vector as one unit; nothing written makes no unit.
    pub fn append(
        &mut self,
        reserve: usize,
        dts: Timestamp,
        entry: bool,
        epoch: u32,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.end;
        let fits = self
            .blocks
            .back()
            .is_some_and(|b| b.bytes.len() < BLOCK_BYTES && Rc::strong_count(&b.bytes) == 1);
        if !fits {
            self.blocks.push_back(Block { start, bytes: Rc::new(Vec::with_capacity(reserve)) });
        }
        let Some(block) = self.blocks.back_mut() else { return };
        let Some(bytes) = Rc::get_mut(&mut block.bytes) else { return };
        // A write that panicked left bytes that belong to no unit.
        let before =
            usize::try_from(start.saturating_sub(block.start)).unwrap_or(usize::MAX).min(bytes.len());
        bytes.truncate(before);
        bytes.reserve(reserve);
        write(bytes);
        let written = bytes.len().saturating_sub(before) as u64;
        if written == 0 {
            if before == 0 {
                self.blocks.pop_back();
            }
            return;
        }
        self.end = start.saturating_add(written);
        self.units.push_back(Unit { start, end: self.end, dts, entry, epoch });
        if entry {
            self.last_entry = Some(start);
        }
    }

    /// No unit so far is an entry any more.
    pub const fn forget_entries(&mut self) {
        self.last_entry = None;
    }

    /// Drops whole units before `offset`.
    pub fn trim(&mut self, offset: u64) {
        while self.units.front().is_some_and(|unit| unit.end <= offset) {
            self.units.pop_front();
        }
        let start = self.start();
        while self.blocks.front().is_some_and(|b| b.start.saturating_add(b.bytes.len() as u64) <= start) {
            self.blocks.pop_front();
        }
        if self.last_entry.is_some_and(|entry| entry < start) {
            self.last_entry = None;
        }
    }

    /// Offset of the oldest byte.
    pub fn start(&self) -> u64 {
        self.units.front().map_or(self.end, |unit| unit.start)
    }

    /// Offset behind the newest byte.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Decoding time of the newest unit.
    pub fn newest(&self) -> Option<Timestamp> {
        self.units.back().map(|unit| unit.dts)
    }

    /// The unit that holds the byte at `offset`; `None` at the end and outside.
    pub fn unit_at(&self, offset: u64) -> Option<Unit> {
        let index = self.units.partition_point(|unit| unit.end <= offset);
        self.units.get(index).filter(|unit| unit.start <= offset).copied()
    }

    /// The newest entry at or after `offset`.
    pub fn entry_from(&self, offset: u64) -> Option<Unit> {
        self.last_entry.filter(|entry| *entry >= offset).and_then(|entry| self.unit_at(entry))
    }

    /// The oldest unit at or after `offset` whose time is not before `dts`.
    pub fn unit_since(&self, offset: u64, dts: Timestamp) -> Option<Unit> {
        self.units.iter().rev().take_while(|unit| unit.dts >= dts && unit.start >= offset).last().copied()
    }

    /// Fills `slices` with the bytes `from..to`; returns how many slices were filled and their total length.
    pub fn gather<'a>(&'a self, from: u64, to: u64, slices: &mut [IoSlice<'a>]) -> (usize, usize) {
        let first = match self.blocks.back() {
            Some(last) if last.start <= from => self.blocks.len() - 1,
            _ => self.blocks.partition_point(|b| b.start.saturating_add(b.bytes.len() as u64) <= from),
        };
        let (mut filled, mut total) = (0, 0);
        for (block, slot) in self.blocks.range(first.min(self.blocks.len())..).zip(slices) {
            let Some(bytes) = block_range(block, from, to) else { break };
            total += bytes.len();
            filled += 1;
            *slot = IoSlice::new(bytes);
        }
        (filled, total)
    }

    /// Keeps the bytes `from..to`, which must lie in one unit.
    pub fn keep(&self, from: u64, to: u64) -> Option<Kept> {
        let index = self.blocks.partition_point(|b| b.start.saturating_add(b.bytes.len() as u64) <= from);
        let block = self.blocks.get(index)?;
        let local = |offset: u64| usize::try_from(offset.checked_sub(block.start)?).ok();
        let (from, to) = (local(from)?, local(to)?);
        (from < to && to <= block.bytes.len()).then(|| Kept { bytes: Rc::clone(&block.bytes), from, to })
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        self.blocks.iter().map(|b| b.bytes.capacity()).sum()
    }
}

fn block_range(block: &Block, from: u64, to: u64) -> Option<&[u8]> {
    let begin = usize::try_from(from.saturating_sub(block.start)).ok()?;
    let end = usize::try_from(to.checked_sub(block.start)?).ok()?.min(block.bytes.len());
    block.bytes.get(begin..end).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(log: &mut Log, n: u8, len: usize, entry: bool) {
        log.append(len, Timestamp::from_millis(i64::from(n) * 10), entry, 0, |out| out.extend(vec![n; len]));
    }

    fn read(log: &Log, from: u64, to: u64) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let (filled, total) = log.gather(from, to, &mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
        assert_eq!(bytes.len(), total);
        bytes
    }

    #[test]
    fn reads_back_any_range_over_blocks() {
        let mut log = Log::default();
        let mut all = Vec::new();
        for n in 0..40 {
            put(&mut log, n, 3_000, n % 10 == 0);
            all.extend(vec![n; 3_000]);
        }
        assert!(log.blocks.len() > 2);
        for (from, to) in [(0, 120_000), (1, 2), (2_999, 3_001), (32_999, 66_001), (119_999, 120_000)] {
            assert_eq!(read(&log, from, to), all[from as usize..to as usize], "{from}..{to}");
        }
        assert_eq!(read(&log, 120_000, 120_000), []);
        assert_eq!(log.entry_from(0).unwrap().start, 90_000);
        assert_eq!(log.entry_from(90_001), None);
        assert_eq!(log.unit_at(5_999).unwrap().start, 3_000);
        assert_eq!(log.unit_since(0, Timestamp::from_millis(385)).unwrap().start, 117_000);
    }

    #[test]
    fn trimming_drops_whole_units_and_what_is_kept_stays() {
        let mut log = Log::default();
        for n in 0..40 {
            put(&mut log, n, 3_000, n == 0);
        }
        let kept = log.keep(100, 3_000).unwrap();
        log.trim(118_000);
        assert_eq!((log.start(), log.end()), (117_000, 120_000));
        assert_eq!(log.entry_from(0), None);
        assert_eq!(kept.bytes(), vec![0; 2_900]);
        assert!(log.held_bytes() < 2 * BLOCK_BYTES);
        log.trim(u64::MAX);
        assert_eq!((log.start(), log.end(), log.blocks.len()), (120_000, 120_000, 0));
        put(&mut log, 7, 5, true);
        assert_eq!(read(&log, 120_000, 120_005), [7; 5]);
    }

    #[test]
    fn a_kept_block_is_never_written_again() {
        let mut log = Log::default();
        put(&mut log, 1, 100, true);
        let kept = log.keep(10, 100).unwrap();
        put(&mut log, 2, 100, false);
        assert_eq!(kept.bytes(), [1; 90]);
        assert_eq!(read(&log, 90, 110), [vec![1; 10], vec![2; 10]].concat());
    }

    #[test]
    fn what_a_broken_write_left_is_forgotten() {
        for before in [0, 100] {
            let mut log = Log::default();
            if before > 0 {
                put(&mut log, 1, before, true);
            }
            let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                log.append(10, Timestamp::ZERO, true, 0, |out| {
                    out.extend([9; 10]);
                    panic!("asked to");
                });
            }));
            assert!(broken.is_err());
            put(&mut log, 2, 50, false);
            let end = before as u64 + 50;
            assert_eq!(log.end(), end);
            assert_eq!(read(&log, 0, end), [vec![1; before], vec![2; 50]].concat());
        }
    }

    #[test]
    fn a_call_that_writes_nothing_makes_no_unit() {
        let mut log = Log::default();
        put(&mut log, 1, 0, true);
        assert_eq!((log.start(), log.end(), log.units.len(), log.blocks.len()), (0, 0, 0, 0));
    }
}
