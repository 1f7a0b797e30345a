//! The rules of the layout that a machine can hold: who may import whom, what may be named where, how long a file is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 100;

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines before the tests inside the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
    }

    /// Lines of code without comments.
    fn statements(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_test(&self) -> bool {
        ["/tests/", "/tests.rs", "/benches/", "/examples/"].iter().any(|part| self.path.contains(part))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources() -> Vec<Source> {
    let mut all = Vec::new();
    for folder in ["engine", "protocols", "control", "loadtest"] {
        collect(&root().join(folder), &mut all);
    }
    assert!(all.len() > 50, "found only {} files", all.len());
    all
}

fn collect(folder: &Path, all: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir()
            && !["target", "corpus", "artifacts", "vendor", "node_modules"].contains(&name.as_str())
        {
            collect(&path, all);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            all.push(Source { path, text });
        }
    }
}

/// Fails with every finding, so that one run tells all.
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

fn find(sources: &[Source], under: &[&str], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|s| under.iter().any(|u| s.path.starts_with(u)) && !s.is_test()) {
        for (number, line) in source.statements() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                found.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next()))
}

#[test]
fn the_root_holds_what_it_may() {
    let listed = std::process::Command::new("git")
        .arg("-C")
        .arg(root())
        .args(["ls-files", "-co", "--exclude-standard"])
        .output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let allowed =
        ["Cargo.toml", "Cargo.lock", "engine", "protocols", "control", "deploy", "loadtest", "README.md"];
    let strangers = listed
        .lines()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.') && !name.starts_with("LICENSE") && !allowed.contains(name));
    none(strangers.map(str::to_owned).collect());
}

#[test]
fn crates_import_only_whom_they_may() {
    let own = ["media", "rt", "codec", "engine", "protocols", "drivers", "control", "shardcast", "loadtest"];
    let may: [(&str, &[&str]); 9] = [
        ("engine/media", &[]),
        ("engine/rt", &[]),
        ("engine/codec", &["media"]),
        ("engine", &["media", "rt", "codec"]),
        ("protocols", &["media"]),
        ("protocols/drivers", &["media", "protocols", "engine", "rt"]),
        ("control", &["media", "engine"]),
        ("control/server", &["media", "rt", "engine", "protocols", "drivers", "control"]),
        ("loadtest", &["media", "protocols", "rt"]),
    ];
    let mut found = Vec::new();
    for (folder, allowed) in may {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let mut section = String::new();
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line.to_owned();
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if section == "[dependencies]" && own.contains(&name) && !allowed.contains(&name) {
                found.push(format!("{folder} depends on {name}"));
            }
        }
    }
    none(found);
}

#[test]
fn the_engine_names_no_protocol() {
    let names = ["rtmp", "flv", "hls", "kcp", "kmp", "webrtc", "rtsp", "gb28181", "jt1078"];
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| s.path.starts_with("engine/src") || s.path.starts_with("engine/media/src"))
    {
        for (number, line) in source.statements() {
            let lower = line.to_lowercase();
            found.extend(
                names
                    .iter()
                    .filter(|n| lower.contains(**n))
                    .map(|n| format!("{}:{}: {n}", source.path, number + 1)),
            );
        }
    }
    none(found);
}

#[test]
fn protocols_and_media_have_no_clock_no_socket_and_no_await() {
    let words = [
        "Instant::now",
        "SystemTime",
        "std::net::TcpStream",
        "std::net::UdpSocket",
        "TcpListener",
        ".await",
        "async",
        "std::fs",
        "std::thread",
        "println",
        "eprintln",
    ];
    none(find(&sources(), &["protocols/src", "engine/media/src"], &words));
}

#[test]
fn executors_are_named_where_they_may_be() {
    let all = sources();
    let glommio = all.iter().filter(|s| !s.path.starts_with("engine/rt") && !s.path.ends_with("tidy.rs"));
    let tokio = all.iter().filter(|s| !s.path.starts_with("engine/rt") && !s.path.starts_with("control"));
    let mut found: Vec<String> =
        glommio.filter(|s| s.text.contains("glommio")).map(|s| format!("{}: glommio", s.path)).collect();
    found.extend(tokio.filter(|s| s.text.contains("tokio::")).map(|s| format!("{}: tokio", s.path)));
    none(found);
}

#[test]
fn no_protocol_imports_another() {
    let protocols = ["rtmp", "httpflv"];
    let mut found = Vec::new();
    for one in protocols {
        let others: Vec<String> =
            protocols.iter().filter(|o| **o != one).map(|other| format!("crate::{other}")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        found.extend(find(&sources(), &[&format!("protocols/src/{one}/")], &others));
    }
    for shared in ["amf", "container", "http", "ws"] {
        found.extend(find(
            &sources(),
            &[&format!("protocols/src/{shared}/")],
            &["crate::rtmp", "crate::httpflv"],
        ));
    }
    none(found);
}

#[test]
fn nothing_is_unbounded() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| !s.path.ends_with("tidy.rs")) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let unbounded = has_word(code, "unbounded") || has_word(code, "unbounded_channel");
            // What bounds it otherwise has to be said.
            let said = number.checked_sub(1).is_some_and(|before| lines[before].contains("// Bounded by "));
            if unbounded && !said {
                found.push(format!("{}:{}: unbounded", source.path, number + 1));
            }
        }
    }
    none(found);
}

#[test]
fn unsafe_code_stays_in_rt_and_says_why_it_is_safe() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| !s.path.ends_with("tidy.rs")) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !has_word(code, "unsafe") {
                continue;
            }
            if !source.path.starts_with("engine/rt/") {
                found.push(format!("{}:{}: unsafe outside engine/rt", source.path, number + 1));
            }
            let before = lines[number.saturating_sub(8)..=number].iter();
            if !before.clone().any(|l| l.contains("SAFETY")) && !code.contains("unsafe fn") {
                found.push(format!("{}:{}: unsafe without a SAFETY line", source.path, number + 1));
            }
        }
    }
    none(found);
}

#[test]
fn files_and_functions_are_short_and_files_say_what_they_are() {
    let mut found = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//!") && !source.text.starts_with("#!") {
            found.push(format!("{}: no //! header", source.path));
        }
        if source.is_test() {
            continue;
        }
        let lines = source.code().count();
        if lines > MAX_FILE_LINES {
            found.push(format!("{}: {lines} lines", source.path));
        }
        let mut open: Option<(usize, usize)> = None;
        for (number, line) in source.code() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let is_fn = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
                "const fn ",
                "pub const fn ",
            ]
            .iter()
            .any(|start| head.starts_with(start));
            if is_fn && open.is_none() {
                open = Some((number, indent));
            }
            if let Some((start, depth)) = open
                && (line.trim_end() == format!("{}}}", " ".repeat(depth))
                    || line.trim_end().ends_with(';') && number == start)
            {
                if number - start > MAX_FUNCTION_LINES {
                    found.push(format!(
                        "{}:{}: function of {} lines",
                        source.path,
                        start + 1,
                        number - start
                    ));
                }
                open = None;
            }
        }
    }
    none(found);
}

#[test]
fn every_protocol_and_parser_has_a_fuzz_target() {
    let targets = [
        "amf",
        "rtmp_chunks",
        "rtmp_server",
        "rtmp_client",
        "flv",
        "http_head",
        "ws",
        "httpflv",
        "avc",
        "hevc",
        "av1",
        "aac",
    ];
    let folder = root().join("protocols/fuzz/fuzz_targets");
    none(
        targets
            .iter()
            .filter(|t| !folder.join(format!("{t}.rs")).exists())
            .map(|t| format!("no target {t}"))
            .collect(),
    );
}

#[test]
fn the_dashboard_shows_figures_that_there_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("deploy/grafana.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10 && dashboard["title"] == "Shardcast");
    let made: String = ["control/src/metrics.rs", "control/server/src/control_side.rs"]
        .iter()
        .map(|path| std::fs::read_to_string(root.join(path)).unwrap())
        .collect();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for expression in targets.map(|target| target["expr"].as_str().unwrap()) {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names: Vec<&str> = words.filter_map(|word| word.strip_prefix("shardcast_")).collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            let name = name.trim_end_matches("_total").trim_end_matches("_bucket");
            assert!(made.contains(&format!("\"{name}\"")), "nobody makes {name}: {expression}");
        }
    }
}
