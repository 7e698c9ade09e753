//! The node's clocks, as components read them: like all else in the node, from the `Env`. And the time that is held against
//! them, which is not.

use lattice_broker::env::Env;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::Sleep;
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

/// Waits for `done`, at most for `time`. On the threads of components alone.
///
/// # Errors
/// The time is up; `done` was dropped where it stood.
#[expect(
    clippy::disallowed_methods,
    reason = "a timer of the node's runtime must not be waited for on other threads: when that ends first, it panics here"
)]
pub(super) async fn within<T>(time: Duration, done: impl Future<Output = T>) -> Result<T, TimeIsUp> {
    // It looks at its timer also when `done` has used up all turns of the task, which a component can bring about.
    tokio::time::timeout(time, done).await.map_err(|_| TimeIsUp)
}

/// What is over after `time`. On the threads of components alone, as [`within`] is.
#[expect(clippy::disallowed_methods, reason = "as for `within`")]
pub(super) fn timer(time: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(time))
}

/// See [`within`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeIsUp;
