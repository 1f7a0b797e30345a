//! See [`protocols_fuzz::avc`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::avc(data));
