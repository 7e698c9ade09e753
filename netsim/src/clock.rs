//! Virtual time: nanoseconds since the world began, and how one host's clock strays from them.
//!
//! What happens at which time is left to `agenda.rs`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds of virtual time since the world began; enough for 584 years.
pub(crate) type Nanos = u64;

/// The wall clock of a world that has just begun: 15 January 2027, whatever the day it runs on.
const WALL_START: Duration = Duration::from_secs(1_800_000_000);

/// A duration in nanoseconds, saturating.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// The clock of a world. Only its executor moves it.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Instant,
    now: AtomicU64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made in any other way; only differences are seen"
    )]
    pub(crate) fn new() -> Self {
        // Code may look back from its first moment; on a machine just booted that would underflow.
        Self { base: Instant::now() + Duration::from_secs(30 * 86_400), now: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now.load(Relaxed)
    }

    /// Moves on to `at`; never back.
    pub(crate) fn advance(&self, at: Nanos) {
        self.now.fetch_max(at, Relaxed);
    }

    /// What a host whose clock strays by `drift` reads now.
    pub(crate) fn instant(&self, drift: Drift) -> Instant {
        self.base + Duration::from_nanos(drift.local(self.now()))
    }

    /// The wall clock of such a host.
    pub(crate) fn wall(&self, drift: Drift) -> SystemTime {
        UNIX_EPOCH + WALL_START + Duration::from_nanos(drift.local(self.now()))
    }

    /// When such a host's clock reads `at`.
    pub(crate) fn when(&self, at: Instant, drift: Drift) -> Nanos {
        drift.global(nanos(at.saturating_duration_since(self.base)))
    }
}

/// How fast a host's clock runs: parts per million more than a true second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drift {
    ppm: i32,
}

impl Drift {
    /// Limits `ppm` to a tenth of a second per second; no quartz is as bad.
    pub(crate) fn new(ppm: i32) -> Self {
        Self { ppm: ppm.clamp(-100_000, 100_000) }
    }

    fn local(self, global: Nanos) -> Nanos {
        if self.ppm == 0 {
            return global;
        }
        let rate = 1_000_000 + i128::from(self.ppm);
        Nanos::try_from(i128::from(global) * rate / 1_000_000).unwrap_or(Nanos::MAX)
    }

    /// The first true moment at which the host's clock reads at least `local`.
    fn global(self, local: Nanos) -> Nanos {
        if self.ppm == 0 {
            return local;
        }
        let rate = 1_000_000 + i128::from(self.ppm);
        Nanos::try_from((i128::from(local) * 1_000_000 + rate - 1) / rate).unwrap_or(Nanos::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A timer set by a straying clock is due when, and not before, that clock reads its deadline.
        #[test]
        fn a_deadline_is_never_early(ppm in -100_000i32..=100_000, local in 1u64..1_000_000_000_000_000) {
            let drift = Drift::new(ppm);
            let global = drift.global(local);
            prop_assert!(drift.local(global) >= local);
            prop_assert!(drift.local(global - 1) < local);
        }
    }
}
