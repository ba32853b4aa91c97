//! From arguments to output. All output is assembled here, so that `redact` covers it.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use rest_sessions_core::config::Config;

use crate::check::{self, Report};
use crate::explain::{self, AssumedSession, Request, Scenario};
use crate::locate;
use crate::options::{self, Command, Options};
use crate::redact::redact;
use crate::schema;
use crate::token::{self, Inspection};

/// Exit code: no problems.
pub const EXIT_VALID: u8 = 0;
/// Exit code: the configuration has problems, or the text is not a token.
pub const EXIT_PROBLEMS: u8 = 1;
/// Exit code: the arguments are invalid, or the input cannot be used.
pub const EXIT_UNUSABLE: u8 = 2;

/// What the program writes to standard output and standard error, and its exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    pub code: u8,
    pub out: String,
    pub err: String,
}

/// Runs the command in `args`, of which the first is the program's name. `now_ms` is in milliseconds since 1970.
pub fn run(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, now_ms: u64) -> Output {
    let output = match Options::try_parse_from(args) {
        Ok(Options { command }) => execute(command, stdin, now_ms).unwrap_or_else(|error| Output {
            code: EXIT_UNUSABLE,
            out: String::new(),
            err: format!("error: {error}\n"),
        }),
        Err(error) => usage_error(&error),
    };
    Output { out: redact(&output.out), err: redact(&output.err), ..output }
}

fn execute(command: Command, stdin: &mut dyn Read, now_ms: u64) -> Result<Output, String> {
    let output =
        |is_valid, out| Output { code: if is_valid { EXIT_VALID } else { EXIT_PROBLEMS }, out, err: String::new() };
    match command {
        Command::Check { config } => {
            let (name, text) = read(&config, stdin)?;
            let Report { text, is_valid } = check::check(&name, &text)?;
            Ok(output(is_valid, text))
        }
        Command::Explain(options) => run_explain(&options, stdin, now_ms),
        Command::Schema => Ok(output(true, schema::text())),
        Command::Token { token } => {
            let token = match token {
                Some(token) if token != "-" => token,
                _ => read_all("standard input", stdin)?.trim().to_owned(),
            };
            let Inspection { text, is_token } = token::inspect(&token, now_ms);
            Ok(output(is_token, text))
        }
    }
}

fn run_explain(options: &options::Explain, stdin: &mut dyn Read, now_ms: u64) -> Result<Output, String> {
    let (name, text) = read(&options.config, stdin)?;
    let mut all = locate::configurations(&text).map_err(|error| format!("{name} {error}"))?;
    let count = all.len();
    let found = match options.which {
        None if count > 1 => {
            let listed = all
                .iter()
                .enumerate()
                .map(|(index, found)| format!("\n  {} {}", index.saturating_add(1), found.location));
            return Err(format!(
                "{name} contains {count} configurations; choose one with --which{}",
                listed.collect::<String>()
            ));
        }
        which => match which.unwrap_or(1).checked_sub(1).filter(|index| *index < count) {
            Some(index) => all.swap_remove(index),
            None => {
                return Err(format!(
                    "{name} contains {count} configurations, so --which takes a number from 1 to {count}"
                ));
            }
        },
    };
    let Ok(config) = Config::parse(found.node.to_json().as_bytes()) else {
        let Report { text, .. } = check::check(&name, &text)?;
        return Ok(Output { code: EXIT_PROBLEMS, out: String::new(), err: text });
    };
    let now_ms = options.now.map_or(now_ms, |seconds| seconds.saturating_mul(1_000));
    let assumed: Result<Vec<_>, _> =
        options.sessions.iter().map(|session| AssumedSession::parse(session, options.client)).collect();
    let assumed = assumed?;
    let request = Request::parse(&options.request, &options.headers, now_ms)?;
    let explanation = explain::explain(config, &Scenario { request, client: options.client, now_ms, assumed })?;
    let out = if options.json {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| error.to_string())?;
        format!("{json}\n")
    } else {
        explanation.to_string()
    };
    Ok(Output { code: EXIT_VALID, out, err: String::new() })
}

/// A file's name for messages, and its text. `-` is standard input.
fn read(path: &Path, stdin: &mut dyn Read) -> Result<(String, String), String> {
    if path == Path::new("-") {
        let name = "standard input".to_owned();
        return Ok((name.clone(), read_all(&name, stdin)?));
    }
    let name = path.display().to_string();
    let mut file = std::fs::File::open(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let text = read_all(&name, &mut file)?;
    Ok((name, text))
}

fn read_all(name: &str, from: &mut dyn Read) -> Result<String, String> {
    let mut text = String::new();
    from.read_to_string(&mut text).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Ok(text)
}

/// Formats clap's error without argument values: they may contain a token or a part of one.
fn usage_error(error: &clap::Error) -> Output {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Output { code: EXIT_VALID, out: error.to_string(), err: String::new() };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Output { code: EXIT_UNUSABLE, out: String::new(), err: error.to_string() };
    }
    let message = error.kind().as_str().unwrap_or("invalid arguments");
    let names: Vec<&str> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => vec![name],
        Some(ContextValue::Strings(names)) => names.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    // Only names of options are repeated.
    let is_name = |name: &&str| name.starts_with("--") || name.starts_with('<');
    let shown: Vec<&str> = names.iter().filter_map(|name| name.split('=').next()).filter(is_name).collect();
    let which = match (shown.as_slice(), names.as_slice()) {
        ([], []) => String::new(),
        ([], _) => " (not shown, since it may be a secret)".to_owned(),
        (shown, _) => format!(": {}", shown.join(", ")),
    };
    let usage = error.get(ContextKind::Usage).map(|usage| format!("\n{usage}")).unwrap_or_default();
    Output {
        code: EXIT_UNUSABLE,
        out: String::new(),
        err: format!("error: {message}{which}\n{usage}\n\nFor more information, try '--help'.\n"),
    }
}
