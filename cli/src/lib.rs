//! The filter's configuration at the command line: is it sound, and what does it do with a request?
//!
//! All that decides is the filter's own code, linked natively, so this program cannot disagree with the module that
//! Envoy loads. What is here finds configurations in files, drives that code, and tells a person what it said. Whatever
//! is printed goes through [`redact::hidden`] once, at the end: a token never leaves.

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
