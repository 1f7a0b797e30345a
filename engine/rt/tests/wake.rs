//! Wakes: doorbells from other threads, notifies, timers, yields.
//!
//! Knows nothing of sockets' bytes. Invariant: every wait is for a condition, with the limit of `support`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rt::{Either, Notify};

#[test]
fn a_hundred_thousand_rings_lose_no_wake() {
    const COUNT: u64 = 100_000;
    for backend in support::backends() {
        let (ringer, mut bell) = rt::doorbell().unwrap();
        let (send, receive) = crossbeam_channel::bounded::<u64>(256);
        let begun = Instant::now();
        let shard = support::start(backend, move || async move {
            let (mut next, mut wakes) = (0, 0u64);
            while next < COUNT {
                // Some waits are dropped midway, as a session's loop would.
                if wakes % 3 == 0 {
                    let _ = rt::either(bell.wait(), rt::yield_now()).await;
                } else {
                    bell.wait().await.unwrap();
                }
                wakes += 1;
                while let Ok(value) = receive.try_recv() {
                    assert_eq!(value, next);
                    next += 1;
                }
            }
            eprintln!("{backend}: {wakes} wakes");
        });
        let writer = std::thread::spawn(move || {
            for i in 0..COUNT {
                let mut value = i;
                while let Err(error) = send.try_send(value) {
                    value = error.into_inner();
                    std::thread::yield_now();
                }
                ringer.ring();
                if i % 1000 == 0 {
                    // Lets the shard fall asleep now and then.
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
            ringer
        });
        support::finish(shard).unwrap_or_else(|error| panic!("{backend}: {error}"));
        drop(writer.join().unwrap());
        eprintln!("{backend}: {COUNT} rings in {:?}", begun.elapsed());
    }
}

/// One ring at a time, each only after the last was answered: a lost one would hang.
#[test]
fn single_rings_wake_a_sleeping_shard() {
    for backend in support::backends() {
        let (ringer, mut bell) = rt::doorbell().unwrap();
        let (back_ringer, mut back) = rt::doorbell().unwrap();
        let begun = Instant::now();
        let one = support::start(backend, move || async move {
            for _ in 0..5000 {
                bell.wait().await.unwrap();
                back_ringer.ring();
            }
        });
        let two = support::start(backend, move || async move {
            for _ in 0..5000 {
                ringer.ring();
                back.wait().await.unwrap();
            }
        });
        support::finish(one).unwrap();
        support::finish(two).unwrap();
        eprintln!("{backend}: {:?} a round", begun.elapsed() / 5000);
    }
}

#[test]
fn a_doorbell_without_ringers_says_so() {
    support::on_each(|_| async {
        let (ringer, mut bell) = rt::doorbell().unwrap();
        ringer.clone().ring();
        drop(ringer);
        bell.wait().await.unwrap();
        assert_eq!(bell.wait().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn notify_is_kept_and_waited_for() {
    support::on_each(|_| async {
        let notify = Notify::new();
        notify.notify();
        notify.notify();
        notify.wait().await;
        assert!(!notify.take());
        let (there, back) = (Notify::new(), Notify::new());
        let (hear, tell) = (there.clone(), back.clone());
        rt::spawn(async move {
            for _ in 0..10_000 {
                hear.wait().await;
                tell.notify();
            }
        });
        for _ in 0..10_000 {
            there.notify();
            // A dropped wait takes nothing.
            let _ = rt::either(async {}, back.wait()).await;
            back.wait().await;
        }
        assert_eq!(rt::timeout(Duration::from_millis(5), back.wait()).await, None);
    });
}

#[test]
fn either_prefers_the_first() {
    support::on_each(|_| async {
        assert_eq!(rt::either(async { 1 }, async { 2 }).await, Either::Left(1));
        assert_eq!(rt::either(std::future::pending::<()>(), async { 2 }).await, Either::Right(2));
        assert_eq!(rt::timeout(Duration::from_secs(9), async { 3 }).await, Some(3));
    });
}

#[test]
fn timers_are_never_early_and_not_absurdly_late() {
    support::on_each(|backend| async move {
        // A task that is always ready: glommio's default would make each timer 100 ms late.
        let busy = rt::spawn(async {
            loop {
                rt::yield_now().await;
            }
        });
        let mut late = Vec::new();
        for ms in [1u64, 2, 3, 5, 8, 1, 2, 3] {
            let d = Duration::from_millis(ms);
            let begun = Instant::now();
            rt::sleep(d).await;
            let took = begun.elapsed();
            assert!(took >= d, "{took:?} for {d:?}");
            late.push(took - d);
        }
        busy.cancel();
        late.sort();
        eprintln!("{backend}: median {:?} late, worst {:?}", late.get(4), late.last());
        assert!(*late.get(4).unwrap() < Duration::from_millis(60));
        rt::sleep(Duration::ZERO).await;
        rt::sleep_until(Instant::now()).await;
        assert!(rt::timeout(Duration::from_millis(3), rt::sleep(Duration::MAX)).await.is_none());
    });
}

/// A busy task that only yields must not keep another from its socket or its timer.
#[test]
fn yielding_lets_io_in() {
    support::on_each(|backend| async move {
        let listener = rt::bind_tcp("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let listener = rt::TcpListener::from_std(listener).unwrap();
        let mut theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut stream = rt::TcpStream::from_fd(listener.accept().await.unwrap().0).unwrap();
        let got = Rc::new(Cell::new(0));
        let count = Rc::clone(&got);
        rt::spawn(async move {
            let scratch = std::cell::RefCell::new(vec![0; 64]);
            while let Ok((n, ())) = stream.read_with(&scratch, |_| ()).await {
                count.set(count.get() + n);
            }
        });
        let mut most = 0;
        for want in 1..=200 {
            theirs.write_all(b"x").unwrap();
            let mut yields = 0;
            while got.get() < want {
                rt::yield_now().await;
                yields += 1;
                assert!(yields < 1000, "{backend}: no input after {yields} yields");
            }
            most = most.max(yields);
        }
        let begun = Instant::now();
        for _ in 0..1000 {
            rt::yield_now().await;
        }
        eprintln!("{backend}: at most {most} yields for a byte; {:?} a yield", begun.elapsed() / 1000);
    });
}

#[test]
fn cpu_time_and_cpus() {
    let cpus = rt::online_cpus();
    assert!(!cpus.is_empty());
    let cpu = *cpus.last().unwrap();
    for backend in support::backends() {
        for ask in [Some(cpu), Some(100_000)] {
            let spec = rt::ShardSpec { name: "pinned".into(), cpu: ask, backend };
            let shard = rt::spawn_shard(spec, move || async move {
                assert_eq!(std::thread::current().name(), Some("pinned"));
                let pinned = rt::online_cpus();
                assert_eq!(pinned.len() == 1, ask == Some(cpu) || rt::online_cpus().len() == 1);
                let begun = rt::thread_cpu_time();
                while rt::thread_cpu_time() - begun < Duration::from_millis(2) {}
            });
            support::finish(shard.unwrap()).unwrap();
        }
    }
}
