//! What went wrong, and when. The first failure ends the soak early.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// More say nothing new.
const KEPT: usize = 20;

pub struct Failures {
    started: Instant,
    stopping: AtomicBool,
    messages: Mutex<Vec<String>>,
}

impl Failures {
    pub fn new() -> Self {
        Self { started: Instant::now(), stopping: AtomicBool::new(false), messages: Mutex::default() }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes a failure, and lets all threads stop.
    pub fn report(&self, message: &str) {
        let mut messages = self.messages.lock().unwrap();
        if messages.len() < KEPT {
            messages.push(format!("after {:.3} s: {message}", self.elapsed().as_secs_f64()));
        }
        self.stop();
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits until so much time has passed since the start, or all stop.
    pub fn pace(&self, until: Duration) {
        while !self.is_stopping() && self.elapsed() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    pub fn assert_none(&self) {
        let messages = self.messages.lock().unwrap();
        assert!(messages.is_empty(), "the soak failed:\n{}", messages.join("\n"));
    }
}

/// Stops all threads if its own panics: the others would go on until their time is over.
pub struct StopOnPanic<'f>(pub &'f Failures);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}
