//! What became of the requests of all clients, by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::sync::Mutex;

/// Requests and their statuses.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// 101 counts among these.
    pub passed: u64,
    pub refused: u64,
    pub failed: u64,
    /// The client left; the outcome is unknown.
    pub left: u64,
}

impl Counts {
    pub fn sum(&self) -> u64 {
        self.passed + self.refused + self.failed + self.left
    }

    /// One request with this status. `None` if it is none that the filter or the upstream sends here.
    pub fn one(status: u16) -> Option<Self> {
        match status {
            101 | 200 | 204 => Some(Self { passed: 1, ..Self::default() }),
            401 => Some(Self { refused: 1, ..Self::default() }),
            503 => Some(Self { failed: 1, ..Self::default() }),
            _ => None,
        }
    }

    pub fn of_left(left: u64) -> Self {
        Self { left, ..Self::default() }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.refused += other.refused;
        self.failed += other.failed;
        self.left += other.left;
    }
}

#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<String, Counts>>);

impl Tally {
    pub fn add(&self, kind: &str, counts: Counts) {
        let mut kinds = self.0.lock().unwrap();
        match kinds.get_mut(kind) {
            Some(sum) => *sum += counts,
            None => {
                kinds.insert(kind.to_owned(), counts);
            }
        }
    }

    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.0.lock().unwrap().values().for_each(|counts| total += *counts);
        total
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.0.lock().unwrap();
        for (kind, counts) in kinds.iter() {
            let Counts { passed, refused, failed, left } = counts;
            writeln!(f, "{kind:<24} {passed:>9} passed {refused:>9} 401 {failed:>8} 503 {left:>8} left")?;
        }
        Ok(())
    }
}
