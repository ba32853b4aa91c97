//! The host's clock, read at most once for a step, and only if the step asks.

use std::cell::{Cell, OnceCell};

use crate::host::{self, Refused};

#[derive(Default)]
pub struct Clock {
    read: OnceCell<u64>,
    refused: Cell<Option<Refused>>,
}

impl Clock {
    /// Milliseconds since 1970. Zero if the host does not say, which makes every token one of the future.
    pub fn now_ms(&self) -> u64 {
        let read = || {
            host::now_ms().unwrap_or_else(|refused| {
                self.refused.set(Some(refused));
                0
            })
        };
        *self.read.get_or_init(read)
    }

    /// Why the host did not say, if it was asked and did not.
    pub fn refused(&self) -> Option<Refused> {
        self.refused.take()
    }
}
