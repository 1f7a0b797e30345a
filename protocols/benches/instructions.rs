//! How many instructions muxing and demuxing one GOP takes: the same on a busy machine.
#![allow(missing_docs)]

mod bodies;

use bodies::Mux;
use gungraun::{library_benchmark, library_benchmark_group, main};
use protocols::container::flv::Framing;
use std::hint::black_box;

#[library_benchmark]
#[bench::rtmp_128(Mux::rtmp(128))]
#[bench::rtmp_60000(Mux::rtmp(60_000))]
#[bench::flv_raw(Mux::flv(Framing::Raw))]
#[bench::flv_http(Mux::flv(Framing::HttpChunk))]
#[bench::flv_ws(Mux::flv(Framing::WsFrame))]
fn mux(mut mux: Mux) -> (usize, Mux) {
    (mux.run(), mux)
}

#[library_benchmark]
#[bench::gop(bodies::chunks())]
fn rtmp_demux(bytes: Vec<u8>) -> (usize, Vec<u8>) {
    (bodies::chunk_demux(black_box(&bytes)), bytes)
}

#[library_benchmark]
#[bench::gop(bodies::flv())]
fn flv_demux(bytes: Vec<u8>) -> (usize, Vec<u8>) {
    (bodies::flv_demux(black_box(&bytes)), bytes)
}

library_benchmark_group!(name = gop; benchmarks = mux, rtmp_demux, flv_demux);
main!(setup = bodies::check(); library_benchmark_groups = gop);
