//! Web sessions, enforced in the mesh: a proxy-wasm HTTP filter.
//!
//! It takes the session token from a request and looks the session up at a rest-sessions cluster by an asynchronous call.
//! The request goes on, annotated with the user and the session's data, or gets a local reply. Services behind it need
//! no session code.
//!
//! Every decision is made in `rest_sessions_core`. This crate speaks proxy-wasm: it hands the callbacks of the host to the
//! core as events, carries the core's actions out as host calls, and decides nothing.

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

mod dispatch;
mod filter;
mod host;
mod metrics;
mod root;
mod shared_data;
mod stream;
#[cfg(feature = "traps")]
#[path = "../tests/traps/module.rs"]
mod traps;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    // The host filters by its own level.
    proxy_wasm::set_log_level(LogLevel::Trace);
    metrics::Metrics::forget();
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
