//! The commands and their options.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Print the configuration's JSON Schema (draft 2020-12), for editors and other tools
    Schema,
    /// Say of a token when it was made, or why it is none; it is never shown
    Token {
        /// Better left out: then it is read from standard input, and stays out of the shell's history
        token: Option<String>,
    },
}
