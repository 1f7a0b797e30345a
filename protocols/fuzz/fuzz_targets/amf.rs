//! See [`protocols_fuzz::amf`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::amf(data));
