//! Runs of the same server with the same scenario, and the median of each figure.

use crate::outcome::Outcome;
use crate::scenario::{Protocol, Scenario};

/// What one server gave with one scenario, over all its runs.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Its runs, never none.
    pub runs: Vec<&'a Outcome>,
    /// Of their figures.
    pub median: Figures,
}

/// Figures of a run, or the medians of several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// CPU seconds per GiB delivered; not a number if nothing was.
    pub cpu_per_gib: f64,
    /// CPU milliseconds a second and published stream.
    pub cpu_per_stream: f64,
    /// Milliseconds.
    pub delay_p50: f64,
    /// Milliseconds.
    pub delay_p99: f64,
    /// Milliseconds.
    pub join_p99: f64,
    /// Resident memory.
    pub kib_per_viewer: f64,
    /// System calls; not a number if they were not counted.
    pub calls_per_gib: f64,
    /// Gaps, repeats, reorderings, corruption, failed and silent viewers.
    pub faults: f64,
}

impl<'a> Group<'a> {
    /// All groups, in the order of their first runs.
    pub fn all(outcomes: &'a [Outcome]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for outcome in outcomes {
            match groups.iter_mut().find(|group| group.runs.iter().any(|run| is_same(run, outcome))) {
                Some(group) => group.runs.push(outcome),
                None => groups.push(Self { runs: vec![outcome], median: Figures::default() }),
            }
        }
        for group in &mut groups {
            group.median = Figures::median(&group.runs);
        }
        groups
    }

    /// The first run, which names the group.
    pub fn first(&self) -> Option<&'a Outcome> {
        self.runs.first().copied()
    }

    /// Of `groups` the one of Shardcast with the same scenario over the same protocols.
    pub fn beside<'b>(&self, groups: &'b [Self]) -> Option<&'b Self> {
        let own = self.first()?;
        groups.iter().find(|group| {
            group.first().is_some_and(|one| {
                one.server == "shardcast"
                    && one.scenario.name == own.scenario.name
                    && one.scenario.view.protocols == own.scenario.view.protocols
            })
        })
    }

    /// Server, class and protocols, in a few words.
    pub fn label(&self) -> String {
        let Some(first) = self.first() else { return String::new() };
        let view = &first.scenario.view;
        let class = view.class.filter(|_| knows_classes(&first.server)).map(|class| class.name());
        let over = protocols(&first.scenario);
        [Some(first.server.as_str()), class, Some(&over)].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl Figures {
    /// Of one run.
    pub fn of(outcome: &Outcome) -> Self {
        let seen = &outcome.viewers;
        let used = &outcome.used;
        let cpu_ms = (used.cpu_user + used.cpu_system) * 1000.0;
        Self {
            cpu_per_gib: if seen.bytes == 0 { f64::NAN } else { outcome.cpu_per_gib() },
            cpu_per_stream: cpu_ms / used.seconds.max(0.001) / outcome.scenario.publish.streams.max(1) as f64,
            delay_p50: seen.delay_ms.p50,
            delay_p99: seen.delay_ms.p99,
            join_p99: seen.join_ms.p99,
            kib_per_viewer: if seen.asked == 0 { f64::NAN } else { outcome.kib_per_viewer() },
            calls_per_gib: used.calls_per_gib.unwrap_or(f64::NAN),
            faults: (seen.gaps + seen.repeats + seen.reordered + seen.corrupt + seen.failed + seen.silent)
                as f64,
        }
    }

    fn median(runs: &[&Outcome]) -> Self {
        let all: Vec<Self> = runs.iter().map(|run| Self::of(run)).collect();
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure).collect());
        Self {
            cpu_per_gib: of(|one| one.cpu_per_gib),
            cpu_per_stream: of(|one| one.cpu_per_stream),
            delay_p50: of(|one| one.delay_p50),
            delay_p99: of(|one| one.delay_p99),
            join_p99: of(|one| one.join_p99),
            kib_per_viewer: of(|one| one.kib_per_viewer),
            calls_per_gib: of(|one| one.calls_per_gib),
            faults: of(|one| one.faults),
        }
    }
}

/// The protocols of a scenario's viewers, e.g. `http+rtmp`; all but RTMP carry FLV.
pub fn protocols(scenario: &Scenario) -> String {
    let name = |protocol: &Protocol| match protocol {
        Protocol::HttpFlv => "http",
        Protocol::WsFlv => "ws",
        Protocol::Rtmp => "rtmp",
    };
    if scenario.view.all() == 0 {
        return "-".into();
    }
    scenario.view.protocols.iter().map(name).collect::<Vec<_>>().join("+")
}

/// A scenario's name without the class it was expanded to.
pub fn base_name(scenario: &Scenario) -> &str {
    let class = scenario.view.class.map_or("", |class| class.name());
    let cut = scenario.name.strip_suffix(class).and_then(|rest| rest.strip_suffix('-'));
    cut.filter(|_| !class.is_empty()).unwrap_or(&scenario.name)
}

/// Others serve all viewers alike.
fn knows_classes(server: &str) -> bool {
    server.starts_with("shardcast") || server == "floor"
}

fn is_same(one: &Outcome, other: &Outcome) -> bool {
    let key = |outcome: &Outcome| {
        let scenario = &outcome.scenario;
        (outcome.server.clone(), outcome.version.clone(), scenario.name.clone(), protocols(scenario))
    };
    key(one) == key(other)
}

/// Of those that are numbers; the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(low), Some(high)) if values.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(one)) => *one,
        _ => f64::NAN,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::outcome::{Spread, Used, Viewers};

    /// A run with 1 GiB and 10 viewers that took so many CPU seconds.
    pub fn outcome(server: &str, cpu: f64, p99: f64) -> Outcome {
        let text = r#"{"name":"x-live","view":{"viewers":10,"class":"live"}}"#;
        Outcome {
            server: server.into(),
            version: "1".into(),
            scenario: serde_json::from_str(text).unwrap(),
            at: 1_700_000_000,
            machine: "m".into(),
            commit: "c".into(),
            viewers: Viewers {
                asked: 10,
                joined: 10,
                bytes: 1 << 30,
                delay_ms: Spread { p50: p99 / 2.0, p90: p99, p99, max: p99 },
                ..Viewers::default()
            },
            used: Used {
                seconds: 10.0,
                cpu_user: cpu / 2.0,
                cpu_system: cpu / 2.0,
                idle_kib: 1000,
                loaded_kib: 1100,
                ..Used::default()
            },
        }
    }

    #[test]
    fn runs_of_one_server_are_one_group_with_their_median() {
        let mut runs: Vec<Outcome> = [1.0, 9.0, 2.0].map(|cpu| outcome("shardcast", cpu, 10.0)).into();
        runs.insert(1, outcome("xiu", 6.0, 20.0));
        let groups = Group::all(&runs);
        assert_eq!(groups.iter().map(|group| group.runs.len()).collect::<Vec<_>>(), [3, 1]);
        assert!((groups[0].median.cpu_per_gib - 2.0).abs() < 1e-9);
        assert!((groups[0].median.cpu_per_stream - 200.0).abs() < 1e-9);
        assert_eq!(groups[1].beside(&groups).map(Group::label).unwrap(), "shardcast live http");
        assert_eq!(groups[1].label(), "xiu http");
    }

    #[test]
    fn what_differs_in_protocol_is_not_compared() {
        let mut runs = vec![outcome("shardcast", 1.0, 10.0), outcome("nginx-rtmp", 1.0, 10.0)];
        runs[1].scenario.view.protocols = vec![Protocol::Rtmp];
        let groups = Group::all(&runs);
        assert!(groups[1].beside(&groups).is_none());
    }

    #[test]
    fn medians_leave_out_what_is_no_number() {
        assert!((median(vec![3.0, f64::NAN, 1.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![5.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn classes_are_cut_from_names() {
        let mut one = outcome("x", 1.0, 1.0);
        assert_eq!(base_name(&one.scenario), "x");
        one.scenario.view.class = None;
        assert_eq!(base_name(&one.scenario), "x-live");
    }
}
