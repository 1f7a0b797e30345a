//! Machines where io_uring cannot be had: the probe says why, and epoll serves.
//!
//! Each case runs in a child process, this same program with a variable set, since a filter or a limit
//! stays for the life of its process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Command;

use rt::Backend;

const CASE: &str = "RT_TEST_CASE";

/// Runs the test `name` of this program again as the child of case `case`; answers what it printed.
fn child(name: &str, case: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}", output.status);
    text
}

fn is_child(case: &str) -> bool {
    std::env::var(CASE).is_ok_and(|value| value == case)
}

#[test]
fn under_a_filter_the_probe_says_blocked_and_epoll_serves() {
    if is_child("seccomp") {
        // A thread that was there before the filter is held by it too.
        let (tell, wait) = std::sync::mpsc::channel::<()>();
        let early = std::thread::spawn(move || {
            wait.recv().unwrap();
            rt::probe_uring(1)
        });
        rt::seccomp::forbid_uring().unwrap();
        tell.send(()).unwrap();
        let error = early.join().unwrap().unwrap_err();
        assert!(error.why.contains("seccomp") && error.why.contains("EPERM"), "{error}");
        assert_eq!(rt::probe_uring(1).unwrap_err(), error);
        println!("why: {error}");
        let (address, stop, shard) = support::echo_shard(Backend::Epoll);
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut socket, b"ping").unwrap();
        let mut got = [0; 4];
        std::io::Read::read_exact(&mut socket, &mut got).unwrap();
        assert_eq!(&got, b"ping");
        stop.ring();
        support::finish(shard).unwrap();
        // Asking for io_uring all the same ends that thread, not the process.
        assert!(support::finish(support::start(Backend::Uring, || async {})).is_err());
        println!("served");
        return;
    }
    let text = child("under_a_filter_the_probe_says_blocked_and_epoll_serves", "seccomp");
    assert!(text.contains("served"), "{text}");
    eprintln!("{}", text.lines().find(|line| line.contains("why:")).unwrap());
}

#[test]
fn with_little_locked_memory_the_probe_says_so() {
    if is_child("memlock") {
        let limit = libc::rlimit { rlim_cur: 64 << 10, rlim_max: 64 << 10 };
        // SAFETY: `limit` is a valid rlimit.
        #[allow(unsafe_code)]
        let rc = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
        assert_eq!(rc, 0);
        let error = rt::probe_uring(2).unwrap_err();
        assert!(error.why.contains("locked memory"), "{error}");
        println!("why: {error}");
        return;
    }
    if rt::probe_uring(1).is_err() {
        return;
    }
    let text = child("with_little_locked_memory_the_probe_says_so", "memlock");
    eprintln!("{}", text.lines().find(|line| line.contains("why:")).unwrap());
}

/// The shards that the probe allows to an ordinary user with 8 MiB of locked memory do start together.
#[test]
fn the_probe_counts_locked_memory_right() {
    if is_child("nobody") {
        let limit = libc::rlimit { rlim_cur: 8 << 20, rlim_max: 8 << 20 };
        // Its own number each time: locked memory is counted over all processes of a user.
        let user = 100_000 + std::process::id() % 50_000;
        // SAFETY: `limit` is a valid rlimit; the others take no pointers.
        #[allow(unsafe_code)]
        let rcs = unsafe {
            [libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit), libc::setgid(user), libc::setuid(user)]
        };
        assert_eq!(rcs, [0; 3]);
        let most = (1..200).take_while(|n| rt::probe_uring(*n).is_ok()).last().unwrap();
        let more = rt::probe_uring(most + 1).unwrap_err();
        assert!(more.why.contains("locked memory"), "{more}");
        let (tell, hear) = std::sync::mpsc::channel();
        let mut shards = Vec::new();
        let mut started = 0;
        // On past what the probe allows, to see how far off it is; each stays until all have been tried.
        while started == shards.len() && started < 100 {
            let (ringer, mut bell) = rt::doorbell().unwrap();
            let tell = tell.clone();
            let shard = support::start(Backend::Uring, move || async move {
                tell.send(()).unwrap();
                bell.wait().await.unwrap();
            });
            while !shard.is_finished() {
                if hear.recv_timeout(std::time::Duration::from_millis(1)).is_ok() {
                    started += 1;
                    break;
                }
            }
            shards.push((ringer, shard));
        }
        println!("why: {more}; {most} allowed, {started} started");
        for (ringer, shard) in shards {
            ringer.ring();
            let _ = support::finish(shard);
        }
        assert!(started >= most, "{most} allowed, {started} started");
        return;
    }
    // SAFETY: takes and gives plain numbers.
    #[allow(unsafe_code)]
    let root = unsafe { libc::geteuid() } == 0;
    if !root || rt::probe_uring(1).is_err() {
        eprintln!("left out: needs root and io_uring");
        return;
    }
    let text = child("the_probe_counts_locked_memory_right", "nobody");
    eprintln!("{}", text.lines().find(|line| line.contains("why:")).unwrap());
}
