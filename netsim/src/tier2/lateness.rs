//! How late things were, and from when on that makes a run worthless.

use serde::Serialize;
use std::time::Duration;

const BUCKET_NANOS: u64 = 10_000;
/// 100 ms; what is later still is in the last bucket.
const BUCKETS: usize = 10_000;

/// Delays against a plan: of the switch, or of publishers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lateness {
    /// How many were measured.
    pub count: u64,
    /// Half of them were no later, to 10 µs.
    pub p50: Duration,
    /// 99 of 100 were no later, to 10 µs.
    pub p99: Duration,
    /// The latest.
    pub max: Duration,
}

impl Lateness {
    /// The p99 above which a run says more about the machine than about what ran on it.
    pub const P99_MAX: Duration = Duration::from_millis(5);

    /// True when a run with this lateness can be judged.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.p99 <= Self::P99_MAX
    }

    /// Of a list of delays.
    #[must_use]
    pub fn of(delays: impl IntoIterator<Item = Duration>) -> Self {
        let mut histogram = Histogram::default();
        delays.into_iter().for_each(|delay| histogram.add(delay));
        histogram.lateness()
    }
}

/// Delays as they come, in bounded memory.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, delay: Duration) {
        let bucket = usize::try_from(crate::clock::nanos(delay) / BUCKET_NANOS).unwrap_or(BUCKETS);
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.max = self.max.max(delay);
    }

    pub(crate) fn lateness(&self) -> Lateness {
        Lateness { count: self.count, p50: self.quantile(50), p99: self.quantile(99), max: self.max }
    }

    /// The upper end of the bucket in which `percent` of all are reached.
    fn quantile(&self, percent: u64) -> Duration {
        let wanted = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let end = (bucket.unwrap_or(BUCKETS - 1) as u64 + 1) * BUCKET_NANOS;
        // The last bucket has no end, and no quantile is above the maximum.
        if bucket == Some(BUCKETS - 1) { self.max } else { Duration::from_nanos(end).min(self.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_list() {
        let lateness = Lateness::of((1..=1_000).map(|n| Duration::from_micros(n * 10)));
        assert_eq!((lateness.count, lateness.max), (1_000, Duration::from_millis(10)));
        assert!(lateness.p50.abs_diff(Duration::from_millis(5)) <= Duration::from_micros(10), "{lateness:?}");
        assert!(lateness.p99.abs_diff(Duration::from_micros(9_900)) <= Duration::from_micros(10), "{lateness:?}");
        assert!(!lateness.usable());
    }

    /// Goal: one straggler does not condemn a run, one in fifty does.
    #[test]
    fn one_in_fifty_makes_a_run_unusable() {
        let with = |late: usize| {
            let calm = std::iter::repeat_n(Duration::from_micros(50), 1_000 - late);
            Lateness::of(calm.chain(std::iter::repeat_n(Duration::from_secs(1), late)))
        };
        assert!(with(1).usable() && with(10).usable());
        assert!(!with(20).usable());
        assert_eq!(with(20).p99, Duration::from_secs(1));
        assert!(Lateness::of([]).usable(), "nothing was late");
    }
}
