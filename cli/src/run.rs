//! From arguments to what is printed. Nothing is printed anywhere else, so nothing that may be a token passes by
//! [`redact::hidden`](crate::redact::hidden).

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use rest_sessions_core::config::Config;

use crate::check::{self, Report};
use crate::explain::{self, Assumed, Question, Request};
use crate::locate;
use crate::options::{self, Command, Options};
use crate::redact::hidden;
use crate::schema;
use crate::token::{self, Told};

/// Exit codes.
pub const SOUND: u8 = 0;
pub const PROBLEMS: u8 = 1;
pub const UNUSABLE: u8 = 2;

/// What the program does in the end.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub code: u8,
    pub out: String,
    pub err: String,
}

/// Does what the arguments say; the first one is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, now_ms: u64) -> Outcome {
    let outcome = match Options::try_parse_from(args) {
        Ok(Options { command }) => carry_out(command, stdin, now_ms).unwrap_or_else(|why| Outcome {
            code: UNUSABLE,
            out: String::new(),
            err: format!("error: {why}\n"),
        }),
        Err(error) => usage(&error),
    };
    Outcome { out: hidden(&outcome.out), err: hidden(&outcome.err), ..outcome }
}

fn carry_out(command: Command, stdin: &mut dyn Read, now_ms: u64) -> Result<Outcome, String> {
    let said = |is_sound, out| Outcome { code: if is_sound { SOUND } else { PROBLEMS }, out, err: String::new() };
    match command {
        Command::Check { config } => {
            let (name, text) = read(&config, stdin)?;
            let Report { text, is_sound } = check::check(&name, &text)?;
            Ok(said(is_sound, text))
        }
        Command::Explain(options) => explained(&options, stdin, now_ms),
        Command::Schema => Ok(said(true, schema::text())),
        Command::Token { token } => {
            let token = match token {
                Some(token) if token != "-" => token,
                _ => read_all("standard input", stdin)?.trim().to_owned(),
            };
            let Told { text, is_token } = token::tell(&token, now_ms);
            Ok(said(is_token, text))
        }
    }
}

fn explained(options: &options::Explain, stdin: &mut dyn Read, now_ms: u64) -> Result<Outcome, String> {
    let (name, text) = read(&options.config, stdin)?;
    let mut all = locate::configurations(&text).map_err(|why| format!("{name} {why}"))?;
    let count = all.len();
    let found = match options.which {
        None if count > 1 => {
            let listed =
                all.iter().enumerate().map(|(place, found)| format!("\n  {} {}", place.saturating_add(1), found.at));
            return Err(format!(
                "{name} holds {count} configurations; choose one by --which{}",
                listed.collect::<String>()
            ));
        }
        which => match which.unwrap_or(1).checked_sub(1).filter(|place| *place < count) {
            Some(place) => all.swap_remove(place),
            None => return Err(format!("{name} holds {count} configurations, so --which is from 1 to {count}")),
        },
    };
    let Ok(config) = Config::parse(found.node.to_json().as_bytes()) else {
        let Report { text, .. } = check::check(&name, &text)?;
        return Ok(Outcome { code: PROBLEMS, out: String::new(), err: text });
    };
    let now_ms = options.now.map_or(now_ms, |seconds| seconds.saturating_mul(1_000));
    let assumed = options.session.as_deref().map(|session| Assumed::parse(session, options.client)).transpose()?;
    let request = Request::parse(&options.request, &options.headers, now_ms)?;
    let explanation = explain::explain(config, &Question { request, client: options.client, now_ms, assumed })?;
    let out = if options.json {
        let json = serde_json::to_string_pretty(&explanation).map_err(|error| error.to_string())?;
        format!("{json}\n")
    } else {
        explanation.to_string()
    };
    Ok(Outcome { code: SOUND, out, err: String::new() })
}

/// A file and what it is called.
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

/// What clap says, without the values that were given: a token may be among them, or a part of one.
fn usage(error: &clap::Error) -> Outcome {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Outcome { code: SOUND, out: error.to_string(), err: String::new() };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Outcome { code: UNUSABLE, out: String::new(), err: error.to_string() };
    }
    let what = error.kind().as_str().unwrap_or("these arguments are not understood");
    let names: Vec<&str> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => vec![name],
        Some(ContextValue::Strings(names)) => names.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    // Only what is an option's name for sure is repeated.
    let is_name = |name: &&str| name.starts_with("--") || name.starts_with('<');
    let shown: Vec<&str> = names.iter().filter_map(|name| name.split('=').next()).filter(is_name).collect();
    let which = match (shown.as_slice(), names.as_slice()) {
        ([], []) => String::new(),
        ([], _) => " (not shown, since it may be a secret)".to_owned(),
        (shown, _) => format!(": {}", shown.join(", ")),
    };
    let usage = error.get(ContextKind::Usage).map(|usage| format!("\n{usage}")).unwrap_or_default();
    Outcome {
        code: UNUSABLE,
        out: String::new(),
        err: format!("error: {what}{which}\n{usage}\n\nFor more information, try '--help'.\n"),
    }
}
