//! The configuration as text: as it holds, as an example file, and as the README's table.

use super::resolved::Resolved;
use super::table::{KEYS, SECTIONS};
use std::fmt::Write;

/// As TOML, each value with its origin as a comment. What it prints is a configuration file, secrets left out (`***`).
pub fn toml(resolved: &Resolved) -> String {
    let mut out = String::new();
    let mut section = "";
    for (key, value, origin) in resolved.entries() {
        if key.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = key.section;
            let _ = writeln!(out, "{gap}[{section}]");
        }
        let value = super::live::shown(key, value);
        let _ = writeln!(out, "{} = {value} # {origin}", key.name);
    }
    out
}

/// As JSON: for each key its value and origin.
pub fn json(resolved: &Resolved) -> String {
    let entries: serde_json::Map<String, serde_json::Value> = resolved
        .entries()
        .map(|(key, value, origin)| {
            let value = super::live::shown(key, value);
            (key.path.to_owned(), serde_json::json!({ "value": value, "origin": origin.to_string() }))
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Object(entries))
}

/// An example file with every key at its default.
pub fn example() -> String {
    let mut out = String::from(
        "# Every key of Shardcast with its default. Nothing in here is needed: leave out what you do not change.\n\
         # Also as environment variable (SHARDCAST__RTMP__PORT=1936) or argument (--set rtmp.port=1936).\n",
    );
    for (section, about) in SECTIONS {
        let _ = writeln!(out, "\n# {about}\n[{section}]");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let _ = writeln!(out, "# {} ({})", key.help, key.kind.range());
            let _ = writeln!(out, "{} = {}", key.name, key.preset.value());
        }
    }
    out
}

/// All keys as a table in Markdown.
pub fn markdown() -> String {
    let mut out = String::from("| key | default | allowed | what it is |\n|---|---|---|---|\n");
    for key in KEYS {
        let preset = key.preset.value().to_string();
        let also =
            if key.nms.is_empty() { String::new() } else { format!(" Also by the variable `{}`.", key.nms) };
        let range = key.kind.range().replace('*', "\\*");
        let _ = writeln!(out, "| `{}` | `{preset}` | {range} | {}{also} |", key.path, key.help);
    }
    out
}
