//! Waiting for a condition: polled, with a deadline, and with words for what did not happen.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine, so that only a real fault meets it.
pub const PATIENCE: Duration = Duration::from_secs(20);

const BETWEEN_POLLS: Duration = Duration::from_millis(5);

/// Polls until `probe` finds something, and panics with `what` when it never does.
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(BETWEEN_POLLS);
    }
}

/// Polls until `probe` returns `expected`, and shows what it returned last when it never does.
#[track_caller]
pub fn until_equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, mut probe: impl FnMut() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = probe();
        if found == *expected {
            return;
        }
        if Instant::now() >= deadline {
            assert_eq!(found, *expected, "waited {PATIENCE:?} in vain: {what}");
        }
        thread::sleep(BETWEEN_POLLS);
    }
}
