//! The worker as a sequence of events. `worker_events` says what must hold.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| worker_events::run(bytes));
