//! Moving connections between shards: none lost, no byte lost, no descriptor left open.
//!
//! Knows nothing of the mesh. Invariant: alone in its process, so that descriptors can be counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rt::{Backend, TcpListener, TcpStream};

const COUNT: usize = 1000;

/// Accepts, reads the 4 bytes that say who it is, and hands the rest over.
async fn front(
    out: crossbeam_channel::Sender<(OwnedFd, Vec<u8>)>,
    ringer: rt::Ringer,
    tell: mpsc::Sender<std::net::SocketAddr>,
) {
    let listener = rt::bind_tcp("127.0.0.1:0".parse().unwrap(), 4096).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tell.send(listener.local_addr().unwrap()).unwrap();
    let scratch = Rc::new(RefCell::new(vec![0; 4]));
    let left = Rc::new(Cell::new(COUNT));
    let done = rt::Notify::new();
    for _ in 0..COUNT {
        let (fd, _) = listener.accept().await.unwrap();
        let (scratch, out, ringer) = (Rc::clone(&scratch), out.clone(), ringer.clone());
        let (left, done) = (Rc::clone(&left), done.clone());
        rt::spawn(async move {
            let mut stream = TcpStream::from_fd(fd).unwrap();
            let mut head = Vec::new();
            while head.len() < 4 {
                stream.read_with(&scratch, |bytes| head.extend_from_slice(bytes)).await.unwrap();
            }
            out.try_send((stream.into_fd().unwrap(), head)).unwrap();
            ringer.ring();
            left.set(left.get() - 1);
            if left.get() == 0 {
                done.notify();
            }
        });
    }
    done.wait().await;
}

/// Takes connections over and answers each with everything it sent.
async fn back(queue: crossbeam_channel::Receiver<(OwnedFd, Vec<u8>)>, mut bell: rt::Doorbell) {
    let left = Rc::new(Cell::new(COUNT));
    let done = rt::Notify::new();
    let mut taken = 0;
    while taken < COUNT {
        bell.wait().await.unwrap();
        while let Ok((fd, head)) = queue.try_recv() {
            taken += 1;
            let (left, done) = (Rc::clone(&left), done.clone());
            rt::spawn(async move {
                let scratch = RefCell::new(vec![0; 4096]);
                let mut stream = TcpStream::from_fd(fd).unwrap();
                let mut all = head;
                loop {
                    let (n, ()) =
                        stream.read_with(&scratch, |bytes| all.extend_from_slice(bytes)).await.unwrap();
                    if n == 0 {
                        break;
                    }
                }
                stream.write_all(&all).await.unwrap();
                drop(stream);
                left.set(left.get() - 1);
                if left.get() == 0 {
                    done.notify();
                }
            });
        }
    }
    done.wait().await;
}

fn run(from: Backend, to: Backend) {
    let before = support::list_fds().iter().filter(|name| !name.contains("eventfd")).count();
    let (ringer, bell) = rt::doorbell().unwrap();
    let (send, receive) = crossbeam_channel::bounded(COUNT);
    let (tell, hear) = mpsc::channel();
    let begun = Instant::now();
    let back = support::start(to, move || back(receive, bell));
    let front = support::start(from, move || front(send, ringer, tell));
    let address = hear.recv_timeout(support::LIMIT).unwrap();
    let clients: Vec<_> = (0..4u32)
        .map(|lane| {
            std::thread::spawn(move || {
                for i in 0..(COUNT / 4) as u32 {
                    let mut socket = std::net::TcpStream::connect(address).unwrap();
                    socket.set_read_timeout(Some(support::LIMIT)).unwrap();
                    let mut sent = (lane << 16 | i).to_be_bytes().to_vec();
                    // Sometimes all at once, sometimes the tail arrives during the handoff.
                    sent.extend((0..i % 5000).map(|b| b as u8));
                    let cut = if i % 2 == 0 { sent.len() } else { 4 };
                    socket.write_all(&sent[..cut]).unwrap();
                    socket.write_all(&sent[cut..]).unwrap();
                    socket.shutdown(std::net::Shutdown::Write).unwrap();
                    let mut got = Vec::new();
                    socket.read_to_end(&mut got).unwrap();
                    assert!(got == sent, "lane {lane}, {i}: {} bytes of {}", got.len(), sent.len());
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    support::finish(front).unwrap();
    support::finish(back).unwrap();
    eprintln!("{from} to {to}: {COUNT} of {COUNT} in {:?}", begun.elapsed());
    let end = Instant::now() + Duration::from_secs(5);
    // glommio keeps one eventfd for each executor that has ever run (held below).
    while support::list_fds().iter().filter(|name| !name.contains("eventfd")).count() > before {
        assert!(Instant::now() < end, "{before} descriptors before, now {:?}", support::list_fds());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_thousand_of_a_thousand_between_all_pairs_of_back_ends() {
    for backend in support::backends() {
        let run = || support::finish(support::start(backend, || async { rt::yield_now().await })).unwrap();
        // The first executor of a process makes some descriptors that stay.
        run();
        let before = support::open_fds();
        (0..20).for_each(|_| run());
        let left = support::open_fds() - before;
        eprintln!("{backend}: {left} descriptors left by 20 executors");
        assert!(left <= 20, "{:?}", support::list_fds());
    }
    for from in support::backends() {
        for to in support::backends() {
            run(from, to);
        }
    }
}
