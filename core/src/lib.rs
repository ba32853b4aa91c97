//! Every decision of the session filter, in plain Rust: no proxy, no clock, no log.
//!
//! [`worker::Worker`] takes events and returns [`action::Action`]s. A shell hands the events in and carries the actions
//! out: the filter does so in Envoy, `session-filter explain` and the simulation do so in memory.
//!
//! | module | knows |
//! | --- | --- |
//! | [`http`] | header maps, paths, cookies, origins as bytes |
//! | [`session`] | the token, the session, what may be known of it |
//! | [`rest_sessions`] | the client of the session service |
//! | [`cache`] | cached sessions and their invalidation in all workers |
//! | [`policy`] | rules and what they ask |
//! | [`config`] | the configuration, from text to policy |
//! | [`exchange`] | the states of one request |
//! | [`worker`] | the order of steps |
//! | [`telemetry`] | the names of metrics, filter state and log lines |

#![warn(missing_docs)]
// proxy-wasm has no unwinding: a panic ends the VM of a worker, and every request that waits in it hangs. So what can panic
// is denied outside tests.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod action;
pub mod cache;
pub mod config;
pub mod exchange;
pub mod http;
mod int_map;
pub mod local;
pub mod policy;
pub mod rest_sessions;
pub mod session;
pub mod telemetry;
pub mod worker;
