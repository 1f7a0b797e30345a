//! See [`protocols_fuzz::ws`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::ws(data));
