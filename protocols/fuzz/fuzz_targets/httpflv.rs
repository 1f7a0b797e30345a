//! See [`protocols_fuzz::httpflv`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::httpflv(data));
