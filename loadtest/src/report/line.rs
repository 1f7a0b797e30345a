//! One outcome, one line of JSON.

use crate::outcome::Outcome;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The line, without its end.
///
/// # Errors
/// None that could be met: an outcome is plain data.
pub fn line(outcome: &Outcome) -> Result<String, String> {
    serde_json::to_string(outcome).map_err(|error| error.to_string())
}

/// Appends to `FOLDER/DATE-KIND.jsonl`; gives the file's path.
///
/// # Errors
/// The system's, with the path.
pub fn append(folder: &Path, kind: &str, outcome: &Outcome) -> Result<PathBuf, String> {
    let path = folder.join(format!("{}-{kind}.jsonl", crate::run::date()));
    let line = line(outcome)?;
    let write = || {
        std::fs::create_dir_all(folder)?;
        writeln!(OpenOptions::new().create(true).append(true).open(&path)?, "{line}")
    };
    write().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// All outcomes of a file.
///
/// # Errors
/// The file and the number of the line that is none.
pub fn read(path: &Path) -> Result<Vec<Outcome>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| format!("{}:{}: {error}", path.display(), at + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::groups::tests::outcome;

    #[test]
    fn what_is_appended_is_read_again() {
        let folder = std::env::temp_dir().join(format!("loadtest-lines-{}", std::process::id()));
        let mut first = outcome("shardcast", 0.5, 12.0);
        first.viewers.delay_curve = vec![(1.0, 0.5), (2.0, 1.0)];
        first.used.calls_per_gib = Some(1234.5);
        append(&folder, "test", &first).unwrap();
        let path = append(&folder, "test", &outcome("nginx-rtmp", 1.0, 30.0)).unwrap();
        let all = read(&path).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].viewers.delay_curve, first.viewers.delay_curve);
        assert_eq!(all[0].used.calls_per_gib, Some(1234.5));
        assert_eq!(line(&all[0]).unwrap(), line(&first).unwrap());
        assert_eq!(all[1].server, "nginx-rtmp");

        std::fs::write(&path, format!("{}\n\n{{\"server\":1}}\n", line(&first).unwrap())).unwrap();
        let why = read(&path).unwrap_err();
        assert!(why.contains(".jsonl:3: "), "{why}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
