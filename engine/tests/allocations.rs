//! What a viewer costs the allocator: nothing per packet, however many watch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use engine::{Config, Shard};
use std::time::Duration;

/// Packets counted.
const PACKETS: u32 = 1_000;

/// Allocations of the shard's thread while `PACKETS` packets are published and written to so many viewers.
async fn allocations(shard: &Shard, viewers: usize) -> u64 {
    let key = key(&format!("watched-by-{viewers}"));
    let (_session, publication) = publisher(shard, &key).await;
    let publication = publication.unwrap();
    publication.track(h264(b"c"));
    let mut n = 0;
    let mut publish = || {
        publication.packet(video(n, i64::from(n) * 40, n.is_multiple_of(50), 200));
        publication.flush();
        n += 1;
    };
    publish();
    let mut far = Vec::new();
    for _ in 0..viewers {
        far.push(view(shard, &key, LIVE).await.collect());
    }
    // Past joining, and past the growth of what is kept from packet to packet.
    for _ in 0..PACKETS {
        publish();
        rt::sleep(Duration::from_micros(200)).await;
    }
    let before = shard.stream_stats().iter().find(|s| s.key == key).unwrap().bytes_out;
    let counted = allocation_counter::measure(|| {
        for _ in 0..PACKETS {
            publish();
        }
    });
    let stats = shard.stream_stats().into_iter().find(|s| s.key == key).unwrap();
    assert!(stats.bytes_out - before > u64::from(PACKETS) * 200 * viewers as u64 / 2, "nothing was written");
    publication.end();
    for far in far {
        joined(far).await;
    }
    counted.count_total
}

#[test]
fn publishing_allocates_nothing_per_viewer() {
    run(rt::Backend::Epoll, 1, Config::default(), |shard| async move {
        let one = allocations(&shard, 1).await;
        let hundred = allocations(&shard, 100).await;
        // One for each packet's own bytes, made by this test, and what the logs and the ring grow by.
        assert!(one >= u64::from(PACKETS), "{one} allocations: nothing was counted");
        assert!(one < u64::from(PACKETS) * 3, "{one} allocations for {PACKETS} packets");
        assert!(hundred <= one + 50, "{one} allocations with one viewer, {hundred} with a hundred");
    });
}
