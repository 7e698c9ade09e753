//! What becomes of frames that did not get through: the ones that a link left behind, that lead nowhere, that are missed.
//!
//! Whoever has a frame answers for it until the next hop has taken it (`custody.rs`): when a link ends, what it left is
//! routed again. What has no way waits (`parking.rs`). What was inside a node that died is asked for by its destination
//! (`resequence.rs`) and answered from what its origin has sent lately (`ring.rs`). So that a lost tail is missed at all,
//! an origin tells how far its rows go when the lattice has changed.

use super::{Arrivals, Batch, Departures as Sending, HOPS_AFTER, Plane, Table, Touched};
use crate::mesh::allowance::{Allowance, Limit};
use crate::mesh::flow::{Numbering, RowOf};
use crate::mesh::frame::{Ask, DataHeader, FrameError, Kind, Mark, Raw, RepairFrame, payload, split, stream_of};
use crate::mesh::links::Link;
use crate::mesh::outbuf::Refused;
use crate::mesh::parking::Parking;
use crate::mesh::resequence::{self, Question, RANGES_MAX, Range};
use crate::planted::{self, Bug};
use crate::ports::BoxFuture;
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Rows are told of so long after a change: what follows from the change has settled then, most likely.
const MARK_AFTER: Duration = Duration::from_millis(100);
/// Rows that are told of at once; the others, as much later again.
const MARKS_MAX: usize = 256;
/// What one question is answered with, in bytes: who misses more asks again.
const ANSWER_MAX: usize = 1 << 20;
/// A question costs a search.
const SEARCHES: Limit = Limit { at_once: 65, every: Duration::from_millis(20) };

/// What is kept against losses, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Frames that came before their time.
    pub hold: resequence::Bounds,
    /// Bytes of frames that lead nowhere…
    pub parked_max: usize,
    /// …and how long they are held.
    pub parked_for: Duration,
    /// Bytes of what was sent lately.
    pub ring_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            hold: resequence::Bounds::default(),
            parked_max: 32 << 20,
            parked_for: Duration::from_secs(30),
            ring_max: 4 << 20,
        }
    }
}

/// What is to be told to destinations, and how many of their questions may be answered.
#[derive(Debug, Default)]
pub(super) struct Departures {
    to_mark: BTreeSet<RowOf>,
    mark_at: Option<Instant>,
    searches: Allowance,
}

impl Plane {
    /// Ends the link's data streams and routes again what its peer is not known to have taken. Until a table without the
    /// link is in force it is parked, and so are newer frames behind it.
    pub fn take_over(&self, link: &Link) {
        let mut touched = Touched::default();
        {
            let mut parking = self.parking();
            let left = link.data.close();
            self.route_again(&left, &mut parking, &mut touched);
        }
        touched.flush();
    }

    /// Sends copies of what the peer of a link is not known to have taken by the table in force, where that leads another
    /// way: for a link that may be dead, and has not been given up. Destinations that get both drop one.
    ///
    /// Nobody answers for a copy, since the link still has what it is a copy of.
    pub fn resend(&self, link: &Link) {
        let (table, mut touched) = (self.table.load(), Touched::default());
        let pieces = link.data.outstanding();
        // Questions and what is told of rows are repeated anyway.
        for (_, frame) in pieces.iter().flat_map(split).filter(|(kind, _)| *kind == Kind::Data) {
            // What is here was decoded before.
            let Ok((header, body)) = DataHeader::decode(payload(&frame)) else { continue };
            let Some(class) = header.copy_class() else { continue };
            let leads_elsewhere =
                |at: &usize| table.next(header.destinations[*at].index).is_some_and(|next| next.id != link.id);
            let positions: SmallVec<[usize; 8]> = (0..header.destinations.len()).filter(leads_elsewhere).collect();
            if !positions.is_empty() {
                self.counters.copied.add(1);
                let copy = DataHeader { class, ..header.subset(&positions) };
                self.write(&table, &copy, body, &mut touched);
            }
        }
        touched.flush();
    }

    /// Whether the table in force leads anywhere over a link.
    #[must_use]
    pub fn uses(&self, link: &Link) -> bool {
        self.table.load().link(link.id).is_some()
    }

    fn route_again(&self, pieces: &[Bytes], parking: &mut Parking, touched: &mut Touched) {
        let (table, now) = (self.table.load(), self.env.now());
        for piece in pieces {
            let mut whole = 0;
            for (kind, frame) in split(piece) {
                whole += frame.len();
                // Planted: what a link leaves behind is lost.
                if planted::is(Bug::CustodyDropped) {
                    continue;
                }
                self.counters.resent.add(1);
                self.again(&table, now, (kind, frame), parking, touched);
            }
            // The peer's number was not the end of a frame, so that there is no telling where one begins.
            self.counters.dropped_link_down.add(u64::from(whole < piece.len()));
        }
    }

    /// Routes a whole frame by `table`; what of it leads nowhere is parked as of `since`.
    fn again(
        &self,
        table: &Table,
        since: Instant,
        (kind, frame): (Kind, Bytes),
        parking: &mut Parking,
        touched: &mut Touched,
    ) {
        let raw = Raw { kind, payload: payload(&frame) };
        if kind != Kind::Data {
            if let Ok(repair) = RepairFrame::decode(raw) {
                self.pass_repair(table, &repair, touched);
            }
            return;
        }
        // What is here was decoded before.
        let Ok((header, body)) = DataHeader::decode(raw.payload) else { return };
        if !header.has_custody() {
            return self.counters.copies_dropped.add(header.destinations.len() as u64);
        }
        let (_, stuck) = self.write(table, &header, body, touched);
        if stuck.len() == header.destinations.len() {
            self.hold(parking, since, stuck.len(), frame.clone());
        } else if !stuck.is_empty() {
            self.hold(parking, since, stuck.len(), encoded(&header.subset(&stuck), body));
        }
    }

    /// Parks a frame that `tried` has no way for, if the table in force has none either.
    pub(super) fn park(&self, tried: &Table, mut header: DataHeader<'_>, body: &[u8], touched: &mut Touched) {
        let mut parking = self.parking();
        let table = self.table.load();
        if !std::ptr::eq(Arc::as_ptr(&table), tried) {
            let (_, stuck) = self.write(&table, &header, body, touched);
            if stuck.is_empty() {
                return;
            }
            header = header.subset(&stuck);
        }
        self.counters.parked.add(header.destinations.len() as u64);
        self.hold(&mut parking, self.env.now(), header.destinations.len(), encoded(&header, body));
    }

    fn hold(&self, parking: &mut Parking, since: Instant, destinations: usize, frame: Bytes) {
        if parking.push(since, frame).is_err() {
            self.counters.dropped_parked_full.add(destinations as u64);
        }
        self.news.notify_one();
    }

    /// Puts `table` in force, after what was parked has gone the ways that it opens.
    pub(super) fn unpark(&self, table: &Arc<Table>) {
        let mut touched = Touched::default();
        {
            let mut parking = self.parking();
            for (since, frame) in parking.take() {
                self.again(table, since, (Kind::Data, frame), &mut parking, &mut touched);
            }
            self.table.store(Arc::clone(table));
        }
        touched.flush();
    }

    /// Hands over what was held and has its turn now, and counts what became of the rest.
    pub(super) fn release(&self, arrivals: &mut Arrivals, touched: &mut Touched) {
        while let Some(frame) = arrivals.rows.ready() {
            // It was decoded, and was for this node, when it came.
            let Ok((header, body)) = DataHeader::decode(&frame) else { continue };
            let me = arrivals.name.0;
            let Some(position) = header.destinations.iter().position(|to| to.index == me) else { continue };
            self.hand_over(&header, position, body, arrivals, touched);
            // Planted: what came after a gap is released once more.
            if planted::is(Bug::GapDeliveredTwice) {
                self.hand_over(&header, position, body, arrivals, touched);
            }
        }
        let tally = arrivals.rows.tally();
        self.counters.released.add(tally.released);
        self.counters.missing.add(tally.missing);
        self.counters.missing_crowded.add(tally.crowded);
    }

    /// Handles a question or an answer that arrived on a data stream, or passes it on.
    pub(super) fn receive_repair(
        &self,
        raw: Raw<'_>,
        batch: &mut Batch<'_>,
        touched: &mut Touched,
    ) -> Result<(), FrameError> {
        let mut frame = RepairFrame::decode(raw)?;
        let table = self.table.load();
        if frame.to() != table.routes.index {
            let Some(hops) = (*frame.hops_mut()).min(HOPS_AFTER).checked_sub(1) else {
                self.counters.dropped_hops.add(1);
                return Ok(());
            };
            *frame.hops_mut() = hops;
            self.pass_repair(&table, &frame, touched);
            return Ok(());
        }
        match frame {
            RepairFrame::Ask(ask) => self.answer(&ask, touched),
            RepairFrame::Mark(mark) if mark.life != table.life => self.counters.dropped_other_life.add(1),
            RepairFrame::Mark(mark) => {
                let arrivals = batch.get();
                arrivals.rename((table.routes.index, table.routes.boot));
                let known = |origin| table.routes.by_index.contains_key(&origin);
                let of = (mark.origin, mark.row);
                arrivals.rows.told(self.env.now(), (of, mark.boot, mark.last), &mark.gone, known);
                self.release(arrivals, touched);
                self.news.notify_one();
            }
        }
        Ok(())
    }

    fn pass_repair(&self, table: &Table, frame: &RepairFrame, touched: &mut Touched) {
        let Some(link) = table.next(frame.to()) else { return self.counters.dropped_no_route.add(1) };
        self.push_once(link, frame.stream(), touched, |out| frame.encode(out));
    }

    /// Writes a frame that nobody answers for: one that the link does not take is lost, and counted.
    pub(super) fn push_once(
        &self,
        link: &Arc<Link>,
        stream: u8,
        touched: &mut Touched,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        match link.data.push(stream, false, write) {
            Ok(_) => touched.add(link, stream),
            Err(Refused::Full) => self.counters.dropped_link_full.add(1),
            Err(Refused::Closed) => self.counters.dropped_link_down.add(1),
        }
    }

    /// Answers a destination: sends again what it misses, as far as it is still there, and tells the rest.
    fn answer(&self, ask: &Ask, touched: &mut Touched) {
        let mut departures = self.departures();
        let table = self.table.load();
        let mine = ask.boot == table.routes.boot;
        let last = match departures.numbering.last((ask.from, ask.row), ask.life) {
            Some(last) => last,
            // Its row is one of an earlier life of this node: that it is over is all there is to say.
            None if !mine && table.life_of(ask.from) == Some(ask.life) => 0,
            None => return,
        };
        // Planted: nobody answers.
        if !departures.recovery.searches.take(self.env.now(), SEARCHES) || planted::is(Bug::AskUnanswered) {
            return self.counters.asks_refused.add(1);
        }
        self.counters.asks_answered.add(1);
        let gone = if mine { self.send_again(&table, ask, last, touched) } else { Vec::new() };
        self.counters.ring_missed.add(gone.iter().map(|(first, last)| last - first + 1).sum());
        self.mark(&table, (ask.from, ask.row), ask.life, last, gone, touched);
    }

    /// Sends what `ask` asks for and was sent lately; returns what is nowhere any more.
    fn send_again(&self, table: &Table, ask: &Ask, last: u64, touched: &mut Touched) -> Vec<Range> {
        let Some(link) = table.next(ask.from) else { return Vec::new() };
        // Before the ring is looked at: this lets it have what is being gathered.
        let waiting: Vec<Bytes> = table.links().flat_map(|link| link.data.outstanding()).collect();
        let mut found = BTreeMap::new();
        search(table, ask, &self.ring.pieces(), &mut found);
        let (mut room, stream) = (ANSWER_MAX, stream_of(table.routes.index, ask.row));
        for frame in found.values() {
            let Some(rest) = room.checked_sub(frame.len()) else { break };
            room = rest;
            match link.data.push(stream, false, |out| out.extend_from_slice(frame)) {
                Ok(_) => self.counters.ring_resent.add(1),
                Err(_) => break,
            }
        }
        touched.add(link, stream);
        // What waits for a link is on its way.
        search(table, ask, &waiting, &mut found);
        let parked: Vec<Bytes> = self.parking().frames().cloned().collect();
        search(table, ask, &parked, &mut found);
        gaps(&ask.ranges, last, &found)
    }

    fn mark(&self, table: &Table, (to, row): RowOf, life: u16, last: u64, gone: Vec<Range>, touched: &mut Touched) {
        let (origin, boot) = (table.routes.index, table.routes.boot);
        let mark = Mark { to, hops: HOPS_AFTER, origin, boot, life, row, last, gone };
        self.pass_repair(table, &RepairFrame::Mark(mark), touched);
    }

    /// Notes which rows may have lost something when `after` took the place of `before`: all, when a node has gone
    /// whose inside nobody answers for; else those whose way is another one.
    pub(super) fn mark_later(&self, departures: &mut Sending, before: &Table, after: &Table) {
        let Sending { numbering, recovery, .. } = departures;
        let gone = before.routes.by_index.iter().any(|(index, route)| after.life_of(*index) != Some(route.life));
        let way = |table: &Table, to| (table.routes.by_index.get(&to).copied(), table.next(to).map(|link| link.id));
        let touched = |(to, _): &RowOf| after.next(*to).is_some() && (gone || way(before, *to) != way(after, *to));
        recovery.to_mark.extend(numbering.untold().filter(touched));
        if !recovery.to_mark.is_empty() && recovery.mark_at.is_none() {
            recovery.mark_at = Some(self.env.now() + MARK_AFTER);
            self.news.notify_one();
        }
    }

    /// When [`Plane::tend`] has something to do.
    #[must_use]
    pub fn due(&self, arrivals: &Mutex<Arrivals>) -> Option<Instant> {
        let rows = arrivals.lock().expect("no holder of this lock panics").rows.due();
        let marks = self.departures().recovery.mark_at;
        rows.into_iter().chain(self.parking().due()).chain(marks).min()
    }

    /// Waits until [`Plane::due`] may have become earlier. Cancel safe.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Does what is due: gives up what has waited too long, asks for what is missing, tells how far rows go. When a
    /// subscriber here is congested, the future ends with that.
    pub fn tend(&self, arrivals: &Mutex<Arrivals>) -> Option<BoxFuture<()>> {
        let now = self.env.now();
        let (mut batch, mut touched) = (Batch::new(arrivals), Touched::default());
        let questions = {
            let arrivals = batch.get();
            let questions = arrivals.rows.expire(now);
            self.release(arrivals, &mut touched);
            questions
        };
        let congested = batch.flush();
        self.ask(questions, &mut touched);
        self.give_up(now);
        self.tell(now, &mut touched);
        touched.flush();
        congested
    }

    fn ask(&self, questions: Vec<Question>, touched: &mut Touched) {
        let table = self.table.load();
        for Question { origin, row, boot, ranges } in questions {
            self.counters.asked.add(1);
            let (from, life) = (table.routes.index, table.life);
            let ask = Ask { to: origin, hops: HOPS_AFTER, from, life, boot, row, ranges: ranges.into_vec() };
            self.pass_repair(&table, &RepairFrame::Ask(ask), touched);
        }
    }

    fn give_up(&self, now: Instant) {
        let mut parking = self.parking();
        while let Some(frame) = parking.expired(now) {
            let destinations = DataHeader::decode(payload(&frame)).map_or(1, |(header, _)| header.destinations.len());
            self.counters.dropped_parked_late.add(destinations as u64);
        }
    }

    fn tell(&self, now: Instant, touched: &mut Touched) {
        let mut departures = self.departures();
        let Sending { numbering, recovery, .. } = &mut *departures;
        if recovery.mark_at.is_none_or(|at| at > now) {
            return;
        }
        let table = self.table.load();
        for row in recovery.to_mark.iter().copied().take(MARKS_MAX).collect::<Vec<_>>() {
            recovery.to_mark.remove(&row);
            self.tell_one(&table, numbering, row, touched);
        }
        recovery.mark_at = (!recovery.to_mark.is_empty()).then(|| now + MARK_AFTER);
    }

    fn tell_one(&self, table: &Table, numbering: &mut Numbering, row: RowOf, touched: &mut Touched) {
        // One that is out of reach is told when it is back.
        if table.next(row.0).is_some()
            && let Some((last, life)) = numbering.tell(row)
        {
            self.counters.marked.add(1);
            self.mark(table, row, life, last, Vec::new(), touched);
        }
    }

    fn parking(&self) -> MutexGuard<'_, Parking> {
        self.parking.lock().expect("no holder of this lock panics")
    }

    pub(super) fn departures(&self) -> MutexGuard<'_, Sending> {
        self.departures.lock().expect("no holder of this lock panics")
    }
}

fn encoded(header: &DataHeader<'_>, body: &[u8]) -> Bytes {
    let mut out = Vec::new();
    header.encode(body, &mut out);
    out.into()
}

/// Adds the frames in `pieces` that `ask` asks for, each for that destination alone, by their numbers.
fn search(table: &Table, ask: &Ask, pieces: &[Bytes], found: &mut BTreeMap<u64, Bytes>) {
    for (_, frame) in pieces.iter().flat_map(split).filter(|(kind, _)| *kind == Kind::Data) {
        let Ok((header, body)) = DataHeader::decode(payload(&frame)) else { continue };
        if (header.origin, header.boot, header.row) != (table.routes.index, table.routes.boot, ask.row) {
            continue;
        }
        let asked = |seq| ask.ranges.iter().any(|(first, last)| (*first..=*last).contains(&seq));
        let wanted = header.destinations.iter().enumerate();
        let mut wanted = wanted.filter(|(_, to)| (to.index, to.life) == (ask.from, ask.life) && asked(to.seq));
        if let Some((position, to)) = wanted.next() {
            let alone = DataHeader { hops: HOPS_AFTER, ..header.subset(&[position]) };
            found.entry(to.seq).or_insert_with(|| encoded(&alone, body));
        }
    }
}

/// The numbers in `ranges`, up to `last`, that are not among those found; the first [`RANGES_MAX`] ranges of them.
fn gaps(ranges: &[Range], last: u64, found: &BTreeMap<u64, Bytes>) -> Vec<Range> {
    let mut gaps = Vec::new();
    for &(first, end) in ranges {
        let (mut from, end) = (first.max(1), end.min(last));
        if from > end {
            continue;
        }
        for (&seq, _) in found.range(from..=end) {
            if seq > from {
                gaps.push((from, seq - 1));
            }
            from = seq + 1;
        }
        if from <= end {
            gaps.push((from, end));
        }
    }
    gaps.truncate(RANGES_MAX);
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_found_nor_yet_given_is_no_gap() {
        let found: BTreeMap<u64, Bytes> = [3, 4, 9].map(|seq| (seq, Bytes::new())).into();
        assert_eq!(gaps(&[(2, 5), (8, 20)], 11, &found), [(2, 2), (5, 5), (8, 8), (10, 11)]);
        assert_eq!(gaps(&[(3, 4), (12, u64::MAX), (7, 6)], 11, &found), []);
    }

    #[test]
    fn searches_are_few() {
        let (now, mut departures) = (crate::mesh::start_of_time(), Departures::default());
        let at = |ms| now + Duration::from_millis(ms);
        let mut may_search = |now| departures.searches.take(now, SEARCHES);
        assert_eq!((0..1_000).filter(|_| may_search(now)).count(), 65);
        assert!(may_search(at(20)) && !may_search(at(20)) && may_search(at(40)));
    }
}
