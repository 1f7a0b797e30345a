//! `loadtest`: publishers and viewers that check every byte, peers side by side, reports. This is its place; it does not
//! measure anything yet, and says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("loadtest: there are no scenarios yet");
    ExitCode::from(2)
}
