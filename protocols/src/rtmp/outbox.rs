//! What a session has to say: bytes and events in one order.
//!
//! Replies are gathered in one buffer; an event closes it, so that the order holds. Equal leniencies in a row are
//! told once: a peer that breaks one rule a thousand times in one read does not fill memory with it.

use crate::{Event, Output};
use bytes::Bytes;
use media::Moment;
use std::collections::VecDeque;

/// Capacity that a session which says much keeps when all was said, in outputs.
const KEEP_OUTPUTS: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    bytes: Vec<u8>,
    keep: usize,
}

impl Outbox {
    /// Where replies are appended.
    pub const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn event(&mut self, event: Event) {
        if let (Event::Leniency(new), Some(Output::Event(Event::Leniency(last)))) =
            (&event, self.queue.back())
            && new == last
        {
            return;
        }
        self.close_bytes();
        self.queue.push_back(Output::Event(event));
    }

    pub fn leniency(&mut self, what: &'static str) {
        self.event(Event::Leniency(what));
    }

    /// The next output; `wait` once all is said.
    pub fn poll(&mut self, wait: Option<Moment>) -> Output {
        if self.queue.is_empty() {
            self.close_bytes();
        }
        let next = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > self.keep {
            self.queue = VecDeque::new();
        }
        next.unwrap_or(Output::Wait(wait))
    }

    /// Whether much will be said from now on, so that memory is kept for it.
    pub const fn set_busy(&mut self, is_busy: bool) {
        self.keep = if is_busy { KEEP_OUTPUTS } else { 0 };
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Output>() + self.bytes.capacity()
    }

    fn close_bytes(&mut self) {
        if !self.bytes.is_empty() {
            self.queue.push_back(Output::Bytes(Bytes::from(std::mem::take(&mut self.bytes))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outbox: &mut Outbox) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match outbox.poll(None) {
                Output::Bytes(bytes) => all.push(format!("{bytes:?}")),
                Output::Event(Event::Leniency(what)) => all.push(what.to_owned()),
                Output::Event(_) => all.push("event".to_owned()),
                Output::Wait(_) => return all,
            }
        }
    }

    #[test]
    fn bytes_and_events_keep_their_order() {
        let mut outbox = Outbox::default();
        outbox.bytes().extend_from_slice(b"a");
        outbox.bytes().extend_from_slice(b"b");
        outbox.event(Event::PublishEnd);
        outbox.bytes().extend_from_slice(b"c");
        assert_eq!(said(&mut outbox), ["b\"ab\"", "event", "b\"c\""]);
        assert!(said(&mut outbox).is_empty());
    }

    #[test]
    fn a_flood_of_one_leniency_is_told_once_and_its_memory_is_given_back() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.leniency("x");
        }
        for _ in 0..1000 {
            outbox.event(Event::PublishEnd);
        }
        outbox.leniency("x");
        assert_eq!(said(&mut outbox).len(), 1002);
        assert_eq!(outbox.heap_bytes(), 0);
    }
}
