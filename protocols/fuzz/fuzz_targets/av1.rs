//! See [`protocols_fuzz::av1`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::av1(data));
