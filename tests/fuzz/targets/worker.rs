//! The worker as a sequence of events: `worker_events`, with the fuzzer's inputs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| worker_events::run(bytes));
