//! What is lost, and whether the queue that this end makes is to blame.
//!
//! A loss by itself says nothing: a bad line loses whatever is sent. So it is tried out. For some rounds there is a queue,
//! for some there is none; a line that loses more while there is one has a queue that is too short for it.

use std::time::Instant;

/// Bytes after which older ones count half.
const TRIAL_SPAN: u64 = 4_000_000;
/// Bytes without and with a queue that the trial needs to say anything.
const TRIAL_MIN: [u64; 2] = [60_000, 300_000];
/// The queue is to blame for a share that is so many times what it is without one, and so much more.
const BLAME_TIMES: f64 = 2.0;
const BLAME_MORE: f64 = 0.01;

/// Bytes that were sent, by what became of them.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    acked: u64,
    lost: u64,
}

impl Tally {
    fn all(self) -> u64 {
        self.acked + self.lost
    }

    fn share(self) -> f64 {
        if self.all() == 0 { 0.0 } else { self.lost as f64 / self.all() as f64 }
    }

    fn add(&mut self, acked: u64, lost: u64) {
        self.acked += acked;
        self.lost += lost;
        if self.all() > TRIAL_SPAN {
            self.acked /= 2;
            self.lost /= 2;
        }
    }
}

/// The losses of one direction of a link.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    /// Without a queue, and with one.
    trial: [Tally; 2],
    /// Whether there is one now, since when, and whether there was one before.
    queue: bool,
    since: Instant,
    before: bool,
}

impl Losses {
    pub(super) fn new(now: Instant) -> Self {
        Self { trial: [Tally::default(); 2], queue: true, since: now, before: true }
    }

    pub(super) fn acked(&mut self, sent: Instant, bytes: u64) {
        self.count(sent, bytes, 0);
    }

    pub(super) fn lost(&mut self, sent: Instant, bytes: u64) {
        self.count(sent, 0, bytes);
    }

    fn count(&mut self, sent: Instant, acked: u64, lost: u64) {
        let queue = if sent >= self.since { self.queue } else { self.before };
        self.trial[usize::from(queue)].add(acked, lost);
    }

    /// From `now` on there is a queue, or there is none.
    pub(super) fn turn(&mut self, now: Instant, queue: bool) {
        (self.before, self.queue, self.since) = (self.queue, queue, now);
    }

    /// The queue is another from now on.
    pub(super) fn restart(&mut self) {
        self.trial[1] = Tally::default();
    }

    /// Whether so little is lost beside a queue that there is nothing to try out.
    pub(super) fn are_few(&self) -> bool {
        self.trial[1].share() < BLAME_MORE
    }

    /// Whether more is lost because there is a queue; none while too little was sent to tell.
    pub(super) fn is_queue_to_blame(&self) -> Option<bool> {
        let [without, with] = self.trial;
        let told = without.all() >= TRIAL_MIN[0] && with.all() >= TRIAL_MIN[1];
        told.then(|| with.share() > without.share() * BLAME_TIMES + BLAME_MORE)
    }
}
