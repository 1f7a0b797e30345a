//! Containers: how packets are laid out in files and streams that several protocols carry.

pub mod flv;
