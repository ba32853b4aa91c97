//! The servers behind Envoy in the benchmark: the upstream, a stub of rest-sessions, and an ext_authz service.

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
    /// Answers every request immediately
    Upstream {
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
    },
    /// Answers lookups as rest-sessions does. A token that starts with five digits is a session with that many bytes of
    /// data; all other tokens are unknown
    Sessions {
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// Delay of each answer
        #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
        delay: u64,
    },
    /// The authorization service for Envoy's ext_authz: looks up the token of each request at rest-sessions
    Authz {
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// Address of rest-sessions
        #[arg(long, value_name = "ADDRESS:PORT")]
        sessions: SocketAddr,
        /// The app of the sessions
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
