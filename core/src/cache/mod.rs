//! One worker's cache of sessions, and what it shares with the other workers of its Envoy.
//!
//! It holds sessions, not decisions: every request is judged anew. It knows no rules.

pub mod idle_registry;
pub mod invalidation;
pub mod lifetime;
pub mod session_cache;
pub mod shared_data;
pub mod shared_entry;
pub mod store;

/// The cache's part of the configuration. Durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a session is cached at most (`cache.ttl`).
    pub ttl_ms: u64,
    /// How long it is cached that a token has no session.
    pub negative_ttl_ms: u64,
    /// How long a cached session may be used past its time during an outage of rest-sessions.
    pub stale_if_error_ms: u64,
    /// The most memory in one worker, keys and bookkeeping included.
    pub max_bytes: usize,
    /// Whether the workers of one Envoy share sessions and invalidations.
    pub shared: bool,
}
