//! `loadtest`: publishers and viewers that check every byte, servers side by side, reports.
//!
//! `run` drives one server with scenarios, `peers` several in turn, `floor` a program that does nothing but send. Start at
//! [`run::drive`].

mod check;
mod clip;
mod clock;
mod dial;
mod generator;
mod measure;
mod outcome;
mod proc;
mod publish;
mod run;
mod scenario;
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
}

#[derive(Args)]
struct Run {
    /// Scenario files.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
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
    for scenario in load(&run.scenarios)? {
        let Some(rtmp) = run.rtmp else { return Err((2, "--rtmp is wanted".into())) };
        let target = Target {
            name: run.name.clone(),
            version: String::new(),
            rtmp,
            http: run.http,
            app: run.app.clone(),
            pid: run.pid,
        };
        let outcome: Outcome = run::drive(&scenario, &target, !run.json)
            .map_err(|why| (1, format!("{}: {why}", scenario.name)))?;
        let line = serde_json::to_string(&outcome).unwrap_or_default();
        println!("{line}");
    }
    Ok(())
}
