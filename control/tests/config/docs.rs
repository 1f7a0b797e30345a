//! The example file and the README's table are what the table of keys says. `UPDATE_DOCS=1 cargo test -p control` writes
//! them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on must stop

use control::config::{Sources, load, show};
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- config:begin -->";
const END: &str = "<!-- config:end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn hold(path: &Path, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, expected).unwrap();
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    assert!(there == expected, "{} is old: run UPDATE_DOCS=1 cargo test -p control", path.display());
}

#[test]
fn the_example_file_has_every_key_at_its_default() {
    let path = root().join("deploy/shardcast.example.toml");
    hold(&path, &show::example());
    let file = load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(file.settings(), load(&Sources::default()).unwrap().settings());
}

#[test]
fn the_readme_has_the_table_of_keys() {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the marker where the table begins");
    let (_, after) = rest.split_once(END).expect("the marker where the table ends");
    hold(&path, &format!("{before}{BEGIN}\n{}{END}{after}", show::markdown()));
}
