//! One timeline a stream: whatever stamps a publisher sends, what leaves never goes back.
//!
//! Input stamps are already unwrapped. Small steps back are held at the last stamp; a jump, in either direction, starts
//! a new segment: one offset for all tracks, so that sound and picture keep their distance. Each track keeps the offset
//! it last used for as long as that fits, so packets of the segment before that arrive late (interleaving) and
//! tracks that count from different zeros are both placed well. Nothing here is fatal and nothing reads a clock.
//!
//! Invariants: per kind, output DTS never decreases and is never negative; PTS keeps its distance from the input DTS.

use crate::{Kind, Moment, Timestamp};
use std::time::Duration;

/// What counts as a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A step forward larger than this, beyond the time that really passed, is a jump.
    pub jump_forward: Duration,
    /// A step back larger than this is a jump; a smaller one is held.
    pub jump_back: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self { jump_forward: Duration::from_secs(10), jump_back: Duration::from_millis(500) }
    }
}

/// First stamps below this are kept as they are; later ones are moved to zero, so that a stream's clock starts small.
const KEEP_START_US: i64 = 10_000_000;
/// Composition offsets beyond this are nonsense and are dropped.
const MAX_COMPOSITION_US: i64 = 10_000_000;
/// Distance over a jump when the track's own is not known.
const DEFAULT_STEP_US: i64 = 20_000;
/// Largest distance put over a jump.
const MAX_STEP_US: i64 = 100_000;

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    offset: Option<i64>,
    last_out: Option<i64>,
    last_step: i64,
    last_at: Moment,
}

/// Repairs the stamps of one stream.
#[derive(Clone, Debug)]
pub struct Timeline {
    rules: Rules,
    offset: Option<i64>,
    tracks: [Track; 3],
    newest: i64,
    resuming: bool,
    repairs: u64,
    jumps: u64,
}

impl Timeline {
    /// A timeline that has seen nothing.
    pub const fn new(rules: Rules) -> Self {
        const NONE: Track = Track { offset: None, last_out: None, last_step: 0, last_at: Moment(0) };
        Self { rules, offset: None, tracks: [NONE; 3], newest: 0, resuming: false, repairs: 0, jumps: 0 }
    }

    /// A new publisher follows: its first stamp, whatever it is, continues where the last one ended.
    pub fn resume(&mut self) {
        self.resuming = self.offset.is_some();
        for track in &mut self.tracks {
            track.offset = None;
        }
    }

    /// The stamps under which a packet leaves.
    pub fn stamp(
        &mut self,
        now: Moment,
        kind: Kind,
        dts: Timestamp,
        pts: Timestamp,
    ) -> (Timestamp, Timestamp) {
        let input = dts.micros();
        let out =
            if kind == Kind::Data { self.place_data(input) } else { self.place_media(now, kind, input) };
        let mut composition = pts.micros().saturating_sub(input);
        if composition.abs() > MAX_COMPOSITION_US {
            composition = 0;
            self.repairs += 1;
        }
        (Timestamp::from_micros(out), Timestamp::from_micros(out.saturating_add(composition)))
    }

    /// Stamps that had to be changed by more than the common offset.
    pub const fn repairs(&self) -> u64 {
        self.repairs
    }

    /// Segments started after the first, new publishers not counted.
    pub const fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The newest stamp that left.
    pub const fn newest(&self) -> Timestamp {
        Timestamp::from_micros(self.newest)
    }

    fn place_data(&mut self, input: i64) -> i64 {
        let reach = span(self.rules.jump_forward);
        let placed = input.saturating_add(self.offset.unwrap_or(0));
        let near = placed.abs_diff(self.newest) <= reach.unsigned_abs();
        let placed = if near { placed } else { self.newest };
        let [_, _, data] = &mut self.tracks;
        let out = placed.max(data.last_out.unwrap_or(0)).max(0);
        data.last_out = Some(out);
        out
    }

    fn place_media(&mut self, now: Moment, kind: Kind, input: i64) -> i64 {
        let track = self.track(kind);
        let offset = match self.offset {
            None if (0..KEEP_START_US).contains(&input) => 0,
            None => input.saturating_neg(),
            Some(_) if self.resuming => {
                self.resuming = false;
                self.segment_offset(&track, input)
            }
            Some(common) => self.known_offset(now, &track, common, input),
        };
        let mut placed = input.saturating_add(offset);
        if placed < 0 || track.last_out.is_some_and(|last| placed < last) {
            placed = track.last_out.unwrap_or(0).max(0);
            self.repairs += 1;
        }
        self.remember(now, kind, offset, placed);
        placed
    }

    fn known_offset(&mut self, now: Moment, track: &Track, common: i64, input: i64) -> i64 {
        let fits = |offset: &i64| self.plausible(now, track, input.saturating_add(*offset));
        if let Some(offset) = track.offset.into_iter().chain([common]).find(fits) {
            return offset;
        }
        self.jumps += 1;
        self.repairs += 1;
        self.segment_offset(track, input)
    }

    fn segment_offset(&self, track: &Track, input: i64) -> i64 {
        let step = if track.last_step > 0 { track.last_step.min(MAX_STEP_US) } else { DEFAULT_STEP_US };
        self.newest.saturating_add(step).saturating_sub(input)
    }

    /// Whether an output stamp could be the next of its track.
    fn plausible(&self, now: Moment, track: &Track, placed: i64) -> bool {
        let forward = span(self.rules.jump_forward);
        match track.last_out {
            Some(last) => {
                let passed = span(now.since(track.last_at));
                placed >= last.saturating_sub(span(self.rules.jump_back))
                    && placed <= last.saturating_add(forward).saturating_add(passed)
            }
            // The first of its track: anywhere near where the stream is.
            None => placed.abs_diff(self.newest) <= forward.unsigned_abs(),
        }
    }

    fn remember(&mut self, now: Moment, kind: Kind, offset: i64, placed: i64) {
        if self.track(kind).offset != Some(offset) {
            self.offset = Some(offset);
        }
        let track = match (kind, &mut self.tracks) {
            (Kind::Video, [video, _, _]) => video,
            (Kind::Audio, [_, audio, _]) => audio,
            (Kind::Data, [_, _, data]) => data,
        };
        track.offset = Some(offset);
        if let Some(last) = track.last_out
            && placed > last
        {
            track.last_step = placed - last;
        }
        track.last_out = Some(placed);
        track.last_at = now;
        self.newest = self.newest.max(placed);
    }

    const fn track(&self, kind: Kind) -> Track {
        let [video, audio, data] = self.tracks;
        match kind {
            Kind::Video => video,
            Kind::Audio => audio,
            Kind::Data => data,
        }
    }
}

fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Feed {
        timeline: Timeline,
        now: u64,
        last: [i64; 2],
    }

    impl Feed {
        fn new() -> Self {
            Self { timeline: Timeline::new(Rules::default()), now: 0, last: [0; 2] }
        }

        /// Feeds one packet in milliseconds; checks that nothing goes back.
        fn put(&mut self, kind: Kind, dts: i64) -> i64 {
            self.now += 10_000;
            let ts = Timestamp::from_millis(dts);
            let (out, _) = self.timeline.stamp(Moment(self.now), kind, ts, ts);
            let last = &mut self.last[usize::from(kind == Kind::Audio)];
            assert!(out.millis() >= *last, "{kind:?} {dts} left as {} after {last}", out.millis());
            *last = out.millis();
            out.millis()
        }
    }

    #[test]
    fn a_clean_stream_is_left_alone() {
        let mut feed = Feed::new();
        for i in 0..500 {
            assert_eq!(feed.put(Kind::Video, i * 40), i * 40);
            assert_eq!(feed.put(Kind::Audio, i * 40 + 7), i * 40 + 7);
        }
        assert_eq!((feed.timeline.repairs(), feed.timeline.jumps()), (0, 0));
    }

    #[test]
    fn a_late_start_is_moved_to_zero_and_keeps_the_distance_of_the_tracks() {
        for start in [1 << 24, (1 << 31) - 100, (1_i64 << 32) - 100] {
            let mut feed = Feed::new();
            assert_eq!(feed.put(Kind::Video, start), 0);
            assert_eq!(feed.put(Kind::Audio, start + 13), 13);
            assert_eq!(feed.put(Kind::Video, start + 40), 40);
            assert_eq!(feed.timeline.repairs(), 0);
        }
    }

    #[test]
    fn jumps_by_hours_both_ways_continue_with_the_same_distance() {
        for jump in [7_200_000, -7_200_000_i64, -(1 << 31)] {
            let mut feed = Feed::new();
            for i in 0..100 {
                feed.put(Kind::Video, 9_000 + i * 40);
                feed.put(Kind::Audio, 9_000 + i * 40 + 15);
            }
            let video = feed.put(Kind::Video, 9_000 + 4_000 + jump);
            assert!((1..=100).contains(&(video - (9_000 + 3_960))), "{video}");
            // A straggler from before the jump keeps its place; the next follows the jump.
            assert_eq!(feed.put(Kind::Audio, 9_000 + 3_995), 9_000 + 3_995);
            assert_eq!(feed.put(Kind::Audio, 9_000 + 4_015 + jump), video + 15);
            assert_eq!(feed.put(Kind::Video, 9_000 + 4_040 + jump), video + 40);
            assert_eq!(feed.timeline.jumps(), 1);
        }
    }

    #[test]
    fn small_steps_back_and_repeats_are_held() {
        let mut feed = Feed::new();
        feed.put(Kind::Video, 0);
        feed.put(Kind::Video, 40);
        assert_eq!(feed.put(Kind::Video, 40), 40);
        assert_eq!(feed.put(Kind::Video, 0), 40);
        assert_eq!(feed.put(Kind::Video, 80), 80);
        assert_eq!((feed.timeline.repairs(), feed.timeline.jumps()), (1, 0));
    }

    #[test]
    fn a_real_pause_is_kept_as_a_pause() {
        let mut feed = Feed::new();
        feed.put(Kind::Video, 0);
        feed.now += 60_000_000;
        assert_eq!(feed.put(Kind::Video, 60_000), 60_000);
        assert_eq!(feed.timeline.jumps(), 0);
    }

    #[test]
    fn a_publisher_that_returns_continues() {
        let mut feed = Feed::new();
        for i in 0..50 {
            feed.put(Kind::Video, i * 40);
        }
        feed.timeline.resume();
        assert_eq!(feed.put(Kind::Audio, 0), 1_960 + 20);
        assert_eq!(feed.put(Kind::Video, 5), 1_960 + 25);
        assert_eq!(feed.timeline.jumps(), 0);
    }

    #[test]
    fn composition_offsets_survive_and_nonsense_does_not() {
        let mut timeline = Timeline::new(Rules::default());
        let ms = Timestamp::from_millis;
        assert_eq!(timeline.stamp(Moment(0), Kind::Video, ms(0), ms(80)), (ms(0), ms(80)));
        assert_eq!(timeline.stamp(Moment(0), Kind::Video, ms(40), ms(20)), (ms(40), ms(20)));
        assert_eq!(timeline.stamp(Moment(0), Kind::Video, ms(80), ms(90_000)), (ms(80), ms(80)));
    }

    #[test]
    fn tracks_that_count_from_different_zeros_do_not_jump_for_ever() {
        let mut feed = Feed::new();
        for i in 0..2_000 {
            feed.put(Kind::Video, i * 40);
            feed.put(Kind::Audio, 3_600_000 + i * 40);
        }
        assert_eq!(feed.timeline.jumps(), 1);
    }

    #[test]
    fn data_never_moves_the_timeline() {
        let mut feed = Feed::new();
        feed.put(Kind::Video, 5_000);
        let ts = Timestamp::from_millis(99_999_999);
        let (out, _) = feed.timeline.stamp(Moment(1), Kind::Data, ts, ts);
        assert_eq!(out.millis(), 5_000);
        assert_eq!(feed.put(Kind::Video, 5_040), 5_040);
        assert_eq!(feed.timeline.jumps(), 0);
    }
}
