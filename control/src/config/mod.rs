//! Configuration in two levels: what was [`Written`], then what is [`Resolved`], typed and never changed.
//!
//! Sources, each stronger than the one before: defaults, a file (TOML, YAML or INI), the environment, the command line.
//! Every value remembers where it came from. Which keys there are, [`KEYS`] alone says: settings, checks, the example file
//! and the README are made from it.
//!
//! It does not know what the settings are for.

mod applies;
mod environment;
mod error;
mod file;
pub mod live;
mod pattern;
mod relations;
mod resolved;
pub mod show;
mod table;
mod told;
mod typed;
mod value;

pub use applies::Applies;
pub use error::{ConfigError, Origin};
pub use pattern::Pattern;
pub use resolved::{Argument, Resolved, Sources, Written};
pub use table::*;
pub use typed::{AnonymousReads, Backend, CheckName, CodecForm, Cpus, LogFormat, LogLevel, Unreachable};
pub use value::{HIDDEN, Kind, Preset, Raw, Rule, Value};

/// Reads all sources, checks, resolves.
///
/// # Errors
/// The first thing that is wrong, in one line.
pub fn load(sources: &Sources) -> Result<Resolved, ConfigError> {
    let (written, notes) = Written::read(sources)?;
    written.resolve(notes)
}
