//! The commands and their options.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Checks the session filter's configuration and explains its decisions, with the filter's own code.
///
/// Exit codes: 0 no problems, 1 problems found or not a token, 2 invalid arguments or unusable input.
#[derive(Debug, Parser)]
#[command(name = "session-filter", version, disable_help_subcommand = true)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report every problem of a configuration, with its line and path
    Check {
        /// JSON or YAML file: a bare configuration, an Envoy bootstrap, or a WasmPlugin, TrafficExtension, EnvoyFilter or
        /// EnvoyExtensionPolicy; `-` for standard input
        config: PathBuf,
    },
    /// Show the decision on a request, and the reasons
    Explain(Explain),
    /// Print the JSON Schema (draft 2020-12) of the configuration
    Schema,
    /// Show when a token was created, or why the text is not a token; the token itself is never shown
    Token {
        /// The token; read from standard input if omitted or `-`, which keeps it out of the shell's history
        token: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct Explain {
    /// JSON or YAML file, as for `check`
    pub config: PathBuf,
    /// Method and URL or path, such as 'GET /account'; {token} stands for a token created now
    #[arg(long, value_name = "METHOD URL")]
    pub request: String,
    /// Request header, such as 'cookie: session-cookie={token}'; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Client address that Envoy trusts
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub client: IpAddr,
    /// Response of rest-sessions: `none`, `unavailable`, or a session as JSON with at least `id` (defaults: ttl 7200,
    /// idle 0, r 1, w 1, ip the client's); may be repeated, for a request with several tokens, in their order; if omitted,
    /// all three cases are shown
    #[arg(long = "session", value_name = "SESSION")]
    pub sessions: Vec<String>,
    /// Time of the request, in seconds since 1970 [default: now]
    #[arg(long, value_name = "UNIX")]
    pub now: Option<u64>,
    /// Which of several configurations in the file, from 1
    #[arg(long, value_name = "NUMBER")]
    pub which: Option<usize>,
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}
