//! Environment in this process' own memory, for workers without a host: in `session-filter explain`, in the simulation
//! and in tests.

use std::cell::Cell;
use std::net::SocketAddr;

use crate::cache::shared_data::{LocalData, SharedData};
use crate::exchange::{Environment, Refused};

/// A clock that the caller sets, at most one client address, and shared data in memory. Host calls never fail.
#[derive(Clone)]
pub struct LocalEnvironment {
    now_ms: Cell<u64>,
    client: Option<SocketAddr>,
    shared_data: LocalData,
}

impl LocalEnvironment {
    /// `now_ms`: milliseconds since 1970. `client`: the client of every stream; `None`: unknown. Workers that are given
    /// clones of `shared_data` are workers of one Envoy.
    #[must_use]
    pub fn new(now_ms: u64, client: Option<SocketAddr>, shared_data: LocalData) -> Self {
        Self { now_ms: Cell::new(now_ms), client, shared_data }
    }

    /// Sets the clock, in milliseconds since 1970.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
    }
}

impl Environment for LocalEnvironment {
    fn now_ms(&self) -> Result<u64, Refused> {
        Ok(self.now_ms.get())
    }

    fn client_address(&self) -> Option<Vec<u8>> {
        self.client.map(|client| client.to_string().into_bytes())
    }

    fn shared_data(&self) -> &dyn SharedData {
        &self.shared_data
    }
}
