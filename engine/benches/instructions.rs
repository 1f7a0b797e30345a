//! How many instructions the engine's own part of the media path takes: the same on a busy machine.
#![allow(missing_docs)]

mod bodies;

use engine::bench_api::Log;
use gungraun::{library_benchmark, library_benchmark_group, main};
use media::Packet;
use std::hint::black_box;

#[library_benchmark]
#[bench::gop(bodies::gop())]
fn log_append(gop: Vec<Packet>) -> (u64, Vec<Packet>) {
    (bodies::log_append(black_box(&gop)), gop)
}

#[library_benchmark]
#[bench::gop(bodies::gop())]
fn ring_append(gop: Vec<Packet>) -> (usize, Vec<Packet>) {
    (bodies::ring_append(black_box(&gop)), gop)
}

#[library_benchmark]
#[bench::viewers_1000(bodies::log())]
fn gather(log: Log) -> (usize, Log) {
    (bodies::gather(black_box(&log)), log)
}

library_benchmark_group!(name = path; benchmarks = log_append, ring_append, gather);
main!(setup = bodies::check(); library_benchmark_groups = path);
