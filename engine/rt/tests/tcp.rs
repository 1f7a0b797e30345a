//! TCP on both back-ends: echo, cancelled reads and accepts, back-pressure, errors, idle memory.
//!
//! Knows nothing of media. Invariant: ports are picked by the system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rt::{Either, Notify, TcpListener, TcpStream};

/// Numbers that a mistake in order or count would show.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = rt::bind_tcp("127.0.0.1:0".parse().unwrap(), 1024).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn pair() -> (TcpStream, std::net::TcpStream) {
    let (listener, address) = listen();
    let theirs = std::net::TcpStream::connect(address).unwrap();
    let (fd, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, theirs.local_addr().unwrap());
    (TcpStream::from_fd(fd).unwrap(), theirs)
}

#[test]
fn echoes_from_threads() {
    for backend in support::backends() {
        let (address, stop, shard) = support::echo_shard(backend);
        let clients: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(move || {
                    let mut socket = std::net::TcpStream::connect(address).unwrap();
                    let mut reader = socket.try_clone().unwrap();
                    let sent = pattern(1 << 20);
                    let want = sent.clone();
                    let writer = std::thread::spawn(move || {
                        socket.write_all(&sent).unwrap();
                        socket.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut got = Vec::new();
                    reader.read_to_end(&mut got).unwrap();
                    writer.join().unwrap();
                    assert!(got == want, "{} of {} bytes", got.len(), want.len());
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        stop.ring();
        support::finish(shard).unwrap();
    }
}

/// Echo between two tasks of one shard: nothing outside ever wakes it.
async fn echo_inside(rounds: usize) {
    let (listener, address) = listen();
    rt::spawn(async move {
        let (fd, _) = listener.accept().await.unwrap();
        support::echo(fd).await;
    });
    let scratch = RefCell::new(vec![0; 4096]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    for round in 0..rounds {
        let sent = pattern(1 + round % 3000);
        stream.write_all(&sent).await.unwrap();
        let mut got = Vec::new();
        while got.len() < sent.len() {
            stream.read_with(&scratch, |bytes| got.extend_from_slice(bytes)).await.unwrap();
        }
        assert_eq!(got, sent);
    }
}

#[test]
fn connects_and_echoes_inside_one_shard() {
    support::on_each(|_| echo_inside(1000));
}

/// On a machine whose cores are taken, glommio's own preemption timer made it sleep with tasks ready to
/// run: with 2 ms this test hung about every other time.
#[test]
fn a_shard_that_is_kept_off_its_core_does_not_fall_asleep() {
    let stop = Arc::new(AtomicBool::new(false));
    let spinners: Vec<_> = (0..8)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    support::on_each(|_| echo_inside(2000));
    stop.store(true, Ordering::Relaxed);
    for spinner in spinners {
        spinner.join().unwrap();
    }
}

#[test]
fn connecting_to_nobody_is_refused() {
    support::on_each(|_| async {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = TcpStream::connect(gone).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

/// A writer dribbles numbers; the reader drops its read thousands of times, before and after it was
/// polled, and must see every byte in order.
#[test]
fn cancelled_reads_lose_nothing() {
    const LEN: usize = 400_000;
    support::on_each(|backend| async move {
        let (mut stream, mut theirs) = pair().await;
        theirs.set_nodelay(true).unwrap();
        let writer = std::thread::spawn(move || {
            let bytes = pattern(LEN);
            for (i, piece) in bytes.chunks(97).enumerate() {
                theirs.write_all(piece).unwrap();
                if i % 8 == 0 {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        let scratch = RefCell::new(vec![0; 64]);
        let notify = Notify::new();
        let other = notify.clone();
        let ticker = rt::spawn(async move {
            loop {
                other.notify();
                rt::yield_now().await;
            }
        });
        let mut got = Vec::new();
        let mut cancelled = 0u32;
        'all: loop {
            // Biased to the notify: the pending read is dropped each time.
            let read = stream.read_with(&scratch, |bytes| got.extend_from_slice(bytes));
            match rt::either(notify.wait(), read).await {
                Either::Left(()) => cancelled += 1,
                Either::Right(read) => {
                    if read.unwrap().0 == 0 {
                        break 'all;
                    }
                }
            }
            // And a read that was polled first and then dropped while it was pending.
            let read = stream.read_with(&scratch, |bytes| got.extend_from_slice(bytes));
            match rt::either(read, async {}).await {
                Either::Left(read) => {
                    if read.unwrap().0 == 0 {
                        break 'all;
                    }
                }
                Either::Right(()) => cancelled += 1,
            }
        }
        ticker.cancel();
        writer.join().unwrap();
        eprintln!("{backend}: {cancelled} reads cancelled");
        assert!(cancelled > 2000, "only {cancelled} cancelled");
        assert!(got == pattern(LEN), "{} bytes of {LEN}", got.len());
    });
}

/// A read that pends, is dropped, and is asked again after the data came, with no other wake.
#[test]
fn a_read_dropped_while_pending_is_woken_later() {
    support::on_each(|_| async {
        let (mut stream, mut theirs) = pair().await;
        let scratch = RefCell::new(vec![0; 4096]);
        for round in 0..500u32 {
            let none = rt::either(stream.read_with(&scratch, |_| ()), async {}).await;
            assert!(matches!(none, Either::Right(())));
            if round % 2 == 0 {
                rt::yield_now().await;
            }
            let sent = round.to_be_bytes();
            let mut writer = theirs.try_clone().unwrap();
            let late = std::thread::spawn(move || writer.write_all(&sent).unwrap());
            let (n, got) = stream.read_with(&scratch, <[u8]>::to_vec).await.unwrap();
            late.join().unwrap();
            assert_eq!((n, got.as_slice()), (4, sent.as_slice()));
        }
        theirs.write_all(b"end").unwrap();
        drop(theirs);
        assert_eq!(stream.read_with(&scratch, <[u8]>::to_vec).await.unwrap(), (3, b"end".to_vec()));
        assert_eq!(stream.read_with(&scratch, <[u8]>::to_vec).await.unwrap(), (0, vec![]));
        assert_eq!(stream.read_with(&scratch, <[u8]>::to_vec).await.unwrap(), (0, vec![]));
    });
}

#[test]
fn cancelled_accepts_lose_no_connection_and_no_descriptor() {
    const COUNT: usize = 500;
    for backend in support::backends() {
        let before = support::open_fds();
        let shard = support::start(backend, move || async move {
            let (listener, address) = listen();
            let clients = std::thread::spawn(move || {
                (0..COUNT)
                    .map(|_| {
                        // Lets the listener run dry, so that accepts pend and are dropped.
                        std::thread::sleep(Duration::from_micros(100));
                        std::net::TcpStream::connect(address).unwrap()
                    })
                    .collect::<Vec<_>>()
            });
            let (mut accepted, mut cancelled) = (Vec::new(), 0);
            while accepted.len() < COUNT {
                match rt::either(listener.accept(), rt::yield_now()).await {
                    Either::Left(result) => accepted.push(result.unwrap().0),
                    Either::Right(()) => cancelled += 1,
                }
            }
            eprintln!("{backend}: {cancelled} accepts cancelled");
            assert!(cancelled > COUNT);
            let clients = clients.join().unwrap();
            assert_eq!(clients.len(), COUNT);
            for fd in &accepted {
                check_flags(fd);
            }
        });
        support::finish(shard).unwrap();
        wait_for_fds(before);
    }
}

fn check_flags(fd: &OwnedFd) {
    let raw = std::os::fd::AsRawFd::as_raw_fd(fd);
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{raw}")).unwrap();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    let flags = i32::from_str_radix(flags, 8).unwrap();
    assert!(flags & libc::O_NONBLOCK != 0, "blocking");
    assert!(flags & libc::O_CLOEXEC != 0, "inherited by children");
}

/// Other tests of this file run beside this one, so the count is only held to "not clearly more".
fn wait_for_fds(before: usize) {
    let end = std::time::Instant::now() + support::LIMIT;
    while support::open_fds() > before + 200 {
        assert!(std::time::Instant::now() < end, "{} descriptors, {before} before", support::open_fds());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn write_all_waits_for_a_slow_reader() {
    support::on_each(|_| async {
        let (mut stream, mut theirs) = pair().await;
        rt::set_send_buffer(stream.as_fd(), 16 << 10).unwrap();
        let turns = Rc::new(Cell::new(0u32));
        let count = Rc::clone(&turns);
        rt::spawn(async move {
            loop {
                count.set(count.get() + 1);
                rt::sleep(Duration::from_millis(1)).await;
            }
        });
        let sent = pattern(2 << 20);
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            let mut piece = vec![0; 256 << 10];
            loop {
                std::thread::sleep(Duration::from_millis(2));
                match theirs.read(&mut piece).unwrap() {
                    0 => return got,
                    n => got.extend_from_slice(&piece[..n]),
                }
            }
        });
        stream.write_all(&sent).await.unwrap();
        rt::shutdown_write(stream.as_fd()).unwrap();
        assert!(turns.get() > 1, "the shard stood still");
        // The reader needs no help of this shard any more.
        assert!(reader.join().unwrap() == sent);
        assert_eq!(rt::unsent_bytes(stream.as_fd()).unwrap(), 0);
    });
}

#[test]
fn a_reset_is_an_error_for_both_directions() {
    support::on_each(|_| async {
        let (mut stream, theirs) = pair().await;
        rt::set_linger_zero(theirs.as_fd()).unwrap();
        drop(theirs);
        let scratch = RefCell::new(vec![0; 64]);
        let error = stream.read_with(&scratch, |_| ()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        // Would raise SIGPIPE without MSG_NOSIGNAL.
        let error = stream.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn misuse_is_an_error_not_a_panic() {
    let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(TcpStream::from_fd(one.into()).is_err());
    assert!(TcpListener::from_std(rt::bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap()).is_err());
    assert_eq!(rt::current_backend(), None);
    support::on_each(|backend| async move {
        assert_eq!(rt::current_backend(), Some(backend));
        let (mut stream, _theirs) = pair().await;
        assert!(stream.read_with(&RefCell::new(vec![]), |_| ()).await.is_err());
        let scratch = RefCell::new(vec![0; 8]);
        let held = scratch.try_borrow_mut();
        let read = rt::timeout(Duration::from_secs(1), stream.read_with(&scratch, |_| ()));
        assert!(futures_block(read).await.unwrap().is_err());
        drop(held);
    });
}

/// Keeps the lint about borrows across awaits out of the test that does just that.
async fn futures_block<T>(f: impl Future<Output = T>) -> T {
    f.await
}

#[test]
fn dual_stack_serves_both_families() {
    let Ok(listener) = rt::bind_tcp("[::]:0".parse().unwrap(), 16) else {
        eprintln!("no IPv6 here");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    // The same port again: SO_REUSEPORT.
    drop(rt::bind_tcp(format!("[::]:{port}").parse().unwrap(), 16).unwrap());
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
}

/// A task that reads a socket which always has more must leave room for timers and other tasks.
#[test]
fn a_flood_does_not_starve_the_shard() {
    support::on_each(|backend| async move {
        let (mut stream, mut theirs) = pair().await;
        let writer = std::thread::spawn(move || {
            let piece = vec![0; 256 << 10];
            while theirs.write_all(&piece).is_ok() {}
        });
        let total = Rc::new(Cell::new(0usize));
        let count = Rc::clone(&total);
        let reader = rt::spawn(async move {
            // Small, so that there is always more.
            let scratch = RefCell::new(vec![0; 512]);
            while let Ok((n, ())) = stream.read_with(&scratch, |_| ()).await {
                count.set(count.get() + n);
            }
        });
        let mut worst = Duration::ZERO;
        for _ in 0..50 {
            let begun = std::time::Instant::now();
            rt::sleep(Duration::from_millis(2)).await;
            worst = worst.max(begun.elapsed());
        }
        reader.cancel();
        rt::yield_now().await;
        writer.join().unwrap();
        eprintln!("{backend}: a timer of 2 ms took at most {worst:?} beside {} bytes read", total.get());
        assert!(total.get() > 0 && worst < Duration::from_secs(2));
    });
}
