//! The command: reads its options, serves, and reports errors.

use std::io::IsTerminal;
use std::process::ExitCode;

use accounts::login::{Login, router};
use accounts::options::Options;
use accounts::sessions::Sessions;
use clap::Parser;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logging();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("accounts: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Sessions::new(options.sessions, options.app, options.sessions_secret_file)?;
    let app = router(Login { sessions, return_to: options.return_to });
    Ok(demo_web::serve("accounts", options.listen, app).await?)
}

/// Logs this program's own events only: libraries may log what they send, which contains tokens.
fn start_logging() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let ours = Targets::new().with_target("accounts", Level::INFO);
    tracing_subscriber::registry().with(lines).with(ours).init();
}
