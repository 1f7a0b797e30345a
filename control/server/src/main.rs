//! `shardcast`: reads arguments and configuration, then serves, or says what it read.
//!
//! Exit codes: 0 ended properly, 1 could not start or a shard failed, 2 bad arguments or configuration,
//! 130 stopped for good by a second signal.

mod args;
mod control_side;
mod demo;
mod logging;
mod serve;
mod signals;
mod start;
mod web;

use args::{Cli, Command};
use clap::Parser;
use control::config::{self, Resolved, Sources};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => with_config(&cli.settings, serve::serve),
        Some(Command::Serve(settings)) => with_config(&settings.over(&cli.settings), serve::serve),
        Some(Command::CheckConfig(settings)) => with_config(&settings.over(&cli.settings), check),
        Some(Command::PrintConfig { settings, format }) => {
            with_config(&settings.over(&cli.settings), |_, loaded| {
                let shown = match format {
                    args::Format::Json => config::show::json(&loaded),
                    args::Format::Toml => config::show::toml(&loaded),
                };
                println!("{}", shown.trim_end());
                ExitCode::SUCCESS
            })
        }
        Some(Command::Version) => {
            println!("shardcast {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(Command::DemoPublish { file, url }) => match demo::publish(&file, &url) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("shardcast: {why}");
                ExitCode::FAILURE
            }
        },
    }
}

fn with_config(settings: &args::Settings, run: impl FnOnce(Sources, Resolved) -> ExitCode) -> ExitCode {
    let sources = settings.sources(environment());
    match config::load(&sources) {
        Ok(loaded) => run(sources, loaded),
        Err(error) => {
            eprintln!("shardcast: {error}");
            ExitCode::from(2)
        }
    }
}

/// What of the environment is text; nothing else can name a key.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn check(_: Sources, loaded: Resolved) -> ExitCode {
    for note in loaded.notes() {
        println!("note: {note}");
    }
    match start::certificates(loaded.settings()) {
        Ok(_) => {
            println!("the configuration is good");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("shardcast: {why}");
            ExitCode::from(2)
        }
    }
}
