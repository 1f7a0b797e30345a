//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use control::config::{Argument, Sources};
use std::path::PathBuf;

/// The Shardcast live media server.
#[derive(Debug, Parser)]
#[command(name = "shardcast", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do; without it: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(Settings),
    /// Read the configuration and say whether it is good.
    CheckConfig(Settings),
    /// Print the configuration in force, with where each value came from.
    PrintConfig {
        /// Settings.
        #[command(flatten)]
        settings: Settings,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = Format::Toml)]
        format: Format,
    },
    /// Print the version.
    Version,
    /// Publish an FLV file over and over.
    #[command(hide = true)]
    DemoPublish {
        /// The file.
        #[arg(long)]
        file: PathBuf,
        /// Where to, as rtmp://host:port/app/name.
        #[arg(long)]
        url: String,
    },
}

/// How to print the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// TOML, with the origins as comments.
    Toml,
    /// JSON.
    Json,
}

/// Settings of the command line; they win over the environment and the file.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// Configuration file: .toml, .yaml, .yml or .ini.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, as in the configuration file; may be repeated.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<Argument>,
    /// The same as --set server.bind=…
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// The same as --set rtmp.port=…
    #[arg(long, value_name = "PORT")]
    rtmp_port: Option<String>,
    /// The same as --set http.port=…
    #[arg(long, value_name = "PORT")]
    http_port: Option<String>,
    /// The same as --set server.backend=…
    #[arg(long, value_name = "auto|io_uring|epoll")]
    backend: Option<String>,
    /// The same as --set log.level=…
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Settings {
    /// These, with what only the other has behind them.
    pub fn over(&self, other: &Self) -> Self {
        let pick = |mine: &Option<String>, theirs: &Option<String>| mine.clone().or_else(|| theirs.clone());
        Self {
            config: self.config.clone().or_else(|| other.config.clone()),
            set: other.set.iter().chain(&self.set).cloned().collect(),
            bind: pick(&self.bind, &other.bind),
            rtmp_port: pick(&self.rtmp_port, &other.rtmp_port),
            http_port: pick(&self.http_port, &other.http_port),
            backend: pick(&self.backend, &other.backend),
            log_level: pick(&self.log_level, &other.log_level),
        }
    }

    /// All sources of the configuration; flags of their own win over `--set`.
    pub fn sources(&self, environment: Vec<(String, String)>) -> Sources {
        let mut arguments = self.set.clone();
        for (flag, key, value) in [
            ("--bind", "server.bind", &self.bind),
            ("--rtmp-port", "rtmp.port", &self.rtmp_port),
            ("--http-port", "http.port", &self.http_port),
            ("--backend", "server.backend", &self.backend),
            ("--log-level", "log.level", &self.log_level),
        ] {
            if let Some(value) = value {
                arguments.push(Argument::flag(flag, key, value));
            }
        }
        Sources { file: self.config.clone(), environment, arguments }
    }
}

fn pair(text: &str) -> Result<Argument, String> {
    Argument::set(text).map_err(|error| error.to_string())
}
