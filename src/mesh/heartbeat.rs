//! Is the other end of a link alive? Time comes in, "send one" and "it is dead" come out.
//!
//! One end leads: it sends a heartbeat every interval. The transport acknowledges each, so that one packet in either
//! direction shows both ends that the other is there. The other end speaks up only when it hears nothing, as when one
//! direction is cut. Anything that arrives counts as a sign of life, so a busy link is never suspected for want of
//! heartbeats.

use std::time::{Duration, Instant};

/// Intervals of silence after which the end that does not lead sends heartbeats too: long enough for one to be late.
const SPEAK_UP_AFTER: f64 = 1.5;

/// The liveness of one link.
#[derive(Debug)]
pub struct Heartbeat {
    interval: Duration,
    dead_after: Duration,
    leads: bool,
    heard_at: Instant,
    send_at: Instant,
    sent_at: Instant,
    /// Acknowledgements that had arrived when it was last looked.
    acknowledged: u64,
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
    /// A link that came up at `now`; the first heartbeat is due at once. Of its two ends one leads.
    #[must_use]
    pub fn new(now: Instant, interval: Duration, dead_after: Duration, leads: bool) -> Self {
        Self { interval, dead_after, leads, heard_at: now, send_at: now, sent_at: now, acknowledged: 0 }
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = self.heard_at.max(now);
        if !self.leads {
            self.send_at = self.send_at.max(self.heard_at + self.interval.mul_f64(SPEAK_UP_AFTER));
        }
    }

    /// So many acknowledgements have arrived since the link came up. New ones are of the last heartbeat or of what was
    /// sent later: they came no earlier than `round_trip` after it.
    pub fn acknowledged(&mut self, now: Instant, acknowledgements: u64, round_trip: Duration) {
        if acknowledgements != self.acknowledged {
            self.acknowledged = acknowledgements;
            self.heard(now.min(self.sent_at + round_trip));
        }
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
        self.sent_at = now;
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
        let mut heartbeat = Heartbeat::new(start, INTERVAL, DEAD, true);
        assert_eq!(heartbeat.due(start), Due::Send);
        assert_eq!(heartbeat.due(start), Due::Nothing);
        assert_eq!(heartbeat.next(), start + INTERVAL);
        assert_eq!(heartbeat.due(start + INTERVAL), Due::Send);
    }

    #[test]
    fn silence_kills_and_any_sign_of_life_saves() {
        let start = epoch();
        let mut heartbeat = Heartbeat::new(start, INTERVAL, DEAD, true);
        heartbeat.heard(start + DEAD / 2);
        assert_eq!(heartbeat.due(start + DEAD), Due::Send);
        assert_eq!(heartbeat.due(start + DEAD * 2), Due::Dead { silent: DEAD + DEAD / 2 });
    }

    #[test]
    fn an_acknowledgement_counts_from_when_it_can_have_come() {
        let (start, round_trip) = (epoch(), Duration::from_millis(20));
        let mut heartbeat = Heartbeat::new(start, INTERVAL, DEAD, true);
        assert_eq!(heartbeat.due(start), Due::Send);
        heartbeat.acknowledged(start + INTERVAL, 1, round_trip);
        assert_eq!(heartbeat.due(start + INTERVAL), Due::Send);
        heartbeat.acknowledged(start + INTERVAL * 2, 1, round_trip);
        assert_eq!(heartbeat.due(start + round_trip + DEAD), Due::Dead { silent: DEAD });
    }

    #[test]
    fn the_end_that_does_not_lead_speaks_up_when_it_hears_nothing() {
        let start = epoch();
        let mut heartbeat = Heartbeat::new(start, INTERVAL, DEAD, false);
        assert_eq!(heartbeat.due(start), Due::Send);
        for nth in 0..8 {
            heartbeat.heard(start + INTERVAL * nth);
            assert_eq!(heartbeat.due(start + INTERVAL * (nth + 1)), Due::Nothing);
        }
        let silent_from = start + INTERVAL * 7;
        assert_eq!(heartbeat.next(), silent_from + INTERVAL.mul_f64(SPEAK_UP_AFTER));
        assert_eq!(heartbeat.due(heartbeat.next()), Due::Send);
        assert_eq!(heartbeat.due(heartbeat.next()), Due::Send);
        assert_eq!(heartbeat.due(silent_from + DEAD), Due::Dead { silent: DEAD });
    }
}
