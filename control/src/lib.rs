//! The control side: configuration, admission, statistics for operators.
pub mod config;
