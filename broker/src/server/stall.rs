//! Back-pressure: a publisher waits for takers that cannot keep up, but never for long.
//!
//! The wait is bounded for each batch, so that one dead taker slows a publisher down and does not stop it. What
//! happens to a taker that stays behind is left to its outbox or to the neighbour.

use crate::batch::Congested;
use crate::hub::Hub;
use crate::stats::add;
use std::task::{Poll, Waker};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Stall {
    takers: Vec<(Congested, Instant)>,
    pending_max: usize,
}

impl Stall {
    /// `None` when nobody is congested.
    pub(crate) fn new(hub: &Hub, congested: Vec<Congested>) -> Option<Self> {
        if congested.is_empty() {
            return None;
        }
        add(&hub.counters.stalls, 1);
        let now = hub.env.now();
        let takers = congested.into_iter().map(|taker| {
            let patience = match taker {
                Congested::Client(_) => hub.config.stall_max,
                Congested::Neighbor(_, _) => hub.config.neighbor_stall_max,
            };
            (taker, now + patience)
        });
        Some(Self { takers: takers.collect(), pending_max: hub.config.stall_pending })
    }

    /// When the wait is over at the latest.
    pub(crate) fn until(&self) -> Instant {
        self.takers.iter().map(|(_, until)| *until).max().expect("a stall is made of at least one taker")
    }

    /// Ready when all takers have room again or their time is up.
    pub(crate) fn poll(&mut self, now: Instant, time_up: bool, waker: &Waker) -> Poll<()> {
        let pending_max = self.pending_max;
        self.takers.retain(|(taker, until)| {
            let over = time_up || now >= *until;
            !over && !is_drained(taker, pending_max, waker)
        });
        if self.takers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn is_drained(taker: &Congested, pending_max: usize, waker: &Waker) -> bool {
    match taker {
        Congested::Client(client) => client.outbox.is_drained(waker),
        Congested::Neighbor(attached, buffer) => {
            if attached.neighbor.backlog(*buffer) <= pending_max {
                return true;
            }
            attached.neighbor.wake_when_drained(*buffer, waker);
            // It may have drained between the two calls, and then wakes nobody.
            attached.neighbor.backlog(*buffer) <= pending_max
        }
    }
}
