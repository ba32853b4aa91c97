//! `fuzz_targets::paths`, with the fuzzer's inputs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::paths::check(bytes));
