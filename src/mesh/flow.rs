//! Order and uniqueness between an origin and this node: which frame is new, which is late.
//!
//! The origin numbers its frames for each destination, 1, 2, 3, …, within one boot. Whatever paths they take,
//! what passes here is strictly increasing: a repeat and a frame overtaken on a route change are both refused.
//! Putting overtaken frames back in order, and asking for what is missing, builds on the same numbers.

use crate::planted::{self, Bug};
use std::collections::BTreeMap;

/// Rows that are remembered: twice as many as a database has nodes.
const ROWS_MAX: usize = 8192;

/// What the numbers say of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver it. `missing` frames between the last one and it have not been seen.
    New {
        /// How many numbers were skipped.
        missing: u64,
    },
    /// It was seen, or a later one was: refuse it.
    Late,
    /// It comes from an earlier life of its origin: refuse it.
    StaleBoot,
    /// More origins are remembered than there can be nodes, and this one is not known: refuse it.
    Stranger,
}

/// The sending side: the next number for each destination.
#[derive(Debug, Default)]
pub struct Numbering {
    last: BTreeMap<u32, u64>,
}

impl Numbering {
    /// The number of the next frame for `destination`.
    pub fn next(&mut self, destination: u32) -> u64 {
        let last = self.last.entry(destination).or_insert(0);
        *last += 1;
        *last
    }

    /// Forgets destinations that are not `known`, once there are very many. One that comes back would see its numbers
    /// start again and refuse them, so this is for the numbers of nodes that came and went, never for those at hand.
    pub fn prune(&mut self, known: impl Fn(u32) -> bool) {
        if self.last.len() > ROWS_MAX {
            self.last.retain(|destination, _| known(*destination));
        }
    }
}

/// The receiving side: what has been delivered from each origin.
#[derive(Debug, Default)]
pub struct Guard {
    origins: BTreeMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    boot: u64,
    last: u64,
}

impl Guard {
    /// Judges frame `seq` of `origin` in its life `boot`, and remembers it when it is new.
    ///
    /// A newer boot starts the numbers again. The first frame of an origin is taken whatever its number: this node
    /// may have restarted while the origin went on counting.
    ///
    /// `known` says whether an origin can be reached: when the table is full, the others are forgotten.
    pub fn admit(&mut self, origin: u32, boot: u64, seq: u64, known: impl Fn(u32) -> bool) -> Verdict {
        let Some(seen) = self.origins.get_mut(&origin) else {
            if self.origins.len() >= ROWS_MAX {
                self.origins.retain(|origin, _| known(*origin));
                if self.origins.len() >= ROWS_MAX {
                    return Verdict::Stranger;
                }
            }
            self.origins.insert(origin, Seen { boot, last: seq });
            return Verdict::New { missing: 0 };
        };
        // Planted: a new life's frames judged by what was seen of the last one.
        let boot = if planted::is(Bug::RestartUnnoticed) { seen.boot } else { boot };
        if boot < seen.boot {
            return Verdict::StaleBoot;
        }
        if boot > seen.boot {
            *seen = Seen { boot, last: seq };
            return Verdict::New { missing: seq.saturating_sub(1) };
        }
        // Planted: what was overtaken is let through after all.
        if seq < seen.last && planted::is(Bug::LateReleased) {
            return Verdict::New { missing: 0 };
        }
        if seq <= seen.last {
            return Verdict::Late;
        }
        let missing = seq - seen.last - 1;
        seen.last = seq;
        Verdict::New { missing }
    }

    /// Forgets all that has been seen: only a planted bug does.
    pub(super) fn forget(&mut self) {
        self.origins.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_count_up_for_each_destination() {
        let mut numbering = Numbering::default();
        assert_eq!([numbering.next(7), numbering.next(7), numbering.next(9)], [1, 2, 1]);
    }

    #[test]
    fn a_gap_is_told_and_the_overtaken_frame_refused() {
        let mut guard = Guard::default();
        assert_eq!(guard.admit(1, 1, 1, |_| true), Verdict::New { missing: 0 });
        assert_eq!(guard.admit(1, 1, 4, |_| true), Verdict::New { missing: 2 });
        assert_eq!(guard.admit(1, 1, 3, |_| true), Verdict::Late);
        assert_eq!(guard.admit(1, 1, 4, |_| true), Verdict::Late);
    }

    #[test]
    fn a_restarted_origin_counts_anew_and_its_old_frames_are_refused() {
        let mut guard = Guard::default();
        assert_eq!(guard.admit(1, 1, 900, |_| true), Verdict::New { missing: 0 });
        assert_eq!(guard.admit(1, 2, 1, |_| true), Verdict::New { missing: 0 });
        assert_eq!(guard.admit(1, 1, 901, |_| true), Verdict::StaleBoot);
    }

    #[test]
    fn forged_origins_cost_bounded_memory_and_harm_nobody_at_hand() {
        let mut guard = Guard::default();
        assert_eq!(guard.admit(1, 1, 7, |o| o == 1), Verdict::New { missing: 0 });
        for forged in 100..100_000 {
            assert_eq!(guard.admit(forged, 1, 1, |o| o == 1), Verdict::New { missing: 0 });
            assert!(guard.origins.len() <= ROWS_MAX);
        }
        assert_eq!(guard.admit(1, 1, 7, |o| o == 1), Verdict::Late);
    }

    proptest! {
        #[test]
        fn what_passes_is_strictly_increasing(frames in proptest::collection::vec((0u64..3, 1u64..50), 0..200)) {
            let mut guard = Guard::default();
            let mut last = None;
            for (boot, seq) in frames {
                if matches!(guard.admit(5, boot, seq, |_| true), Verdict::New { .. }) {
                    prop_assert!(last < Some((boot, seq)));
                    last = Some((boot, seq));
                }
            }
        }
    }
}
