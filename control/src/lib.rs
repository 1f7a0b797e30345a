//! What operators hold: configuration, admission, statistics and the admin API.
//!
//! Knows the engine's handle and what media is; no protocol, no socket of the media path. [`config`] turns what was written
//! into what is in force, [`admission`] answers who may publish and play, [`api`] shows what the shards counted.

pub mod access;
pub mod accounts;
pub mod admission;
pub mod api;
pub mod audit;
pub mod config;
pub mod events;
mod files;
pub mod hooks;
pub mod metrics;
pub mod time;
