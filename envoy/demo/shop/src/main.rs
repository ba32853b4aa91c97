//! The command: reads its options, serves, and reports errors.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

/// The service of the demo behind the filter. It has no session code: two headers say who is logged in
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Options {
    /// Address and port to listen on. Only Envoy may be able to reach it, because it trusts the headers
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
