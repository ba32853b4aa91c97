//! The command: reads its options, serves, and says what went wrong.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

/// The demo's service behind the filter. It has no session code: who is logged in stands in two headers.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Options {
    /// Where to listen: where nobody but Envoy can reach it, since it believes the headers
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match demo_web::serve("shop", Options::parse().listen, shop::router()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("shop: {problem}");
            ExitCode::FAILURE
        }
    }
}
