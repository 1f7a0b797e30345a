//! `shardcast`: reads arguments and configuration, then serves, or says what it read.
//!
//! Exit codes: 0 ended properly, 1 could not start or a shard failed, 2 bad arguments or configuration,
//! 130 stopped for good by a second signal.

mod args;
mod demo;
mod logging;
mod serve;
mod signals;
mod start;
mod web;

use args::{Cli, Command};
use clap::Parser;
use control::config::{self, Loaded, PrintFormat};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => with_config(&cli.settings, serve::serve),
        Some(Command::Serve(settings)) => with_config(&settings.over(&cli.settings), serve::serve),
        Some(Command::CheckConfig(settings)) => with_config(&settings.over(&cli.settings), check),
        Some(Command::PrintConfig { settings, format }) => with_config(&settings.over(&cli.settings), |loaded| {
            let format = if format == args::Format::Json { PrintFormat::Json } else { PrintFormat::Toml };
            println!("{}", loaded.print(format).trim_end());
            ExitCode::SUCCESS
        }),
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

fn with_config(settings: &args::Settings, run: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match config::load(&settings.arguments(), std::env::vars()) {
        Ok(loaded) => run(loaded),
        Err(error) => {
            eprintln!("shardcast: {error}");
            ExitCode::from(2)
        }
    }
}

fn check(loaded: Loaded) -> ExitCode {
    for note in &loaded.notes {
        println!("note: {note}");
    }
    match start::certificates(&loaded.config) {
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
