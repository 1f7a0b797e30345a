//! The poller and the plain calls on descriptors, beside both back-ends.
//!
//! Knows nothing of tasks beyond the shard it runs in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsFd;

use rt::{Poller, Ready};

fn pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let theirs = listener.accept().unwrap().0;
    ours.set_nonblocking(true).unwrap();
    (ours, theirs)
}

/// Polls once a tick until `want` is told for `token`.
async fn until(poller: &Poller, token: u64, want: impl Fn(&Ready) -> bool) -> Ready {
    let mut out = Vec::new();
    loop {
        out.clear();
        poller.poll(&mut out).unwrap();
        if let Some(ready) = out.iter().find(|ready| ready.token == token && want(ready)) {
            return *ready;
        }
        rt::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[test]
fn a_blocked_writer_is_told_when_there_is_room() {
    support::on_each(|_| async {
        let (ours, mut theirs) = pair();
        rt::set_nodelay(ours.as_fd(), true).unwrap();
        rt::set_send_buffer(ours.as_fd(), 32 << 10).unwrap();
        rt::set_recv_buffer(theirs.as_fd(), 32 << 10).unwrap();
        rt::set_notsent_lowat(ours.as_fd(), 16 << 10).unwrap();
        let poller = Poller::new().unwrap();
        poller.add(ours.as_fd(), 7).unwrap();
        assert_eq!(poller.add(ours.as_fd(), 7).unwrap_err().kind(), ErrorKind::AlreadyExists);
        until(&poller, 7, |ready| ready.writable && !ready.closed).await;
        let (head, body) = (vec![1u8; 100], vec![2u8; 8000]);
        let mut sent = 0;
        loop {
            match rt::send_gather(ours.as_fd(), &[IoSlice::new(&head), IoSlice::new(&body)]) {
                Ok(n) => sent += n,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        assert!(rt::unsent_bytes(ours.as_fd()).unwrap() > 0);
        let mut out = Vec::new();
        poller.poll(&mut out).unwrap();
        out.clear();
        assert_eq!(poller.poll(&mut out).unwrap(), 0, "{out:?}");
        let mut got = vec![0; sent];
        theirs.read_exact(&mut got).unwrap();
        assert!(got[..100].iter().all(|b| *b == 1) && got[100..8100].iter().all(|b| *b == 2));
        until(&poller, 7, |ready| ready.writable).await;
        rt::send_gather(ours.as_fd(), &[IoSlice::new(&head)]).unwrap();
    });
}

#[test]
fn readable_and_closed_are_told_once() {
    support::on_each(|_| async {
        let (ours, mut theirs) = pair();
        let poller = Poller::new().unwrap();
        poller.add(ours.as_fd(), 1 << 40).unwrap();
        let mut buf = [0; 64];
        assert_eq!(rt::recv_now(ours.as_fd(), &mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        theirs.write_all(b"hello").unwrap();
        let ready = until(&poller, 1 << 40, |ready| ready.readable).await;
        assert!(!ready.closed);
        assert_eq!(rt::recv_now(ours.as_fd(), &mut buf).unwrap(), 5);
        drop(theirs);
        until(&poller, 1 << 40, |ready| ready.closed && ready.readable).await;
        assert_eq!(rt::recv_now(ours.as_fd(), &mut buf).unwrap(), 0);
        assert_eq!(poller.poll(&mut Vec::new()).unwrap(), 0);
        poller.remove(ours.as_fd()).unwrap();
        assert_eq!(poller.remove(ours.as_fd()).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn batches_are_bounded_and_nothing_is_left_out() {
    rt::limits::raise_nofile(8192).unwrap();
    let poller = Poller::new().unwrap();
    let pairs: Vec<_> = (0..1500).map(|_| std::os::unix::net::UnixStream::pair().unwrap()).collect();
    for (token, (ours, _)) in pairs.iter().enumerate() {
        poller.add(ours.as_fd(), token as u64).unwrap();
    }
    let mut out = Vec::new();
    assert_eq!(poller.poll(&mut out).unwrap(), 1024);
    assert_eq!(poller.poll(&mut out).unwrap(), 476);
    let mut tokens: Vec<_> = out.iter().map(|ready| ready.token).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (0..1500).collect::<Vec<_>>());
}

#[test]
fn sending_to_the_dead_is_an_error_not_a_signal() {
    let (ours, theirs) = pair();
    rt::set_linger_zero(theirs.as_fd()).unwrap();
    drop(theirs);
    let error = loop {
        if let Err(error) = rt::send_gather(ours.as_fd(), &[IoSlice::new(b"x")]) {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(
        rt::send_gather(ours.as_fd(), &[IoSlice::new(b"x")]).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}

#[test]
fn limits_only_go_up() {
    let (soft, hard) = rt::limits::nofile();
    assert!(soft > 0 && hard >= soft);
    assert!(rt::limits::raise_nofile(1).unwrap() >= soft);
    assert!(rt::limits::raise_nofile(soft).unwrap() >= soft);
    let (before, _) = rt::limits::memlock();
    assert!(rt::limits::raise_memlock().unwrap() >= before);
}

#[test]
fn room_for_files_is_made_ahead() {
    let slots = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let allowed = rt::limits::raise_nofile(9_000).unwrap();
    rt::limits::reserve_files(9_000).unwrap();
    assert!(slots() >= allowed.min(9_000), "{} slots", slots());
    // More than is allowed is what is allowed. The table is not made where that would be gigabytes.
    if allowed < 1 << 20 {
        rt::limits::reserve_files(u64::MAX).unwrap();
        assert!(slots() >= allowed, "{} slots", slots());
    }
}
