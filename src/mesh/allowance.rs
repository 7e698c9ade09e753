//! How often something may be done for others: so often at once, and then once in each span of time. No clock.
//!
//! What is counted is left to the caller. Bytes of answers, of which the last may be as long as it likes, are counted in
//! `control/link.rs`.

use std::time::{Duration, Instant};

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At once, when nothing was done for long; at least 1.
    pub at_once: u32,
    /// Once more after each such span.
    pub every: Duration,
}

/// How much of a [`Limit`] is used up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// When it is whole again.
    whole_at: Option<Instant>,
}

impl Allowance {
    /// Whether it may be done once more at `now`; what may not be done uses nothing up.
    pub fn take(&mut self, now: Instant, limit: Limit) -> bool {
        let may = self.wait(now, limit).is_zero();
        if may {
            self.whole_at = Some(self.whole_at.map_or(now, |at| at.max(now)) + limit.every);
        }
        may
    }

    /// How long after `now` it may be done once more.
    #[must_use]
    pub fn wait(&self, now: Instant, limit: Limit) -> Duration {
        let used = self.whole_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        used.saturating_sub(limit.every * (limit.at_once - 1))
    }

    /// Whether nothing of it is used up: it need not be remembered.
    #[must_use]
    pub fn is_whole(&self, now: Instant) -> bool {
        self.whole_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::start_of_time;

    #[test]
    fn so_many_at_once_and_then_one_in_each_span() {
        let (now, mut allowance) = (start_of_time(), Allowance::default());
        let limit = Limit { at_once: 3, every: Duration::from_millis(20) };
        let at = |ms| now + Duration::from_millis(ms);
        assert!(allowance.is_whole(now));
        assert_eq!((0..100).filter(|_| allowance.take(now, limit)).count(), 3);
        assert_eq!(allowance.wait(at(5), limit), Duration::from_millis(15));
        assert!(!allowance.take(at(19), limit) && allowance.take(at(20), limit) && !allowance.take(at(20), limit));
        assert!(!allowance.is_whole(at(79)) && allowance.is_whole(at(80)));
        assert_eq!((0..100).filter(|_| allowance.take(at(500), limit)).count(), 3);
    }
}
