//! What a configuration says of the cache.

/// How long answers are kept, and how much room they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a session's answer is kept at most.
    pub ttl_ms: u64,
    /// How long it is kept that there is no session.
    pub negative_ttl_ms: u64,
    /// How long past its time an answer may serve while rest-sessions is away.
    pub stale_if_error_ms: u64,
    /// In one worker.
    pub max_bytes: usize,
    /// Whether the workers of one Envoy share what they know.
    pub shared: bool,
}
