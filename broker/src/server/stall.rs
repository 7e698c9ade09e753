//! Back-pressure: a publisher waits for takers that cannot keep up, but never for long.
//!
//! The wait is bounded for each batch, so that one dead taker slows a publisher down and does not stop it. What
//! happens to a taker that stays behind is left to its outbox or to the neighbour.

use super::client::Client;
use crate::batch::Congested;
use crate::flows::HeldUp;
use crate::hub::Hub;
use crate::neighbor::NeighborKind;
use crate::stats::add;
use std::task::{Poll, Waker};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Stall {
    takers: Vec<(Congested, Instant)>,
    _held_up: Option<HeldUp>,
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
            let patience = match &taker {
                Congested::Client(_) => hub.config.stall_max,
                // It is as trustworthy as a client.
                Congested::Neighbor(attached, _) if matches!(attached.kind, NeighborKind::Spoke(_)) => {
                    hub.config.stall_max
                }
                Congested::Neighbor(_, _) => hub.config.neighbor_stall_max,
            };
            (taker, now + patience)
        });
        Some(Self { takers: takers.collect(), _held_up: None })
    }

    /// The same of a client's connection, whose messages have the number `flow`; 0 when it has not published.
    pub(crate) fn of(self, hub: &Hub, client: &Client, flow: u64) -> Self {
        let held_up = (flow > 0).then(|| hub.flows.hold_up(client.figures.publisher(), flow));
        Self { _held_up: held_up, ..self }
    }

    /// When the wait is over at the latest.
    pub(crate) fn until(&self) -> Instant {
        self.takers.iter().map(|(_, until)| *until).max().expect("a stall is made of at least one taker")
    }

    /// Ready when all takers have room again or their time is up.
    pub(crate) fn poll(&mut self, now: Instant, time_up: bool, waker: &Waker) -> Poll<()> {
        self.takers.retain(|(taker, until)| {
            let over = time_up || now >= *until;
            !over && !is_drained(taker, waker)
        });
        if self.takers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn is_drained(taker: &Congested, waker: &Waker) -> bool {
    match taker {
        Congested::Client(client) => client.outbox.is_drained(waker),
        Congested::Neighbor(attached, buffer) => {
            if attached.neighbor.excess(*buffer) == 0 {
                return true;
            }
            attached.neighbor.wake_when_drained(*buffer, waker);
            // It may have drained between the two calls, and then wakes nobody.
            attached.neighbor.excess(*buffer) == 0
        }
    }
}
