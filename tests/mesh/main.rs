//! The shipped filter in a real Envoy, with real and faulty session services.
//!
//! Envoy loads the module at `dist/`. The tests observe it from outside: at the client, the upstream and the session
//! service, and in Envoy's statistics and logs. Only `explain` links the filter's core. `make test-rust` builds the module
//! and sets `ENVOY_BIN` and `REDIS_SERVER_BIN`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot continue panics with its location"
)]

mod ambiguous_paths;
mod annotation;
mod caching;
mod calls;
mod coalescing;
mod configuration;
mod decisions;
mod explain;
mod faults;
mod harness;
mod health_checks;
mod instances;
mod internal_redirects;
mod limits;
mod local_replies;
mod login;
mod logout;
mod methods;
mod operations;
mod origins;
mod pending_bytes;
mod recheck;
mod requirements;
mod reserved_headers;
mod routing;
mod rules;
mod setup;
mod shadow;
mod store_faults;
mod streams;
mod stress;
mod telemetry;
mod tenants;
mod tokens;
mod traps;
mod write_back;
