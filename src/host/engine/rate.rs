//! So many a second, and a few at once: a bucket that fills with time. Sans-IO.

use std::time::Instant;

/// Lets through `per_second` on average, and as many at once after a second of silence, or more after a longer one.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u32,
    at_once: u32,
    /// Thousandths of what may pass at once.
    filled: u64,
    last: Instant,
    refused: u64,
}

/// Whether one may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Yes, after so many that were not let through.
    Yes {
        /// How many were refused since the last that passed.
        refused: u64,
    },
    /// No; it is counted.
    No,
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self::with_burst(per_second, per_second, now)
    }

    /// One that lets `at_once` through at once.
    pub(super) fn with_burst(per_second: u32, at_once: u32, now: Instant) -> Self {
        Self { per_second, at_once, filled: u64::from(at_once) * 1_000, last: now, refused: 0 }
    }

    /// Asks for one at `now`, which does not go back.
    pub(super) fn pass(&mut self, now: Instant) -> Pass {
        let millis = u64::try_from(now.saturating_duration_since(self.last).as_millis()).unwrap_or(u64::MAX);
        if millis > 0 {
            let more = millis.saturating_mul(self.per_second.into());
            self.filled = self.filled.saturating_add(more).min(u64::from(self.at_once) * 1_000);
            self.last = now;
        }
        if self.filled < 1_000 {
            self.refused += 1;
            return Pass::No;
        }
        self.filled -= 1_000;
        Pass::Yes { refused: std::mem::take(&mut self.refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_burst_passes_and_then_so_many_a_second() {
        let start = lattice_broker::env::Env::tokio().now();
        let mut rate = Rate::new(10, start);
        let passed = (0..50).filter(|_| rate.pass(start) != Pass::No).count();
        assert_eq!(passed, 10);
        assert_eq!(rate.pass(start + Duration::from_millis(50)), Pass::No);
        assert_eq!(rate.pass(start + Duration::from_millis(100)), Pass::Yes { refused: 41 });
        assert_eq!(rate.pass(start + Duration::from_millis(100)), Pass::No);
        let later = start + Duration::from_secs(60);
        let passed = (0..50).filter(|_| rate.pass(later) != Pass::No).count();
        assert_eq!(passed, 10, "silence is not saved up");
        let mut rate = Rate::with_burst(10, 30, start);
        let passed = |rate: &mut Rate, now| (0..50).filter(|_| rate.pass(now) != Pass::No).count();
        assert_eq!(passed(&mut rate, start), 30);
        assert_eq!(passed(&mut rate, start + Duration::from_secs(1)), 10);
        assert_eq!(passed(&mut rate, later), 30);
    }
}
