//! What every test here needs: each back-end in turn, a shard with a time limit, open descriptors.
//!
//! Knows nothing of what is tested. Invariant: a shard that does not end within the limit fails its test.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rt::{Backend, ShardSpec, ShardThread};

/// How long any one thing may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The back-ends that work here; epoll always does.
pub fn backends() -> Vec<Backend> {
    match rt::probe_uring(4) {
        Ok(()) => vec![Backend::Epoll, Backend::Uring],
        Err(error) => {
            eprintln!("io_uring is left out: {error}");
            vec![Backend::Epoll]
        }
    }
}

/// Starts a shard.
pub fn start<F, Fut>(backend: Backend, main: F) -> ShardThread
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    rt::spawn_shard(ShardSpec { name: "test".into(), cpu: None, backend }, main).unwrap()
}

/// Waits for a shard's end, no longer than the limit.
pub fn finish(shard: ShardThread) -> Result<(), String> {
    let end = Instant::now() + LIMIT;
    while !shard.is_finished() {
        assert!(Instant::now() < end, "the shard did not end in {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    shard.join()
}

/// Runs `main` as a shard on each back-end.
pub fn on_each<F, Fut>(main: F)
where
    F: Fn(Backend) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    for backend in backends() {
        let begun = Instant::now();
        finish(start(backend, move || main(backend))).unwrap_or_else(|error| panic!("{backend}: {error}"));
        eprintln!("{backend}: {:?}", begun.elapsed());
    }
}

/// A shard that echoes every connection, until `stop` is dropped or told.
pub fn echo_shard(backend: Backend) -> (SocketAddr, rt::Ringer, ShardThread) {
    let (ringer, mut bell) = rt::doorbell().unwrap();
    let (tell, hear) = mpsc::channel();
    let shard = start(backend, move || async move {
        let listener = rt::bind_tcp("127.0.0.1:0".parse().unwrap(), 1024).unwrap();
        let listener = rt::TcpListener::from_std(listener).unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        rt::spawn(async move {
            loop {
                let (fd, _) = listener.accept().await.unwrap();
                rt::spawn(echo(fd));
            }
        });
        bell.wait().await.unwrap();
    });
    (hear.recv_timeout(LIMIT).unwrap(), ringer, shard)
}

/// Sends back what one connection sends, until its end.
pub async fn echo(fd: std::os::fd::OwnedFd) {
    let scratch = std::cell::RefCell::new(vec![0; 64 << 10]);
    let mut stream = rt::TcpStream::from_fd(fd).unwrap();
    while let Ok((n, bytes)) = stream.read_with(&scratch, <[u8]>::to_vec).await {
        if n == 0 || stream.write_all(&bytes).await.is_err() {
            break;
        }
    }
}

/// Descriptors that this process has open.
pub fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What they are, for people.
pub fn list_fds() -> Vec<String> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
        .collect()
}

/// Memory of this process that is in RAM, in bytes.
pub fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
