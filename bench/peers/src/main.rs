//! What stands behind Envoy in the benchmark: who answers, and the authorization service that ext_authz needs.

mod authz;
mod serve;
mod sessions;
mod upstream;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Answers every request at once.
    Upstream {
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
    },
    /// Answers lookups as rest-sessions does. A token that begins with five digits is a session with so many bytes of
    /// data; every other token is unknown.
    Sessions {
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// How long each answer takes.
        #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
        delay: u64,
    },
    /// The authorization service behind Envoy's ext_authz: asks rest-sessions about each request's token.
    Authz {
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// Where rest-sessions is.
        #[arg(long, value_name = "ADDRESS:PORT")]
        sessions: SocketAddr,
        #[arg(long)]
        app: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Options::parse().role {
        Role::Upstream { listen } => upstream::serve(listen).await,
        Role::Sessions { listen, delay } => sessions::serve(listen, Duration::from_millis(delay)).await,
        Role::Authz { listen, sessions, app } => authz::serve(listen, sessions, app).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench-peers: {problem}");
            ExitCode::FAILURE
        }
    }
}
