//! What the control side sees and does: events, kicks, connections that are given to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use engine::{
    Action, Ask, Config, Engine, Event, Grant, Handle, SessionGuard, Shard, Started, Transport, What, Which,
};
use media::{Refusal, StopReason, StreamKey};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

/// Runs a scenario on shard 0; gives the handle to the test, and the events once all is over.
fn controlled<F, Fut>(
    backend: rt::Backend,
    shards: usize,
    config: Config,
    scenario: F,
    test: impl FnOnce(&Handle),
) -> Vec<Event>
where
    F: Fn(Shard) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let engine = Engine { backend, cores: vec![None; shards], config, timeout: WAIT };
    let (done, finished) = crossbeam_channel::bounded::<()>(1);
    let Started { handle, threads } = engine::start(engine, move |shard| {
        if shard.index() == 0 {
            let (scenario, shard, done) = (scenario.clone(), shard.clone(), done.clone());
            rt::spawn(async move {
                scenario(shard).await;
                let _ = done.try_send(());
            });
        }
        Ok(())
    })
    .unwrap();
    let answers = handle.clone();
    std::thread::spawn(move || {
        while let Ok(question) = answers.questions().recv() {
            answers.answer(&question, Ok(Grant::default()));
        }
    });
    test(&handle);
    finished.recv_timeout(WAIT).expect("the scenario did not finish");
    let panics: u64 = handle.stats(WAIT).iter().map(|s| s.panics).sum();
    handle.drain(Duration::from_millis(200));
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(panics, 0);
    handle.events().iter().collect()
}

fn told(events: &[Event]) -> Vec<(What, u64)> {
    events.iter().map(|event| (event.what, event.generation)).collect()
}

async fn admitted(shard: &Shard, key: &StreamKey) -> Result<SessionGuard, Refusal> {
    let session = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").unwrap();
    session.set_request(engine::Role::Publisher, key, "test");
    let query = [("sign".to_owned(), "x".to_owned())];
    let ask = Ask { action: Action::Publish, key, query: &query, user_agent: "pub/1", host: "" };
    shard.admit(&session, ask).await.map(|_| session)
}

#[test]
fn starts_and_ends_are_told_in_order_with_what_they_carried() {
    for backend in backends() {
        let events = controlled(
            backend,
            1,
            Config::default(),
            |shard| async move {
                let key = key("told");
                for _ in 0..2 {
                    let session = admitted(&shard, &key).await.unwrap();
                    session.add_in(1_000);
                    let publication = shard.publish(&session, &key).await.unwrap();
                    publication.track(h264(b"c"));
                    publication.packet(video(0, 0, true, 500));
                    publication.flush();
                    let far = view(&shard, &key, LIVE).await;
                    publication.end();
                    joined(far.collect()).await;
                    until("the viewer is gone", || shard.session_stats().len() == 1).await;
                }
            },
            |_| {},
        );
        use What::*;
        let expected = [(PublishStarted, 1), (PlayStarted, 1), (PublishEnded, 1), (PlayEnded, 1)];
        assert_eq!(told(&events)[..4], expected);
        assert_eq!(events.len(), 8);
        let (published, played) = (&events[2], &events[3]);
        assert_eq!((published.bytes_in, published.reason.as_deref()), (1_000, Some("ended by peer")));
        assert!(played.bytes_out > 500 && played.reason.as_deref() == Some("stream ended"), "{played:?}");
        assert_eq!(*published.request.query, [("sign".to_owned(), "x".to_owned())]);
        assert_eq!(published.accepted, events[0].accepted);
        assert!(published.at >= events[0].at && events[0].at >= events[0].accepted);
    }
}

#[test]
fn while_events_wait_nobody_is_admitted_and_none_is_lost() {
    let mut config = Config::default();
    config.limits.events = 10;
    let events = controlled(
        rt::Backend::Epoll,
        1,
        config,
        |shard| async move {
            let mut sessions = Vec::new();
            let refused = loop {
                let key = key(&format!("s{}", sessions.len()));
                match admitted(&shard, &key).await {
                    Ok(session) => {
                        let publication = shard.publish(&session, &key).await.unwrap();
                        sessions.push((session, publication));
                    }
                    Err(refusal) => break refusal,
                }
                assert!(sessions.len() < 100);
            };
            assert_eq!((refused, sessions.len()), (Refusal::Unavailable, 10));
        },
        |_| {},
    );
    // Each that began has ended too.
    let count = |what| events.iter().filter(|event| event.what == what).count();
    assert_eq!((count(What::PublishStarted), count(What::PublishEnded)), (10, 10));
}

#[test]
fn sessions_publishers_and_streams_are_ended_on_whichever_shard_they_are() {
    for backend in backends() {
        let mut config = Config::default();
        config.mirror.threshold = 0;
        config.play.wait = WAIT;
        config.publish.grace = Duration::from_secs(60);
        let (go, ready) = crossbeam_channel::bounded::<engine::SessionId>(1);
        controlled(
            backend,
            2,
            config,
            move |shard| {
                let go = go.clone();
                async move {
                    // Published here, watched here; a second stream is the other shard's, mirrored here.
                    let here = key_on(&shard, 0);
                    let session = admitted(&shard, &here).await.unwrap();
                    let publication = shard.publish(&session, &here).await.unwrap();
                    publication.track(h264(b"c"));
                    publication.packet(video(0, 0, true, 100));
                    publication.flush();
                    let first = view(&shard, &here, LIVE).await.collect();
                    let second = view(&shard, &here, LIVE).await.collect();
                    let viewer = shard.session_stats().into_iter().find(|s| s.role == engine::Role::Viewer);
                    go.send(viewer.unwrap().id).unwrap();
                    // The first is kicked alone, then the publisher, then what is left.
                    let said = joined(first).await;
                    assert_eq!(said.last().map(|unit| unit.what), Some('B'));
                    assert_eq!(said.last().unwrap().payload, b"kicked");
                    assert_eq!(publication.stop().wait().await, StopReason::Kicked);
                    session.end("kicked");
                    drop(publication);
                    let said = joined(second).await;
                    assert_eq!(said.last().unwrap().payload, b"kicked");
                }
            },
            move |handle| {
                let viewer = ready.recv_timeout(WAIT).unwrap();
                let stop = |which| handle.stop(&which, StopReason::Kicked, WAIT);
                assert_eq!(stop(Which::Session(engine::SessionId(u64::MAX))), 0);
                assert_eq!(stop(Which::Session(viewer)), 1);
                let key =
                    handle.stats(WAIT).iter().find_map(|s| Some(s.streams.first()?.key.clone())).unwrap();
                assert_eq!(stop(Which::Publisher(key.clone())), 1);
                let left = |stream: &engine::StreamStats| stream.live || stream.viewers > 1;
                while handle.stats(WAIT).iter().flat_map(|s| &s.streams).any(left) {
                    std::thread::yield_now();
                }
                assert_eq!(stop(Which::Stream(key.clone())), 1);
                assert_eq!(stop(Which::Stream(key)), 0);
            },
        );
    }
}

#[test]
fn a_connection_is_given_away_with_what_it_said() {
    for backend in backends() {
        let listener = std::sync::Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        controlled(
            backend,
            1,
            Config::default(),
            move |shard| {
                let listener = std::sync::Arc::clone(&listener);
                async move {
                    let (near, peer) = loop {
                        match listener.accept() {
                            Ok(accepted) => break accepted,
                            Err(_) => rt::sleep(Duration::from_millis(2)).await,
                        }
                    };
                    near.set_nonblocking(true).unwrap();
                    let session = shard.open_session(peer, "http").unwrap();
                    shard.show_in(Transport::Plain(near.into()), b"GET ".to_vec(), session);
                    assert!(shard.session_stats().is_empty());
                }
            },
            |handle| {
                let mut far = TcpStream::connect(addr).unwrap();
                let mut visitor = handle.visitors().recv_timeout(WAIT).unwrap();
                assert_eq!(
                    (visitor.received.as_slice(), visitor.peer),
                    (&b"GET "[..], far.local_addr().unwrap())
                );
                far.write_all(b"/").unwrap();
                let mut buf = [0; 8];
                while visitor.transport.recv(&mut buf).is_err() {}
                assert_eq!(buf[0], b'/');
                assert_eq!(visitor.transport.send(&[std::io::IoSlice::new(b"yes")]).unwrap(), 3);
                drop(visitor);
                let mut said = String::new();
                far.read_to_string(&mut said).unwrap();
                assert_eq!(said, "yes");
            },
        );
    }
}
