//! What hostile peers, races and short writes must not do to a shard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use engine::Config;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

#[test]
fn a_stream_that_is_over_says_nothing_of_the_one_that_follows_it() {
    let mut config = Config::default();
    config.mirror.threshold = 4;
    config.play.send_buffer = 16_384;
    run(rt::Backend::Epoll, 2, config, |shard| async move {
        let key = key_on(&shard, 0);
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        publication.packet(video(0, 0, true, 100));
        let mut slow = Vec::new();
        for _ in 0..6 {
            let far = view(&shard, &key, LIVE).await;
            rt::set_recv_buffer(far.stream.as_fd(), 8_192).unwrap();
            slow.push(far);
        }
        // More than the sockets take: its viewers leave only seconds after its end.
        for n in 1..300 {
            publication.packet(video(n, i64::from(n), false, 10_000));
            publication.flush();
        }
        publication.end();
        let (_session, again) = publisher(&shard, &key).await;
        let again = again.unwrap();
        again.track(h264(b"c"));
        again.packet(video(0, 0, true, 100));
        let mut viewers = Vec::new();
        for _ in 0..4 {
            viewers.push(view(&shard, &key, LIVE).await);
        }
        rt::sleep(Duration::from_millis(4_000)).await;
        drop(slow);
        let place = place_on(&shard, 1, &key).await;
        assert_eq!(place, engine::Place::Here, "the new stream is hot");
        drop(again);
    });
}

#[test]
fn a_class_without_nodelay_lets_the_kernel_hold_small_writes_back() {
    let mut config = Config::default();
    config.classes[media::LatencyClass::Live.index()].nodelay = false;
    run(rt::Backend::Epoll, 1, config, |shard| async move {
        let key = key("nagle");
        let (_session, publication) = publisher(&shard, &key).await;
        let publication = publication.unwrap();
        publication.track(h264(b"c"));
        let nodelay_in = async |class| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let _far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (near, _) = listener.accept().unwrap();
            near.set_nodelay(true).unwrap();
            let same = near.try_clone().unwrap();
            view_over(near, &shard, &key, media::JoinStart { class: Some(class), ..LIVE }).await;
            same.nodelay().unwrap()
        };
        assert!(!nodelay_in(media::LatencyClass::Live).await);
        assert!(nodelay_in(media::LatencyClass::Normal).await);
    });
}

#[test]
fn what_a_viewer_does_not_read_stays_in_the_log_and_not_in_the_kernel() {
    let queued = |bound| {
        let mut config = Config::default();
        config.play.unsent = bound;
        let (send, receive) = crossbeam_channel::bounded(1);
        run(rt::Backend::Epoll, 1, config, move |shard| {
            let send = send.clone();
            async move {
                let key = key("stalled");
                let (_session, publication) = publisher(&shard, &key).await;
                let publication = publication.unwrap();
                publication.track(h264(b"c"));
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                rt::set_recv_buffer(listener.as_fd(), 8_192).unwrap();
                let _far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (near, _) = listener.accept().unwrap();
                let same = near.try_clone().unwrap();
                view_over(near, &shard, &key, LIVE).await;
                for n in 0..300 {
                    publication.packet(video(n, i64::from(n), n == 0, 10_000));
                    publication.flush();
                    rt::sleep(Duration::from_micros(100)).await;
                }
                send.send(rt::unsent_bytes(same.as_fd()).unwrap()).unwrap();
            }
        });
        receive.recv().unwrap()
    };
    let (free, bound) = (queued(0), queued(128 << 10));
    assert!(free > 2 * bound, "{free} bytes without a bound");
    assert!(bound < 512 << 10, "{bound} bytes with a bound of 128 KiB");
}

struct Ask(media::StreamKey, crossbeam_channel::Sender<engine::Place>);

impl engine::Arrival for Ask {
    fn land(self: Box<Self>, shard: &engine::Shard) {
        self.1.send(shard.place(&self.0)).unwrap();
    }
}

async fn place_on(from: &engine::Shard, to: usize, key: &media::StreamKey) -> engine::Place {
    let (send, receive) = crossbeam_channel::bounded(1);
    from.hand_off(to, Box::new(Ask(key.clone(), send)));
    until("an answer", || !receive.is_empty()).await;
    receive.recv().unwrap()
}

#[test]
fn a_late_answer_does_not_answer_the_next_question() {
    let config = Config { admission_timeout: Duration::from_millis(300), ..Config::default() };
    let (done, finished) = crossbeam_channel::bounded(1);
    let engine = engine::Engine {
        backend: rt::Backend::Epoll,
        cores: vec![None],
        config,
        timeout: Duration::from_secs(10),
    };
    let started = engine::start(engine, move |shard| {
        let (shard, done) = (shard.clone(), done.clone());
        rt::spawn(async move {
            let session = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").unwrap();
            let mut verdicts = Vec::new();
            for name in ["public", "secret"] {
                let key = key(name);
                let ask = engine::Ask {
                    action: engine::Action::Play,
                    key: &key,
                    query: &[],
                    user_agent: "",
                    host: "",
                };
                verdicts.push(shard.admit(&session, ask).await);
            }
            done.send(verdicts).unwrap();
        });
        Ok(())
    })
    .unwrap();
    let wait = Duration::from_secs(5);
    let first = started.handle.questions().recv_timeout(wait).unwrap();
    let _second = started.handle.questions().recv_timeout(wait).unwrap();
    started.handle.answer(&first, Ok(engine::Grant::default()));
    let verdicts = finished.recv_timeout(wait).unwrap();
    started.handle.drain(Duration::ZERO);
    let late = Err(media::Refusal::Unavailable);
    assert_eq!(verdicts, [late.clone(), late]);
}

struct Broken;

impl media::Rendition for Broken {
    fn id(&self) -> u64 {
        2
    }
    fn muxer(&self) -> Box<dyn media::Muxer> {
        Box::new(Self)
    }
}

impl media::Muxer for Broken {
    fn preamble(&mut self, _: &media::StreamInfo, _: media::Timestamp, _: bool, _: &mut Vec<u8>) {
        panic!("asked to");
    }
    fn packet(&mut self, _: &media::StreamInfo, _: &media::Packet, out: &mut Vec<u8>) {
        out.push(1);
    }
}

#[test]
fn a_shard_whose_fan_out_panics_ends_with_an_error() {
    let engine = engine::Engine {
        backend: rt::Backend::Epoll,
        cores: vec![None],
        config: Config::default(),
        timeout: Duration::from_secs(10),
    };
    let started = engine::start(engine, move |shard| {
        let shard = shard.clone();
        rt::spawn(async move {
            let key = key("broken");
            let (_session, publication) = publisher(&shard, &key).await;
            let publication = publication.unwrap();
            publication.track(h264(b"c"));
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let _far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (near, peer) = listener.accept().unwrap();
            near.set_nonblocking(true).unwrap();
            let session = shard.open_session(peer, "toy").unwrap();
            shard.attach(engine::Attach {
                transport: engine::Transport::Plain(near.into()),
                peer: Box::new(Quiet),
                session,
                key,
                rendition: Box::new(Broken),
                start: media::JoinStart { gop: None, class: Some(media::LatencyClass::Normal) },
                greeting: Vec::new(),
            });
            // It can start now; the next tick of its class finds it.
            publication.packet(video(0, 0, true, 100));
            std::future::pending::<()>().await;
        });
        Ok(())
    })
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !started.threads[0].is_finished() {
        assert!(Instant::now() < deadline, "the shard lives on without a fan-out");
        std::thread::sleep(Duration::from_millis(10));
    }
    let error = started.threads.into_iter().next().unwrap().join().unwrap_err();
    assert!(error.contains("asked to"), "{error}");
}

#[test]
fn the_shards_that_came_up_end_when_another_does_not() {
    let (gone, ended) = crossbeam_channel::bounded::<()>(0);
    let engine = engine::Engine {
        backend: rt::Backend::Epoll,
        cores: vec![None; 3],
        config: Config::default(),
        timeout: Duration::from_secs(10),
    };
    let failed = engine::start(engine, move |shard| {
        if shard.index() == 1 {
            return Err("asked to".into());
        }
        let gone = gone.clone();
        // Held by a task for as long as its shard runs.
        rt::spawn(async move {
            let _gone = gone;
            std::future::pending::<()>().await;
        });
        Ok(())
    });
    assert!(failed.err().is_some_and(|error| error.shard == 1 && error.why == "asked to"));
    let disconnected = ended.recv_timeout(Duration::from_secs(10));
    assert_eq!(disconnected, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
}
