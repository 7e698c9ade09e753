//! What a link costs: its round trip and its loss, smoothed, and told rarely. No clock.
//!
//! Every change of a cost goes through the whole lattice and may move traffic, which changes round trips in turn. So only
//! a change that is large and lasts is told, and never two within a few seconds. Queues that a burst fills empty before
//! that; loss counts as the heartbeats see it, not as the traffic suffers it.

use std::time::{Duration, Instant};

/// The cost of a link whose round trip takes no time; each millisecond adds one.
const BASE: f64 = 10.0;
/// What a round trip, and loss, lead to at most.
const MAX: f64 = 10_000.0;
/// On top where the data costs money: worth a detour of some twenty links.
pub const METERED: u32 = 1_000;
/// On top of a link that is not relied on, as often as it is doubted: it is used where there is no better way.
pub const DOUBT: u32 = 100_000;

/// Loss that is none: a packet now and then.
const LOSS_FREE: f64 = 0.05;
/// What the loss of everything would add.
const LOSS: f64 = 500.0;
/// Weight of one heartbeat for the loss.
const LOSS_SMOOTHING: f64 = 1.0 / 64.0;

/// A change matters that is larger than this share of the smaller value, and than this.
const CHANGE: f64 = 0.25;
const CHANGE_MIN: f64 = 10.0;
/// It has to last so long…
const LASTS: Duration = Duration::from_secs(2);
/// …and the last one must be so long ago.
const APART: Duration = Duration::from_secs(5);
/// The same for what the other end has found out, which has waited for long enough there.
const TOLD_APART: Duration = Duration::from_secs(3);

/// The cost of one link.
#[derive(Clone, Debug)]
pub struct Cost {
    loss: f64,
    told: u32,
    told_at: Option<Instant>,
    /// Since when what is measured is far from what was told.
    off_since: Option<Instant>,
}

impl Cost {
    /// What a link costs by its round trip alone.
    #[must_use]
    pub fn of(round_trip: Duration) -> u32 {
        cost(round_trip, 0.0) as u32
    }

    /// A link that has just come up, and of which `told` was told.
    #[must_use]
    pub fn new(told: u32) -> Self {
        Self { loss: 0.0, told, told_at: None, off_since: None }
    }

    /// What was told last: what the link costs for all others.
    #[must_use]
    pub fn told(&self) -> u32 {
        self.told
    }

    /// Share of the heartbeats that were lost, in either direction, of late: 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// The smoothed round trip is this now, and of the heartbeats since the last time so many were answered and lost.
    /// Returns whether there is something to tell.
    pub fn measure(&mut self, now: Instant, round_trip: Duration, answered: u32, lost: u32) -> bool {
        let outcomes = (0..lost).map(|_| 1.0).chain((0..answered).map(|_| 0.0));
        self.loss = outcomes.fold(self.loss, |loss, outcome| loss + (outcome - loss) * LOSS_SMOOTHING);
        let (measured, told) = (cost(round_trip, self.loss), f64::from(self.told));
        if (measured - told).abs() <= (measured.min(told) * CHANGE).max(CHANGE_MIN) {
            self.off_since = None;
            return false;
        }
        let since = *self.off_since.get_or_insert(now);
        now >= since + LASTS && self.tell(now, measured as u32, APART)
    }

    /// The other end, which measures, has told this cost. Returns whether it is news.
    pub fn adopt(&mut self, now: Instant, cost: u32) -> bool {
        let cost = cost.min(MAX as u32);
        cost > 0 && cost != self.told && self.tell(now, cost, TOLD_APART)
    }

    fn tell(&mut self, now: Instant, cost: u32, apart: Duration) -> bool {
        let due = self.told_at.is_none_or(|at| now >= at + apart);
        if due {
            (self.told, self.told_at, self.off_since) = (cost, Some(now), None);
        }
        due
    }
}

fn cost(round_trip: Duration, loss: f64) -> f64 {
    let loss = (loss - LOSS_FREE).max(0.0) * LOSS;
    (BASE + round_trip.as_secs_f64() * 1e3 + loss).min(MAX)
}

#[cfg(test)]
mod tests;
