//! What the threads of the generator and the one that drives them tell each other.

use crate::clip::Clip;
use crate::scenario::Scenario;
use crate::target::Target;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Publishers start.
    Publish,
    /// Viewers come.
    View,
    /// All is counted.
    Count,
    /// All end.
    Stop,
}

/// See the module.
pub struct Shared {
    /// What is asked.
    pub scenario: Scenario,
    /// Of whom.
    pub target: Target,
    /// What is published.
    pub clip: Clip,
    phase: AtomicU8,
    /// When viewers may come.
    pub view_from_us: AtomicU64,
    /// Publishers whose first GOP is out.
    pub ready: AtomicUsize,
    /// Viewers that were started.
    pub started: AtomicUsize,
    /// Viewers with a keyframe.
    pub joined: AtomicU64,
    /// Viewers that failed.
    pub failed: AtomicU64,
    /// Bytes received.
    pub bytes: AtomicU64,
    /// Gaps, repeats, reorderings and corruption together.
    pub faults: AtomicU64,
    broken: Mutex<Option<String>>,
}

impl Shared {
    /// Before anything.
    pub fn new(scenario: Scenario, target: Target, clip: Clip) -> Self {
        Self {
            scenario,
            target,
            clip,
            phase: AtomicU8::new(Phase::Publish as u8),
            view_from_us: AtomicU64::new(u64::MAX),
            ready: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            joined: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            broken: Mutex::new(None),
        }
    }

    /// What is to be done now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Publish,
            1 => Phase::View,
            2 => Phase::Count,
            _ => Phase::Stop,
        }
    }

    /// Goes on.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// All viewers together.
    pub const fn viewers(&self) -> usize {
        self.scenario.view.all()
    }

    /// The run cannot be used; the first reason counts.
    pub fn fail(&self, why: String) {
        if let Ok(mut broken) = self.broken.lock() {
            broken.get_or_insert(why);
        }
    }

    /// Why the run cannot be used.
    pub fn broken(&self) -> Option<String> {
        self.broken.lock().ok().and_then(|broken| broken.clone())
    }
}
