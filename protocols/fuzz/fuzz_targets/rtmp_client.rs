//! See [`protocols_fuzz::rtmp_client`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::rtmp_client(data));
