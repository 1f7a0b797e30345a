//! Ending sessions because an operator says so.

use crate::handle::Which;
use crate::shard::Shard;
use crate::slab::Key;
use media::{StopReason, StreamKey};

impl Shard {
    /// Begins to end what is here of it; gives how many sessions that are.
    pub(crate) fn stop(&self, which: &Which, reason: StopReason) -> usize {
        match which {
            Which::Session(id) => {
                let Some(record) = self.inner().sessions.borrow().living.get(id).cloned() else { return 0 };
                match record.viewer.get() {
                    Some(viewer) => self.stop_viewer(viewer, reason),
                    None => record.stop.raise(reason),
                }
                1
            }
            Which::Publisher(key) => usize::from(self.stop_publisher(key, reason)),
            Which::Stream(key) => {
                let Some(stream) = self.stream(key) else { return 0 };
                let mut stopped = usize::from(self.stop_publisher(key, reason));
                stopped += stream.borrow().viewer_count();
                self.end_stream(&stream, reason);
                stopped
            }
        }
    }

    fn stop_publisher(&self, key: &StreamKey, reason: StopReason) -> bool {
        let stop = self.stream(key).and_then(|s| Some(s.borrow().publisher.as_ref()?.stop.clone()));
        stop.inspect(|stop| stop.raise(reason)).is_some()
    }

    fn stop_viewer(&self, key: Key, reason: StopReason) {
        let stream = self.inner().viewers.borrow().get(key).and_then(|viewer| viewer.stream.clone());
        if let Some(stream) = stream {
            self.end_viewer(&stream, key, reason);
        }
    }
}
