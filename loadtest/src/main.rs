//! `loadtest`: publishers and viewers that check every byte, servers side by side, reports.
//!
//! `run` drives one server with scenarios, `peers` several in turn, `floor` a program that does nothing but send. Start at
//! [`run::drive`].

mod check;
mod clip;
mod clock;
mod dial;
mod floor;
mod generator;
mod measure;
mod outcome;
mod proc;
mod publish;
mod run;
mod scenario;
mod servers;
mod target;
mod view;

use clap::{Args, Parser, Subcommand};
use outcome::Outcome;
use scenario::Scenario;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use target::Target;

#[derive(Parser)]
#[command(name = "loadtest", version, about = "Publishers and viewers that check every byte")]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Drive one server with scenarios.
    Run(Run),
    /// What the kernel alone costs: a program that does nothing but send.
    Floor(Floor),
    #[command(hide = true)]
    FloorServer { address: SocketAddr, tick_ms: u64, scenario: String },
}

#[derive(Args)]
struct Floor {
    /// Scenario files; of each the viewers and the clip count.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// Milliseconds between two writes; 0: one write a packet. As the scenario's latency class if not given.
    #[arg(long)]
    tick_ms: Option<u64>,
    /// Folder to append the results to, as DATE-run.jsonl.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct Run {
    /// Scenario files.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// Program of Shardcast to start for each scenario; beside this one if neither this nor --rtmp is given.
    #[arg(long, conflicts_with = "rtmp")]
    binary: Option<PathBuf>,
    /// RTMP address of a server that runs already.
    #[arg(long)]
    rtmp: Option<SocketAddr>,
    /// Its HTTP address.
    #[arg(long, requires = "rtmp")]
    http: Option<SocketAddr>,
    /// Application of the streams.
    #[arg(long, default_value = "live")]
    app: String,
    /// Its process, to account for.
    #[arg(long, requires = "rtmp")]
    pid: Option<u32>,
    /// Name of that server in results; only one that begins with `shardcast` is asked for latency classes.
    #[arg(long, default_value = "shardcast")]
    name: String,
    /// Print results as JSON lines, and no progress.
    #[arg(long)]
    json: bool,
    /// Folder to append the results to, as DATE-run.jsonl.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match command.what {
        What::Run(run) => run_all(&run),
        What::Floor(floor) => floor_all(&floor),
        What::FloorServer { address, tick_ms, scenario } => {
            floor::serve(address, tick_ms, &scenario).map_err(|why| (1, why))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            eprintln!("loadtest: {why}");
            ExitCode::from(code)
        }
    }
}

/// Exit code and one line.
type Failure = (u8, String);

fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, Failure> {
    let loaded: Result<Vec<_>, _> =
        paths.iter().map(|path| Scenario::load(path).map_err(|why| (2, why))).collect();
    Ok(loaded?.concat())
}

fn run_all(run: &Run) -> Result<(), Failure> {
    let scenarios = load(&run.scenarios)?;
    let mut outcomes = Vec::new();
    for scenario in &scenarios {
        let outcome = run_one(run, scenario).map_err(|why| (1, format!("{}: {why}", scenario.name)))?;
        let line = serde_json::to_string(&outcome).map_err(|error| (1, error.to_string()))?;
        if run.json {
            println!("{line}");
        }
        if let Some(folder) = &run.out {
            append(folder, &line).map_err(|error| (1, format!("{}: {error}", folder.display())))?;
        }
        outcomes.push(outcome);
    }
    if !run.json {
        show(&outcomes);
    }
    Ok(())
}

fn floor_all(asked: &Floor) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    for scenario in &load(&asked.scenarios)? {
        let outcome = floor::main(scenario, asked.tick_ms, true);
        let outcome = outcome.map_err(|why| (1, format!("{}: {why}", scenario.name)))?;
        if let Some(folder) = &asked.out {
            let line = serde_json::to_string(&outcome).map_err(|error| (1, error.to_string()))?;
            append(folder, &line).map_err(|error| (1, format!("{}: {error}", folder.display())))?;
        }
        outcomes.push(outcome);
    }
    show(&outcomes);
    Ok(())
}

fn run_one(run: &Run, scenario: &Scenario) -> Result<Outcome, String> {
    let Some(rtmp) = run.rtmp else {
        let beside = || std::env::current_exe().map(|path| path.with_file_name("shardcast"));
        let binary = run.binary.clone().map_or_else(beside, Ok).map_err(|error| error.to_string())?;
        let server = servers::shardcast(scenario, &binary)?;
        return run::drive(scenario, server.target(), !run.json);
    };
    let (name, app) = (run.name.clone(), run.app.clone());
    let (http, pid) = (run.http, run.pid);
    let target = Target { name, version: String::new(), rtmp, http, app, pid, feeds_itself: false };
    run::drive(scenario, &target, !run.json)
}

fn append(folder: &Path, line: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!("{}-run.jsonl", run::date()));
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    writeln!(file, "{line}")
}

/// A short table for people.
fn show(outcomes: &[Outcome]) {
    println!(
        "{:<20} {:>7} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7} {:>6}",
        "scenario",
        "joined",
        "failed",
        "faults",
        "join p99",
        "p50 ms",
        "p99 ms",
        "max ms",
        "GiB",
        "CPU s/GiB",
        "KiB/v",
        "gen."
    );
    for outcome in outcomes {
        let seen = &outcome.viewers;
        let cpu = if seen.bytes == 0 { f64::NAN } else { outcome.cpu_per_gib() };
        println!(
            "{:<20} {:>7} {:>6} {:>6} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.2} {:>9.2} {:>7.1} {:>5.0}%",
            outcome.scenario.name,
            seen.joined,
            seen.failed,
            seen.gaps + seen.repeats + seen.reordered + seen.corrupt,
            seen.join_ms.p99,
            seen.delay_ms.p50,
            seen.delay_ms.p99,
            seen.delay_ms.max,
            outcome.gib(),
            cpu,
            outcome.kib_per_viewer(),
            seen.generator_load * 100.0,
        );
        for note in seen.notes.iter().chain(&seen.refused_notes) {
            println!("  {note}");
        }
    }
}
