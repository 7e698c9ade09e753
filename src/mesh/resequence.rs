//! Order, uniqueness and completeness at a destination: which frame of an origin is next, and what is still missing.
//!
//! An origin numbers its frames for each destination in a few rows, 1, 2, 3, …, from the beginning of a life of either, and
//! each row is put in order by itself. The one that
//! is next passes at once; one that comes after a gap is held until the gap closes or is given up; one that has passed
//! or is held is a duplicate. Whose gap has lasted is told, so that the origin can be asked. Sans-IO: frames, time and
//! what the origin says come in, and what may be delivered comes out, in order.
//!
//! Bounded: in bytes for one row and for all, in time, and in rows. When there is no room, the oldest gap of the
//! row that holds the most is given up, and counted.

use super::flow::RowOf;
use super::frame::ROWS;
use crate::planted::{self, Bug};
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Rows that are remembered: twice as many as a database's nodes have.
const ROWS_MAX: usize = 8192 * ROWS as usize;
/// Rows with gaps, beyond which what an origin says of others is passed over; it says it again, or sends what shows it.
const TOLD_MAX: usize = 4096;
/// A gap that lasts longer is asked for: frames that were overtaken on another way are there by then…
const ASK_AFTER: Duration = Duration::from_millis(75);
/// …and again after that time, doubled each time, up to this.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(2);
/// What holding a frame costs beside its bytes.
const OVERHEAD: usize = 128;
/// Ranges of numbers in one question, and in what is remembered of an answer.
pub const RANGES_MAX: usize = 16;

/// Numbers from the first to the second, both included.
pub type Range = (u64, u64);

/// How much may be held, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all frames that are held.
    pub bytes_max: usize,
    /// Bytes of those of one origin in one row.
    pub origin_bytes_max: usize,
    /// How long a gap is waited for.
    pub time: Duration,
    /// The same where the origin no longer has what is missing: it may still be on its way, in the keeping of a link that
    /// has not been given up yet. No longer than `time`.
    pub gone_time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes_max: 32 << 20,
            origin_bytes_max: 8 << 20,
            time: Duration::from_secs(5),
            gone_time: Duration::from_millis(2_500),
        }
    }
}

impl Bounds {
    fn time(&self, is_gone: bool) -> Duration {
        if is_gone { self.time.min(self.gone_time) } else { self.time }
    }
}

/// What the numbers say of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver it.
    Next,
    /// Deliver it, and then what is [`Resequencer::ready`].
    Closes,
    /// It is held; something may be [`Resequencer::ready`] all the same.
    Held,
    /// It has passed, or is held already.
    Duplicate,
    /// It comes from an earlier life of its origin.
    StaleBoot,
    /// More origins are remembered than there can be nodes, and this one is not known.
    Stranger,
}

/// What an origin is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whom.
    pub origin: u32,
    /// About which of its rows.
    pub row: u8,
    /// In which of its lives.
    pub boot: u64,
    /// The numbers that are missing, in ascending order, and at most [`RANGES_MAX`] ranges.
    pub ranges: SmallVec<[Range; 4]>,
}

/// What became of the frames that were held or waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that are [`Resequencer::ready`] after they were held.
    pub released: u64,
    /// Numbers that were given up.
    pub missing: u64,
    /// Of these, those that were given up to make room.
    pub crowded: u64,
}

/// The rows of numbers of each origin. All rows of one are in the same life of it.
#[derive(Debug)]
pub struct Resequencer {
    bounds: Bounds,
    rows: BTreeMap<RowOf, Row>,
    /// The rows that have gaps.
    gaps: BTreeSet<RowOf>,
    /// What the held frames cost.
    held: usize,
    /// What may be delivered, in order.
    ready: VecDeque<Bytes>,
    tally: Tally,
    /// No row was ever forgotten: one that is new begins at 1, so that a gap before its first frame is seen.
    complete: bool,
}

#[derive(Debug)]
struct Row {
    boot: u64,
    next: u64,
    /// Present while something between `next` and what is known of is missing.
    gap: Option<Box<Gap>>,
}

#[derive(Debug)]
struct Gap {
    held: BTreeMap<u64, Held>,
    bytes: usize,
    /// Numbers that the origin is known to have given, and since when: the first that it told of, and the greatest.
    told: SmallVec<[(u64, Instant); 2]>,
    /// What the origin no longer has.
    gone: SmallVec<[Range; 1]>,
    ask_at: Instant,
    ask_wait: Duration,
}

#[derive(Debug)]
struct Held {
    frame: Bytes,
    at: Instant,
}

impl Gap {
    fn new(now: Instant) -> Self {
        Self {
            held: BTreeMap::new(),
            bytes: 0,
            told: SmallVec::new(),
            gone: SmallVec::new(),
            ask_at: now + ASK_AFTER,
            ask_wait: ASK_AFTER,
        }
    }

    /// Notes how far the row goes.
    fn tell(&mut self, now: Instant, last: u64) {
        if self.told.last().is_none_or(|(known, _)| *known < last) {
            // Those in between have as much time as the greatest.
            self.told.truncate(1);
            self.told.push((last, now));
        }
    }

    /// The first number behind the missing ones at the front, and when it was seen that they are missing.
    fn front(&self) -> Option<(u64, Instant)> {
        let held = self.held.first_key_value().map(|(seq, held)| (*seq, held.at));
        held.or_else(|| self.told.first().map(|(last, at)| (last + 1, *at)))
    }

    /// The last number of the missing ones from `next` on that the origin no longer has.
    fn gone(&self, next: u64) -> Option<u64> {
        let last = self.gone.iter().find(|(first, last)| (*first..=*last).contains(&next))?.1;
        Some(last.min(self.front()?.0 - 1))
    }

    /// When something is to be done about it.
    fn due(&self, next: u64, bounds: &Bounds) -> Instant {
        let end = self.front().map(|(_, since)| since + bounds.time(self.gone(next).is_some()));
        end.map_or(self.ask_at, |end| end.min(self.ask_at))
    }

    fn missing(&self, next: u64) -> SmallVec<[Range; 4]> {
        let mut ranges = SmallVec::new();
        let mut from = next;
        let told = self.told.last().map(|(last, _)| last + 1);
        let ends = self.held.keys().copied().chain(told);
        for end in ends {
            if end > from {
                ranges.push((from, end - 1));
                if ranges.len() == RANGES_MAX {
                    break;
                }
            }
            from = from.max(end + 1);
        }
        ranges
    }
}

impl Resequencer {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            rows: BTreeMap::new(),
            gaps: BTreeSet::new(),
            held: 0,
            ready: VecDeque::new(),
            tally: Tally::default(),
            complete: true,
        }
    }

    /// Judges frame `seq` of a row of an origin in its life `boot`. One that has to wait is copied.
    ///
    /// A newer boot starts the numbers again; what was held of the last one is ready then, whatever its gaps.
    /// `known` says whether an origin can be reached: when the table is full, the others are forgotten.
    pub fn admit(
        &mut self,
        now: impl FnOnce() -> Instant,
        (of, boot, seq): (RowOf, u64, u64),
        frame: &[u8],
        known: impl Fn(u32) -> bool,
    ) -> Verdict {
        if let Some(row) = self.rows.get_mut(&of)
            && (row.boot, row.next) == (boot, seq)
            && row.gap.is_none()
        {
            row.next += 1;
            return Verdict::Next;
        }
        if !self.rows.contains_key(&of) && !self.begin(of, boot, seq, known) {
            return Verdict::Stranger;
        }
        self.judge(now, (of, boot, seq), frame)
    }

    /// Judges a frame that is not simply the next one of a row that is known.
    fn judge(&mut self, now: impl FnOnce() -> Instant, (of, boot, seq): (RowOf, u64, u64), frame: &[u8]) -> Verdict {
        let Some(row) = self.rows.get_mut(&of) else { return Verdict::Stranger };
        // Planted: a new life's frames judged by what was seen of the last one.
        let boot = if planted::is(Bug::RestartUnnoticed) { row.boot } else { boot };
        if boot < row.boot {
            return Verdict::StaleBoot;
        }
        if boot > row.boot {
            self.renew(of.0, boot);
            if !self.ready.is_empty() {
                return self.hold(now(), of, seq, frame);
            }
        }
        let Some(row) = self.rows.get_mut(&of) else { return Verdict::Stranger };
        if seq == row.next {
            row.next += 1;
            if row.gap.is_none() {
                return Verdict::Next;
            }
            self.advance(now(), of);
            return Verdict::Closes;
        }
        if seq < row.next {
            return Verdict::Duplicate;
        }
        // Planted: what came after a gap does not wait for it.
        if planted::is(Bug::LateReleased) {
            return Verdict::Next;
        }
        self.hold(now(), of, seq, frame)
    }

    /// What the origin says of itself: that it has given the numbers up to `last`, and no longer has those in `gone`.
    pub fn told(
        &mut self,
        now: Instant,
        (of, boot, last): (RowOf, u64, u64),
        gone: &[Range],
        known: impl Fn(u32) -> bool,
    ) {
        if !self.rows.contains_key(&of) && !self.begin(of, boot, last.saturating_add(1), known) {
            return;
        }
        if self.rows.get(&of).is_some_and(|row| row.boot < boot) {
            self.renew(of.0, boot);
        }
        // What it says costs memory here, and nothing there: it is bounded apart from the frames that are held.
        if self.gaps.len() >= TOLD_MAX && !self.gaps.contains(&of) {
            return;
        }
        let Some(row) = self.rows.get_mut(&of).filter(|row| row.boot == boot && row.next <= last) else { return };
        let gap = row.gap.get_or_insert_with(|| Box::new(Gap::new(now)));
        gap.tell(now, last);
        if !gone.is_empty() {
            gap.gone = gone.iter().filter(|(first, last)| first <= last).take(RANGES_MAX).copied().collect();
        }
        self.gaps.insert(of);
        self.advance(now, of);
    }

    /// Gives up what has been waited for long enough, and says what to ask for.
    pub fn expire(&mut self, now: Instant) -> Vec<Question> {
        let (mut questions, bounds) = (Vec::new(), self.bounds);
        let rows: SmallVec<[RowOf; 8]> = self.gaps.iter().copied().collect();
        for of in rows {
            while let Some((row_next, boot, gap)) = self.gap(of) {
                let Some((end, since)) = gap.front() else { break };
                let waited = now.saturating_duration_since(since);
                let gone = gap.gone(row_next).filter(|_| waited >= bounds.time(true));
                if let Some(last) = gone {
                    self.skip(now, of, last + 1);
                } else if waited >= bounds.time(false) {
                    self.skip(now, of, end);
                } else {
                    if now >= gap.ask_at {
                        gap.ask_wait = (gap.ask_wait * 2).min(ASK_AGAIN_MAX);
                        gap.ask_at = now + gap.ask_wait;
                        questions.push(Question { origin: of.0, row: of.1, boot, ranges: gap.missing(row_next) });
                    }
                    break;
                }
            }
        }
        questions
    }

    /// When to call [`Resequencer::expire`].
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let rows = self.gaps.iter().filter_map(|of| self.rows.get(of));
        rows.filter_map(|row| Some(row.gap.as_ref()?.due(row.next, &self.bounds))).min()
    }

    /// The next of the frames that were held and may be delivered. Call it until there is none after everything but
    /// [`Verdict::Next`].
    pub fn ready(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// What has become of frames since the last call.
    pub fn tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// What the frames that are held cost in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Forgets all that has been seen: this node has another name now, and whoever sends to it begins anew. `again` when
    /// it had a name before: it may get the same one twice, and rows that go on.
    pub fn forget(&mut self, again: bool) {
        *self = Self { complete: self.complete && !again, tally: self.tally, ..Self::new(self.bounds) };
    }

    fn gap(&mut self, of: RowOf) -> Option<(u64, u64, &mut Gap)> {
        let row = self.rows.get_mut(&of)?;
        Some((row.next, row.boot, row.gap.as_deref_mut()?))
    }

    /// Makes a row. What has been forgotten of others may have been this one's, so that it begins at `first` then.
    fn begin(&mut self, of: RowOf, boot: u64, first: u64, known: impl Fn(u32) -> bool) -> bool {
        if self.rows.len() >= ROWS_MAX {
            self.rows.retain(|(origin, _), row| row.gap.is_some() || known(*origin));
            self.complete = false;
            if self.rows.len() >= ROWS_MAX {
                return false;
            }
        }
        let next = if self.complete { 1 } else { first };
        let boot = self.rows.range(all_of(of.0)).next().map_or(boot, |(_, other)| other.boot);
        self.rows.insert(of, Row { boot, next, gap: None });
        true
    }

    /// Begins all rows of an origin anew, for another life of it.
    fn renew(&mut self, origin: u32, boot: u64) {
        for (of, row) in self.rows.range_mut(all_of(origin)) {
            let gap = std::mem::replace(row, Row { boot, next: 1, gap: None }).gap;
            self.gaps.remove(of);
            if let Some(gap) = gap {
                self.held -= gap.bytes;
                self.tally.released += gap.held.len() as u64;
                self.ready.extend(gap.held.into_values().map(|held| held.frame));
            }
        }
    }

    fn hold(&mut self, now: Instant, of: RowOf, seq: u64, frame: &[u8]) -> Verdict {
        let Some(row) = self.rows.get_mut(&of) else { return Verdict::Stranger };
        let gap = row.gap.get_or_insert_with(|| Box::new(Gap::new(now)));
        if gap.held.contains_key(&seq) {
            return Verdict::Duplicate;
        }
        gap.held.insert(seq, Held { frame: Bytes::copy_from_slice(frame), at: now });
        gap.bytes += frame.len() + OVERHEAD;
        self.held += frame.len() + OVERHEAD;
        self.gaps.insert(of);
        self.advance(now, of);
        self.make_room(now, of);
        Verdict::Held
    }

    fn make_room(&mut self, now: Instant, of: RowOf) {
        let bounds = self.bounds;
        while self.gap(of).is_some_and(|(_, _, gap)| gap.bytes > bounds.origin_bytes_max) {
            self.crowd_out(now, of);
        }
        while self.held > bounds.bytes_max {
            let bytes = |of: &RowOf| self.rows.get(of)?.gap.as_ref().map(|gap| gap.bytes);
            let Some(fullest) = self.gaps.iter().copied().max_by_key(|of| bytes(of)) else { return };
            self.crowd_out(now, fullest);
        }
    }

    fn crowd_out(&mut self, now: Instant, of: RowOf) {
        let Some((end, _)) = self.gap(of).and_then(|(_, _, gap)| gap.front()) else { return };
        let before = self.tally.missing;
        self.skip(now, of, end);
        self.tally.crowded += self.tally.missing - before;
    }

    /// Gives up the numbers before `next`.
    fn skip(&mut self, now: Instant, of: RowOf, next: u64) {
        if let Some(row) = self.rows.get_mut(&of) {
            // A member may name any number; sums of such are no figures, and must not be errors.
            self.tally.missing = self.tally.missing.saturating_add(next.saturating_sub(row.next));
            row.next = row.next.max(next);
        }
        self.advance(now, of);
    }

    /// Makes ready what is next now.
    fn advance(&mut self, now: Instant, of: RowOf) {
        let Some(row) = self.rows.get_mut(&of) else { return };
        let Some(gap) = row.gap.as_deref_mut() else { return };
        let before = row.next;
        while let Some(held) = gap.held.remove(&row.next) {
            row.next += 1;
            gap.bytes -= held.frame.len() + OVERHEAD;
            self.held -= held.frame.len() + OVERHEAD;
            self.tally.released += 1;
            self.ready.push_back(held.frame);
        }
        gap.told.retain(|(last, _)| *last >= row.next);
        if gap.held.is_empty() && gap.told.is_empty() {
            row.gap = None;
            self.gaps.remove(&of);
        } else if row.next != before {
            // Another gap is at the front now. What was asked for before was all that was missing then, and may be coming.
            gap.ask_wait = ASK_AFTER;
            gap.ask_at = gap.ask_at.min(now + ASK_AFTER);
        }
    }
}

/// All rows that an origin may have.
fn all_of(origin: u32) -> RangeInclusive<RowOf> {
    (origin, 0)..=(origin, u8::MAX)
}

#[cfg(test)]
mod tests;
