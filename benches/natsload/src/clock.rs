//! Time in nanoseconds since the program began, and sleeping that is as exact as the kernel allows.
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // One second ahead: 0 stays free to mean "never".
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1_000_000_000
}

pub fn sleep_until_ns(t: u64) {
    let now = now_ns();
    if t > now {
        std::thread::sleep(Duration::from_nanos(t - now))
    }
}

/// The kernel may by default let a sleep run 50 µs over, which would be counted as the server's.
pub fn tight_timer() {
    let _ = nix::sys::prctl::set_timerslack(1);
}
