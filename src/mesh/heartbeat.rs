//! Does a link carry, and both ways? Signs of life and time come in; when to send one, and for how long one was missing,
//! come out.
//!
//! One end leads: it sends a heartbeat every interval. The transport acknowledges each, so that one packet in either
//! direction shows both ends that the other is there. The other end speaks up only when it misses something. Anything
//! that arrives counts as a sign of life, so a busy link is never suspected for want of heartbeats.
//!
//! Whoever hears may still not be heard. The end that leads sees it by its heartbeats, which nobody acknowledges; and each
//! heartbeat says for how long its sender has heard nothing, so that the other end learns it, too.
//!
//! What follows from a silence is left to `suspicion.rs`.

use super::quic::receipts::{RECEIPTS_MAX, Receipt};
use crate::codec::{self, Decode, Encode};
use crate::planted::{self, Bug};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// First byte of a datagram that is a heartbeat; an empty datagram is one that says nothing.
pub const TAG: u8 = 1;
/// Interval where data costs money.
pub const METERED: Duration = Duration::from_secs(15);
/// Bounds of the automatic interval…
const AUTOMATIC_MIN: Duration = Duration::from_millis(100);
const AUTOMATIC_MAX: Duration = Duration::from_millis(500);
/// …which is so many round trips: on a link of 20 ms that is four heartbeats a second.
const ROUND_TRIPS: f64 = 12.5;
/// Longest interval that a peer may ask for.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// Intervals without a sign of life after which one is missed: long enough for one to be late…
const MISSED_AFTER: f64 = 1.5;
/// …so many a heartbeat is sent then, until there is one…
const MISSED_PACE: f64 = 0.25;
/// …and later, when the link is suspected anyway.
const SUSPECTED_PACE: f64 = 0.5;
/// Shortest time between two heartbeats.
const PACE_MIN: Duration = Duration::from_millis(25);
/// Intervals without a sign of life after which a link is suspected; an answer's time comes on top.
const SUSPECT_AFTER: u32 = 3;

/// How long a peer may put an acknowledgement off.
const ACK_DELAY: Duration = Duration::from_millis(25);
/// What an answer may always be late, in smoothed deviations, and at least.
const LATE: f64 = 4.0;
const LATE_MIN: Duration = Duration::from_millis(25);
/// Weights of a new sample of the answer's time and of its deviation, as in RFC 6298.
const SMOOTHING: f64 = 1.0 / 8.0;
const DEVIATION: f64 = 1.0 / 4.0;
/// Heartbeats whose answers are waited for.
const PENDING_MAX: usize = 32;

/// How often a link shows that it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// By its round trip: every 100 ms on a LAN, and up to 500 ms.
    Automatic,
    /// So often.
    Every(Duration),
    /// Every 15 s; and routes avoid the link where they can.
    Metered,
}

impl Pace {
    /// The interval, when it is a fixed one.
    #[must_use]
    pub fn fixed(self) -> Option<Duration> {
        match self {
            Self::Automatic => None,
            Self::Every(interval) => Some(interval),
            Self::Metered => Some(METERED),
        }
    }
}

/// What a heartbeat says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Beat {
    /// Milliseconds from one heartbeat to the next: from the end that leads, as it is; from the other, as it has to be at
    /// least, 0 when it does not care.
    pub every_ms: u32,
    /// From the end that leads: the silence after which it suspects the link, in milliseconds. Else 0.
    pub suspect_ms: u32,
    /// For how long the sender has heard nothing, in milliseconds.
    pub silent_ms: u32,
    /// From the end that leads: what the link costs, as far as it was measured. Else 0.
    pub cost: u32,
    /// Whether the sender pays for what the link carries.
    pub metered: bool,
}

impl Beat {
    /// The heartbeat as a datagram.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut datagram = vec![TAG];
        codec::encode_into(self, &mut datagram);
        datagram.into()
    }

    /// What the datagram after [`TAG`] says; nothing when this version does not understand it.
    #[must_use]
    pub fn decode(record: &[u8]) -> Option<Self> {
        codec::decode(record).ok()
    }
}

/// Heartbeats that were answered in time since the last look, and those that were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanges {
    /// The acknowledgement came in time.
    pub answered: u32,
    /// It did not: the heartbeat or the acknowledgement was lost.
    pub lost: u32,
}

/// What a link's timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// A heartbeat is to be sent.
    Send,
    /// There has been no sign of life for too long.
    Dead(Missing),
}

/// For how long there has been no sign of life, and whose ear is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// This end has heard nothing for so long.
    Heard(Duration),
    /// The peer has heard nothing for so long.
    Answered(Duration),
}

/// How long the answer to a heartbeat takes.
#[derive(Clone, Copy, Debug)]
struct AnswerTime {
    smoothed: Duration,
    deviation: Duration,
}

impl AnswerTime {
    fn new(round_trip: Duration) -> Self {
        Self { smoothed: round_trip + ACK_DELAY, deviation: round_trip / 4 }
    }

    fn sample(&mut self, took: Duration) {
        let off = self.smoothed.abs_diff(took);
        self.deviation = self.deviation.mul_f64(1.0 - DEVIATION) + off.mul_f64(DEVIATION);
        self.smoothed = self.smoothed.mul_f64(1.0 - SMOOTHING) + took.mul_f64(SMOOTHING);
    }

    /// What it takes at most, but for chance.
    fn at_most(&self) -> Duration {
        self.smoothed + self.deviation.mul_f64(LATE).max(LATE_MIN)
    }
}

/// The signs of life of one link.
#[derive(Debug)]
pub struct Heartbeat {
    pace: Pace,
    dead_after: Duration,
    leads: bool,
    round_trip: Duration,
    answer_time: AnswerTime,
    heard_at: Instant,
    /// When something that this end has sent was last acknowledged.
    answered_at: Instant,
    /// What the peer's last heartbeat said, and when it came.
    told: Option<(Instant, Beat)>,
    sent_at: Option<Instant>,
    /// Heartbeats whose answers may yet come in time.
    pending: VecDeque<Instant>,
    /// The latest receipt that was looked at.
    seen: Option<Receipt>,
}

impl Heartbeat {
    /// A link that came up at `now`; the first heartbeat is due at once. Of its two ends one leads. It is dead after
    /// `dead_after`, or longer where the interval or the round trip are long.
    #[must_use]
    pub fn new(now: Instant, pace: Pace, dead_after: Duration, leads: bool, round_trip: Duration) -> Self {
        Self {
            pace,
            dead_after,
            leads,
            round_trip,
            answer_time: AnswerTime::new(round_trip),
            heard_at: now,
            answered_at: now,
            told: None,
            sent_at: None,
            pending: VecDeque::new(),
            seen: None,
        }
    }

    /// Something arrived.
    pub fn heard(&mut self, at: Instant) {
        self.heard_at = self.heard_at.max(at);
    }

    /// A heartbeat arrived, and said this.
    pub fn told(&mut self, now: Instant, beat: Beat) {
        self.heard(now);
        self.told = Some((now, beat));
    }

    /// This end itself did nothing for so long: that is no silence of the peer's.
    pub fn slept(&mut self, now: Instant, slept: Duration) {
        self.heard_at = now.min(self.heard_at + slept);
        self.answered_at = now.min(self.answered_at + slept);
        if let Some((at, _)) = &mut self.told {
            *at = now.min(*at + slept);
        }
        self.pending.clear();
    }

    /// Takes in the latest acknowledgements, oldest first, and the smoothed round trip. Returns what became of heartbeats.
    pub fn receipts(&mut self, now: Instant, round_trip: Duration, receipts: &VecDeque<Receipt>) -> Exchanges {
        self.round_trip = round_trip;
        for receipt in receipts.iter().filter(|receipt| self.seen.is_none_or(|seen| seen.sent < receipt.sent)) {
            self.answer_time.sample(receipt.at.saturating_duration_since(receipt.sent));
        }
        if let Some(last) = receipts.back() {
            self.seen = Some(*last);
            self.heard(last.at);
            self.answered_at = self.answered_at.max(last.at);
        }
        self.exchanges(now, receipts)
    }

    fn exchanges(&mut self, now: Instant, receipts: &VecDeque<Receipt>) -> Exchanges {
        let mut exchanges = Exchanges::default();
        while let Some(&sent) = self.pending.front() {
            let until = sent + self.answer_time.at_most();
            match receipts.iter().position(|receipt| receipt.sent >= sent) {
                // So much is acknowledged that the answer is not among the latest: the link is busy, and nothing is known.
                Some(0) if receipts.len() == RECEIPTS_MAX => {}
                Some(nth) if receipts[nth].at <= until => exchanges.answered += 1,
                Some(_) => exchanges.lost += 1,
                None if until < now => exchanges.lost += 1,
                None => break,
            }
            self.pending.pop_front();
        }
        exchanges
    }

    /// From one heartbeat of the end that leads to the next.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let automatic = self.round_trip.mul_f64(ROUND_TRIPS).clamp(AUTOMATIC_MIN, AUTOMATIC_MAX);
        let own = self.pace.fixed().unwrap_or(automatic);
        match self.told {
            Some((_, told)) if self.leads => own.max(millis(told.every_ms).min(ASKED_MAX)),
            Some((_, told)) if told.every_ms > 0 => millis(told.every_ms).clamp(PACE_MIN, ASKED_MAX),
            Some(_) | None => own,
        }
    }

    /// Silence after which a sign of life is overdue.
    fn missed_after(&self) -> Duration {
        self.interval().mul_f64(MISSED_AFTER)
    }

    /// Silence after which the link is suspected.
    #[must_use]
    pub fn suspect_after(&self) -> Duration {
        let least = self.interval() * SUSPECT_AFTER;
        match self.told {
            // Only the end that leads measures how late an answer may be.
            Some((_, told)) if !self.leads && told.suspect_ms > 0 => millis(told.suspect_ms).clamp(least, least * 4),
            Some(_) | None => least + self.patience(least),
        }
    }

    /// How late an answer may be: as long as one takes at most, but not for so long that the link would have to live on
    /// past `dead_after`. What was held up in a cut makes answers seem slow for a while after it.
    fn patience(&self, least: Duration) -> Duration {
        let room = (self.dead_after * 3 / 4).saturating_sub(least).max(self.answer_time.smoothed * 2);
        self.answer_time.at_most().min(room)
    }

    /// Silence after which it is dead.
    #[must_use]
    pub fn dead_after(&self) -> Duration {
        self.dead_after.max(self.suspect_after() * 4 / 3)
    }

    /// For how long there has been no sign of life in the direction where it has been missing for longer.
    #[must_use]
    pub fn missing(&self, now: Instant) -> Missing {
        // Planted: the heartbeats that are sent count for those that should come.
        if planted::is(Bug::HalfOpenBelieved) {
            return Missing::Heard(Duration::ZERO);
        }
        let heard = now.saturating_duration_since(self.heard_at);
        let unanswered = if self.leads { now.saturating_duration_since(self.answered_at) } else { Duration::ZERO };
        // What was acknowledged later than that, the peer has heard.
        let told = self.told.filter(|(at, _)| *at >= self.answered_at);
        let unheard = unanswered.max(told.map_or(Duration::ZERO, |(at, told)| self.unheard(now, at, told)));
        if unheard > heard { Missing::Answered(unheard) } else { Missing::Heard(heard) }
    }

    /// For how long the peer has heard nothing, by what it said at `at`. Where it missed something then, it still does
    /// as far as anybody knows: it may have closed the link since, and what says so may be lost.
    fn unheard(&self, now: Instant, at: Instant, told: Beat) -> Duration {
        let silent = millis(told.silent_ms);
        if silent >= self.missed_after() { silent + now.saturating_duration_since(at) } else { silent }
    }

    /// What is due at `now`. After [`Due::Send`] the next heartbeat is an interval away, or less when one is missed.
    pub fn due(&mut self, now: Instant) -> Due {
        let missing = self.missing(now);
        if missing.time() >= self.dead_after() {
            return Due::Dead(missing);
        }
        if now < self.send_at(now) {
            return Due::Nothing;
        }
        self.sent_at = Some(now);
        if self.leads {
            if self.pending.len() == PENDING_MAX {
                self.pending.pop_front();
            }
            self.pending.push_back(now);
        }
        Due::Send
    }

    /// What the heartbeat that is due says; `cost` is for the end that leads.
    #[must_use]
    pub fn beat(&self, now: Instant, cost: u32) -> Beat {
        let heard = now.saturating_duration_since(self.heard_at);
        let (every, suspect, cost) = match self.leads {
            true => (self.interval(), self.suspect_after(), cost),
            false => (self.pace.fixed().unwrap_or_default(), Duration::ZERO, 0),
        };
        Beat {
            every_ms: whole_millis(every),
            suspect_ms: whole_millis(suspect),
            silent_ms: whole_millis(heard),
            cost,
            metered: self.pace == Pace::Metered,
        }
    }

    /// When to ask [`Heartbeat::due`] and [`Heartbeat::missing`] again, unless something arrives before.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        let since = if self.leads { self.heard_at.min(self.answered_at) } else { self.heard_at };
        let times = [self.send_at(now), since + self.suspect_after(), since + self.dead_after()];
        times.into_iter().filter(|at| *at > now).min().unwrap_or_else(|| now + self.interval())
    }

    fn send_at(&self, now: Instant) -> Instant {
        let Some(sent) = self.sent_at else { return now };
        let (interval, missing) = (self.interval(), self.missing(now).time());
        if self.is_missed(now) {
            let pace = if missing < self.suspect_after() { MISSED_PACE } else { SUSPECTED_PACE };
            return sent + interval.mul_f64(pace).max(PACE_MIN);
        }
        if self.leads || self.is_too_often() {
            return sent + interval.max(PACE_MIN);
        }
        (self.heard_at + self.missed_after()).max(sent + PACE_MIN)
    }

    /// Whether a sign of life is overdue.
    #[must_use]
    pub fn is_missed(&self, now: Instant) -> bool {
        self.missing(now).time() >= self.missed_after()
    }

    /// The end that leads does not know yet how rarely it should.
    fn is_too_often(&self) -> bool {
        let told = self.told.map(|(_, told)| millis(told.every_ms));
        self.pace.fixed().zip(told).is_some_and(|(wanted, told)| told < wanted)
    }
}

impl Missing {
    /// For how long.
    #[must_use]
    pub fn time(self) -> Duration {
        match self {
            Self::Heard(time) | Self::Answered(time) => time,
        }
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Heard(time) => write!(f, "nothing heard for {} ms", time.as_millis()),
            Self::Answered(time) => write!(f, "the peer has heard nothing for {} ms", time.as_millis()),
        }
    }
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(u64::from(millis))
}

fn whole_millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
