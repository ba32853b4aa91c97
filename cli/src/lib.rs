//! `session-filter`: checks the filter's configuration, and explains its decision on a request.
//!
//! Every decision is made by the core crate that the Wasm module is built from, linked natively. This crate locates
//! configurations in files, drives the core and formats its results. All output passes through [`redact::redact`] once,
//! so no token is printed.

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

pub mod check;
pub mod document;
pub mod explain;
pub mod json;
pub mod json_path;
pub mod locate;
pub mod options;
pub mod redact;
pub mod run;
pub mod schema;
pub mod token;
pub mod yaml;
