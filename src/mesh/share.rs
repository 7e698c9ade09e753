//! The bounds that the buffers of one link have together, and how much of them each may use.
//!
//! Two sums: what waits to be written, and what was written and is kept until the peer has taken it. Both are shared by what
//! is free of them. (Choudhury and Hahne's dynamic thresholds, as switches have for the memory that their ports share.)
//!
//! Of what is kept one buffer may use four times what it leaves free; its writer waits then, and nothing is lost. Of what waits
//! a buffer has too much that holds more than an eighth of what is free: who fills it is asked to pause. However many do, about
//! half is left then for what they send before they hear of that. Refused is only what would leave less than a sixteenth free,
//! and of that each buffer that holds little still has its part. What is put into a buffer and taken out is left to `outbuf.rs`.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A buffer may keep so many times what is free then.
const TIMES_FREE: usize = 4;
/// Whoever fills a buffer that holds more than this part of what is free is asked to pause.
const PAUSE_PART: usize = 8;
/// Nobody pauses for less: what is sent before that is heard of is as much.
const PAUSE_MIN: usize = 64 << 10;
/// This part is left for buffers that hold no more than such a part of it each.
const RESERVE_PART: usize = 16;

/// The bounds of a link's buffers, and what is used of them.
///
/// Several tasks change the sums at the same time; each may exceed a bound by what is being added elsewhere meanwhile.
#[derive(Debug)]
pub struct Share {
    waiting: Sum,
    kept: Sum,
    /// The most that was found waiting.
    most: AtomicUsize,
    /// One buffer alone may use all of it.
    is_alone: bool,
}

#[derive(Debug)]
struct Sum {
    bytes: AtomicUsize,
    max: usize,
}

impl Sum {
    fn new(max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), max }
    }

    fn free(&self) -> usize {
        self.max.saturating_sub(self.bytes.load(Relaxed))
    }

    /// How much more a buffer may keep that keeps `mine` of it.
    fn room(&self, mine: usize, is_alone: bool) -> usize {
        let free = self.free();
        // With `x` more: mine + x = TIMES_FREE * (free - x).
        if is_alone { free } else { TIMES_FREE.saturating_mul(free).saturating_sub(mine) / (TIMES_FREE + 1) }
    }

    fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

impl Share {
    /// For one buffer: `bytes_max` may wait, and as much may be kept.
    #[must_use]
    pub fn alone(bytes_max: usize) -> Self {
        Self { is_alone: true, ..Self::new(bytes_max, bytes_max) }
    }

    /// For several buffers: `bytes_max` may wait in all of them, and `kept_max` be kept.
    #[must_use]
    pub fn new(bytes_max: usize, kept_max: usize) -> Self {
        let (waiting, kept) = (Sum::new(bytes_max), Sum::new(kept_max));
        Self { waiting, kept, most: AtomicUsize::new(0), is_alone: false }
    }

    /// Whether `added` bytes more may wait in a buffer where `mine` wait; they are counted then.
    pub fn take_in(&self, mine: usize, added: usize) -> bool {
        let reserve = self.waiting.max / RESERVE_PART;
        let reserve = if self.is_alone || mine + added <= reserve / RESERVE_PART { 0 } else { reserve };
        // What no bound had room for is not in the sum.
        let fits = added.saturating_add(reserve) <= self.waiting.free() && mine + added <= self.waiting.max;
        if fits {
            self.force(added);
        }
        fits
    }

    /// By how much `mine` bytes that wait in a buffer are too many, for now: whoever fills it should pause.
    #[must_use]
    pub fn excess(&self, mine: usize) -> usize {
        mine.saturating_sub((self.waiting.free() / PAUSE_PART).max(PAUSE_MIN))
    }

    /// Counts bytes that wait.
    pub fn force(&self, added: usize) {
        self.waiting.bytes.fetch_add(added, Relaxed);
    }

    /// Bytes that waited do so no more.
    pub fn give_out(&self, bytes: usize) {
        // What waits only grows from one end of a write to the next, so that is when to look.
        self.most();
        self.waiting.sub(bytes);
    }

    /// How much a buffer may write where `mine` is kept. Where nothing is, always something.
    #[must_use]
    pub fn may_write(&self, mine: usize) -> usize {
        self.kept.room(mine, self.is_alone).max(usize::from(mine == 0))
    }

    /// Counts bytes that are kept.
    pub fn keep(&self, bytes: usize) {
        self.kept.bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes that were kept are so no more.
    pub fn let_go(&self, bytes: usize) {
        self.kept.sub(bytes);
    }

    /// Bytes that wait in all buffers.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.bytes.load(Relaxed)
    }

    /// The most that have waited at a time.
    pub fn most(&self) -> usize {
        let waiting = self.waiting();
        self.most.fetch_max(waiting, Relaxed).max(waiting)
    }

    /// The bound on what waits.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.waiting.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_buffer_leaves_room_for_others() {
        let share = Share::new(25_600, 0);
        let fill = || (0..).take_while(|nth| share.take_in(nth * 10, 10)).count() * 10;
        assert_eq!((fill(), share.waiting()), (24_000, 24_000));
        for nth in 1..=RESERVE_PART {
            assert_eq!((fill(), share.waiting()), (100, 24_000 + nth * 100), "another one");
        }
        assert!(!share.take_in(0, 10), "more than there ever are");
        share.give_out(24_000);
        assert!(share.waiting() == 1_600 && share.most() == 25_600);
    }

    #[test]
    fn one_that_is_alone_uses_all() {
        let share = Share::alone(10);
        assert!(share.take_in(0, 6) && !share.take_in(6, 5) && share.take_in(6, 4));
    }

    #[test]
    fn who_has_nothing_kept_may_always_write() {
        let share = Share::new(100, 100);
        share.keep(200);
        assert_eq!((share.may_write(0), share.may_write(1)), (1, 0));
        share.let_go(200);
        assert_eq!(share.may_write(0), 80);
    }

    /// Goal: whoever pauses when asked to has nothing refused, whether one stream is used or all, by one publisher each or many.
    #[test]
    fn who_pauses_when_asked_loses_nothing() {
        const BATCH: usize = 64 << 10;
        for (buffers, publishers) in [(1, 1), (1, 100), (7, 1), (8, 1), (9, 1), (9, 20)] {
            let (share, mut mine) = (Share::new(32 << 20, 0), vec![0; buffers]);
            // All look before any of them sends on; nobody takes anything out.
            while mine.iter().any(|mine| share.excess(*mine) == 0) {
                let goes_on: Vec<usize> = (0..buffers).filter(|at| share.excess(mine[*at]) == 0).collect();
                for at in goes_on.into_iter().flat_map(|at| std::iter::repeat_n(at, publishers)) {
                    assert!(share.take_in(mine[at], BATCH), "{publishers} publishers for each of {buffers}: {mine:?}");
                    mine[at] += BATCH;
                }
            }
            let least = mine.iter().min().copied().unwrap_or_default();
            assert!(least > 1 << 20, "{publishers} publishers for each of {buffers}: nobody is starved: {mine:?}");
        }
    }

    proptest! {
        /// Whoever adds and takes out, the bound holds, and an empty buffer has room.
        #[test]
        fn the_bound_holds(steps: Vec<(u8, bool, u8)>) {
            let (share, mut mine) = (Share::new(2_000, 0), [0usize; 8]);
            for (buffer, out, bytes) in steps {
                let (at, bytes) = (usize::from(buffer) % mine.len(), usize::from(bytes));
                if out {
                    share.give_out(std::mem::take(&mut mine[at]));
                } else if share.take_in(mine[at], bytes) {
                    mine[at] += bytes;
                }
                prop_assert_eq!(share.waiting(), mine.iter().sum::<usize>());
                prop_assert!(share.waiting() <= 2_000);
                prop_assert!(share.waiting.free() >= 7, "whoever has nothing has room for a little");
            }
        }
    }
}
