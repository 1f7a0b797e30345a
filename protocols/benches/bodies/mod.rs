//! What is measured, and on what: shared by the benches that count instructions and those that take time.
//!
//! One GOP of two seconds at 0.5 Mb/s: 50 pictures (the first a keyframe), 86 frames of sound.

use bytes::Bytes;
use media::{Codec, Flags, Kind, Muxer, Packet, Rendition, StreamInfo, Timestamp, Track, TrackId};
use protocols::container::flv::{FlvLimits, FlvReader, FlvRendition, Form, Framing, TrackFilter};
use protocols::rtmp::RtmpRendition;
use protocols::rtmp::chunk::{ChunkLimits, ChunkReader, Item};

const PICTURES: i64 = 50;
const SOUNDS: i64 = 86;
const KEYFRAME_BYTES: usize = 20_000;
const PICTURE_BYTES: usize = 1_800;
const SOUND_BYTES: usize = 186;
/// What one read of a socket brings about.
const READ_BYTES: usize = 4096;
/// Baseline, level 3, with one parameter set each.
const AVC_CONFIG: &[u8] =
    b"\x01\x42\xc0\x1e\xff\xe1\x00\x0a\x67\x42\xc0\x1e\xd9\x00\xa0\x47\xfe\xc8\x01\x00\x04\x68\xce\x3c\x80";
/// AAC-LC, 44.1 kHz, stereo.
const AAC_CONFIG: &[u8] = b"\x12\x10";

/// A stream's tracks and one GOP of it.
pub struct Gop {
    info: StreamInfo,
    packets: Vec<Packet>,
}

pub fn gop() -> Gop {
    let info = StreamInfo {
        video: Some(Track { config: Bytes::from_static(AVC_CONFIG), ..Track::new(Codec::H264) }),
        audio: Some(Track { config: Bytes::from_static(AAC_CONFIG), ..Track::new(Codec::Aac) }),
        ..StreamInfo::default()
    };
    let pictures = (0..PICTURES).map(|n| packet(Kind::Video, n * 40, n == 0));
    let sounds = (0..SOUNDS).map(|n| packet(Kind::Audio, n * 1024 * 1000 / 44_100, false));
    let mut packets: Vec<Packet> = pictures.chain(sounds).collect();
    packets.sort_by_key(|packet| packet.dts);
    Gop { info, packets }
}

fn packet(kind: Kind, ms: i64, keyframe: bool) -> Packet {
    let (track, bytes) = match kind {
        Kind::Video if keyframe => (TrackId::VIDEO, KEYFRAME_BYTES),
        Kind::Video => (TrackId::VIDEO, PICTURE_BYTES),
        _ => (TrackId::AUDIO, SOUND_BYTES),
    };
    let dts = Timestamp::from_millis(ms);
    let payload = Bytes::from(vec![0x5a; bytes]);
    Packet { track, kind, dts, pts: dts, flags: Flags { keyframe, discardable: false }, payload }
}

const FORM: Form = Form { fourcc_video: false, fourcc_audio: false };
const ALL: TrackFilter = TrackFilter { video: true, audio: true };

/// A muxer with the GOP it is given and room for what it writes.
pub struct Mux {
    gop: Gop,
    muxer: Box<dyn Muxer>,
    out: Vec<u8>,
}

impl Mux {
    fn new(rendition: &dyn Rendition) -> Self {
        Self { gop: gop(), muxer: rendition.muxer(), out: Vec::with_capacity(1 << 18) }
    }

    /// As RTMP players get it, in chunks of this size.
    pub fn rtmp(chunk_size: u32) -> Self {
        Self::new(&RtmpRendition { form: FORM, chunk_size, message_stream_id: 1, filter: ALL })
    }

    /// As FLV viewers get it.
    pub fn flv(framing: Framing) -> Self {
        Self::new(&FlvRendition { form: FORM, framing, filter: ALL })
    }

    /// Muxes the GOP; gives how many bytes that were.
    pub fn run(&mut self) -> usize {
        self.out.clear();
        for packet in &self.gop.packets {
            self.muxer.packet(&self.gop.info, packet, &mut self.out);
        }
        self.out.len()
    }

    /// The stream from its start.
    fn whole(mut self) -> Vec<u8> {
        self.muxer.preamble(&self.gop.info, Timestamp::ZERO, true, &mut self.out);
        let mut whole = self.out.clone();
        self.run();
        whole.append(&mut self.out);
        whole
    }
}

/// A GOP in chunks, as a publisher sends it.
pub fn chunks() -> Vec<u8> {
    // The size that is in force when nobody says another.
    Mux::rtmp(128).whole()
}

/// Reads chunks in pieces; gives how many messages there were.
pub fn chunk_demux(bytes: &[u8]) -> usize {
    let mut reader = ChunkReader::new(ChunkLimits::default());
    let mut messages = 0;
    for mut piece in bytes.chunks(READ_BYTES) {
        while let Ok(Some(item)) = reader.read(&mut piece) {
            messages += usize::from(matches!(item, Item::Message(_)));
        }
    }
    messages
}

/// A GOP in FLV tags, as a publisher pushes it.
pub fn flv() -> Vec<u8> {
    Mux::flv(Framing::Raw).whole()
}

/// Reads FLV in pieces; gives how many events it told.
pub fn flv_demux(bytes: &[u8]) -> usize {
    let mut reader = FlvReader::new(FlvLimits::default());
    let mut events = 0;
    for piece in bytes.chunks(READ_BYTES) {
        if reader.push(piece, &mut |_| events += 1).is_err() {
            return 0;
        }
    }
    events
}

/// What the readers find in the GOP, so that a bench that measures nothing ends at once.
pub fn check() {
    let packets = gop().packets.len();
    assert!(chunk_demux(&chunks()) >= packets, "the chunks are not read");
    assert!(flv_demux(&flv()) >= packets, "the tags are not read");
}
