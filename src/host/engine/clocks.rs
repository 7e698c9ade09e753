//! The node's clocks, as components read them: like all else in the node, from the `Env`.

use lattice_broker::env::Env;
use std::time::{Duration, Instant, SystemTime};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// The wall clock. On a device without one it may be wrong; before 1970 it stands still.
pub(super) struct Wall(pub(super) Env);

/// Time since the component began to run.
pub(super) struct Monotonic {
    pub(super) env: Env,
    pub(super) start: Instant,
}

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let since = self.env.now().saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
