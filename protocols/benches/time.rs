//! How long muxing and demuxing one GOP takes.
#![allow(missing_docs)]

mod bodies;

use bodies::Mux;
use criterion::{Criterion, criterion_group, criterion_main};
use protocols::container::flv::Framing;
use std::hint::black_box;

fn benches(c: &mut Criterion) {
    bodies::check();
    let muxers = [
        ("rtmp_mux_128", Mux::rtmp(128)),
        ("rtmp_mux_60000", Mux::rtmp(60_000)),
        ("flv_mux_raw", Mux::flv(Framing::Raw)),
        ("flv_mux_http", Mux::flv(Framing::HttpChunk)),
        ("flv_mux_ws", Mux::flv(Framing::WsFrame)),
    ];
    for (name, mut mux) in muxers {
        c.bench_function(name, |b| b.iter(|| mux.run()));
    }
    let (chunks, flv) = (bodies::chunks(), bodies::flv());
    c.bench_function("rtmp_demux", |b| b.iter(|| bodies::chunk_demux(black_box(&chunks))));
    c.bench_function("flv_demux", |b| b.iter(|| bodies::flv_demux(black_box(&flv))));
}

criterion_group!(all, benches);
criterion_main!(all);
