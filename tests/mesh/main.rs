//! The filter as it is shipped, in a real Envoy, before real and faulty session services.
//!
//! Nothing here but `explain` is linked to the filter: the module at `dist/` is loaded by Envoy, and what it does is
//! observed from outside, at the client, at the upstream, at the session service, and in Envoy's own statistics. Run it
//! with `make test`, which builds the module and names the programs in `ENVOY_BIN` and `REDIS_SERVER_BIN`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod annotation;
mod caching;
mod calls;
mod coalescing;
mod configuration;
mod decisions;
mod explain;
mod faults;
mod harness;
mod limits;
mod local_replies;
mod login;
mod logout;
mod recheck;
mod requirements;
mod reserved_headers;
mod rules;
mod shadow;
mod streams;
mod stress;
mod telemetry;
mod tenants;
mod tokens;
mod write_back;
