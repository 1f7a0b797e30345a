//! The settings as the engine wants them.

use super::resolved::Resolved;
use super::table::Settings;
use engine::config::{
    ClassConfig, Config, GopConfig, Limits, MirrorConfig, PlayConfig, PublishConfig, TimelineConfig,
};

impl Resolved {
    /// What each of so many shards is told. Bounds of the process are divided, rounded up.
    pub fn engine(&self, shards: usize) -> Config {
        let Settings {
            server,
            gop,
            publish,
            play,
            latency_live,
            latency_normal,
            latency_bulk,
            mirror,
            limits,
            timeline,
            engine,
            ..
        } = self.settings();
        let share = |all: usize| all.div_ceil(shards.max(1));
        Config {
            gop: GopConfig { enabled: gop.cache, max_bytes: gop.max_bytes, max_time: gop.max_ms },
            classes: [
                ClassConfig {
                    tick: latency_live.tick_ms,
                    budget_time: latency_live.budget_ms,
                    budget_bytes: latency_live.budget_bytes,
                    nodelay: latency_live.nodelay,
                },
                ClassConfig {
                    tick: latency_normal.tick_ms,
                    budget_time: latency_normal.budget_ms,
                    budget_bytes: latency_normal.budget_bytes,
                    nodelay: latency_normal.nodelay,
                },
                ClassConfig {
                    tick: latency_bulk.tick_ms,
                    budget_time: latency_bulk.budget_ms,
                    budget_bytes: latency_bulk.budget_bytes,
                    nodelay: latency_bulk.nodelay,
                },
            ],
            publish: PublishConfig {
                on_conflict: publish.on_conflict,
                conflict_wait: publish.conflict_wait_ms,
                grace: publish.grace_ms,
                grace_after_end: publish.grace_after_end,
                idle_timeout: publish.idle_timeout_ms,
            },
            play: PlayConfig {
                wait: play.wait_ms,
                settle: play.settle_ms,
                class: play.class,
                stuck_timeout: play.stuck_timeout_ms,
                send_buffer: play.send_buffer_bytes,
                unsent: play.unsent_bytes,
            },
            mirror: MirrorConfig { threshold: mirror.threshold, queue: mirror.queue },
            limits: Limits {
                streams: share(limits.streams),
                // Counted over all shards.
                sessions: server.max_connections,
                waiting: share(limits.waiting),
                renditions: limits.renditions,
                ended_sessions: share(limits.ended_sessions),
                events: limits.events,
            },
            timeline: TimelineConfig {
                jump_forward: timeline.jump_forward_ms,
                jump_back: timeline.jump_back_ms,
            },
            rendition_idle: engine.rendition_idle_ms,
            admission_timeout: engine.admission_timeout_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolved::Written;
    use engine::Config;

    #[test]
    fn the_defaults_are_the_engines_own() {
        let resolved = Written::new().resolve(vec![]).unwrap();
        assert_eq!(resolved.engine(1), Config::default());
    }

    #[test]
    fn bounds_of_the_process_are_shared_and_rounded_up() {
        let resolved = Written::new().resolve(vec![]).unwrap();
        let limits = resolved.engine(3).limits;
        assert_eq!((limits.streams, limits.waiting, limits.ended_sessions), (6667, 3334, 86));
        assert_eq!(limits.sessions, 100_000);
        assert_eq!(resolved.engine(0).limits.streams, 20_000);
    }
}
