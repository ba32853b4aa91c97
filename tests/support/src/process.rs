//! Programs that a test starts: their output is kept, and they end with the test, also if it panics.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, thread};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};
use tempfile::NamedTempFile;

use crate::wait;

/// A running program. Dropping it kills it and the processes that it started; if the test is failing, its output is
/// printed.
///
/// On Linux the program also ends with the thread that started it, which covers an interrupted test run.
pub struct Process {
    name: &'static str,
    child: Child,
    output: NamedTempFile,
}

impl Process {
    /// Starts `command`. `name` is for messages.
    pub fn start(name: &'static str, mut command: Command) -> Self {
        let output = NamedTempFile::new().expect("a temporary file can be made");
        // Opened to append: two handles that each keep an offset would overwrite each other's lines.
        let append = || fs::File::options().append(true).open(output.path()).expect("the file can be opened");
        command.stdin(Stdio::null()).stdout(append()).stderr(append()).process_group(0);
        end_with_this_thread(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        Self { name, child, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the program has written to stdout and stderr.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.output.path()).unwrap_or_default()).into_owned()
    }

    /// Waits until the program has written `prefix` followed by a socket address, and returns the address.
    #[track_caller]
    pub fn wait_for_address(&mut self, prefix: &str) -> SocketAddr {
        wait::until(&format!("{} to write where it listens", self.name), || {
            self.assert_running();
            let output = self.output();
            let (_, rest) = output.split_once(prefix)?;
            // A whole line: the last one may be half written.
            rest.split_once('\n')?.0.split_whitespace().next()?.parse().ok()
        })
    }

    /// Whether the program has not exited.
    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Panics if the program has exited.
    #[track_caller]
    pub fn assert_running(&mut self) {
        if let Some(status) = self.status() {
            panic!("{} exited, {status}", self.name);
        }
    }

    /// Waits until the program exits. The code is `None` if a signal ended it.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        wait::until(&format!("{} to exit", self.name), || self.status()).code()
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child has a status")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a running program takes signals");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if no process of the group is left.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _already_reaped = self.child.wait();
        if thread::panicking() {
            eprintln!(
                "---- output of {} ----\n{}---- end of the output of {} ----",
                self.name,
                self.output(),
                self.name
            );
        }
    }
}

fn end_with_this_thread(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// The program that an environment variable names.
pub fn program_from(variable: &str) -> PathBuf {
    let program = env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{variable} is not set; `make test` finds the program, sets it and runs these tests")
    });
    assert!(program.is_file(), "{variable} names {}, which is not a file; run `make test`", program.display());
    program
}

/// The program that an environment variable names, for a test that not every machine can run. `None` if there is none;
/// a line then says that the test is skipped, also if the test's output is captured.
pub fn program_or_skip(variable: &str, test: &str) -> Option<PathBuf> {
    let program = env::var_os(variable).map(PathBuf::from).filter(|program| program.is_file());
    if program.is_none() {
        // Not with a macro: the test harness captures what those print.
        let _closed = writeln!(
            io::stderr(),
            "SKIPPED {test}: {variable} names no program; `make test-rust` downloads it where it can"
        );
    }
    program
}

/// A program of this workspace, built in the same target folder as the test that calls this.
pub fn program_beside(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    let program = test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").join(name);
    assert!(program.is_file(), "{} is missing; `make test` builds it before it runs these tests", program.display());
    program
}
