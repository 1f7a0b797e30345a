//! Where a value came from, and what is wrong with it: always one line.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Variable(String),
    /// In this command-line argument.
    Argument(String),
    /// By the admin API.
    Api,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", one_line(&path.display())),
            Self::Variable(name) => write!(f, "environment variable {}", one_line(name)),
            Self::Argument(name) => write!(f, "argument {name}"),
            Self::Api => f.write_str("admin API"),
        }
    }
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read or is not of its format.
    File {
        /// Which.
        path: PathBuf,
        /// Why, in one line.
        why: String,
    },
    /// There is no such key.
    UnknownKey {
        /// As it was written.
        key: String,
        /// The known key that is spelled most like it.
        nearest: Option<&'static str>,
        /// Where.
        origin: Origin,
    },
    /// The value is not allowed for this key.
    Value {
        /// Which.
        key: &'static str,
        /// As it was written.
        value: String,
        /// What is allowed, to stand behind "must".
        must: String,
        /// Where.
        origin: Origin,
    },
    /// An argument that is not `key=value`.
    Argument(String),
    /// The table of keys contradicts itself.
    Table,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, why } => {
                write!(f, "configuration file {}: {}", one_line(&path.display()), one_line(why))
            }
            Self::UnknownKey { key, nearest, origin } => {
                write!(f, "{key}: unknown key")?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean {nearest}?")?;
                }
                write!(f, " (from {origin})")
            }
            Self::Value { key, value, must, origin } => {
                write!(f, "{key} = {value}: must {must} (from {origin})")
            }
            Self::Argument(text) => write!(f, "--set {text:?}: must be key=value, such as rtmp.port=1936"),
            Self::Table => f.write_str("the table of configuration keys contradicts itself"),
        }
    }
}

/// Names of files and variables may hold anything; a line stays a line.
fn one_line(text: &dyn fmt::Display) -> String {
    text.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl std::error::Error for ConfigError {}
