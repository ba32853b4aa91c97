//! What a step reads: the configuration, and what the host knows at the moment of an event.

use std::cell::{Cell, OnceCell};
use std::hash::RandomState;

use crate::cache::shared_data::SharedData;
use crate::config::Config;

/// A host call that did not succeed, with its status (proxy-wasm ABI 0.2.1, `proxy_result_t`). Status 0 (`Ok`): the
/// host returned a header map that cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u32);

/// What the host knows at the moment of an event. The product has two: Envoy, and memory of its own for
/// `session-filter explain`, the simulation and the tests.
pub trait Environment {
    /// Milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// The status of the host call, if the host does not give the time.
    fn now_ms(&self) -> Result<u64, Refused>;

    /// The address and port of the client of the effective context's stream, as text, as far as the host trusts it.
    /// `None`: the host does not know it.
    fn client_address(&self) -> Option<Vec<u8>>;

    /// The data that the workers of one Envoy share.
    fn shared_data(&self) -> &dyn SharedData;
}

/// What the steps that answer one event read.
pub struct Context<'a> {
    /// The configuration of this worker.
    pub config: &'a Config,
    /// The clock, the client's address and the shared data of the host.
    pub environment: &'a dyn Environment,
    /// What the workers share: the host's, or this worker's own memory with `cache.shared: false`.
    pub shared_data: &'a dyn SharedData,
    /// The key of the digests by which log lines name tokens.
    pub digest_key: &'a RandomState,
    now_ms: OnceCell<u64>,
    clock_refused: Cell<Option<Refused>>,
}

impl<'a> Context<'a> {
    /// A context for one event. It reads the clock when a step first needs the time.
    #[must_use]
    pub fn new(
        config: &'a Config,
        environment: &'a dyn Environment,
        shared_data: &'a dyn SharedData,
        digest_key: &'a RandomState,
    ) -> Self {
        let (now_ms, clock_refused) = (OnceCell::new(), Cell::new(None));
        Self { config, environment, shared_data, digest_key, now_ms, clock_refused }
    }

    /// Milliseconds since 1970. The host is asked once for an event, and only if a step needs the time. Zero if the host
    /// does not say, so that every token lies in the future; [`Self::clock_refused`] says so.
    pub fn now_ms(&self) -> u64 {
        *self.now_ms.get_or_init(|| {
            self.environment.now_ms().unwrap_or_else(|refused| {
                self.clock_refused.set(Some(refused));
                0
            })
        })
    }

    /// As [`Self::now_ms`], with a time to assume if the host does not say.
    pub fn now_ms_or(&self, fallback_ms: u64) -> u64 {
        *self.now_ms.get_or_init(|| self.environment.now_ms().unwrap_or(fallback_ms))
    }

    /// Why the host did not say the time. `None`: it did, or [`Self::now_ms`] was not called.
    pub fn clock_refused(&self) -> Option<Refused> {
        self.clock_refused.get()
    }
}
