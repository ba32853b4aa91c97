//! `path-decisions CONFIGURATION…` reads request targets from standard input, one a line, and writes one line for each:
//! the decision of each configuration's selector, separated by spaces.
//!
//! A decision is `MODE:LABEL`, the session mode and the label of the selected rule, or `refused:DENIAL`. The method is
//! GET. An answer is written as soon as its line is read, so that another program can ask about one target at a time.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use rest_sessions_core::config::Config;
use rest_sessions_core::policy::rules::SessionMode;
use rest_sessions_core::policy::selection::RequestLine;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("path-decisions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let parse = |text: String| Config::parse(text.as_bytes()).map_err(|problems| format!("{problems:?}"));
    let configs = std::env::args().skip(1).map(parse).collect::<Result<Vec<_>, _>>()?;
    let mut input = BufReader::new(io::stdin());
    let mut output = BufWriter::new(io::stdout());
    let mut target = Vec::new();
    while input.read_until(b'\n', &mut target).map_err(|error| error.to_string())? > 0 {
        let line = target.strip_suffix(b"\n").unwrap_or(&target);
        let decisions: Vec<String> = configs.iter().map(|config| decide(config, line)).collect();
        writeln!(output, "{}", decisions.join(" ")).map_err(|error| error.to_string())?;
        // Nothing is left to read at once: the other side may wait for this answer.
        if input.buffer().is_empty() {
            output.flush().map_err(|error| error.to_string())?;
        }
        target.clear();
    }
    Ok(())
}

fn decide(config: &Config, target: &[u8]) -> String {
    let request = RequestLine { method: b"GET", target, authority: b"test.example" };
    match config.selector().select(request) {
        Ok(selected) => {
            let mode = match selected.rule.session {
                SessionMode::Required => "required",
                SessionMode::Optional => "optional",
                SessionMode::Off => "off",
            };
            format!("{mode}:{}", selected.rule.label)
        }
        Err(undecided) => format!("refused:{:?}", undecided.denial),
    }
}
