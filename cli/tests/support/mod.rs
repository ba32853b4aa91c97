//! Runs the program in a process of its own.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and fails if it cannot go on")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// The result of a run of the program.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the program with these arguments, at the root of the repository.
pub fn run(args: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_session-filter"))
        .args(args)
        .current_dir(root())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Fails if the program exits without reading its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap().to_owned()
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// A token created `ago` ago. Its random part is always the same.
pub fn token(ago: Duration) -> String {
    test_support::token::created_at("aB3xY", now_ms() - u64::try_from(ago.as_millis()).unwrap())
}

/// Whether `text` contains 12 consecutive bytes of `secret`.
pub fn shows(text: &str, secret: &str) -> bool {
    let bytes = secret.as_bytes();
    bytes.windows(12).any(|part| text.as_bytes().windows(12).any(|shown| shown == part))
}
