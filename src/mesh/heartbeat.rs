//! Is the other end of a link alive? Time comes in, "send one" and "it is dead" come out.
//!
//! Anything that arrives counts as a sign of life, so a busy link is never suspected for want of heartbeats.

use std::time::{Duration, Instant};

/// The liveness of one link.
#[derive(Debug)]
pub struct Heartbeat {
    interval: Duration,
    dead_after: Duration,
    heard_at: Instant,
    send_at: Instant,
}

/// What a link's timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// A heartbeat is to be sent.
    Send,
    /// Nothing has been heard for too long.
    Dead {
        /// How long.
        silent: Duration,
    },
}

impl Heartbeat {
    /// A link that came up at `now`; the first heartbeat is due at once.
    #[must_use]
    pub fn new(now: Instant, interval: Duration, dead_after: Duration) -> Self {
        Self { interval, dead_after, heard_at: now, send_at: now }
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = self.heard_at.max(now);
    }

    /// What is due at `now`. After [`Due::Send`] the next heartbeat is an interval away.
    pub fn due(&mut self, now: Instant) -> Due {
        let silent = now.saturating_duration_since(self.heard_at);
        if silent >= self.dead_after {
            return Due::Dead { silent };
        }
        if now < self.send_at {
            return Due::Nothing;
        }
        self.send_at = now + self.interval;
        Due::Send
    }

    /// When to ask [`Heartbeat::due`] again.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.send_at.min(self.heard_at + self.dead_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(250);
    const DEAD: Duration = Duration::from_secs(2);

    #[expect(clippy::disallowed_methods, reason = "any instant will do, and there is no other way to make one")]
    fn epoch() -> Instant {
        Instant::now()
    }

    #[test]
    fn sends_once_an_interval() {
        let start = epoch();
        let mut heartbeat = Heartbeat::new(start, INTERVAL, DEAD);
        assert_eq!(heartbeat.due(start), Due::Send);
        assert_eq!(heartbeat.due(start), Due::Nothing);
        assert_eq!(heartbeat.next(), start + INTERVAL);
        assert_eq!(heartbeat.due(start + INTERVAL), Due::Send);
    }

    #[test]
    fn silence_kills_and_any_sign_of_life_saves() {
        let start = epoch();
        let mut heartbeat = Heartbeat::new(start, INTERVAL, DEAD);
        heartbeat.heard(start + DEAD / 2);
        assert_eq!(heartbeat.due(start + DEAD), Due::Send);
        assert_eq!(heartbeat.due(start + DEAD * 2), Due::Dead { silent: DEAD + DEAD / 2 });
    }
}
