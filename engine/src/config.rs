//! What the engine is told: resolved, typed, immutable. Reading files and checking ranges is done before.

use media::LatencyClass;
use std::time::Duration;

/// What happens when a name that is being published is published again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The second is refused.
    #[default]
    Refuse,
    /// The second takes over, the first is told and closed; viewers stay.
    Replace,
    /// The second waits for the first to leave, up to [`PublishConfig::conflict_wait`], then is refused.
    Wait,
}

/// The cache that lets a viewer start at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GopConfig {
    /// Off: viewers start at the next keyframe.
    pub enabled: bool,
    /// Most bytes of payload a stream keeps in its ring.
    pub max_bytes: usize,
    /// Longest span a stream keeps in its ring.
    pub max_time: Duration,
}

/// One latency class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassConfig {
    /// Time between two writes to a viewer; zero writes each packet as it comes.
    pub tick: Duration,
    /// How far a viewer may fall behind before it skips to a keyframe.
    pub budget_time: Duration,
    /// The same in bytes not yet taken by the socket.
    pub budget_bytes: usize,
    /// Each write leaves at once (`TCP_NODELAY`); else a small one waits, in the kernel, for the last one's arrival.
    pub nodelay: bool,
}

/// Publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishConfig {
    /// Policy for a second publisher.
    pub on_conflict: OnConflict,
    /// How long a second publisher waits under [`OnConflict::Wait`].
    pub conflict_wait: Duration,
    /// How long viewers are kept after a publisher's connection broke.
    pub grace: Duration,
    /// Whether [`Self::grace`] also applies when the publisher ended properly.
    pub grace_after_end: bool,
    /// A publisher that sends no media for this long is closed.
    pub idle_timeout: Duration,
}

/// Viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayConfig {
    /// How long a viewer waits for a publisher; zero: not at all.
    pub wait: Duration,
    /// How long the first byte waits for the second kind of track, where the format must name the tracks first.
    pub settle: Duration,
    /// Latency class of viewers that ask for none.
    pub class: LatencyClass,
    /// A viewer whose socket takes no byte for this long while there is something to send is closed.
    pub stuck_timeout: Duration,
    /// Size of a viewer's kernel send buffer in bytes; zero leaves it to the system.
    pub send_buffer: usize,
    /// Most bytes the kernel takes ahead of what it can send a viewer (`TCP_NOTSENT_LOWAT`); zero: up to its send buffer.
    pub unsent: u32,
}

/// Several copies of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    /// Viewers of a stream from which other shards mirror it instead of handing viewers over; 0: always.
    pub threshold: usize,
    /// Size of each queue between two shards, in messages.
    pub queue: usize,
}

/// Upper bounds; of one shard unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams with a publisher or waiting viewers.
    pub streams: usize,
    /// Connections of any kind, of all shards together.
    pub sessions: usize,
    /// Viewers waiting for a publisher.
    pub waiting: usize,
    /// Renditions of one stream.
    pub renditions: usize,
    /// Ended sessions whose timeline is kept.
    pub ended_sessions: usize,
    /// Events that the control side has not read, of all shards together; past it nobody is admitted.
    pub events: usize,
}

/// Repairing input stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineConfig {
    /// A step forward larger than this, beyond the time that really passed, is a jump.
    pub jump_forward: Duration,
    /// A step back larger than this is a jump; a smaller one is held at the last stamp.
    pub jump_back: Duration,
}

/// All the engine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// GOP cache.
    pub gop: GopConfig,
    /// By [`LatencyClass::index`].
    pub classes: [ClassConfig; 3],
    /// Publishers.
    pub publish: PublishConfig,
    /// Viewers.
    pub play: PlayConfig,
    /// Mirrors and mesh.
    pub mirror: MirrorConfig,
    /// Bounds.
    pub limits: Limits,
    /// Stamps.
    pub timeline: TimelineConfig,
    /// A rendition without viewers is dropped after this.
    pub rendition_idle: Duration,
    /// How long admission may take before the request is refused as unavailable.
    pub admission_timeout: Duration,
}

impl Config {
    /// The class's numbers.
    pub const fn class(&self, class: LatencyClass) -> ClassConfig {
        let [live, normal, bulk] = self.classes;
        match class {
            LatencyClass::Live => live,
            LatencyClass::Normal => normal,
            LatencyClass::Bulk => bulk,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        let ms = Duration::from_millis;
        Self {
            gop: GopConfig { enabled: true, max_bytes: 16 * MIB, max_time: ms(15_000) },
            classes: [
                ClassConfig { tick: ms(0), budget_time: ms(2_000), budget_bytes: 4 * MIB, nodelay: true },
                ClassConfig { tick: ms(40), budget_time: ms(6_000), budget_bytes: 8 * MIB, nodelay: true },
                ClassConfig { tick: ms(350), budget_time: ms(15_000), budget_bytes: 16 * MIB, nodelay: true },
            ],
            publish: PublishConfig {
                on_conflict: OnConflict::Refuse,
                conflict_wait: ms(5_000),
                grace: ms(10_000),
                grace_after_end: false,
                idle_timeout: ms(30_000),
            },
            play: PlayConfig {
                wait: ms(0),
                settle: ms(1_000),
                class: LatencyClass::Normal,
                stuck_timeout: ms(30_000),
                send_buffer: 0,
                unsent: 128 << 10,
            },
            mirror: MirrorConfig { threshold: 100, queue: 4096 },
            limits: Limits {
                streams: 20_000,
                sessions: 100_000,
                waiting: 10_000,
                renditions: 32,
                ended_sessions: 256,
                events: 65_536,
            },
            timeline: TimelineConfig { jump_forward: ms(10_000), jump_back: ms(500) },
            rendition_idle: ms(5_000),
            admission_timeout: ms(10_000),
        }
    }
}
