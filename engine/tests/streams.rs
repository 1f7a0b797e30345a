//! What viewers get: joins, skips, continuity, policies; on both back-ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use engine::Config;
use engine::config::OnConflict;
use media::{JoinStart, Refusal, StopReason};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[test]
fn a_viewer_joins_at_the_cached_gop_and_gets_every_unit_in_order() {
    for backend in backends() {
        run(backend, 1, Config::default(), |shard| async move {
            let key = key("join");
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"config"));
            for n in 0..25 {
                publication.packet(video(n, i64::from(n) * 40, n % 10 == 0, 500));
            }
            publication.flush();
            let cached = view(&shard, &key, LIVE).await.collect();
            let fresh = view(&shard, &key, JoinStart { gop: Some(false), ..LIVE }).await.collect();
            for n in 25..45 {
                publication.packet(video(n, i64::from(n) * 40, n % 10 == 0, 500));
                publication.flush();
            }
            publication.end();
            let units = joined(cached).await;
            assert_eq!(units[0].what, 'G');
            assert_eq!((units[1].what, units[1].ms, &units[1].payload[..]), ('P', 800, &b"config"[..]));
            let numbers: Vec<u32> = units[2..units.len() - 1].iter().map(Unit::number).collect();
            assert_eq!(numbers, (20..45).collect::<Vec<_>>());
            assert_eq!(units.last().unwrap().payload, StopReason::StreamEnded.name().as_bytes());
            let fresh = joined(fresh).await;
            assert_eq!((fresh[1].what, fresh[2].what, fresh[2].number()), ('P', 'K', 30));
        });
    }
}

#[test]
fn a_viewer_that_does_not_read_skips_to_keyframes_in_whole_units_and_the_others_miss_nothing() {
    let mut config = Config::default();
    config.classes[0].budget_time = Duration::from_secs(600);
    config.classes[0].budget_bytes = 300_000;
    config.play.send_buffer = 65_536;
    // A busy machine may take long over what follows; that is not what is looked at here.
    config.play.stuck_timeout = Duration::from_secs(600);
    for backend in backends() {
        run(backend, 1, config, |shard| async move {
            let key = key("slow");
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"c"));
            publication.packet(video(0, 0, true, 4_000));
            let slow = view(&shard, &key, LIVE).await;
            rt::set_recv_buffer(slow.stream.as_fd(), 8_192).unwrap();
            let mut quick = view(&shard, &key, LIVE).await;
            let seen = Arc::new(AtomicU32::new(0));
            let quick = std::thread::spawn({
                let seen = Arc::clone(&seen);
                move || {
                    let count =
                        |unit: &Unit| seen.fetch_add(u32::from("KV".contains(unit.what)), Ordering::Relaxed);
                    std::iter::from_fn(|| quick.unit())
                        .inspect(|unit| {
                            count(unit);
                        })
                        .collect()
                }
            });
            for n in 1..2_000 {
                publication.packet(video(n, i64::from(n) * 40, n % 20 == 0, 4_000));
                publication.flush();
                // As fast as the quick one reads, however busy the machine is.
                until("the quick one keeps up", || n < seen.load(Ordering::Relaxed) + 40).await;
            }
            let slow = slow.collect(); // Begins to read only now.
            rt::sleep(Duration::from_millis(300)).await;
            publication.end();
            let quick = joined(quick).await;
            let numbers: Vec<u32> =
                quick.iter().filter(|u| "KV".contains(u.what)).map(Unit::number).collect();
            assert!(numbers.iter().copied().eq(0..2_000), "the quick one got {} of 2000", numbers.len());
            let slow = joined(slow).await;
            let pictures: Vec<&Unit> = slow.iter().filter(|u| "KV".contains(u.what)).collect();
            let mut skips = 0;
            for pair in pictures.windows(2) {
                if pair[1].number() != pair[0].number() + 1 {
                    assert_eq!(
                        pair[1].what,
                        'K',
                        "went on at {} after {}",
                        pair[1].number(),
                        pair[0].number()
                    );
                    skips += 1;
                }
                assert!(pair[1].ms >= pair[0].ms);
            }
            assert!(skips > 0, "{} of 2000 pictures, and no skip", pictures.len());
            assert!(pictures.len() < 1_500);
        });
    }
}

#[test]
fn a_thousand_that_never_read_cost_bounded_memory_and_are_closed() {
    let mut config = Config::default();
    config.classes[0].budget_bytes = 500_000;
    config.play.stuck_timeout = Duration::from_millis(1_500);
    config.play.send_buffer = 16_384;
    run(rt::Backend::Epoll, 1, config, |shard| async move {
        let key = key("stuck");
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        publication.packet(video(0, 0, true, 10_000));
        let mut stuck = Vec::new();
        for _ in 0..200 {
            stuck.push(view(&shard, &key, LIVE).await);
        }
        let mut held = 0;
        for n in 1..1_000 {
            publication.packet(video(n, i64::from(n) * 40, n % 20 == 0, 10_000));
            publication.flush();
            rt::sleep(Duration::from_millis(3)).await;
            held = held.max(shard.stream_stats().iter().map(|s| s.log_bytes).max().unwrap());
        }
        assert!(held < 4_000_000, "{held} bytes in the log");
        until("all closed", || shard.stream_stats()[0].viewers == 0).await;
        // What they did not read is not kept by the kernel: they are reset.
        for far in &mut stuck {
            let end = std::iter::from_fn(|| Some(far.stream.read(&mut [0; 65_536])))
                .find(|read| !matches!(read, Ok(n) if *n > 0));
            let error = end.unwrap().expect_err("closed, not reset");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn viewers_stay_while_the_publisher_comes_back_and_the_timeline_goes_on() {
    for backend in backends() {
        run(backend, 1, Config::default(), |shard| async move {
            let key = key("back");
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"one"));
            for n in 0..10 {
                publication.packet(video(n, 5_000 + i64::from(n) * 40, n == 0, 100));
            }
            let far = view(&shard, &key, LIVE).await.collect();
            drop(publication); // Broken off.
            rt::sleep(Duration::from_millis(50)).await;
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"two"));
            publication.packet(video(99, 0, false, 100)); // Nobody could decode it.
            for n in 10..20 {
                publication.packet(video(n, i64::from(n - 10) * 40, n == 10, 100));
            }
            publication.end();
            let units = joined(far).await;
            let whats: String = units.iter().map(|u| u.what).collect();
            assert_eq!(whats, "GPKVVVVVVVVVRKVVVVVVVVVB");
            let pictures: Vec<&Unit> = units.iter().filter(|u| "KV".contains(u.what)).collect();
            assert!(pictures.windows(2).all(|p| p[1].ms > p[0].ms && p[1].ms - p[0].ms <= 100));
        });
    }
}

#[test]
fn viewers_are_told_when_the_grace_time_is_over() {
    let mut config = Config::default();
    config.publish.grace = Duration::from_millis(300);
    run(rt::Backend::Epoll, 1, config, |shard| async move {
        let key = key("grace");
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        publication.packet(video(0, 0, true, 100));
        let far = view(&shard, &key, LIVE).await.collect();
        drop(publication);
        let units = joined(far).await;
        assert_eq!(units.last().unwrap().what, 'B');
        until("the stream is gone", || shard.stream_stats().is_empty()).await;
    });
}

#[test]
fn a_second_publisher_is_refused_replaces_or_waits() {
    for (policy, leaves) in [
        (OnConflict::Refuse, false),
        (OnConflict::Replace, false),
        (OnConflict::Wait, true),
        (OnConflict::Wait, false),
    ] {
        let mut config = Config::default();
        config.publish.on_conflict = policy;
        config.publish.conflict_wait = Duration::from_millis(400);
        run(rt::Backend::Epoll, 1, config, move |shard| async move {
            let key = key("conflict");
            let (_first_session, first) = publisher(&shard, &key).await;
            let first = first.unwrap();
            let stop = first.stop();
            if leaves {
                rt::spawn(async move {
                    rt::sleep(Duration::from_millis(100)).await;
                    drop(first);
                });
            } else {
                std::mem::forget(first);
            }
            let (_session, second) = publisher(&shard, &key).await;
            match (policy, leaves) {
                (OnConflict::Replace, _) => {
                    assert!(second.is_ok());
                    assert_eq!(stop.raised(), Some(StopReason::Replaced));
                }
                (OnConflict::Wait, true) => assert!(second.is_ok()),
                _ => assert_eq!(second.err(), Some(Refusal::AlreadyPublishing)),
            }
        });
    }
}

#[test]
fn a_viewer_waits_for_a_publisher_as_long_as_it_may() {
    let mut config = Config::default();
    config.play.wait = Duration::from_millis(400);
    run(rt::Backend::Epoll, 1, config, |shard| async move {
        let session = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").unwrap();
        assert_eq!(shard.await_stream(&session, &key("never")).await, Err(Refusal::NotFound));
        let (other, name) = (shard.clone(), key("later"));
        rt::spawn(async move {
            rt::sleep(Duration::from_millis(100)).await;
            let (_session, publication) = publisher(&other, &name).await;
            std::mem::forget(publication);
        });
        assert_eq!(shard.await_stream(&session, &key("later")).await, Ok(()));
    });
}

#[test]
fn limits_hold_and_are_counted() {
    let mut config = Config::default();
    config.limits.streams = 1;
    config.limits.sessions = 3;
    run(rt::Backend::Epoll, 1, config, |shard| async move {
        let (_a, first) = publisher(&shard, &key("one")).await;
        let (_b, second) = publisher(&shard, &key("two")).await;
        assert!(first.is_ok());
        assert_eq!(second.err(), Some(Refusal::Limit));
        let third = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy");
        assert!(third.is_ok());
        let fourth = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy");
        assert_eq!(fourth.err(), Some(Refusal::Limit));
        drop(third);
        assert!(shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").is_ok());
    });
}

#[test]
fn a_peer_may_speak_is_answered_between_units_and_a_panic_ends_it_alone() {
    for backend in backends() {
        run(backend, 1, Config::default(), |shard| async move {
            let key = key("peer");
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"c"));
            publication.packet(video(0, 0, true, 100));
            let mut pinger = view(&shard, &key, LIVE).await;
            let mut ender = view(&shard, &key, LIVE).await;
            pinger.stream.write_all(b"ping").unwrap();
            ender.stream.write_all(b"end").unwrap();
            until("one has left", || shard.stream_stats()[0].viewers == 1).await;
            assert_eq!(joined(ender.collect()).await.len(), 3);
            let pinger = pinger.collect();
            rt::sleep(Duration::from_millis(100)).await;
            publication.packet(video(1, 40, false, 100));
            publication.end();
            let whats: String = joined(pinger).await.iter().map(|u| u.what).collect();
            assert_eq!(whats, "GPKAVB");
        });
    }
}

/// Bytes that the one viewer is behind.
fn lag(shard: &engine::Shard) -> u64 {
    shard.session_stats().iter().map(|session| session.lag_bytes).sum()
}

#[test]
fn a_slow_viewer_that_skips_an_announcement_is_told_of_the_new_tracks() {
    let mut config = Config::default();
    config.classes[0].budget_time = Duration::from_secs(600);
    config.classes[0].budget_bytes = 200_000;
    config.play.send_buffer = 16_384;
    config.play.stuck_timeout = Duration::from_secs(600);
    run(rt::Backend::Epoll, 1, config, |shard| async move {
        let key = key("retold");
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"old"));
        publication.packet(video(0, 0, true, 100));
        let slow = view(&shard, &key, LIVE).await;
        rt::set_recv_buffer(slow.stream.as_fd(), 8_192).unwrap();
        let mut n = 1;
        while lag(&shard) == 0 {
            publication.packet(video(n, i64::from(n) * 40, false, 1_000));
            publication.flush();
            n += 1;
        }
        publication.track(h264(b"new"));
        for _ in 0..40 {
            publication.packet(video(n, i64::from(n) * 40, n.is_multiple_of(10), 30_000));
            publication.flush();
            n += 1;
        }
        let far = slow.collect();
        until("all was read", || lag(&shard) == 0).await;
        publication.packet(video(n, i64::from(n) * 40, true, 100));
        publication.end();
        let units = joined(far).await;
        let told: Vec<&[u8]> =
            units.iter().filter(|u| "PR".contains(u.what)).map(|u| &u.payload[..]).collect();
        assert!(units.iter().any(|u| u.what == 'K' && u.number() + 1 >= n), "it did not get to the end");
        assert_eq!(told.first(), Some(&&b"old"[..]));
        assert_eq!(told.last(), Some(&&b"new"[..]));
    });
}

#[test]
fn those_who_wait_are_limited_over_all_streams() {
    let mut config = Config::default();
    config.play.wait = Duration::from_millis(500);
    config.limits.waiting = 2;
    run(rt::Backend::Epoll, 1, config, |shard| async move {
        for name in ["a", "b"] {
            let shard = shard.clone();
            rt::spawn(async move {
                let session = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").unwrap();
                assert_eq!(shard.await_stream(&session, &key(name)).await, Err(Refusal::NotFound));
            });
        }
        until("both wait", || shard.stream_stats().iter().map(|s| s.waiting).sum::<u64>() == 2).await;
        let session = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").unwrap();
        assert_eq!(shard.await_stream(&session, &key("c")).await, Err(Refusal::Limit));
        until("both gave up", || shard.stream_stats().iter().map(|s| s.waiting).sum::<u64>() == 0).await;
        assert_eq!(shard.await_stream(&session, &key("c")).await, Err(Refusal::NotFound));
    });
}

#[test]
fn a_stream_that_ends_before_its_tracks_are_known_is_still_seen() {
    run(rt::Backend::Epoll, 1, Config::default(), |shard| async move {
        let key = key("short");
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        // The toy format names its tracks, so a viewer waits for sound: longer than this stream lives.
        let far = view(&shard, &key, LIVE).await.collect();
        for n in 0..5 {
            publication.packet(video(n, i64::from(n) * 40, n == 0, 100));
        }
        publication.end();
        let units = joined(far).await;
        let what: String = units.iter().map(|unit| unit.what).collect();
        assert_eq!(what, "GPKVVVVB");
    });
}

#[test]
fn a_publisher_rests_only_while_nobody_watches() {
    run(rt::Backend::Epoll, 1, Config::default(), |shard| async move {
        let key = key("rest");
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        let rests = || publication.rest().is_some();
        assert!(!rests(), "before anything is known of its rate");
        let mut n = 0;
        while shard.stream_stats()[0].bitrate_in == 0 {
            publication.packet(video(n, i64::from(n) * 40, n.is_multiple_of(10), 500));
            publication.flush();
            n += 1;
            rt::sleep(Duration::from_millis(20)).await;
        }
        assert!(rests());
        // The rest that is under way ends at once when somebody comes, and there is no other.
        let mut rest = Box::pin(publication.rest().unwrap());
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(rest.as_mut().poll(cx).is_pending()));
        assert!(pending.await);
        let far = view(&shard, &key, LIVE).await;
        let ready = std::future::poll_fn(|cx| std::task::Poll::Ready(rest.as_mut().poll(cx).is_ready()));
        assert!(ready.await);
        assert!(!rests());
        drop(far);
        until("nobody watches", || shard.stream_stats()[0].viewers == 0).await;
        assert!(rests());
    });
}

#[test]
fn a_publisher_that_comes_back_before_it_was_seen_to_go_is_taken() {
    run(rt::Backend::Epoll, 1, Config::default(), |shard| async move {
        let key = key("again");
        let (_session, first) = publisher(&shard, &key).await;
        let first = first.unwrap();
        let later = async {
            rt::sleep(Duration::from_millis(5)).await;
            drop(first);
            std::future::pending::<()>().await;
        };
        let second = rt::either(publisher(&shard, &key), later).await;
        assert!(matches!(second, rt::Either::Left((_, Ok(_)))));
    });
}

#[test]
fn viewers_that_are_written_to_in_portions_all_get_the_last_news() {
    const VIEWERS: usize = 1_500;
    let mut config = Config::default();
    // Two portions, 5 ms apart.
    config.classes[1].tick = Duration::from_millis(10);
    config.limits.sessions = 2 * VIEWERS;
    for backend in backends() {
        run(backend, 1, config, |shard| async move {
            let key = key("portions");
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"c"));
            publication.packet(video(0, 0, true, 100));
            publication.flush();
            let normal = JoinStart { gop: None, class: Some(media::LatencyClass::Normal) };
            let mut viewers = Vec::new();
            for _ in 0..VIEWERS {
                viewers.push(view(&shard, &key, normal).await);
            }
            let mut n = 1;
            let sent = |shard: &engine::Shard| {
                shard.stream_stats().iter().find(|s| s.key == key).map_or(0, |s| s.bytes_out)
            };
            // Greeting, preamble and the first picture; what is written later has one size for all.
            let unit = 13 + 100;
            let first = 13 + 14 + unit;
            // The shard's own ticks, then the publisher's.
            for paced in [false, true] {
                let from = n;
                // The publisher's task rests once the bit rate is known.
                while n < from + 20 || (paced && publication.due().is_none()) {
                    assert!(n < from + 1_000, "the publisher's task was never asked to flush");
                    publication.packet(video(n, i64::from(n) * 40, false, 100));
                    publication.flush();
                    if paced {
                        let _ = publication.rest();
                    }
                    n += 1;
                    rt::sleep(Duration::from_millis(7)).await;
                }
                let all = (VIEWERS * (first + (n as usize - 1) * unit)) as u64;
                until("everybody has the last news, though none comes after it", || {
                    // As a publisher's task does that has nothing to read.
                    if paced {
                        let _ = publication.rest();
                        publication.flush();
                    }
                    sent(&shard) >= all
                })
                .await;
                assert_eq!(sent(&shard), all);
            }
            publication.end();
            let read = std::thread::spawn(move || {
                viewers.into_iter().map(|mut far| std::iter::from_fn(|| far.unit()).collect()).collect()
            });
            until("all is read", || read.is_finished()).await;
            let read: Vec<Vec<Unit>> = read.join().unwrap();
            for units in read {
                let pictures = units.iter().filter(|unit| "KV".contains(unit.what)).map(Unit::number);
                assert!(pictures.eq(0..n), "{} units", units.len());
            }
        });
    }
}
