//! See [`protocols_fuzz::flv`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::flv(data));
