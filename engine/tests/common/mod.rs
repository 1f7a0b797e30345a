//! A toy wire format, and shards with loopback viewers, to see the engine from outside.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use bytes::Bytes;
use engine::{
    Action, Ask, Attach, Config, Engine, Handle, Peer, PeerState, Place, Role, Shard, Started, Transport,
};
use media::{
    Codec, Flags, JoinStart, Kind, LatencyClass, Moment, Muxer, Packet, Rendition, StopReason, StreamInfo,
    StreamKey, Timestamp, Track, TrackId,
};
use rt::Backend;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Both back-ends where both are to be had.
pub fn backends() -> Vec<Backend> {
    let mut all = vec![Backend::Epoll];
    match rt::probe_uring(2) {
        Ok(()) => all.push(Backend::Uring),
        Err(why) => println!("io_uring left out: {}", why.why),
    }
    all
}

/// Runs `scenario` on shard 0 of a fresh engine and waits for it; questions are all answered yes.
pub fn run<F, Fut>(backend: Backend, shards: usize, config: Config, scenario: F)
where
    F: Fn(Shard) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (done, finished) = crossbeam_channel::bounded(1);
    let engine = Engine { backend, cores: vec![None; shards], config, timeout: Duration::from_secs(10) };
    let Started { handle, threads } = engine::start(engine, move |shard| {
        if shard.index() == 0 {
            let (shard, scenario, done) = (shard.clone(), scenario.clone(), done.clone());
            rt::spawn(async move {
                // Said by the drop, so that a scenario that panics is not waited for.
                let _done = Done(done);
                scenario(shard).await;
            });
        }
        Ok(())
    })
    .unwrap();
    answer_all(&handle);
    let outcome = finished.recv_timeout(Duration::from_secs(180));
    let panics: u64 = handle.stats(Duration::from_secs(5)).iter().map(|s| s.panics).sum();
    handle.drain(Duration::from_millis(200));
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(panics, 0, "the scenario panicked, see above");
    outcome.expect("the scenario did not finish");
}

struct Done(crossbeam_channel::Sender<()>);

impl Drop for Done {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

fn answer_all(handle: &Handle) {
    let handle = handle.clone();
    std::thread::spawn(move || {
        while let Ok(question) = handle.questions().recv() {
            handle.answer(&question, Ok(engine::Grant::default()));
        }
    });
}

pub fn key(name: &str) -> StreamKey {
    StreamKey::parse("test", name, 64).unwrap()
}

/// A key whose owner is the given shard.
pub fn key_on(shard: &Shard, owner: usize) -> StreamKey {
    (0..1000).map(|i| key(&format!("s{i}"))).find(|k| shard.owner(k) == owner).unwrap()
}

/// Number of a packet is written into its payload, so that gaps are seen.
pub fn video(n: u32, ms: i64, keyframe: bool, len: usize) -> Packet {
    let mut payload = vec![0; len.max(4)];
    payload[..4].copy_from_slice(&n.to_be_bytes());
    let dts = Timestamp::from_millis(ms);
    Packet {
        track: TrackId::VIDEO,
        kind: Kind::Video,
        dts,
        pts: dts,
        flags: Flags { keyframe, discardable: false },
        payload: Bytes::from(payload),
    }
}

pub fn h264(config: &'static [u8]) -> Track {
    Track { config: Bytes::from_static(config), ..Track::new(Codec::H264) }
}

/// Unit: length (4), what (1), dts in ms (8), payload. `P` first preamble, `R` repeated, `K` keyframe, `V` other.
pub struct Toy;

impl Rendition for Toy {
    fn id(&self) -> u64 {
        1
    }
    fn muxer(&self) -> Box<dyn Muxer> {
        Box::new(Self)
    }
}

fn unit(what: u8, at: Timestamp, payload: &[u8], out: &mut Vec<u8>) {
    out.extend(u32::try_from(payload.len() + 9).unwrap().to_be_bytes());
    out.push(what);
    out.extend(at.millis().to_be_bytes());
    out.extend(payload);
}

impl Muxer for Toy {
    fn preamble(&mut self, info: &StreamInfo, at: Timestamp, first: bool, out: &mut Vec<u8>) {
        let config = info.video.as_ref().map(|t| t.config.clone()).unwrap_or_default();
        unit(if first { b'P' } else { b'R' }, at, &config, out);
    }
    fn packet(&mut self, _: &StreamInfo, packet: &Packet, out: &mut Vec<u8>) {
        unit(if packet.flags.keyframe { b'K' } else { b'V' }, packet.dts, &packet.payload, out);
    }
}

/// Says `B` and the reason when stopped.
pub struct Quiet;

impl Peer for Quiet {
    fn bytes(&mut self, _: Moment, bytes: &[u8], out: &mut Vec<u8>) -> PeerState {
        assert!(!bytes.starts_with(b"panic"), "asked to");
        if bytes.starts_with(b"ping") {
            unit(b'A', Timestamp::ZERO, b"pong", out);
        }
        if bytes.starts_with(b"end") { PeerState::Ended(None) } else { PeerState::Open }
    }
    fn tick(&mut self, _: Moment, _: &mut Vec<u8>) -> PeerState {
        PeerState::Open
    }
    fn stop(&mut self, _: Moment, reason: StopReason, out: &mut Vec<u8>) {
        unit(b'B', Timestamp::ZERO, reason.name().as_bytes(), out);
    }
}

/// The far end of a viewer.
pub struct Far {
    pub stream: TcpStream,
}

/// One unit as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub what: char,
    pub ms: i64,
    pub payload: Vec<u8>,
}

impl Unit {
    pub fn number(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

impl Far {
    /// Reads one unit; `None` at the end.
    pub fn unit(&mut self) -> Option<Unit> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len).ok()?;
        let mut body = vec![0; u32::from_be_bytes(len) as usize];
        // Cut only at the very end, of a viewer that does not take its goodbye in time.
        self.stream.read_exact(&mut body).ok()?;
        Some(Unit {
            what: body[0] as char,
            ms: i64::from_be_bytes(body[1..9].try_into().unwrap()),
            payload: body[9..].to_vec(),
        })
    }

    /// Reads units on a thread of its own until the end.
    pub fn collect(mut self) -> std::thread::JoinHandle<Vec<Unit>> {
        std::thread::spawn(move || std::iter::from_fn(|| self.unit()).collect())
    }
}

/// Attaches a viewer of `key` on this shard; gives its far end.
pub async fn view(shard: &Shard, key: &StreamKey, start: JoinStart) -> Far {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (near, _) = listener.accept().unwrap();
    view_over(near, shard, key, start).await;
    Far { stream: far }
}

/// Attaches a viewer that is reached by this socket.
pub async fn view_over(near: TcpStream, shard: &Shard, key: &StreamKey, start: JoinStart) {
    let peer = near.peer_addr().unwrap();
    near.set_nonblocking(true).unwrap();
    let session = shard.open_session(peer, "toy").unwrap();
    session.set_request(Role::Viewer, key, "test");
    let ask = Ask { action: Action::Play, key, query: &[], user_agent: "", host: "" };
    shard.admit(&session, ask).await.unwrap();
    assert_eq!(shard.place(key), Place::Here);
    shard.await_stream(&session, key).await.unwrap();
    shard.attach(Attach {
        transport: Transport::Plain(near.into()),
        peer: Box::new(Quiet),
        session,
        key: key.clone(),
        rendition: Box::new(Toy),
        start,
        greeting: b"\0\0\0\x09G\0\0\0\0\0\0\0\0".to_vec(),
    });
}

pub const LIVE: JoinStart = JoinStart { gop: None, class: Some(LatencyClass::Live) };

/// A session that publishes, kept for its life.
pub async fn publisher(
    shard: &Shard,
    key: &StreamKey,
) -> (engine::SessionGuard, Result<engine::Publication, media::Refusal>) {
    let session = shard.open_session("127.0.0.1:9".parse().unwrap(), "toy").unwrap();
    session.set_request(Role::Publisher, key, "test");
    let publication = shard.publish(&session, key).await;
    (session, publication)
}

/// Waits for a condition without holding up the shard.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never came: {what}");
        rt::sleep(Duration::from_millis(5)).await;
    }
}

/// What a far end collected, once it came to its end; the shard goes on meanwhile.
pub async fn joined(far: std::thread::JoinHandle<Vec<Unit>>) -> Vec<Unit> {
    until("the far end's end", || far.is_finished()).await;
    far.join().unwrap()
}
