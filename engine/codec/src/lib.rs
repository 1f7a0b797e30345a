//! Decoders and encoders on worker threads: audio to AAC, pictures to JPEG. All codec FFI will live here.
//!
//! Nothing decodes or encodes yet: streams pass through untouched. This crate is the place for it, so that
//! `engine` keeps its dependency edge and no FFI grows anywhere else.
