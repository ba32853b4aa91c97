//! Programs that a test starts: ended with the test, their output kept for the reader of a failure.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, thread};

/// A running program. Dropping it ends it; if the test is failing, its log is printed first.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in a file of `folder`.
    pub fn start(name: &'static str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).expect("the log file can be written");
        let errors = output.try_clone().expect("a file handle can be duplicated");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        end_with_this_process(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        Self { name, child, log }
    }

    /// Everything the program has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether the program has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Panics, which shows the log, if the program has ended by itself.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.status() {
            panic!("{} ended by itself, {status}", self.name);
        }
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its status")
    }

    /// Ends the program at once, as a crash would.
    pub fn kill(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ended_in_the_meantime = self.child.kill();
        }
        let _already_reaped = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- log of {} ----\n{}---- end of the log of {} ----", self.name, self.log(), self.name);
        }
    }
}

/// Has the kernel end the child when the test's thread dies without unwinding, as an interrupted run does.
fn end_with_this_process(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _: (&mut Command, Option<io::Error>) = (command, None);
}

/// The program that the environment names.
pub fn program_from(variable: &str) -> PathBuf {
    let program = env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{variable} is not set; `make test` finds the program, sets it and runs these tests")
    });
    assert!(program.is_file(), "{variable} names {}, which is no file; run `make test`", program.display());
    program
}

/// A program of this workspace, built beside this test's own.
pub fn program_beside(name: &str) -> PathBuf {
    let this = env::current_exe().expect("a running program has a path");
    let program = this.ancestors().nth(2).expect("a test stands in target/PROFILE/deps").join(name);
    assert!(program.is_file(), "{} is missing; `make test` builds it before it runs these tests", program.display());
    program
}
