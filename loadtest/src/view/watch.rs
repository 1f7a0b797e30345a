//! What a viewer makes of its tags: the check, the moment it joined, and the delays.

use crate::check::Check;
use crate::clip::Clip;
use crate::measure::{Faults, Tally};
use protocols::container::flv::TagKind;

/// What a viewer's bytes are looked at with.
pub struct Env<'a> {
    /// What was published.
    pub clip: &'a Clip,
    /// Where all is counted.
    pub tally: &'a mut Tally,
    /// When the bytes were read, in microseconds.
    pub now_us: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    check: Check,
    faults: Faults,
    /// Whether its delays are counted.
    timed: bool,
    connected_us: u64,
    joined_us: Option<u64>,
    started: bool,
}

impl Watch {
    /// Of a viewer that connects now.
    pub fn new(stream: u32, faults: Faults, timed: bool, now_us: u64) -> Self {
        let check = Check::new(stream);
        Self { check, faults, timed, connected_us: now_us, joined_us: None, started: false }
    }

    /// A tag begins.
    pub const fn begin(&mut self, kind: TagKind, ms: u32, size: u32) {
        self.started = true;
        self.check.begin(kind, ms, size);
    }

    /// Some of its bytes.
    pub fn body(&mut self, bytes: &[u8], env: &Env<'_>) {
        self.check.take(env.clip, bytes);
    }

    /// Its end.
    pub fn finish(&mut self, env: &mut Env<'_>) {
        let Some(arrived) = self.check.finish(env.clip, env.tally, self.faults) else { return };
        match self.joined_us {
            None if arrived.keyframe => {
                self.joined_us = Some(env.now_us);
                if self.faults == Faults::All {
                    env.tally.joined(env.now_us.saturating_sub(self.connected_us));
                }
            }
            Some(joined_us) if self.timed => {
                // What was sent before it joined waited for it, not for the server.
                if let Some(sent_us) = arrived.sent_us.filter(|sent| *sent >= joined_us) {
                    env.tally.delayed(env.now_us.saturating_sub(sent_us));
                }
            }
            _ => {}
        }
    }

    /// When it got its first keyframe.
    pub const fn joined_us(&self) -> Option<u64> {
        self.joined_us
    }

    /// Whether it got any tag.
    pub const fn has_started(&self) -> bool {
        self.started
    }
}
