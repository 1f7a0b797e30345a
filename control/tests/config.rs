//! The configuration from outside. In a module of its name, so that `cargo test -p control config` runs it all.

mod config {
    mod docs;
    mod layers;
}
