//! When the viewers of a publisher get what it has given so far.

use std::time::Duration;

/// Reads of a publisher that has more to give, until viewers get what there is.
const READS_A_FLUSH: usize = 16;
/// As much as a socket that is left alone may hold before it takes no more.
const WINDOW_BYTES: usize = 32 * 1024;
/// How long it may take until what was held back is there: the publisher has to learn that there is room again.
const HELD_BACK: Duration = Duration::from_millis(6);
/// How long a first look may take: a timer that is due as well must not come before it.
const LOOK: Duration = Duration::from_millis(1);

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// Nothing that is known of.
    #[default]
    Nothing,
    /// Perhaps something that came while the publisher was not read from.
    Unseen,
    /// More, which is there or on its way.
    More,
}

/// What a publisher gives in one go. With half of a picture written, viewers would wait a tick for the other half.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Burst {
    reads: usize,
    bytes: usize,
    rested: bool,
    next: Next,
}

impl Burst {
    /// The publisher is not read from for a while.
    pub const fn rest(&mut self) {
        self.rested = true;
        self.next = Next::Unseen;
    }

    /// So many bytes came, where there was room for so many; 0: none came in time.
    pub fn read(&mut self, bytes: usize, room: usize) {
        if bytes == 0 {
            // The first look may have been none.
            self.next = if self.next == Next::Unseen { Next::More } else { Next::Nothing };
            return;
        }
        self.reads += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let held_back = self.rested && self.bytes >= WINDOW_BYTES;
        self.next = if bytes >= room || held_back { Next::More } else { Next::Nothing };
    }

    /// How long the next read is waited for before viewers get what there is.
    pub const fn patience(&self) -> Option<Duration> {
        match self.next {
            Next::Nothing | Next::Unseen => None,
            Next::More if self.bytes == 0 => Some(LOOK),
            Next::More => Some(HELD_BACK),
        }
    }

    /// Whether there is nothing more at once.
    pub fn is_over(&self) -> bool {
        self.next != Next::More
    }

    /// Whether viewers should get what there is.
    pub fn is_whole(&self) -> bool {
        self.is_over() || self.reads >= READS_A_FLUSH
    }

    /// They got it.
    pub fn flushed(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 16 * 1024;

    #[test]
    fn a_burst_is_whole_when_a_read_finds_less_than_it_has_room_for() {
        let mut burst = Burst::default();
        assert!(burst.is_whole());
        burst.read(ROOM, ROOM);
        assert!(!burst.is_whole());
        burst.read(100, ROOM);
        assert!(burst.is_whole());
        // Time passed, and nothing came.
        burst.read(ROOM, ROOM);
        burst.read(0, ROOM);
        assert!(burst.is_whole() && burst.patience().is_none());
    }

    #[test]
    fn after_a_rest_a_large_burst_is_whole_only_once_nothing_more_comes() {
        let mut burst = Burst::default();
        burst.rest();
        burst.read(ROOM - 1, ROOM);
        assert!(burst.is_whole());
        burst.read(ROOM, ROOM);
        burst.read(ROOM, ROOM);
        burst.read(100, ROOM);
        assert_eq!((burst.is_whole(), burst.patience()), (false, Some(HELD_BACK)));
        burst.read(0, ROOM);
        assert!(burst.is_whole());
        burst.flushed();
        assert_eq!(burst, Burst::default());
    }

    #[test]
    fn after_a_rest_a_timer_does_not_come_before_the_first_read() {
        let mut burst = Burst::default();
        burst.rest();
        burst.read(0, ROOM);
        assert_eq!((burst.is_whole(), burst.patience()), (false, Some(LOOK)));
        burst.read(100, ROOM);
        assert!(burst.is_whole());
        burst.rest();
        burst.read(0, ROOM);
        burst.read(0, ROOM);
        assert!(burst.is_whole());
    }

    #[test]
    fn one_that_never_ends_is_flushed_all_the_same() {
        let mut burst = Burst::default();
        for _ in 1..READS_A_FLUSH {
            burst.read(ROOM, ROOM);
            assert!(!burst.is_whole());
        }
        burst.read(ROOM, ROOM);
        assert!(burst.is_whole() && !burst.is_over());
        burst.flushed();
        assert!(!burst.is_whole());
    }
}
