//! What `make fuzz` checks for each input.
//!
//! Each target is a function of bytes that panics if something does not hold. The fuzzer (`tests/fuzz`, nightly Rust) finds
//! inputs; `tests/corpora.rs` runs the same functions over those that are kept in the repository.

pub mod answers;
pub mod configuration;
pub mod cookies;
pub mod headers;
pub mod paths;
pub mod shared_entries;

/// Panics if something does not hold for the bytes.
pub type Check = fn(&[u8]);

/// The name of each target, which its corpus has too, and the function.
pub const TARGETS: [(&str, Check); 7] = [
    ("answers", answers::check),
    ("configuration", configuration::check),
    ("cookies", cookies::check),
    ("headers", headers::check),
    ("paths", paths::check),
    ("shared_entries", shared_entries::check),
    ("worker", worker_events::run),
];

/// A time at which tokens and sessions are neither too old nor of the future, in milliseconds since 1970.
const NOW_MS: u64 = 1_760_000_000_000;
