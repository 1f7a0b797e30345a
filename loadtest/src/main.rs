//! `loadtest`: publishers and viewers that check every byte, servers side by side, reports.
//!
//! `run` drives one server with scenarios, `peers` several in turn, `floor` a program that does nothing but send. Start at
//! [`run::drive`].

mod calls;
mod check;
mod clip;
mod clock;
mod dial;
mod floor;
mod generator;
mod measure;
mod outcome;
mod peers;
mod proc;
mod publish;
mod report;
mod run;
mod scenario;
mod servers;
mod target;
mod view;

use clap::{Args, Parser, Subcommand};
use outcome::Outcome;
use scenario::Scenario;
use std::net::SocketAddr;
use std::path::PathBuf;
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
    /// Drive Shardcast and other servers with the same scenarios in turn, and tell the ratios.
    Peers(Peers),
    /// Tables and a page with plots from results.
    Report(Report),
    /// What the kernel alone costs: a program that does nothing but send.
    Floor(Floor),
    #[command(hide = true)]
    FloorServer { address: SocketAddr, tick_ms: u64, scenario: String },
}

#[derive(Args)]
struct Peers {
    /// Scenario files.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    #[command(flatten)]
    options: peers::Options,
}

#[derive(Args)]
struct Report {
    /// Files of JSON lines.
    #[arg(required = true, value_name = "RESULT")]
    results: Vec<PathBuf>,
    /// File to write the page to.
    #[arg(long)]
    out: Option<PathBuf>,
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
    let result = servers::end_with_signals().map_err(|why| (1, why)).and_then(|()| match command.what {
        What::Run(run) => run_all(&run),
        What::Floor(floor) => floor_all(&floor),
        What::Peers(asked) => load(&asked.scenarios)
            .and_then(|scenarios| peers::main(&scenarios, &asked.options).map_err(|why| (1, why))),
        What::Report(asked) => report_all(&asked),
        What::FloorServer { address, tick_ms, scenario } => {
            floor::serve(address, tick_ms, &scenario).map_err(|why| (1, why))
        }
    });
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
        if run.json {
            println!("{}", report::line(&outcome).map_err(|why| (1, why))?);
        }
        if let Some(folder) = &run.out {
            report::append(folder, "run", &outcome).map_err(|why| (1, why))?;
        }
        outcomes.push(outcome);
    }
    if !run.json {
        print!("{}", report::table(&outcomes));
    }
    Ok(())
}

fn floor_all(asked: &Floor) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    for scenario in &load(&asked.scenarios)? {
        let outcome = floor::main(scenario, asked.tick_ms, true);
        let outcome = outcome.map_err(|why| (1, format!("{}: {why}", scenario.name)))?;
        if let Some(folder) = &asked.out {
            report::append(folder, "run", &outcome).map_err(|why| (1, why))?;
        }
        outcomes.push(outcome);
    }
    print!("{}", report::table(&outcomes));
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

fn report_all(asked: &Report) -> Result<(), Failure> {
    let read: Result<Vec<_>, _> =
        asked.results.iter().map(|path| report::read(path).map_err(|why| (2, why))).collect();
    let outcomes = read?.concat();
    println!("{}\n{}", report::table(&outcomes), report::summary(&outcomes));
    asked.out.as_ref().map_or(Ok(()), |path| report::html(&outcomes, path).map_err(|why| (1, why)))
}
