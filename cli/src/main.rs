//! The program: its arguments, standard streams and exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use session_filter::run::{self, Outcome};

fn main() -> ExitCode {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let Outcome { code, out, err } = run::run(std::env::args_os(), &mut io::stdin(), now_ms);
    // Whoever reads this through a pipe may have read enough.
    let written = io::stdout().write_all(out.as_bytes()).and_then(|()| io::stdout().flush());
    let told = io::stderr().write_all(err.as_bytes());
    if written.and(told).is_err() && code == run::SOUND {
        return ExitCode::from(run::UNUSABLE);
    }
    ExitCode::from(code)
}
