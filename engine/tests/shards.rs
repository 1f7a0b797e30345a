//! Several shards: mirrors carry the same bytes, going hot and cool, connections that move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use engine::{Arrival, Config, Place, Shard};
use media::StreamKey;
use std::time::Duration;

/// Runs a task on another shard.
struct Task<F>(F);

impl<F: FnOnce(Shard) + Send> Arrival for Task<F> {
    fn land(self: Box<Self>, shard: &Shard) {
        (self.0)(shard.clone());
    }
}

fn on_shard(from: &Shard, to: usize, run: impl FnOnce(Shard) + Send + 'static) {
    from.hand_off(to, Box::new(Task(run)));
}

/// Views on another shard; the far end comes back by the queue.
fn view_there(from: &Shard, to: usize, key: StreamKey) -> crossbeam_channel::Receiver<Far> {
    let (send, receive) = crossbeam_channel::bounded(1);
    on_shard(from, to, move |shard| {
        rt::spawn(async move {
            let far = view(&shard, &key, LIVE).await;
            send.send(far).unwrap();
        });
    });
    receive
}

async fn take(receive: crossbeam_channel::Receiver<Far>) -> Far {
    loop {
        match receive.try_recv() {
            Ok(far) => return far,
            Err(_) => rt::sleep(Duration::from_millis(2)).await,
        }
    }
}

#[test]
fn mirrors_give_their_viewers_the_same_bytes_and_end_with_them() {
    let mut config = Config::default();
    config.mirror.threshold = 0;
    for backend in backends() {
        run(backend, 3, config, |shard| async move {
            let key = key_on(&shard, 0);
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"config"));
            for n in 0..15 {
                publication.packet(video(n, i64::from(n) * 40, n % 10 == 0, 3_000));
            }
            publication.flush();
            let here = view(&shard, &key, LIVE).await.collect();
            let mut there = Vec::new();
            for i in 0..4 {
                there.push(take(view_there(&shard, 1 + i % 2, key.clone())).await.collect());
            }
            until("two mirrors", || shard.stream_stats()[0].mirrors == 2).await;
            for n in 15..500 {
                publication.packet(video(n, i64::from(n) * 40, n % 10 == 0, 3_000));
                publication.flush();
                if n % 20 == 0 {
                    rt::sleep(Duration::from_millis(1)).await;
                }
            }
            publication.end();
            let here = joined(here).await;
            assert_eq!(here.len(), 2 + 490 + 1);
            for far in there {
                assert!(joined(far).await == here, "a mirror's viewer got other bytes");
            }
        });
    }
}

#[test]
fn a_mirror_without_viewers_is_given_up() {
    let mut config = Config::default();
    config.mirror.threshold = 0;
    run(rt::Backend::Epoll, 2, config, |shard| async move {
        let key = key_on(&shard, 0);
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        publication.packet(video(0, 0, true, 100));
        let far = take(view_there(&shard, 1, key.clone())).await;
        until("mirrored", || shard.stream_stats()[0].mirrors == 1).await;
        drop(far);
        until("given up", || shard.stream_stats()[0].mirrors == 0).await;
        drop(publication);
    });
}

#[test]
fn a_stream_goes_hot_at_the_threshold_and_cool_below_half_of_it() {
    let mut config = Config::default();
    config.mirror.threshold = 4;
    run(rt::Backend::Epoll, 2, config, |shard| async move {
        let key = key_on(&shard, 0);
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        publication.packet(video(0, 0, true, 100));
        let place_there = |shard: &Shard| {
            let (send, receive) = crossbeam_channel::bounded(1);
            let key = key.clone();
            on_shard(shard, 1, move |there| send.send(there.place(&key)).unwrap());
            receive.recv_timeout(Duration::from_secs(5)).unwrap()
        };
        let mut viewers = Vec::new();
        for _ in 0..3 {
            viewers.push(view(&shard, &key, LIVE).await);
        }
        assert_eq!(place_there(&shard), Place::There(0));
        viewers.push(view(&shard, &key, LIVE).await);
        until("hot", || place_there(&shard) == Place::Here).await;
        viewers.truncate(3);
        rt::sleep(Duration::from_millis(100)).await;
        assert_eq!(place_there(&shard), Place::Here, "cool too early");
        viewers.truncate(2);
        until("cool", || place_there(&shard) == Place::There(0)).await;
        drop(publication);
    });
}

#[test]
fn a_viewer_of_a_stream_that_is_nowhere_is_refused_by_the_owner() {
    let mut config = Config::default();
    config.mirror.threshold = 0;
    run(rt::Backend::Epoll, 2, config, |shard| async move {
        let key = key_on(&shard, 1);
        let session = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").unwrap();
        assert_eq!(shard.await_stream(&session, &key).await, Err(media::Refusal::NotFound));
        assert!(shard.stream_stats().is_empty());
    });
}

#[test]
fn a_mirror_that_lost_a_batch_goes_on_at_a_keyframe_and_it_is_counted() {
    let mut config = Config::default();
    config.mirror.threshold = 0;
    config.mirror.queue = 2;
    run(rt::Backend::Epoll, 2, config, |shard| async move {
        let key = key_on(&shard, 0);
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        publication.packet(video(0, 0, true, 100));
        let far = take(view_there(&shard, 1, key.clone())).await.collect();
        until("mirrored", || shard.stream_stats()[0].mirrors == 1).await;
        rt::sleep(Duration::from_millis(50)).await;
        // The other shard is busy: it takes nothing from its queue meanwhile.
        on_shard(&shard, 1, |_| std::thread::sleep(Duration::from_millis(300)));
        rt::sleep(Duration::from_millis(50)).await;
        for n in 1..95 {
            publication.packet(video(n, i64::from(n) * 40, n % 10 == 0, 100));
            publication.flush();
        }
        rt::sleep(Duration::from_millis(500)).await;
        for n in 95..120 {
            publication.packet(video(n, i64::from(n) * 40, n % 10 == 0, 100));
            publication.flush();
            rt::sleep(Duration::from_millis(2)).await;
        }
        publication.end();
        let units = joined(far).await;
        let pictures: Vec<&Unit> = units.iter().filter(|u| "KV".contains(u.what)).collect();
        let jumps: Vec<_> = pictures.windows(2).filter(|p| p[1].number() != p[0].number() + 1).collect();
        assert!(!jumps.is_empty() && jumps.iter().all(|p| p[1].what == 'K'), "{jumps:?}");
        assert_eq!(pictures.last().unwrap().number(), 119);
        assert!(shard.mesh_drops().media > 0);
    });
}
