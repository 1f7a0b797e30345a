//! See [`protocols_fuzz::hevc`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::hevc(data));
