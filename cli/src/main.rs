//! The program: passes its arguments and standard input to [`run::run`], writes the output and exits with its code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use session_filter::run::{self, Output};

fn main() -> ExitCode {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let Output { code, out, err } = run::run(std::env::args_os(), &mut io::stdin(), now_ms);
    // A pipe may be closed early: an error, not a panic.
    let out_written = io::stdout().write_all(out.as_bytes()).and_then(|()| io::stdout().flush());
    let err_written = io::stderr().write_all(err.as_bytes());
    if out_written.and(err_written).is_err() && code == run::EXIT_VALID {
        return ExitCode::from(run::EXIT_UNUSABLE);
    }
    ExitCode::from(code)
}
