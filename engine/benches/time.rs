//! How long the engine's own part of the media path takes.
#![allow(missing_docs)]

mod bodies;

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn benches(c: &mut Criterion) {
    bodies::check();
    let (gop, log) = (bodies::gop(), bodies::log());
    c.bench_function("log_append", |b| b.iter(|| bodies::log_append(black_box(&gop))));
    c.bench_function("ring_append", |b| b.iter(|| bodies::ring_append(black_box(&gop))));
    c.bench_function("gather_1000", |b| b.iter(|| bodies::gather(black_box(&log))));
}

criterion_group!(all, benches);
criterion_main!(all);
