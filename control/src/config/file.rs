//! Configuration files: TOML, YAML or INI, told apart by their ending.

use super::error::ConfigError;
use super::value::Raw;
use config::{File, FileFormat, Map, Source, Value, ValueKind};
use std::io::Read;
use std::path::Path;
use yaml_rust2::parser::{Event, Parser};

/// Largest file that is read, in bytes: all keys with long comments are a tenth of it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Deepest nesting of sections.
const MAX_DEPTH: usize = 8;

/// Reads a file into pairs of dotted keys and values, sorted by key.
///
/// # Errors
/// One line that names the file.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Raw)>, ConfigError> {
    let failed = |why: String| ConfigError::File { path: path.to_owned(), why };
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let format = match ending.as_str() {
        "toml" => FileFormat::Toml,
        "yaml" | "yml" => FileFormat::Yaml,
        "ini" => FileFormat::Ini,
        _ => return Err(failed("its name must end in .toml, .yaml, .yml or .ini".into())),
    };
    let text = text(path).map_err(failed)?;
    if format == FileFormat::Yaml && refers_to_itself(&text) {
        // A few hundred bytes of references to references fill any memory.
        return Err(failed("YAML aliases (*name) are not supported: write the values out".into()));
    }
    let tree =
        File::from_str(&text, format).collect().map_err(|error| failed(one_line(&error.to_string())))?;
    let mut pairs = Vec::new();
    flatten("", tree, format, MAX_DEPTH, &mut pairs).map_err(failed)?;
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(pairs)
}

/// The text of a file, without the mark that some editors put before it.
fn text(path: &Path) -> Result<String, String> {
    // Asked before it is opened: opening a pipe would wait for somebody to write.
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a file".into());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Whether YAML has aliases. What cannot be parsed has none, and is refused for that later.
fn refers_to_itself(yaml: &str) -> bool {
    let mut parser = Parser::new_from_str(yaml);
    loop {
        match parser.next_token() {
            Ok((Event::Alias(_), _)) => return true,
            Ok((Event::StreamEnd, _)) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

fn flatten(
    prefix: &str,
    table: Map<String, Value>,
    format: FileFormat,
    depth: usize,
    pairs: &mut Vec<(String, Raw)>,
) -> Result<(), String> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(_) if depth == 0 => return Err(format!("{key}: nested too deeply")),
            ValueKind::Table(table) => flatten(&key, table, format, depth - 1, pairs)?,
            kind => pairs.push((key, raw(kind, format))),
        }
    }
    Ok(())
}

fn raw(kind: ValueKind, format: FileFormat) -> Raw {
    match kind {
        ValueKind::Nil => Raw::Other("nothing"),
        ValueKind::Boolean(flag) => Raw::Flag(flag),
        ValueKind::I64(number) => Raw::Number(number.into()),
        ValueKind::U64(number) => Raw::Number(number.into()),
        ValueKind::I128(number) => Raw::Number(number),
        ValueKind::U128(number) => Raw::Number(number.try_into().unwrap_or(i128::MAX)),
        ValueKind::Float(number) => Raw::Fraction(number),
        ValueKind::String(text) if format == FileFormat::Ini => Raw::Untyped(text),
        ValueKind::String(text) => Raw::Text(text),
        ValueKind::Array(items) => Raw::List(items.into_iter().map(|item| raw(item.kind, format)).collect()),
        ValueKind::Table(_) => Raw::Other("a section"),
    }
}

/// A parser's message without its drawing of the place, which takes several lines.
fn one_line(message: &str) -> String {
    let drawn = |line: &&str| {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        !line.starts_with('|') && !line.is_empty()
    };
    message.lines().map(str::trim).filter(drawn).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_aliases_are_aliases() {
        for (yaml, expected) in [
            ("a: &x 1\nb: *x\n", true),
            ("a: &x [1]\nb: [*x, *x]\n", true),
            ("a: &x 1\n", false),
            ("publish:\n  allow: [\"*\", live/*]\n", false),
            ("a: [1\n", false),
            ("", false),
        ] {
            assert_eq!(refers_to_itself(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn a_parsers_message_becomes_one_line() {
        let message = "TOML parse error at line 2, column 8\n  |\n2 | port = = 3\n  |        ^\nextra `=`\n";
        assert_eq!(one_line(message), "TOML parse error at line 2, column 8: extra `=`");
        assert_eq!(one_line("plain"), "plain");
    }
}
