//! Shardcast and other servers side by side: each drives the same scenario in turn, A B A B, so that what else the machine
//! does falls on all alike.
//!
//! A server that cannot serve a scenario's protocols is given those of them that it can, or RTMP, and Shardcast runs
//! once more over the same, so that ratios are of like with like.

mod install;

use crate::outcome::Outcome;
use crate::scenario::{Protocol, Scenario};
use crate::servers::{self, Major};
use crate::{floor, report, run};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// What the command line says.
#[derive(Args, Debug)]
pub struct Options {
    /// Servers to run beside Shardcast.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx,xiu,nms,floor")]
    with: Vec<Peer>,
    /// How often each server is run with each scenario.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Install servers that are missing: nginx by apt-get, others below ~/.cache/shardcast-test/peers.
    #[arg(long)]
    install: bool,
    /// Program of Shardcast; the one beside this one if not given.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Folder to append the results to, as DATE-peers.jsonl, and to write DATE-peers.html in.
    #[arg(long, default_value = "loadtest/results")]
    out: PathBuf,
}

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// nginx with its RTMP module, as Debian packages them.
    Nginx,
    /// xiu from crates.io.
    Xiu,
    /// Node-Media-Server 4 from npm.
    #[value(alias = "nms4")]
    Nms,
    /// Node-Media-Server 2 from npm.
    Nms2,
    /// A program that does nothing but send.
    Floor,
}

/// Who runs, and with what.
#[derive(Clone, Debug)]
struct Entry {
    /// `None`: Shardcast.
    peer: Option<Peer>,
    scenario: Scenario,
}

/// Runs all scenarios with all servers.
///
/// # Errors
/// One line; a run that fails is told and left out, and all the others are there.
pub fn main(scenarios: &[Scenario], options: &Options) -> Result<(), String> {
    let beside = || std::env::current_exe().map(|path| path.with_file_name("shardcast"));
    let binary = options.binary.clone().map_or_else(beside, Ok).map_err(|error| error.to_string())?;
    if !binary.exists() {
        return Err(format!("{}: no such program; --binary says which", binary.display()));
    }
    let peers: Vec<Peer> =
        options.with.iter().copied().filter(|peer| is_ready(*peer, options.install)).collect();
    let mut outcomes = Vec::new();
    let mut failures = 0_usize;
    // Those that differ in class alone stand together.
    for classes in scenarios.chunk_by(|one, next| report::base_name(one) == report::base_name(next)) {
        let entries = entries(classes, &peers);
        for round in 1..=options.rounds {
            let name = classes.first().map_or("", report::base_name);
            eprintln!("{name}, round {round} of {}: {} runs", options.rounds, entries.len());
            println!("{}", report::head());
            for entry in &entries {
                match run_one(entry, &binary) {
                    Ok(outcome) => {
                        report::append(&options.out, "peers", &outcome)?;
                        println!("{}", report::row(&outcome));
                        print!("{}", report::notes(&outcome));
                        outcomes.push(outcome);
                    }
                    Err(why) => {
                        failures += 1;
                        println!("{}: {}: no result: {why}", entry.name(), entry.scenario.name);
                    }
                }
            }
        }
    }
    println!("\n{}", report::summary(&outcomes));
    for peer in options.with.iter().filter(|peer| !peers.contains(peer)) {
        println!("{}: left out, not installed", peer.name());
    }
    conclude(&options.out, failures)
}

/// The page is made from all of the day, so that what was run in several goes stands together.
fn conclude(folder: &Path, failures: usize) -> Result<(), String> {
    let lines = folder.join(format!("{}-peers.jsonl", run::date()));
    if lines.exists() {
        let page = lines.with_extension("html");
        report::html(&report::read(&lines)?, &page)?;
        println!("{} and {}", lines.display(), page.display());
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} runs gave no result")) }
}

/// Shardcast first, with each class, and again for each other choice of protocols. Servers that know no classes run once,
/// with the first.
fn entries(classes: &[Scenario], peers: &[Peer]) -> Vec<Entry> {
    let shardcast = |scenario: &Scenario| Entry { peer: None, scenario: scenario.clone() };
    let mut entries: Vec<Entry> = classes.iter().map(shardcast).collect();
    for peer in peers {
        let suited: Vec<Scenario> = classes.iter().filter_map(|one| suited(*peer, one)).collect();
        let Some(first) = suited.first() else {
            let name = classes.first().map_or("", report::base_name);
            eprintln!("{}: left out of {name}: it cannot serve it", peer.name());
            continue;
        };
        if entries.iter().all(|one| one.scenario.view.protocols != first.view.protocols) {
            entries.extend(suited.iter().map(shardcast));
        }
        let count = if *peer == Peer::Floor { suited.len() } else { 1 };
        entries.extend(suited.into_iter().take(count).map(|scenario| Entry { peer: Some(*peer), scenario }));
    }
    entries
}

/// The scenario over the protocols that this server has.
fn suited(peer: Peer, scenario: &Scenario) -> Option<Scenario> {
    let is_watched = scenario.view.all() > 0;
    // The floor makes one stream itself.
    if peer == Peer::Floor && (!is_watched || scenario.publish.streams != 1) {
        return None;
    }
    let mut suited = scenario.clone();
    suited.view.protocols.retain(|protocol| peer.protocols().contains(protocol));
    if suited.view.protocols.is_empty() && is_watched {
        if !peer.protocols().contains(&Protocol::Rtmp) {
            return None;
        }
        suited.view.protocols = vec![Protocol::Rtmp];
    }
    if !is_watched {
        suited.view.protocols.clone_from(&scenario.view.protocols);
    }
    Some(suited)
}

fn run_one(entry: &Entry, binary: &Path) -> Result<Outcome, String> {
    let scenario = &entry.scenario;
    let server = match entry.peer {
        None => servers::shardcast(scenario, binary)?,
        Some(Peer::Nginx) => servers::nginx(scenario)?,
        Some(Peer::Xiu) => servers::xiu(scenario)?,
        Some(Peer::Nms) => servers::nms(Major::Four, scenario)?,
        Some(Peer::Nms2) => servers::nms(Major::Two, scenario)?,
        Some(Peer::Floor) => return floor::main(scenario, None, true),
    };
    run::drive(scenario, server.target(), true)
}

/// Whether a server is there, or is by now; if not, that is told.
fn is_ready(peer: Peer, install: bool) -> bool {
    let Some(package) = install::Package::of(peer) else { return true };
    if package.is_there() {
        return true;
    }
    if !install {
        eprintln!("{}: left out: it is not installed; --install runs: {package}", peer.name());
        return false;
    }
    match package.install() {
        Ok(()) => true,
        Err(why) => {
            eprintln!("{}: left out: {why}", peer.name());
            false
        }
    }
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx-rtmp",
            Self::Xiu => "xiu",
            Self::Nms => "nms4",
            Self::Nms2 => "nms2",
            Self::Floor => "floor",
        }
    }

    const fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::Nginx => &[Protocol::Rtmp],
            Self::Xiu => &[Protocol::HttpFlv, Protocol::Rtmp],
            Self::Nms | Self::Nms2 => &[Protocol::HttpFlv, Protocol::WsFlv, Protocol::Rtmp],
            Self::Floor => &[Protocol::HttpFlv],
        }
    }
}

impl Entry {
    const fn name(&self) -> &'static str {
        match self.peer {
            Some(peer) => peer.name(),
            None => "shardcast",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Scenario {
        serde_json::from_str(&format!("{{\"name\":\"x\",{text}}}")).unwrap()
    }

    fn told(entries: &[Entry]) -> Vec<String> {
        entries
            .iter()
            .map(|entry| format!("{} {}", entry.name(), entry.scenario.view.protocols.len()))
            .collect()
    }

    #[test]
    fn shardcast_runs_once_for_each_choice_of_protocols() {
        let all = [Peer::Nginx, Peer::Xiu, Peer::Nms, Peer::Floor];
        let http = scenario("\"view\":{\"viewers\":1}");
        let entries = entries(&[http], &all);
        let names: Vec<_> = entries.iter().map(Entry::name).collect();
        assert_eq!(names, ["shardcast", "shardcast", "nginx-rtmp", "xiu", "nms4", "floor"]);
        assert_eq!(entries[1].scenario.view.protocols, [Protocol::Rtmp]);
        assert_eq!(entries[2].scenario.view.protocols, [Protocol::Rtmp]);
        assert_eq!(entries[3].scenario.view.protocols, [Protocol::HttpFlv]);
    }

    #[test]
    fn protocols_that_a_server_lacks_are_left_out() {
        let mixed = scenario("\"view\":{\"viewers\":1,\"protocols\":[\"http-flv\",\"ws-flv\",\"rtmp\"]}");
        let entries = entries(&[mixed], &[Peer::Xiu, Peer::Nms]);
        assert_eq!(told(&entries), ["shardcast 3", "shardcast 2", "xiu 2", "nms4 3"]);
    }

    #[test]
    fn without_viewers_all_but_the_floor_run_once() {
        let ingest = scenario("\"view\":{\"viewers\":0}");
        let entries = entries(&[ingest], &[Peer::Nginx, Peer::Xiu, Peer::Floor]);
        assert_eq!(told(&entries), ["shardcast 1", "nginx-rtmp 1", "xiu 1"]);
    }

    #[test]
    fn classes_are_run_by_those_that_know_them() {
        let class = |name: &str| scenario(&format!("\"view\":{{\"viewers\":1,\"class\":\"{name}\"}}"));
        let entries = entries(&[class("live"), class("bulk")], &[Peer::Nginx, Peer::Xiu, Peer::Floor]);
        let names: Vec<_> = entries
            .iter()
            .map(|one| (one.name(), one.scenario.view.class.map(|class| class.name())))
            .collect();
        let (live, bulk) = (Some("live"), Some("bulk"));
        assert_eq!(
            names,
            [
                ("shardcast", live),
                ("shardcast", bulk),
                ("shardcast", live),
                ("shardcast", bulk),
                ("nginx-rtmp", live),
                ("xiu", live),
                ("floor", live),
                ("floor", bulk),
            ]
        );
        assert_eq!(entries[3].scenario.view.protocols, [Protocol::Rtmp]);
    }
}
