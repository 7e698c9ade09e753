//! When a node says what its records come to: often after a change, seldom at rest, and not at all when another has just
//! said the same.
//!
//! This is Trickle (RFC 6206): time is cut into intervals that double from [`MIN`] to [`MAX`]; in the later half of each
//! the node speaks once, unless it has heard its own digest from another in that interval. So all nodes together say about one
//! digest in an interval, however many they are. What shows that somebody may not agree begins again with the shortest.

use rand_core::Rng as _;
use std::time::{Duration, Instant};

/// The shortest interval.
pub const MIN: Duration = Duration::from_millis(500);
/// The longest.
pub const MAX: Duration = Duration::from_secs(128);

/// The interval that a node is in.
#[derive(Debug)]
pub struct Pace {
    length: Duration,
    /// When to speak; `None` once that has passed.
    speak: Option<Instant>,
    end: Instant,
    agreed: bool,
}

impl Pace {
    /// Begins with the shortest interval.
    #[must_use]
    pub fn new(now: Instant, rng: &mut lattice_broker::env::Rng) -> Self {
        let mut pace = Self { length: MIN, speak: None, end: now, agreed: false };
        pace.begin(now, MIN, rng);
        pace
    }

    /// When to call [`Pace::poll`].
    #[must_use]
    pub fn due(&self) -> Instant {
        self.speak.unwrap_or(self.end)
    }

    /// True when the digest is to be said now.
    pub fn poll(&mut self, now: Instant, rng: &mut lattice_broker::env::Rng) -> bool {
        let speaks = self.speak.take_if(|at| *at <= now).is_some() && !self.agreed;
        if self.speak.is_none() && self.end <= now {
            self.begin(now, (self.length * 2).min(MAX), rng);
        }
        speaks
    }

    /// Another has said the same digest.
    pub fn agree(&mut self) {
        self.agreed = true;
    }

    /// Somebody may not agree: begins with the shortest interval again, unless it is in that.
    pub fn hurry(&mut self, now: Instant, rng: &mut lattice_broker::env::Rng) {
        self.agreed = false;
        if self.length > MIN {
            self.begin(now, MIN, rng);
        }
    }

    fn begin(&mut self, now: Instant, length: Duration, rng: &mut lattice_broker::env::Rng) {
        let half = length / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        let jitter = Duration::from_nanos(rng.next_u64() % nanos);
        *self = Self { length, speak: Some(now + half + jitter), end: now + length, agreed: false };
    }
}
