//! What a component is called with next, and how many calls are in flight. Sans-IO: who calls is `component.rs`.
//!
//! At most `count` are in flight; what is beyond that waits, in the order in which it came. What finds no room to wait is
//! dropped and counted.

use super::work::Work;
use std::collections::VecDeque;

/// What waits for one component, and what is under way.
#[derive(Debug)]
pub(super) struct Queue {
    count: usize,
    waiting_max: usize,
    waiting_bytes_max: usize,
    in_flight: usize,
    waiting: VecDeque<Work>,
    bytes: usize,
    dropped: u64,
}

impl Queue {
    pub(super) fn new(waiting_max: usize, waiting_bytes_max: usize) -> Self {
        Self { count: 0, waiting_max, waiting_bytes_max, in_flight: 0, waiting: VecDeque::new(), bytes: 0, dropped: 0 }
    }

    /// How many may be in flight from now on. Those that are in flight already go on; ask [`Queue::start`] for more.
    pub(super) fn set_count(&mut self, count: usize) {
        self.count = count;
    }

    /// Takes in what a call is wanted for: back to the caller when it is to be made at once, else it waits, or is dropped.
    pub(super) fn push(&mut self, work: Work) -> Option<Work> {
        if self.in_flight < self.count && self.waiting.is_empty() {
            self.in_flight += 1;
            return Some(work);
        }
        let bytes = self.bytes + work.size();
        if self.waiting.len() >= self.waiting_max || bytes > self.waiting_bytes_max {
            self.dropped += 1;
            return None;
        }
        self.bytes = bytes;
        self.waiting.push_back(work);
        None
    }

    /// The next call that may be made beside those in flight.
    pub(super) fn start(&mut self) -> Option<Work> {
        if self.in_flight >= self.count {
            return None;
        }
        let work = self.pop()?;
        self.in_flight += 1;
        Some(work)
    }

    /// A call has ended: the next one for the same caller, or `None` when that is in flight no more.
    pub(super) fn finish(&mut self) -> Option<Work> {
        if self.in_flight <= self.count
            && let Some(work) = self.pop()
        {
            return Some(work);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        None
    }

    /// Lets go of what waits: nobody will do it.
    pub(super) fn forget(&mut self) -> VecDeque<Work> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    fn pop(&mut self) -> Option<Work> {
        let work = self.waiting.pop_front()?;
        self.bytes -= work.size();
        Some(work)
    }

    /// Whether nothing is in flight and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }

    /// Whether nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight == 0
    }

    /// Messages and requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Messages and requests that found no room to wait.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Counts messages that were dropped before they came here.
    pub(super) fn count_dropped(&mut self, messages: u64) {
        self.dropped += messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::engine::messages::Message;

    fn message(payload: &'static [u8]) -> Work {
        Work::Message(Message { subject: "a".into(), reply: None, payload: payload.into() })
    }

    fn payload(work: Option<Work>) -> bytes::Bytes {
        match work.unwrap() {
            Work::Message(message) => message.payload,
            other @ (Work::Request(_) | Work::Call(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn count_are_in_flight_and_the_rest_waits_in_order() {
        let mut queue = Queue::new(10, 1_000);
        queue.set_count(2);
        assert!(queue.push(message(b"1")).is_some());
        assert!(queue.push(message(b"2")).is_some());
        assert!(queue.push(message(b"3")).is_none());
        assert!(queue.push(message(b"4")).is_none());
        assert_eq!(payload(queue.finish()), "3");
        assert_eq!(payload(queue.finish()), "4");
        assert!(queue.finish().is_none());
        assert!(!queue.is_idle());
        assert!(queue.finish().is_none());
        assert!(queue.is_idle());
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut queue = Queue::new(2, 300);
        assert!(queue.push(message(b"waits")).is_none());
        assert!(queue.push(message(&[0; 300])).is_none());
        assert_eq!((queue.waiting(), queue.dropped()), (1, 1), "too many bytes");
        queue.push(message(b"waits as well"));
        queue.push(message(b"one too many"));
        assert_eq!((queue.waiting(), queue.dropped()), (2, 2));
    }

    #[test]
    fn a_smaller_count_lets_calls_end_and_a_larger_one_starts_some() {
        let mut queue = Queue::new(10, 1_000);
        queue.set_count(2);
        for payload in [b"1", b"2", b"3", b"4"] {
            queue.push(message(payload));
        }
        queue.set_count(1);
        assert!(queue.finish().is_none(), "one in flight is one too many");
        assert_eq!(payload(queue.finish()), "3");
        assert!(queue.start().is_none());
        queue.set_count(2);
        assert_eq!(payload(queue.start()), "4");
    }
}
