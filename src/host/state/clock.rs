//! When a record was written: hybrid logical time. A stamp follows the wall clock where there is one, and the order of
//! cause and effect where there is none.
//!
//! No clock is believed without bound. A node that has a clock follows the stamps of others up to [`DRIFT_MAX_MS`] ahead
//! of it; what is further ahead is kept as a record, since it is newer than what stood there, but does not move this node's
//! time: it counts for its one key alone, and whoever writes that key after having seen it writes the stamp next to it.
//! So a peer whose clock is years ahead spoils nothing but, until it is written anew, the keys that it wrote itself. A
//! device without a clock (one that says a year before 2026 or after 2199) has nothing to judge by and follows the others;
//! alone it counts on from the last stamp that it knows. A node that gets its clock later, or had a wrong one, goes by the
//! clock at once: time may step back here, the stamps of one key never do.

use crate::codec::{Decode, Encode};
use crate::identity::NodeId;

/// How far ahead of its own clock a node follows the stamps of others, in milliseconds.
pub const DRIFT_MAX_MS: u64 = 5 * 60 * 1000;
/// Stamps from there on, in the year 10889, are refused: there is always room for a next one.
pub const WALL_MAX_MS: u64 = 1 << 48;
/// 2026 to 2199: what a wall clock can say that is one.
const CLOCK_MS: std::ops::Range<u64> = 1_767_225_600_000..7_258_118_400_000;

/// When a record was written, and by whom. Of two the greater one is the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Stamp {
    /// Milliseconds since 1970.
    pub wall_ms: u64,
    /// Tells those of one millisecond apart.
    pub count: u32,
    /// Who wrote it.
    pub writer: NodeId,
}

/// A moment: a stamp without its writer.
type Moment = (u64, u32);

/// A node's time.
#[derive(Debug)]
pub struct Clock {
    writer: NodeId,
    last: Moment,
    /// Stamps of others that were too far ahead to be followed.
    pub ahead: u64,
}

impl Clock {
    /// The time of `writer`, which knows of no stamp yet.
    #[must_use]
    pub const fn new(writer: NodeId) -> Self {
        Self { writer, last: (0, 0), ahead: 0 }
    }

    /// The stamp of what is written now, over what has the stamp `over`: later than that in any case. `None` when there is
    /// no such stamp, since `over` is the last one of all.
    pub fn stamp(&mut self, wall_ms: u64, over: Option<Stamp>) -> Option<Stamp> {
        self.settle(wall_ms);
        self.last = self.last.max((wall_ms_of(wall_ms), 0)).max(next(self.last));
        let over = over.map(|over| next((over.wall_ms, over.count)));
        let (wall_ms, count) = over.map_or(self.last, |over| over.max(self.last));
        (wall_ms < WALL_MAX_MS).then_some(Stamp { wall_ms, count, writer: self.writer })
    }

    /// Takes note of a stamp of another.
    pub fn observe(&mut self, wall_ms: u64, stamp: Stamp) {
        self.settle(wall_ms);
        let wall_ms = wall_ms_of(wall_ms);
        if has_clock(wall_ms) && stamp.wall_ms > wall_ms + DRIFT_MAX_MS {
            self.ahead += 1;
        } else {
            self.last = self.last.max((stamp.wall_ms, stamp.count));
        }
    }

    /// A clock that can be one ends what was followed before it was.
    fn settle(&mut self, wall_ms: u64) {
        let wall_ms = wall_ms_of(wall_ms);
        if has_clock(wall_ms) && self.last.0 > wall_ms + DRIFT_MAX_MS {
            self.last = (wall_ms, 0);
        }
    }
}

/// Whether a clock that says so is one.
pub(super) fn has_clock(wall_ms: u64) -> bool {
    CLOCK_MS.contains(&wall_ms)
}

/// A clock that says the far future says nothing.
fn wall_ms_of(wall_ms: u64) -> u64 {
    if wall_ms < CLOCK_MS.end { wall_ms } else { 0 }
}

fn next((wall_ms, count): Moment) -> Moment {
    count.checked_add(1).map_or((wall_ms + 1, 0), |count| (wall_ms, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn stamp(wall_ms: u64, count: u32) -> Stamp {
        Stamp { wall_ms, count, writer: NodeId([9; 32]) }
    }

    fn moment(stamp: Option<Stamp>) -> Moment {
        stamp.map(|stamp| (stamp.wall_ms, stamp.count)).unwrap()
    }

    #[test]
    fn stamps_of_a_writer_ascend_even_when_its_clock_stands_or_steps_back() {
        let mut clock = Clock::new(NodeId([1; 32]));
        let stamps = [NOW, NOW, NOW - 60_000, NOW + 1].map(|wall| moment(clock.stamp(wall, None)));
        assert_eq!(stamps, [(NOW, 0), (NOW, 1), (NOW, 2), (NOW + 1, 0)]);
    }

    #[test]
    fn what_is_a_little_ahead_is_followed_and_what_is_far_ahead_counts_for_its_key_alone() {
        let mut clock = Clock::new(NodeId([1; 32]));
        clock.observe(NOW, stamp(NOW + DRIFT_MAX_MS, 4));
        assert_eq!(moment(clock.stamp(NOW, None)), (NOW + DRIFT_MAX_MS, 5));
        let mut clock = Clock::new(NodeId([1; 32]));
        let far = stamp(WALL_MAX_MS - 7, u32::MAX);
        clock.observe(NOW, far);
        assert_eq!((moment(clock.stamp(NOW, None)), clock.ahead), ((NOW, 0), 1));
        assert_eq!(moment(clock.stamp(NOW, Some(far))), (WALL_MAX_MS - 6, 0), "whoever writes that key now is later");
        assert_eq!(moment(clock.stamp(NOW, None)), (NOW, 2), "and the others go on as before");
        assert_eq!(clock.stamp(NOW, Some(stamp(WALL_MAX_MS - 1, u32::MAX))), None);
    }

    #[test]
    fn a_device_without_a_clock_goes_by_the_others_until_it_has_one() {
        let mut clock = Clock::new(NodeId([1; 32]));
        assert_eq!(moment(clock.stamp(5_000, None)), (5_000, 0));
        clock.observe(6_000, stamp(NOW, 3));
        assert_eq!(moment(clock.stamp(7_000, None)), (NOW, 4));
        let year = 365 * 24 * 3_600_000;
        assert_eq!(moment(clock.stamp(NOW - year, None)), (NOW - year, 1), "its clock has come, and says another year");
        let mut broken = Clock::new(NodeId([1; 32]));
        assert_eq!(moment(broken.stamp(u64::MAX, None)), (0, 1), "the end of time is no time");
    }
}
