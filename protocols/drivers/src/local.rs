//! What the drivers keep on each shard: configuration and the buffers that all connections of the core share.

use crate::config::Config;
use engine::Shard;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Size of the buffer into which every connection of a shard is read.
const SCRATCH_BYTES: usize = 256 * 1024;

/// See the module.
pub(crate) struct Local {
    pub shard: Shard,
    pub config: Arc<Config>,
    pub rtmp: Arc<protocols::rtmp::Config>,
    pub httpflv: Arc<protocols::httpflv::Config>,
    pub scratch: Rc<RefCell<Vec<u8>>>,
    random: Cell<u64>,
}

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

impl Local {
    /// Sets up this thread for its shard, or for those who come from now on; who is there keeps what it began with.
    pub fn install(shard: &Shard, config: Arc<Config>) -> Rc<Self> {
        let scratch = Self::here().map(|before| Rc::clone(&before.scratch));
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), shard.index());
        let local = Rc::new(Self {
            shard: shard.clone(),
            rtmp: crate::rtmp::session_config(&config),
            httpflv: crate::http::session_config(&config),
            config,
            scratch: scratch.unwrap_or_else(|| Rc::new(RefCell::new(vec![0; SCRATCH_BYTES]))),
            random: Cell::new(seed | 1),
        });
        LOCAL.set(Some(Rc::clone(&local)));
        local
    }

    /// This thread's, if it is a shard's.
    pub fn here() -> Option<Rc<Self>> {
        LOCAL.with_borrow(Clone::clone)
    }

    /// Bytes that differ from connection to connection; not for secrets (xorshift64*).
    pub fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_mut(8) {
            let mut x = self.random.get();
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            self.random.set(x);
            part.copy_from_slice(&x.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
        }
        bytes
    }
}
