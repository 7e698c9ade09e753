//! `Times`: how long something took, each time that it happened, as counts between fixed bounds and a sum.
//!
//! Who measures what is left to `watcher.rs` and `chronicle.rs`; how it is shown, to those who watch.

use super::counters::Counter;
use std::time::Duration;

/// Times of one kind since the start. All numbers in it only grow.
#[derive(Debug)]
pub struct Times {
    /// In ascending order.
    bounds: &'static [Duration],
    /// Of those up to each bound and above the one before, and at the end of those above all.
    counts: Box<[Counter]>,
    /// In microseconds.
    sum: Counter,
}

/// The same at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The upper bound of each part in seconds, the last one infinite, and how many times are in it.
    pub parts: Vec<(f64, u64)>,
    /// All times together, in seconds.
    pub sum: f64,
}

impl Times {
    /// None yet; to be told apart by `bounds`, which ascend.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum: Counter::default() }
    }

    /// It took so long once more.
    pub fn add(&self, time: Duration) {
        self.counts[self.bounds.partition_point(|bound| *bound < time)].add(1);
        self.sum.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many times are in each part, those within the smallest bound first.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(Counter::count).collect()
    }

    /// All of it.
    #[must_use]
    pub fn told(&self) -> Told {
        let bounds = self.bounds.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        Told { parts: bounds.zip(self.counts()).collect(), sum: self.sum.count() as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_where_it_belongs() {
        const BOUNDS: &[Duration] = &[Duration::from_millis(10), Duration::from_millis(100)];
        let times = Times::new(BOUNDS);
        for ms in [0, 10, 11, 100, 101, 5_000] {
            times.add(Duration::from_millis(ms));
        }
        let told = times.told();
        assert_eq!(told.parts, [(0.01, 2), (0.1, 2), (f64::INFINITY, 2)]);
        assert!((told.sum - 5.222).abs() < 1e-9, "{told:?}");
    }
}
