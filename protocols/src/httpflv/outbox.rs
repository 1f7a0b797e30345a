//! What a session has to say, in order.

use crate::{Event, Output};
use bytes::Bytes;
use media::Moment;
use std::collections::VecDeque;

/// Entries whose room is kept when all is said; beyond that memory goes back.
const KEPT_ENTRIES: usize = 64;

#[derive(Default)]
pub(super) struct Outbox(VecDeque<Output>);

impl Outbox {
    pub fn bytes(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.0.push_back(Output::Bytes(Bytes::from(bytes)));
        }
    }

    /// A leniency that repeats the one before it is told once, so that a flood of them takes no memory.
    pub fn event(&mut self, event: Event) {
        if let (Event::Leniency(new), Some(Output::Event(Event::Leniency(last)))) = (&event, self.0.back())
            && new == last
        {
            return;
        }
        self.0.push_back(Output::Event(event));
    }

    pub fn leniency(&mut self, what: &'static str) {
        self.event(Event::Leniency(what));
    }

    pub fn poll(&mut self, wait: Option<Moment>, shrink: bool) -> Output {
        if let Some(next) = self.0.pop_front() {
            return next;
        }
        if shrink || self.0.capacity() > KEPT_ENTRIES {
            self.0 = VecDeque::new();
        }
        Output::Wait(wait)
    }

    #[cfg(test)]
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Output>()
    }
}
