//! How long the way takes without a queue on it, as the samples of the round trip show.

use std::time::{Duration, Instant};

/// A least round trip counts for so long. Then it is looked for anew.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// One that is less by more than this share is news, which makes the old one count for as long again: links that share a
/// line see the same news, and from then on look at the same time.
const NEWS: u32 = 64;
/// Samples of which the least is what a round trip takes now.
const RECENT: usize = 4;
/// Weight of a sample in the jitter.
const SMOOTHING: f64 = 1.0 / 16.0;
/// No more than this is believed to be jitter.
const JITTER_MAX: Duration = Duration::from_millis(10);

/// The round trip: at the least, and now.
#[derive(Clone, Debug)]
pub(super) struct Delay {
    least: Option<Duration>,
    since: Instant,
    doubted: bool,
    /// The least since it was begun to look for another.
    next: Option<Duration>,
    recent: [Duration; RECENT],
    samples: usize,
    jitter: Duration,
}

impl Delay {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            least: None,
            since: now,
            doubted: false,
            next: None,
            recent: [Duration::ZERO; RECENT],
            samples: 0,
            jitter: Duration::ZERO,
        }
    }

    pub(super) fn sample(&mut self, now: Instant, took: Duration) {
        match self.least {
            Some(least) if took + least / NEWS >= least => self.least = Some(least.min(took)),
            Some(_) | None => self.set(now, took),
        }
        self.next = Some(self.next.map_or(took, |next| next.min(took)));
        if self.samples > 0 {
            let off = self.recent[(self.samples - 1) % RECENT].abs_diff(took);
            self.jitter = self.jitter.mul_f64(1.0 - SMOOTHING) + off.mul_f64(SMOOTHING);
        }
        self.recent[self.samples % RECENT] = took;
        self.samples += 1;
    }

    fn set(&mut self, now: Instant, least: Duration) {
        (self.least, self.since, self.doubted) = (Some(least), now, false);
    }

    /// What the way takes without a queue; none before the first sample.
    pub(super) fn base(&self) -> Option<Duration> {
        self.least
    }

    /// Whether that is from long ago, or doubtful.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.doubted || now.saturating_duration_since(self.since) >= STALE_AFTER
    }

    /// Begins to look for another.
    pub(super) fn look(&mut self) {
        self.next = None;
    }

    /// Takes what was found since, in place of what is stale.
    pub(super) fn adopt(&mut self, now: Instant) {
        if self.is_stale(now)
            && let Some(next) = self.next.take()
        {
            self.set(now, next);
        }
    }

    /// What it takes now, but for what single packets meet with.
    pub(super) fn now(&self) -> Duration {
        self.recent.into_iter().take(self.samples).min().unwrap_or_default()
    }

    /// By how much two packets in a row differ by chance.
    pub(super) fn jitter(&self) -> Duration {
        self.jitter.min(JITTER_MAX)
    }

    /// What is added to the base now: a queue, if there were enough samples to tell.
    pub(super) fn queue(&self) -> Duration {
        if self.samples < RECENT { Duration::ZERO } else { self.now().saturating_sub(self.least.unwrap_or_default()) }
    }

    /// The way may have become a longer one.
    pub(super) fn doubt(&mut self) {
        self.doubted = true;
    }
}
