//! So many a second, and a few at once: a bucket that fills with time. Sans-IO.

use std::time::Instant;

/// Lets through `per_second` on average, and as many at once after a second of silence.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u32,
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
        Self { per_second, filled: u64::from(per_second) * 1_000, last: now, refused: 0 }
    }

    /// Asks for one at `now`, which does not go back.
    pub(super) fn pass(&mut self, now: Instant) -> Pass {
        let millis = u64::try_from(now.saturating_duration_since(self.last).as_millis()).unwrap_or(u64::MAX);
        if millis > 0 {
            let rate = u64::from(self.per_second);
            self.filled = self.filled.saturating_add(millis.saturating_mul(rate)).min(rate * 1_000);
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
    }
}
