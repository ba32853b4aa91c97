//! Log lines that anybody can cause: at most one in each interval for each cause.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Says which lines may be logged. `K` is the cause of a line, of which there have to be few.
pub struct Throttle<K>(Mutex<HashMap<K, Logged>>);

struct Logged {
    at: Instant,
    /// Lines since then that were not logged.
    suppressed: u64,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Throttle<K> {
    /// If a line with this cause may be logged now: how many were suppressed since the last one.
    pub fn permit(&self, cause: K) -> Option<u64> {
        let now = Instant::now();
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = logged.get_mut(&cause) else {
            logged.insert(cause, Logged { at: now, suppressed: 0 });
            return Some(0);
        };
        if now.duration_since(last.at) < INTERVAL {
            last.suppressed = last.suppressed.saturating_add(1);
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_once_in_an_interval_however_they_alternate() {
        let throttle = Throttle::default();
        let permitted = (0..200).filter(|n| throttle.permit(n % 2).is_some()).count();
        assert_eq!(permitted, 2);
    }

    #[test]
    fn the_next_line_says_how_many_were_suppressed() {
        let throttle = Throttle::default();
        for _ in 0..8 {
            throttle.permit(());
        }
        if let Some(last) = throttle.0.lock().unwrap().get_mut(&()) {
            last.at -= INTERVAL;
        }
        assert_eq!(throttle.permit(()), Some(7));
        assert_eq!(throttle.permit(()), None);
    }
}
