//! What will happen and when: timers and arrivals in one queue, and the timers themselves.
//!
//! Ties go in the order of scheduling. What an arrival does is left to `net.rs` and `stream.rs`.

use crate::clock::{Deadline, Nanos};
use crate::exec::HostId;
use crate::stream::StreamEvent;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::task::Waker;

/// Something that falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A timer of some task.
    Timer(TimerId),
    /// The datagram in this slot reaches its host.
    Datagram(usize),
    /// Something about a stream.
    Stream(StreamEvent),
}

/// Names a timer; a later timer in the same slot has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    slot: usize,
    generation: u64,
}

#[derive(Debug)]
struct Timer {
    generation: u64,
    host: HostId,
    deadline: Deadline,
    /// When the queue will look at it; `None` when the queue does not know it.
    armed: Option<Nanos>,
    waker: Option<Waker>,
}

/// The queue of events, and the timers.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    queue: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    sequence: u64,
    timers: Vec<Timer>,
    free: Vec<usize>,
}

impl Agenda {
    pub(crate) fn schedule(&mut self, at: Nanos, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    /// When the next event falls due. Entries that no longer mean anything are dropped on the way.
    pub(crate) fn next_due(&mut self) -> Option<Nanos> {
        while let Some(Reverse((at, _, event))) = self.queue.peek().copied() {
            match event {
                Event::Timer(id) if !self.settle(id, at) => {
                    self.queue.pop();
                }
                Event::Timer(_) | Event::Datagram(_) | Event::Stream(_) => return Some(at),
            }
        }
        None
    }

    /// Takes the next event that is due at `now` or earlier.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<Event> {
        if self.next_due()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse((_, _, event))| event)
    }

    /// True when the entry at `at` is still what its timer waits for. A timer whose deadline moved back since is
    /// armed anew: resets, of which there are many, then cost nothing.
    fn settle(&mut self, id: TimerId, at: Nanos) -> bool {
        let timer = &mut self.timers[id.slot];
        if timer.generation != id.generation || timer.armed != Some(at) {
            return false;
        }
        if timer.waker.is_some() && timer.deadline.global <= at {
            return true;
        }
        timer.armed = None;
        if timer.waker.is_some() {
            self.arm(id);
        }
        false
    }

    fn arm(&mut self, id: TimerId) {
        let timer = &mut self.timers[id.slot];
        let deadline = timer.deadline.global;
        if timer.armed.is_none_or(|armed| deadline < armed) {
            timer.armed = Some(deadline);
            self.schedule(deadline, Event::Timer(id));
        }
    }

    /// The timer fell due: whom to wake.
    pub(crate) fn fire(&mut self, id: TimerId) -> Option<Waker> {
        let timer = &mut self.timers[id.slot];
        timer.armed = None;
        timer.waker.take()
    }

    pub(crate) fn new_timer(&mut self, host: HostId, deadline: Deadline) -> TimerId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.timers.push(Timer { generation: 0, host, deadline, armed: None, waker: None });
            self.timers.len() - 1
        });
        let timer = &mut self.timers[slot];
        timer.generation += 1;
        (timer.host, timer.deadline) = (host, deadline);
        TimerId { slot, generation: timer.generation }
    }

    pub(crate) fn reset_timer(&mut self, id: TimerId, deadline: Deadline) {
        self.timers[id.slot].deadline = deadline;
        if self.timers[id.slot].waker.is_some() {
            self.arm(id);
        }
    }

    /// Finds anew when the timers of `host` fall due, whose clock runs otherwise from now on. Returns how many of them
    /// somebody waits for.
    pub(crate) fn rearm(&mut self, host: HostId, global: impl Fn(Nanos) -> Nanos) -> u64 {
        let mut waited_for = 0;
        for slot in 0..self.timers.len() {
            let timer = &mut self.timers[slot];
            // A slot that is free keeps its last host; what it is told then means nothing.
            if timer.host != host {
                continue;
            }
            timer.deadline.global = global(timer.deadline.local);
            let id = TimerId { slot, generation: timer.generation };
            if timer.waker.is_some() {
                waited_for += 1;
                self.arm(id);
            }
        }
        waited_for
    }

    /// True when the deadline has passed; else `waker` will be woken then.
    pub(crate) fn poll_timer(&mut self, id: TimerId, now: Nanos, waker: &Waker) -> bool {
        let timer = &mut self.timers[id.slot];
        if timer.deadline.global <= now {
            return true;
        }
        remember(&mut timer.waker, waker);
        self.arm(id);
        false
    }

    /// Forgets the timer. Returns its waker, to be dropped outside of any lock.
    pub(crate) fn drop_timer(&mut self, id: TimerId) -> Option<Waker> {
        let timer = &mut self.timers[id.slot];
        timer.generation += 1;
        timer.armed = None;
        self.free.push(id.slot);
        timer.waker.take()
    }

    /// Timers that exist: a leak shows here.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len() - self.free.len()
    }
}

/// Keeps the last waker that polled.
pub(crate) fn remember(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fired(agenda: &mut Agenda, id: TimerId, now: Nanos) -> bool {
        let mut fired = false;
        while let Some(event) = agenda.pop_due(now) {
            assert_eq!(event, Event::Timer(id));
            fired |= agenda.fire(id).is_some();
        }
        fired
    }

    fn at(nanos: Nanos) -> Deadline {
        Deadline { local: nanos, global: nanos }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Reset(Nanos),
        /// The host's clock goes on so much later, or sooner.
        Rearm(Nanos),
        Poll,
        Advance(Nanos),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0u64..200).prop_map(Op::Reset),
            (0u64..200).prop_map(Op::Rearm),
            Just(Op::Poll),
            (1u64..20).prop_map(Op::Advance)
        ]
    }

    proptest! {
        /// A timer that was polled wakes exactly when its newest deadline passes, however it was moved.
        #[test]
        fn lazily_armed_timers_fire_on_time(ops in proptest::collection::vec(op(), 1..60)) {
            let mut agenda = Agenda::default();
            let id = agenda.new_timer(0, at(50));
            let other = agenda.new_timer(1, at(Nanos::MAX));
            let (mut now, mut deadline, mut waiting) = (0, 50, false);
            for op in ops {
                match op {
                    Op::Reset(to) => { agenda.reset_timer(id, at(to)); deadline = to; }
                    Op::Rearm(to) => {
                        prop_assert_eq!(agenda.rearm(0, |_| to), u64::from(waiting));
                        deadline = to;
                    }
                    Op::Poll => waiting = !agenda.poll_timer(id, now, Waker::noop()),
                    Op::Advance(by) => now += by,
                }
                let woke = fired(&mut agenda, id, now);
                prop_assert_eq!(woke, waiting && deadline <= now);
                waiting &= !woke;
            }
            agenda.drop_timer(id);
            agenda.drop_timer(other);
            prop_assert_eq!(agenda.timers(), 0);
            prop_assert!(agenda.next_due().is_none());
        }
    }

    #[test]
    fn ties_keep_their_order() {
        let mut agenda = Agenda::default();
        for slot in [3, 1, 2] {
            agenda.schedule(5, Event::Datagram(slot));
        }
        agenda.schedule(4, Event::Datagram(9));
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop_due(5)).collect();
        assert_eq!(order, [9, 3, 1, 2].map(Event::Datagram));
    }
}
