//! How long to wait before the next attempt: doubling, with jitter, between two bounds.

use lattice_broker::env::Rng;
use rand_core::Rng as _;
use std::time::Duration;

/// The waiting times between failed attempts.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits from about `min` to about `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), next: min }
    }

    /// Success: the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.next = self.min;
    }

    /// The next wait: between half of and the whole present step, so that those who failed together do not all
    /// come back together. Never more than `max`.
    pub fn wait(&mut self, rng: &mut Rng) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        step / 2 + (step / 2).mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn doubles_to_the_bound_and_starts_over() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut rng = Rng::from_seed([7; 32]);
        let mut backoff = Backoff::new(min, max);
        let waits: Vec<_> = (0..12).map(|_| backoff.wait(&mut rng)).collect();
        assert!(waits[0] >= min / 2 && waits[0] <= min);
        assert!(waits[11] >= max / 2 && waits[11] <= max);
        backoff.reset();
        assert!(backoff.wait(&mut rng) <= min);
    }
}
