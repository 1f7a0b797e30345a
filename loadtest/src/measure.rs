//! What is counted while viewers watch, one tally a generator thread, and how the tallies become the result.

use crate::check::Order;
use crate::outcome::{Spread, Viewers};
use hdrhistogram::Histogram;

/// Longest delay that is told apart, in microseconds: ten minutes.
const LONGEST_US: u64 = 600_000_000;
/// Notes kept of a thread's first faults.
const NOTES: usize = 8;
/// Points of a delay curve.
const CURVE: [f64; 24] = [
    0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 97.0,
    98.0, 99.0, 99.5, 99.9, 99.99, 100.0,
];

/// Whose faults they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// A viewer that keeps up: each counts.
    All,
    /// A slow reader: that the server leaves out what it cannot take is right, the rest counts.
    NoGaps,
}

/// See the module.
#[derive(Debug)]
pub struct Tally {
    /// Everything that goes into the result as it is.
    pub seen: Viewers,
    /// Microseconds from send to receive.
    pub delay: Option<Histogram<u64>>,
    /// Microseconds from connect to the first keyframe.
    pub join: Option<Histogram<u64>>,
    /// Microseconds from one round of the generator's loop to the next.
    pub round: Option<Histogram<u64>>,
    /// Packets compared; part of `seen` in the end.
    pub packets: u64,
    /// Payload bytes of the connections.
    pub bytes: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, 3).ok();
        Self {
            seen: Viewers::default(),
            delay: histogram(),
            join: histogram(),
            round: histogram(),
            packets: 0,
            bytes: 0,
        }
    }
}

impl Tally {
    /// Forgets what belongs to the counted time; who came, joined and failed stays.
    pub fn begin_count(&mut self) {
        let Viewers { asked, joined, failed, refused_notes, .. } = std::mem::take(&mut self.seen);
        self.seen = Viewers { asked, joined, failed, refused_notes, ..Viewers::default() };
        (self.packets, self.bytes) = (0, 0);
        for histogram in [&mut self.delay, &mut self.round].into_iter().flatten() {
            histogram.reset();
        }
    }

    /// The generator's loop has come round, in microseconds.
    pub fn came_round(&mut self, us: u64) {
        if let Some(round) = &mut self.round {
            round.saturating_record(us.max(1));
        }
    }

    /// A packet with other bytes or another stamp.
    pub fn corrupt(&mut self, _: Faults, note: impl FnOnce() -> String) {
        self.seen.corrupt += 1;
        self.note(note);
    }

    /// How a packet stood to those before it.
    pub fn order(&mut self, order: Order, faults: Faults, note: impl FnOnce() -> String) {
        match order {
            Order::Next => return,
            Order::Gap(count) if faults == Faults::NoGaps => {
                self.seen.skipped_by_slow += count;
                return;
            }
            Order::Gap(count) => self.seen.gaps += count,
            Order::Repeat => self.seen.repeats += 1,
            Order::Early => self.seen.reordered += 1,
            Order::Late => {
                self.seen.reordered += 1;
                self.seen.gaps = self.seen.gaps.saturating_sub(1);
            }
        }
        self.note(note);
    }

    /// A packet's way through the server, in microseconds.
    pub fn delayed(&mut self, us: u64) {
        if let Some(delay) = &mut self.delay {
            delay.saturating_record(us.max(1));
        }
    }

    /// A viewer has its first keyframe.
    pub fn joined(&mut self, us: u64) {
        self.seen.joined += 1;
        if let Some(join) = &mut self.join {
            join.saturating_record(us.max(1));
        }
    }

    /// A viewer was refused, or its connection failed or ended early.
    pub fn failed(&mut self, why: &str) {
        self.seen.failed += 1;
        if self.seen.refused_notes.len() < NOTES {
            self.seen.refused_notes.push(why.to_owned());
        }
    }

    fn note(&mut self, note: impl FnOnce() -> String) {
        if self.seen.notes.len() < NOTES {
            self.seen.notes.push(note());
        }
    }
}

/// All tallies as one result.
pub fn merged(tallies: Vec<Tally>) -> Viewers {
    let mut all = Viewers::default();
    let mut whole = Tally::default();
    for tally in tallies {
        add(&mut all, &tally);
        for (whole, part) in [
            (&mut whole.delay, &tally.delay),
            (&mut whole.join, &tally.join),
            (&mut whole.round, &tally.round),
        ] {
            if let (Some(whole), Some(part)) = (whole, part) {
                let _ = whole.add(part);
            }
        }
    }
    all.join_ms = whole.join.as_ref().map(spread).unwrap_or_default();
    all.generator_round_ms = whole.round.as_ref().map(spread).unwrap_or_default();
    if let Some(delay) = &whole.delay {
        all.delay_ms = spread(delay);
        if !delay.is_empty() {
            all.delay_curve =
                CURVE.iter().map(|at| (millis(delay.value_at_percentile(*at)), at / 100.0)).collect();
        }
    }
    all
}

fn add(all: &mut Viewers, tally: &Tally) {
    let seen = &tally.seen;
    all.asked += seen.asked;
    all.joined += seen.joined;
    all.failed += seen.failed;
    all.silent += seen.silent;
    all.bytes += tally.bytes;
    all.packets += tally.packets;
    all.gaps += seen.gaps;
    all.repeats += seen.repeats;
    all.reordered += seen.reordered;
    all.corrupt += seen.corrupt;
    all.stalls += seen.stalls;
    all.churned += seen.churned;
    all.slow_closed += seen.slow_closed;
    all.skipped_by_slow += seen.skipped_by_slow;
    all.generator_load = all.generator_load.max(seen.generator_load);
    for (to, from) in [(&mut all.notes, &seen.notes), (&mut all.refused_notes, &seen.refused_notes)] {
        to.extend(from.iter().cloned());
        to.truncate(NOTES);
    }
}

fn spread(of: &Histogram<u64>) -> Spread {
    if of.is_empty() {
        return Spread::default();
    }
    let at = |percent| millis(of.value_at_percentile(percent));
    Spread { p50: at(50.0), p90: at(90.0), p99: at(99.0), max: millis(of.max()) }
}

fn millis(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_distributions_are_merged() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        for us in 1..=1000 {
            one.delayed(us * 10);
            two.delayed(20_000);
        }
        one.joined(5_000);
        two.failed("refused");
        two.order(Order::Gap(3), Faults::All, || "gap".into());
        two.order(Order::Gap(7), Faults::NoGaps, || "gap".into());
        two.order(Order::Late, Faults::All, || "late".into());
        let all = merged(vec![one, two]);
        assert_eq!((all.joined, all.failed, all.gaps, all.reordered, all.skipped_by_slow), (1, 1, 2, 1, 7));
        assert!((all.delay_ms.p50 - 10.0).abs() < 0.1, "{:?}", all.delay_ms);
        assert!((all.delay_ms.max - 20.0).abs() < 0.1);
        assert_eq!(all.notes.len(), 2);
        assert_eq!(all.delay_curve.len(), CURVE.len());
    }

    #[test]
    fn what_was_seen_before_the_count_is_forgotten() {
        let mut tally = Tally::default();
        tally.delayed(7);
        tally.joined(7);
        tally.corrupt(Faults::All, || "x".into());
        tally.bytes = 9;
        tally.begin_count();
        let all = merged(vec![tally]);
        assert_eq!((all.joined, all.corrupt, all.bytes, all.notes.len()), (1, 0, 0, 0));
        assert!(all.delay_curve.is_empty());
    }
}
