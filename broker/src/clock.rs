//! Moments since the broker began, in one word each: what is kept for those who watch costs no more than that.

use std::time::{Duration, Instant, SystemTime};

/// Nanoseconds since the broker began; 0 where something has not happened yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(pub(crate) u64);

impl Stamp {
    /// The time from `before` until then.
    pub(crate) fn since(self, before: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(before.0))
    }
}

/// When the broker began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    wall: SystemTime,
}

impl Clock {
    pub(crate) fn new(began: Instant, wall: SystemTime) -> Self {
        Self { began, wall }
    }

    #[inline]
    pub(crate) fn stamp(&self, now: Instant) -> Stamp {
        // Enough for 584 years.
        Stamp(now.saturating_duration_since(self.began).as_nanos() as u64)
    }

    /// What the wall clock said then, if it has not been set since the beginning.
    pub(crate) fn wall(&self, stamp: Stamp) -> SystemTime {
        self.wall + Duration::from_nanos(stamp.0)
    }
}
