//! The clock, which tests replace.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the current time. Clones share the source.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// `millis` returns milliseconds since 1970.
    pub fn new(millis: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(millis))
    }

    /// Milliseconds since 1970.
    pub fn millis(&self) -> u64 {
        (self.0)()
    }

    /// Seconds since 1970.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.millis() / 1000).unwrap_or(i64::MAX)
    }
}
