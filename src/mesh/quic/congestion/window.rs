//! How much may be under way: acknowledgements, losses and time come in, a number of bytes comes out. No clock.
//!
//! ```text
//! Ramp ──a queue, no gain, or losses──► Full ──some rounds──► Lean ──a round or two──► Full ──► …
//! ```
//!
//! The window is what the line carries in a round trip without a queue, and for how long a packet may wait on top. Where
//! the line carries more, the queue is empty, more is delivered, and the window grows with it. Where it carries less,
//! packets wait for longer, and the window follows what is delivered. A loss alone changes nothing; see `losses.rs`.

use super::delay::Delay;
use super::losses::Losses;
use super::rate::Rate;
use std::time::{Duration, Instant};

/// Packets that may be under way before anything is known of the line.
const INITIAL_PACKETS: u64 = 10;
/// The least window, with a queue and without. The transport stops one packet short of it.
const PACKETS_MIN: u64 = 4;
const LEAN_PACKETS_MIN: u64 = 3;
/// On top of what the line and its queue hold: what it carries in this time, one packet at least and so many at most. That
/// lets several links over one line come to equal shares.
const SPARE_TIME: Duration = Duration::from_millis(30);
const SPARE_PACKETS_MAX: u64 = 3;
/// The largest window.
const WINDOW_MAX: u64 = 32 << 20;
/// A packet may wait for this share of the round trip, within these bounds.
const QUEUE_SHARE: u32 = 4;
const QUEUE_MIN: Duration = Duration::from_millis(5);
const QUEUE_MAX: Duration = Duration::from_millis(25);
/// The upper bound does not hold after so many rounds with nothing that waits.
const EMPTY_ROUNDS: u32 = 3;
/// What is left of that where the line's queue turns out to be too short, at least.
const PATIENCE_MIN: f64 = 0.05;
/// By how much it is less then, and grows again.
const PATIENCE_LESS: f64 = 0.7;
const PATIENCE_MORE: f64 = 1.1;
/// The ramp ends at a queue of this share of the round trip, within these bounds…
const RAMP_QUEUE_SHARE: u32 = 8;
const RAMP_QUEUE_MIN: Duration = Duration::from_millis(4);
const RAMP_QUEUE_MAX: Duration = Duration::from_millis(16);
/// …or after so many rounds that have not brought so many times more.
const RAMP_ROUNDS: u32 = 3;
const RAMP_GAIN: f64 = 1.25;
/// …or after a round of which so much was lost.
const RAMP_LOSS: f64 = 0.2;
const RAMP_LOST_MIN: u64 = 10;
/// A round takes so long at least: on a short way more than one round trip.
const ROUND_MIN: Duration = Duration::from_millis(4);
/// Rounds with a queue and their time, or fewer where rounds are long.
const FULL_ROUNDS: u32 = 12;
const FULL_MIN: Duration = Duration::from_millis(250);
const FULL_ROUNDS_MIN: u32 = 2;
const FULL_MAX: Duration = Duration::from_secs(3);
/// Rounds without one, with this share of what the line is believed to hold under way.
const LEAN: Lean = Lean { rounds: 1, share: 0.88 };
/// When the way's own time was not seen for long: others may fill the queue. When it drains all see that, and all look at
/// the same time from then on.
const LEAN_LONG: Lean = Lean { rounds: 2, share: 0.5 };
/// Rounds with too long a queue after which it is looked whether less sending helps at all.
const HIGH_ROUNDS: u32 = 3;
/// When the line has not been full for so long, what is known of it is believed half.
const STALE_AFTER: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is known: twice as much each round.
    Ramp,
    /// With a queue.
    Full,
    /// Without, so that the way's own time shows.
    Lean,
}

/// How a time without a queue is to be.
#[derive(Clone, Copy, Debug)]
struct Lean {
    rounds: u32,
    share: f64,
}

/// From a moment until something is acknowledged that was sent after it.
#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    acked: u64,
    lost: u64,
    /// There was less to send than might have been.
    limited: bool,
    /// What arrived in it was sent in the one before.
    limited_before: bool,
    /// The path has marked packets instead of losing them.
    marked: bool,
}

/// Rounds in a row in which packets have waited for too long.
#[derive(Clone, Copy, Debug, Default)]
struct High {
    rounds: u32,
    /// The round trip at the end of the last.
    took: Duration,
    /// What the line was believed to carry before.
    rate: f64,
}

/// How much may be under way on one direction of a link.
#[derive(Clone, Debug)]
pub(super) struct Window {
    mtu: u64,
    bytes: u64,
    phase: Phase,
    /// Rounds in this phase, or those of the ramp without gain, and when it began.
    rounds: u32,
    since: Instant,
    delay: Delay,
    rate: Rate,
    losses: Losses,
    round: Round,
    high: High,
    /// Share of the queue that the line is trusted with.
    patience: f64,
    /// Full rounds in a row that have ended without a queue worth the name: the line carries more.
    empty: u32,
    lean: Lean,
    /// What the ramp has reached.
    reached: f64,
    /// When there was last as much to send as might be.
    full_at: Instant,
    /// When the latest packet was sent that is known to have arrived, and whether it is news.
    newest: Instant,
    news: bool,
}

impl Window {
    pub(super) fn new(now: Instant, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        Self {
            mtu,
            bytes: mtu * INITIAL_PACKETS,
            phase: Phase::Ramp,
            rounds: 0,
            since: now,
            delay: Delay::new(now),
            rate: Rate::default(),
            losses: Losses::new(now),
            round: Round { began: now, acked: 0, lost: 0, limited: true, limited_before: true, marked: false },
            high: High::default(),
            patience: 1.0,
            empty: 0,
            lean: LEAN,
            reached: 0.0,
            full_at: now,
            newest: now,
            news: false,
        }
    }

    /// Bytes that may be under way.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that may be under way before anything is known.
    pub(super) fn initial(&self) -> u64 {
        self.mtu * INITIAL_PACKETS
    }

    /// Packets can have this size now.
    pub(super) fn set_mtu(&mut self, mtu: u16) {
        self.mtu = u64::from(mtu);
        self.bytes = self.bytes.max(self.mtu * PACKETS_MIN);
    }

    /// A packet of `bytes` was acknowledged. `limited` says that nothing waits to be sent.
    pub(super) fn acked(&mut self, sent: Instant, bytes: u64, limited: bool) {
        self.round.acked += bytes;
        self.round.limited |= limited;
        self.losses.acked(sent, bytes);
        if sent > self.newest {
            (self.newest, self.news) = (sent, true);
        }
        if self.phase == Phase::Ramp && !limited {
            self.bytes = (self.bytes + bytes).min(WINDOW_MAX);
        }
    }

    /// All that came with one acknowledgement was told.
    pub(super) fn acked_all(&mut self, now: Instant) {
        if !std::mem::take(&mut self.news) {
            return;
        }
        self.delay.sample(now, now.saturating_duration_since(self.newest));
        if self.phase == Phase::Ramp && !self.round.limited && self.delay.queue() > self.ramp_queue() {
            self.end_ramp(now);
        }
        if self.newest >= self.round.began && now.saturating_duration_since(self.round.began) >= ROUND_MIN {
            self.end_round(now);
        }
    }

    /// Packets of `bytes` in all were lost, the last of which was sent at `sent`.
    pub(super) fn lost(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.losses.lost(sent, bytes);
        self.round.lost += bytes;
        let Round { acked, lost, .. } = self.round;
        let much = lost > self.mtu * RAMP_LOST_MIN && lost as f64 > (acked + lost) as f64 * RAMP_LOSS;
        if self.phase == Phase::Ramp && much {
            self.end_ramp(now);
            self.bytes = self.bytes.min(self.target(Phase::Full));
        }
    }

    /// Nothing has got through for several times as long as an answer takes: nothing is known of the line any more.
    pub(super) fn cut(&mut self, now: Instant) {
        self.rate = Rate::default();
        self.high = High::default();
        self.bytes = self.bytes.min(self.initial());
        self.ramp(now);
    }

    /// The path says that its queue grows.
    pub(super) fn marked(&mut self) {
        if !std::mem::replace(&mut self.round.marked, true) {
            self.patience = (self.patience * PATIENCE_LESS).max(PATIENCE_MIN);
            self.bytes = (self.bytes * 7 / 8).max(self.mtu * PACKETS_MIN);
        }
    }

    fn end_round(&mut self, now: Instant) {
        let took = now.saturating_duration_since(self.round.began).as_secs_f64();
        let rate = self.round.acked as f64 / took;
        let limited = self.round.limited || self.round.limited_before;
        if limited {
            self.end_limited(now, rate);
        } else {
            self.full_at = now;
            self.end_full(now, rate);
        }
        self.round =
            Round { began: now, acked: 0, lost: 0, limited: false, limited_before: self.round.limited, marked: false };
    }

    /// Ends a round in which there was less to send than might have been.
    fn end_limited(&mut self, now: Instant, rate: f64) {
        self.rate.sample(rate);
        self.delay.adopt(now);
        if self.phase == Phase::Lean {
            self.rounds += 1;
            if self.rounds >= self.lean.rounds {
                // The queue has drained all the same; of what the line carries these rounds say nothing.
                self.high = High::default();
                self.enter(now, Phase::Full);
            }
        }
        if now.saturating_duration_since(self.full_at) >= STALE_AFTER {
            self.full_at = now;
            self.rate.turn();
            self.bytes = (self.bytes / 2).max(self.initial());
            self.ramp(now);
        }
        self.bytes = self.bytes.max(self.target(self.phase));
    }

    fn end_full(&mut self, now: Instant, rate: f64) {
        match self.phase {
            Phase::Ramp => {
                self.rate.sample(rate);
                self.rounds += 1;
                if rate > self.reached * RAMP_GAIN {
                    (self.reached, self.rounds) = (rate, 0);
                }
                if self.rounds >= RAMP_ROUNDS {
                    self.end_ramp(now);
                }
                return;
            }
            Phase::Full if self.is_high() => self.relieve(rate),
            Phase::Full => {
                self.high = High::default();
                self.empty = if self.delay.queue() < self.queue() / 4 { self.empty + 1 } else { 0 };
                self.rate.sample(rate);
            }
            Phase::Lean => self.rate.sample(rate),
        }
        let blameless = self.judge();
        if self.turn(now) && blameless {
            self.patience = (self.patience * PATIENCE_MORE).min(1.0);
        }
        let target = self.target(self.phase);
        self.bytes = if self.is_roomy() { self.bytes.max(target) } else { target };
    }

    /// The window is no larger than what the line carries at once, whatever little was delivered: nothing waits, and no
    /// queue was found too short.
    fn is_roomy(&self) -> bool {
        self.phase == Phase::Full && self.empty > 0 && self.patience >= 1.0
    }

    /// Packets wait for longer than what is under way explains, if the line carries what it did.
    fn is_high(&self) -> bool {
        let spare = (self.mtu * (SPARE_PACKETS_MAX + 2)) as f64 / self.rate.best().max(1.0);
        self.delay.queue().as_secs_f64() > self.queue().as_secs_f64() * 2.0 + spare
    }

    /// The line carries less than it did; or else its way has become longer, which shows when less sending is of no use.
    fn relieve(&mut self, rate: f64) {
        let took = self.delay.now();
        if self.high.rounds == 0 {
            self.high.rate = self.rate.best();
        }
        self.high.rounds += 1;
        if self.high.rounds >= HIGH_ROUNDS && took > self.high.took * 3 / 4 {
            self.delay.doubt();
        } else {
            self.high.took = took;
            self.rate.set(rate);
        }
    }

    /// Takes turns with and without a queue. Returns whether both have had theirs.
    fn turn(&mut self, now: Instant) -> bool {
        self.rounds += 1;
        let time = now.saturating_duration_since(self.since);
        let long = |rounds, least| self.rounds >= rounds && time >= least;
        match self.phase {
            Phase::Full
                if long(FULL_ROUNDS, FULL_MIN) || long(FULL_ROUNDS_MIN, FULL_MAX) || self.delay.is_stale(now) =>
            {
                self.begin_lean(now);
            }
            Phase::Lean if self.rounds >= self.lean.rounds => {
                self.end_lean(now);
                return true;
            }
            Phase::Ramp | Phase::Full | Phase::Lean => {}
        }
        false
    }

    /// Lets the queue drain, unless there is none and next to nothing is lost.
    fn begin_lean(&mut self, now: Instant) {
        if self.empty >= self.rounds && self.losses.are_few() {
            self.delay.adopt(now);
            self.rate.turn();
            return self.enter(now, Phase::Full);
        }
        self.lean = if self.delay.is_stale(now) { LEAN_LONG } else { LEAN };
        self.delay.look();
        self.enter(now, Phase::Lean);
    }

    fn end_lean(&mut self, now: Instant) {
        let before = self.base();
        self.delay.adopt(now);
        self.rate.turn();
        if self.high.rounds > 0 && self.base() > before * 5 / 4 {
            // The way has become longer, and the line carries what it did.
            self.rate.set(self.high.rate);
        }
        self.high = High::default();
        self.empty = 0;
        self.enter(now, Phase::Full);
    }

    /// Shortens the queue where it is to blame for losses. Returns whether it is not.
    fn judge(&mut self) -> bool {
        let blamed = self.losses.is_queue_to_blame();
        if blamed == Some(true) {
            self.patience = (self.patience * PATIENCE_LESS).max(PATIENCE_MIN);
            self.losses.restart();
        }
        blamed == Some(false)
    }

    fn enter(&mut self, now: Instant, phase: Phase) {
        (self.phase, self.rounds, self.since) = (phase, 0, now);
        self.losses.turn(now, phase != Phase::Lean);
    }

    fn ramp(&mut self, now: Instant) {
        self.enter(now, Phase::Ramp);
        self.reached = 0.0;
    }

    fn end_ramp(&mut self, now: Instant) {
        self.enter(now, Phase::Full);
        self.losses.restart();
        // What the last rounds have shown lags behind by up to half.
        self.bytes = self.target(Phase::Full).max(self.bytes / 2).min(self.bytes);
    }

    fn base(&self) -> Duration {
        self.delay.base().unwrap_or_default()
    }

    fn ramp_queue(&self) -> Duration {
        (self.base() / RAMP_QUEUE_SHARE).clamp(RAMP_QUEUE_MIN, RAMP_QUEUE_MAX) + self.delay.jitter()
    }

    /// For how long a packet may wait.
    fn queue(&self) -> Duration {
        let share = self.base() / QUEUE_SHARE;
        // As long as there is none, it cannot become too long at once.
        let most = if self.empty >= EMPTY_ROUNDS { share.max(QUEUE_MAX) } else { QUEUE_MAX };
        (share.clamp(QUEUE_MIN, most) + self.delay.jitter()).mul_f64(self.patience)
    }

    fn target(&self, phase: Phase) -> u64 {
        if phase == Phase::Lean {
            return self.carried(self.base().mul_f64(self.lean.share)).clamp(self.mtu * LEAN_PACKETS_MIN, WINDOW_MAX);
        }
        let full = self.carried(self.base() + self.queue()) + self.spare() + self.mtu;
        full.clamp(self.mtu * PACKETS_MIN, WINDOW_MAX)
    }

    /// What the line carries in that time.
    fn carried(&self, time: Duration) -> u64 {
        (self.rate.best() * time.as_secs_f64()) as u64
    }

    /// Bytes on top of what the line and its queue hold.
    fn spare(&self) -> u64 {
        self.carried(SPARE_TIME).clamp(self.mtu, self.mtu * SPARE_PACKETS_MAX)
    }
}
