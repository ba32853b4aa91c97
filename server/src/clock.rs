//! The time, handed in from outside so that a test can move it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// `millis` answers with the milliseconds since 1970.
    pub fn new(millis: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(millis))
    }

    pub fn millis(&self) -> u64 {
        (self.0)()
    }

    pub fn seconds(&self) -> i64 {
        i64::try_from(self.millis() / 1000).unwrap_or(i64::MAX)
    }
}
