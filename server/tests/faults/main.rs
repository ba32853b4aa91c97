//! Redis fails in parts: it refuses writes, connections break in the middle, keys are broken.

mod access;
mod broken_keys;
mod logs;
mod repetition;
#[path = "../support/mod.rs"]
mod support;
mod users;
mod writes_refused;
