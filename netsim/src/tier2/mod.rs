//! Tier 2: real processes, real kernels and real time, with a network of ours between them.
//!
//! Each host is a network namespace with one TUN device; one thread, the [`Network`]'s switch, carries the packets
//! between them and does to each what the simulator would do to a datagram: the same links, the same faults, the same
//! count of bites. Chance comes from a seed, but the order of things is the kernel's: runs are judged by bounds, never
//! by hashes. A switch that was late has made figures that nobody asked for: see [`Lateness::usable`].
//!
//! What runs in the namespaces, and what is made of it, is left to the caller. Linux alone has all this, and root alone
//! may have it.

mod lateness;
mod namespaces;
mod network;
mod process;
mod selfcheck;
mod shape;
mod switch;

pub use lateness::Lateness;
pub use namespaces::NamespaceError;
pub use network::Network;
pub use process::{Process, Program};
pub use selfcheck::{Check, EmulatorReport, check_emulator};

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The time of CLOCK_MONOTONIC, which all processes of a machine share.
#[must_use]
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has this clock");
    Duration::from(now)
}

/// Lets this thread go first, when the system allows it: a loaded machine then still keeps time. Whether that was
/// enough is measured, so a refusal is no error.
pub fn go_first() {
    let thread = nix::unistd::gettid().to_string();
    // A low real-time priority: above everything that is not.
    let _ = std::process::Command::new("chrt")
        .args(["--fifo", "--pid", "10", &thread])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
}
