//! The commands and their options.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Checks and explains configurations of the session filter, with the filter's own code.
///
/// Exit codes: 0 sound, 1 problems were found, 2 the input is of no use.
#[derive(Debug, Parser)]
#[command(name = "session-filter", version, disable_help_subcommand = true)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with a configuration, each with its place
    Check {
        /// JSON or YAML: a configuration by itself, a bootstrap of Envoy's, a WasmPlugin, TrafficExtension, EnvoyFilter
        /// or EnvoyExtensionPolicy; `-` for standard input
        config: PathBuf,
    },
    /// Say what a configuration does with a request, and why
    Explain(Explain),
    /// Print the configuration's JSON Schema (draft 2020-12), for editors and other tools
    Schema,
    /// Say of a token when it was made, or why it is none; it is never shown
    Token {
        /// Better left out: then it is read from standard input, and stays out of the shell's history
        token: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct Explain {
    /// As for `check`
    pub config: PathBuf,
    /// Method and URL or path, such as 'GET /account'; {token} in it stands for a token made now
    #[arg(long, value_name = "METHOD URL")]
    pub request: String,
    /// A header line of the request, such as 'cookie: session-cookie={token}'; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Who sends it, as Envoy would say
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub client: IpAddr,
    /// What rest-sessions knows: none, unavailable, or a session in JSON with at least `id`; what else it leaves out is
    /// ttl 7200, idle 0, r 1, w 1, and ip the client's. Left out: what each would lead to
    #[arg(long, value_name = "SESSION")]
    pub session: Option<String>,
    /// When, in seconds since 1970, if not now
    #[arg(long, value_name = "UNIX")]
    pub now: Option<u64>,
    /// Which of several configurations in the file, counted from 1
    #[arg(long, value_name = "NUMBER")]
    pub which: Option<usize>,
    /// For programs
    #[arg(long)]
    pub json: bool,
}
