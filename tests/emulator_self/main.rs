//! The host emulator's own tests: it is as strict as Envoy, shown by contexts that do right and wrong on purpose.

#[path = "../emulator/mod.rs"]
mod emulator;

mod calls;
mod effective_context;
mod header_maps;
mod invariants;
mod probe;
mod shared;
mod streams;

use rest_sessions_filter as _;
