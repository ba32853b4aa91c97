//! `fuzz_targets::configuration`, with the fuzzer's inputs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::configuration::check(bytes));
