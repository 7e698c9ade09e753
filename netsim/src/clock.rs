//! Virtual time: nanoseconds since the world began, and how one host's clock strays from them.
//!
//! What happens at which time is left to `agenda.rs`.

use crate::guarded::Guarded;
use crate::link::FaultId;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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
}

/// How fast a host's clock runs since it was last changed, and what it read then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    global: Nanos,
    local: Nanos,
    /// Parts per million more than a true second.
    ppm: i32,
}

impl Pace {
    /// From `now` on another rate; what it reads goes on from what it reads then. Limits `ppm` to a tenth of a second per
    /// second: no quartz is as bad.
    fn changed(self, now: Nanos, ppm: i32) -> Self {
        Self { global: now, local: self.local(now), ppm: ppm.clamp(-100_000, 100_000) }
    }

    fn local(self, global: Nanos) -> Nanos {
        let passed = global.saturating_sub(self.global);
        if self.ppm == 0 {
            return self.local.saturating_add(passed);
        }
        let passed = i128::from(passed) * self.rate() / 1_000_000;
        Nanos::try_from(i128::from(self.local) + passed).unwrap_or(Nanos::MAX)
    }

    /// The first true moment at which the host's clock reads at least `local`; for what it has read before, not after the
    /// change.
    pub(crate) fn global(self, local: Nanos) -> Nanos {
        let ahead = local.saturating_sub(self.local);
        if self.ppm == 0 {
            return self.global.saturating_add(ahead);
        }
        let ahead = (i128::from(ahead) * 1_000_000 + self.rate() - 1) / self.rate();
        Nanos::try_from(i128::from(self.global) + ahead).unwrap_or(Nanos::MAX)
    }

    fn rate(self) -> i128 {
        1_000_000 + i128::from(self.ppm)
    }
}

/// The clock of one host, in all its lives: how it strays, and by how much its wall clock was set wrong.
#[derive(Debug, Default)]
pub(crate) struct HostClock {
    /// False while it has always run true, as most do: then nobody needs to look.
    strayed: AtomicBool,
    pace: Guarded<(Pace, Option<FaultId>)>,
    /// What each fault that is on adds to the wall clock, in nanoseconds.
    steps: Guarded<Vec<(FaultId, i128)>>,
}

impl HostClock {
    fn pace(&self) -> (Pace, Option<FaultId>) {
        if self.strayed.load(Relaxed) { *self.pace.lock() } else { Default::default() }
    }

    /// What the host's monotonic clock reads.
    pub(crate) fn instant(&self, clock: &Clock) -> Instant {
        clock.base + Duration::from_nanos(self.pace().0.local(clock.now()))
    }

    /// What its wall clock reads, never before 1970, and the faults that have a part in it.
    pub(crate) fn wall(&self, clock: &Clock) -> (SystemTime, Vec<FaultId>) {
        let local = self.pace().0.local(clock.now());
        let steps = self.steps.lock();
        let wrong: i128 = steps.iter().map(|(_, by)| by).sum();
        let since = (WALL_START.as_nanos() as i128 + i128::from(local) + wrong).max(0);
        let since = Duration::from_nanos(Nanos::try_from(since).unwrap_or(Nanos::MAX));
        (UNIX_EPOCH + since, steps.iter().map(|(fault, _)| *fault).collect())
    }

    /// What the host's clock reads at `at` since the world began, when that truly is, and the fault that has a part in it.
    pub(crate) fn deadline(&self, clock: &Clock, at: Instant) -> (Deadline, Option<FaultId>) {
        let (pace, fault) = self.pace();
        let local = nanos(at.saturating_duration_since(clock.base));
        (Deadline { local, global: pace.global(local) }, fault)
    }

    /// Lets it run `ppm` parts per million too fast from now on. Returns its pace, and the fault that this ends.
    pub(crate) fn drift(&self, now: Nanos, ppm: i32, fault: Option<FaultId>) -> (Pace, Option<FaultId>) {
        let mut pace = self.pace.lock();
        let before = std::mem::replace(&mut pace.1, fault);
        pace.0 = pace.0.changed(now, ppm);
        self.strayed.store(true, Relaxed);
        (pace.0, before)
    }

    /// True when it strays because of `fault`.
    pub(crate) fn strays_by(&self, fault: FaultId) -> bool {
        self.pace().1 == Some(fault)
    }

    /// Sets the wall clock on or back.
    pub(crate) fn step(&self, fault: FaultId, by: Duration, forwards: bool) {
        let by = by.as_nanos() as i128;
        self.steps.lock().push((fault, if forwards { by } else { -by }));
    }

    /// Takes a step back.
    pub(crate) fn step_back(&self, fault: FaultId) {
        self.steps.lock().retain(|(by, _)| *by != fault);
    }
}

/// When something is to happen: by the host's clock, which says when it is due, and by the world's, which may have to be
/// found anew when the host's changes its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) local: Nanos,
    pub(crate) global: Nanos,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However often its pace changes, a host's clock never jumps, and a deadline is due when, and not before, that
        /// clock reads it.
        #[test]
        fn a_deadline_is_never_early(
            changes in proptest::collection::vec((-100_000i32..=100_000, 1u64..1_000_000_000_000), 1..8),
            ahead in 1u64..1_000_000_000_000_000,
        ) {
            let (mut pace, mut now) = (Pace::default(), 0);
            for (ppm, later) in changes {
                now += later;
                let before = pace.local(now);
                pace = pace.changed(now, ppm);
                prop_assert_eq!(pace.local(now), before);
            }
            let local = pace.local(now) + ahead;
            let global = pace.global(local);
            prop_assert!(pace.local(global) >= local);
            prop_assert!(pace.local(global - 1) < local);
            prop_assert!(pace.global(pace.local(now) - 1) <= now, "what it has read is over");
        }
    }
}
