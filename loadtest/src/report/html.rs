//! One page that needs nothing beside it: for each scenario three plots, then all figures.

use super::groups::{Group, base_name};
use super::{plots, table};
use crate::outcome::Outcome;
use std::fmt::Write;
use std::path::Path;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:1400px;margin:2em auto;padding:0 1em;color:#222}\
                     pre{font-size:12px;overflow-x:auto;background:#f5f5f5;padding:1em}svg{max-width:100%;height:auto}\
                     h2{margin-top:2em;border-bottom:1px solid #ccc}";

/// Writes it.
///
/// # Errors
/// The system's, with the path, or what could not be drawn.
pub fn html(outcomes: &[Outcome], path: &Path) -> Result<(), String> {
    let page = page(outcomes)?;
    std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))
}

fn page(outcomes: &[Outcome]) -> Result<String, String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Shardcast load test</title>\n\
         <style>{STYLE}</style>\n<h1>Shardcast load test</h1>\n"
    );
    let mut machines: Vec<String> =
        outcomes.iter().map(|one| format!("{}, commit {}", one.machine, one.commit)).collect();
    machines.sort();
    machines.dedup();
    for machine in machines {
        let _ = writeln!(page, "<p>{}</p>", escaped(&machine));
    }
    let versions: std::collections::BTreeSet<_> =
        outcomes.iter().map(|one| format!("{} {}", one.server, one.version)).collect();
    let versions = versions.into_iter().collect::<Vec<_>>().join("; ");
    let _ = writeln!(page, "<p>{}</p>", escaped(&versions));
    let groups = Group::all(outcomes);
    for (name, about) in scenarios(outcomes) {
        let of = |group: &&Group<'_>| group.first().is_some_and(|run| base_name(&run.scenario) == name);
        let own: Vec<Group<'_>> = groups.iter().filter(of).cloned().collect();
        let _ = writeln!(page, "<h2>{}</h2>\n<p>{}</p>", escaped(name), escaped(about));
        let is_watched =
            own.iter().any(|group| group.runs.iter().any(|run| !run.viewers.delay_curve.is_empty()));
        if is_watched {
            for plot in [plots::frontier, plots::delays, plots::memory] {
                page.push_str(&plot(&own)?);
            }
        }
        let runs: Vec<Outcome> =
            outcomes.iter().filter(|run| base_name(&run.scenario) == name).cloned().collect();
        let _ = writeln!(page, "<pre>{}</pre>", escaped(&table::summary(&runs)));
        let _ = writeln!(page, "<pre>{}</pre>", escaped(&table::table(&runs)));
    }
    page.push_str("</html>\n");
    Ok(page)
}

/// Names without classes, and what they show, in order of first appearance.
fn scenarios(outcomes: &[Outcome]) -> Vec<(&str, &str)> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for one in outcomes {
        let name = base_name(&one.scenario);
        if !names.iter().any(|(known, _)| *known == name) {
            names.push((name, &one.scenario.about));
        }
    }
    names
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::outcome;
    use super::*;

    #[test]
    fn a_page_has_plots_and_figures_and_nothing_unescaped() {
        let mut runs = vec![outcome("shardcast", 0.5, 12.0), outcome("nginx-rtmp", 1.0, 30.0)];
        for run in &mut runs {
            run.viewers.delay_curve = vec![(1.0, 0.5), (12.0, 0.99), (30.0, 1.0)];
            run.machine = "<script>".into();
        }
        runs[1].viewers.notes = vec!["viewer 1: <gap> & more".into()];
        let page = page(&runs).unwrap();
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("nginx-rtmp") && page.contains("&lt;gap&gt; &amp; more"));
        assert!(!page.contains("<script>"));
    }

    #[test]
    fn without_viewers_there_are_figures_alone() {
        let mut run = outcome("shardcast", 0.5, 12.0);
        run.viewers.bytes = 0;
        let page = page(&[run]).unwrap();
        assert_eq!((page.matches("<svg").count(), page.matches("<pre>").count()), (0, 2));
        assert!(scenarios(&[]).is_empty());
    }
}
