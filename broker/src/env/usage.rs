//! What the process takes of the machine, as the operating system counts it.

use super::Usage;
use crate::lock::lock;
use nix::sys::resource::{UsageWho, getrusage};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Asked more often than this, the processor's share is that of before: a short span measures only the question.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// Measures from one question to the next.
#[derive(Debug)]
pub(super) struct Meter(Mutex<Measured>);

#[derive(Debug)]
struct Measured {
    at: Instant,
    busy: Duration,
    percent: f64,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Measured { at: now, busy: busy(), percent: 0.0 }))
    }

    pub(super) fn usage(&self, now: Instant) -> Usage {
        let mut measured = lock(&self.0);
        let span = now.saturating_duration_since(measured.at);
        if span >= SPAN_MIN {
            let busy = busy();
            let share = busy.saturating_sub(measured.busy).as_secs_f64() / span.as_secs_f64();
            // A tenth of a percent is as much as it says.
            let percent = (share * 1000.0).round() / 10.0;
            *measured = Measured { at: now, busy, percent };
        }
        Usage { memory: resident_bytes(), cpu_percent: measured.percent }
    }
}

fn busy() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let time = |time: nix::sys::time::TimeVal| {
        let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
        Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0)) + Duration::from_micros(micros)
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// 0 where the system has no `/proc`.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
