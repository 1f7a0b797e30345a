//! See [`protocols_fuzz::aac`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::aac(data));
