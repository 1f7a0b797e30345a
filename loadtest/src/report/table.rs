//! Tables for people, in plain text.

use super::groups::{Figures, Group, protocols};
use crate::outcome::Outcome;
use std::fmt::Write;

const HEAD: &str = "server       scenario             over         joined failed silent  faults  join p99     p50 ms   p99 ms   \
                    max ms      GiB  CPU s/GiB     user   KiB/v  calls/GiB  gen.";

/// Every run in a row, with what was noted of it.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{}\n", head());
    for outcome in outcomes {
        let _ = writeln!(text, "{}", row(outcome));
        text.push_str(&notes(outcome));
    }
    text
}

/// What the columns of [`row`] are called.
pub const fn head() -> &'static str {
    HEAD
}

/// One run.
pub fn row(outcome: &Outcome) -> String {
    let seen = &outcome.viewers;
    let figures = Figures::of(outcome);
    let user = outcome.used.cpu_user / (outcome.used.cpu_user + outcome.used.cpu_system) * 100.0;
    format!(
        "{:<12} {:<20} {:<12} {:>6} {:>6} {:>6} {:>7} {:>9} {:>10} {:>8} {:>8} {:>8.2} {:>10} {:>7}% {:>7} {:>10} {:>4.0}%",
        outcome.server,
        outcome.scenario.name,
        protocols(&outcome.scenario),
        seen.joined,
        seen.failed,
        seen.silent,
        seen.gaps + seen.repeats + seen.reordered + seen.corrupt,
        number(seen.join_ms.p99, 1),
        number(seen.delay_ms.p50, 1),
        number(seen.delay_ms.p99, 1),
        number(seen.delay_ms.max, 1),
        outcome.gib(),
        number(figures.cpu_per_gib, 3),
        number(user, 0),
        number(figures.kib_per_viewer, 1),
        number(figures.calls_per_gib, 0),
        seen.generator_load * 100.0,
    )
}

/// The first faults of a run, each in a line, and what became of the memory in a long one.
pub fn notes(outcome: &Outcome) -> String {
    let notes = outcome.viewers.notes.iter().chain(&outcome.viewers.refused_notes);
    let mut text: String = notes.map(|note| format!("  {note}\n")).collect();
    if let [first, .., last] = *outcome.used.memory_kib {
        let most = outcome.used.memory_kib.iter().max().unwrap_or(&last);
        let _ = writeln!(text, "  resident memory: {first} KiB at first, {most} at most, {last} at last");
    }
    text
}

/// Medians of each server and scenario, and their ratios to Shardcast's; `1.00` is the same, `2.00` twice as much.
pub fn summary(outcomes: &[Outcome]) -> String {
    let groups = Group::all(outcomes);
    let mut text = format!(
        "{:<12} {:<20} {:<12} {:>4} {:>10} {:>6} {:>8} {:>6} {:>8} {:>6} {:>9} {:>7} {:>6} {:>9} {:>6} {:>7}\n",
        "median of",
        "scenario",
        "over",
        "runs",
        "CPU s/GiB",
        "ratio",
        "p50 ms",
        "ratio",
        "p99 ms",
        "ratio",
        "join p99",
        "KiB/v",
        "ratio",
        "ms/s/str.",
        "ratio",
        "faults"
    );
    for group in &groups {
        let Some(first) = group.first() else { continue };
        let (own, base) = (&group.median, group.beside(&groups).map(|base| base.median));
        let ratio = |figure: fn(&Figures) -> f64| {
            number(base.map_or(f64::NAN, |base| figure(own) / figure(&base)), 2)
        };
        let _ = writeln!(
            text,
            "{:<12} {:<20} {:<12} {:>4} {:>10} {:>6} {:>8} {:>6} {:>8} {:>6} {:>9} {:>7} {:>6} {:>9} {:>6} {:>7}",
            first.server,
            first.scenario.name,
            protocols(&first.scenario),
            group.runs.len(),
            number(own.cpu_per_gib, 3),
            ratio(|of| of.cpu_per_gib),
            number(own.delay_p50, 1),
            ratio(|of| of.delay_p50),
            number(own.delay_p99, 1),
            ratio(|of| of.delay_p99),
            number(own.join_p99, 1),
            number(own.kib_per_viewer, 1),
            ratio(|of| of.kib_per_viewer),
            number(own.cpu_per_stream, 2),
            ratio(|of| of.cpu_per_stream),
            number(own.faults, 0),
        );
    }
    text
}

/// So many digits behind the point; `-` for what is no number.
pub fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".into() }
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::outcome;
    use super::*;

    #[test]
    fn columns_stand_below_their_heads() {
        let text = table(&[outcome("shardcast", 0.5, 12.0), outcome("nginx-rtmp", 1.0, 30.0)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == HEAD.len()), "{text}");
        let at = HEAD.find("CPU s/GiB").unwrap() + "CPU s/GiB".len();
        assert!(lines[1][..at].ends_with(" 0.500"), "{text}");
    }

    #[test]
    fn ratios_are_to_shardcast() {
        let runs = [outcome("shardcast", 0.5, 12.0), outcome("xiu", 1.5, 30.0), outcome("xiu", 2.5, 30.0)];
        let text = summary(&runs);
        let words: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words[..9], ["xiu", "x-live", "http", "2", "2.000", "4.00", "15.0", "2.50", "30.0"]);
        assert!(text.lines().all(|line| line.len() == text.lines().next().unwrap().len()), "{text}");
    }

    #[test]
    fn a_long_run_tells_what_became_of_the_memory() {
        let mut one = outcome("shardcast", 1.0, 1.0);
        one.used.memory_kib = vec![2000];
        assert_eq!(notes(&one), "");
        one.used.memory_kib = vec![2000, 2500, 2100];
        assert_eq!(notes(&one), "  resident memory: 2000 KiB at first, 2500 at most, 2100 at last\n");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let mut one = outcome("xiu", 1.0, 1.0);
        one.viewers.bytes = 0;
        assert!(row(&one).contains(" - "), "{}", row(&one));
        assert!(summary(&[one]).lines().last().unwrap().contains(" - "));
    }
}
