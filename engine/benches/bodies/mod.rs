//! What is measured, and on what: shared by the benches that count instructions and those that take time.

use bytes::Bytes;
use engine::Config;
use engine::bench_api::{Log, Ring};
use media::{Flags, Kind, Packet, Timestamp, TrackId};

const PICTURES: i64 = 50;
const PICTURE_BYTES: usize = 2_500;
/// Viewers that gather.
const VIEWERS: u64 = 1_000;

/// One GOP of two seconds at 0.5 Mb/s.
pub fn gop() -> Vec<Packet> {
    (0..PICTURES)
        .map(|n| {
            let dts = Timestamp::from_millis(n * 40);
            let flags = Flags { keyframe: n == 0, discardable: false };
            let payload = Bytes::from(vec![0x5a; PICTURE_BYTES]);
            Packet { track: TrackId::VIDEO, kind: Kind::Video, dts, pts: dts, flags, payload }
        })
        .collect()
}

/// Appends a GOP to a log and trims it, as a stream with viewers that keep up does; gives the log's end.
pub fn log_append(packets: &[Packet]) -> u64 {
    let mut log = Log::default();
    for packet in packets {
        log.append(packet);
        log.trim(log.join(0).unwrap_or(0));
    }
    log.end()
}

/// Puts a GOP into a ring; gives the bytes it holds.
pub fn ring_append(packets: &[Packet]) -> usize {
    let mut ring = Ring::new(Config::default().gop);
    for packet in packets {
        ring.push(packet);
    }
    ring.bytes()
}

/// A log of a GOP.
pub fn log() -> Log {
    let mut log = Log::default();
    for packet in gop() {
        log.append(&packet);
    }
    log
}

/// A thousand cursors, spread over the newest second, gather what they would write; gives its bytes.
pub fn gather(log: &Log) -> usize {
    let second = log.end() / 2;
    (0..VIEWERS).map(|n| log.gather(log.end() - second * n / VIEWERS)).sum()
}

/// Nothing is measured if nothing is done.
pub fn check() {
    let bytes = PICTURE_BYTES * PICTURES as usize;
    assert_eq!(log_append(&gop()), bytes as u64, "the log lost bytes");
    assert_eq!(ring_append(&gop()), bytes, "the ring lost bytes");
    assert!(gather(&log()) > bytes, "nothing was gathered");
}
