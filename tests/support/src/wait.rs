//! Polling for a condition, with a deadline and a message that names what did not happen.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// The deadline of every wait: longer than any step takes on a busy machine, so only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(20);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Polls until `probe` returns a value; panics with `what` at the deadline.
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} without success: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// Polls until `condition` holds; panics with `what` at the deadline.
#[track_caller]
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

/// Polls until `probe` returns `expected`; panics with `what` and the last value at the deadline.
#[track_caller]
pub fn until_equal<T: PartialEq + Debug>(what: &str, expected: &T, mut probe: impl FnMut() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = probe();
        if found == *expected {
            return;
        }
        if Instant::now() >= deadline {
            assert_eq!(found, *expected, "waited {PATIENCE:?} without success: {what}");
        }
        thread::sleep(POLL_INTERVAL);
    }
}
