//! What the process tests stand on: processes, clusters of them, links that can be cut, a real nats-server.
//!
//! Owns nothing that is tested. Every wait is for a condition, with a limit far above what it takes on an idle
//! machine; every process prints the end of its log when its test fails.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(unreachable_pub, reason = "a module of several test crates, public to each of them")]

pub mod clients;
pub mod cluster;
pub mod http;
pub mod nats_server;
pub mod ports;
pub mod process;
pub mod relay;
pub mod scenario;
pub mod transcript;
pub mod whose;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a condition may take on a machine that does much else.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks `condition` again and again until it gives a value.
///
/// # Panics
/// With `what` when `limit` has passed.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Prints a figure that was measured, also when the test passes: the harness shows what is printed otherwise to nobody.
pub fn tell(figure: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // Nobody reads a closed pipe.
    let _ = writeln!(std::io::stderr(), "     {test}: {figure}");
}

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file that `.ci/fetch-tools` has put into `.work/`.
///
/// # Panics
/// When it is not there: these tests never pass by not running.
pub fn tool(path: &str) -> PathBuf {
    let full = root().join(".work").join(path);
    assert!(full.exists(), "{} is missing: run .ci/fetch-tools first", full.display());
    full
}
