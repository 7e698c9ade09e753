//! What must never break, checked as messages arrive: no duplicate, order per publisher, completeness, resumption.
//!
//! Publishers ask [`Checker::publish`] for the id of each message and subscribers report it with [`Checker::deliver`];
//! how the id travels is theirs. When messages must arrive is said by `epochs.rs`; what becomes of violations, by
//! `verdict.rs`.

use crate::epochs::{Epoch, Epochs};
use crate::guarded::Guarded;
use crate::timeline::{RESUMPTIONS_MAX, Resumption, Timeline, ms};
use crate::verdict::{Check, Tally, Violation};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Names a message: who published it, in which life, and as which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Who published it.
    pub publisher: u32,
    /// In which life of the publisher.
    pub incarnation: u32,
    /// Its place among those of that life, from 0, without gaps.
    pub sequence: u64,
}

impl fmt::Display for MessageId {
    /// `publisher.incarnation.sequence`, which [`MessageId::from_str`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.publisher, self.incarnation, self.sequence)
    }
}

/// A text is no message id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no message id")]
pub struct BadMessageId(String);

impl FromStr for MessageId {
    type Err = BadMessageId;

    fn from_str(text: &str) -> Result<Self, BadMessageId> {
        let parse = || {
            let mut parts = text.split('.');
            let (publisher, incarnation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let sequence = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Self { publisher, incarnation, sequence })
        };
        parse().ok_or_else(|| BadMessageId(text.to_owned()))
    }
}

/// What one receiver has of one publisher's life.
#[derive(Debug)]
struct Heard {
    /// All before are accounted for, from the first that arrived.
    first: u64,
    next: u64,
    /// Those between `first` and `next` that have not arrived.
    missing: BTreeSet<u64>,
}

impl Heard {
    fn has(&self, sequence: u64) -> bool {
        (self.first..self.next).contains(&sequence) && !self.missing.contains(&sequence)
    }

    /// Takes a message in; says what it breaks.
    fn take(&mut self, sequence: u64) -> Option<Check> {
        if self.has(sequence) {
            return Some(Check::Duplicate);
        }
        if sequence >= self.next {
            self.missing.extend(self.next..sequence);
            self.next = sequence + 1;
            return None;
        }
        if sequence < self.first {
            self.missing.extend(sequence + 1..self.first);
            self.first = sequence;
        }
        self.missing.remove(&sequence);
        Some(Check::Order)
    }
}

/// A receiver and a publisher.
type Pair = (u32, u32);

#[derive(Debug, Default)]
struct Record {
    /// When each message of a publisher's life was published, by sequence.
    published: BTreeMap<(u32, u32), Vec<Duration>>,
    /// By receiver and publisher's life.
    heard: BTreeMap<(u32, u32, u32), Heard>,
    /// By border of epochs: the first arrival of something published since, and before the next border.
    watches: BTreeMap<Duration, BTreeMap<Pair, Duration>>,
    /// Arrivals by receiver.
    arrivals: BTreeMap<u32, Vec<Duration>>,
    found: Tally,
    delivered: u64,
}

impl Record {
    fn published_at(&self, message: MessageId) -> Option<Duration> {
        let times = self.published.get(&(message.publisher, message.incarnation))?;
        times.get(usize::try_from(message.sequence).ok()?).copied()
    }

    /// Times of messages that a receiver lacks although it has earlier and later ones of the same life.
    fn gaps(&self) -> impl Iterator<Item = Duration> {
        self.heard.iter().flat_map(move |(&(_, publisher, incarnation), heard)| {
            let id = move |&sequence: &u64| MessageId { publisher, incarnation, sequence };
            heard.missing.iter().filter_map(move |sequence| self.published_at(id(sequence)))
        })
    }

    fn has(&self, receiver: u32, message: MessageId) -> bool {
        let heard = self.heard.get(&(receiver, message.publisher, message.incarnation));
        heard.is_some_and(|heard| heard.has(message.sequence))
    }
}

/// The record of who published and received what. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    record: Arc<Guarded<Record>>,
}

impl Checker {
    /// An empty record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `publisher` publishes its next message now; returns the id to send along.
    pub fn publish(&self, at: Duration, publisher: u32, incarnation: u32) -> MessageId {
        let mut record = self.record.lock();
        let times = record.published.entry((publisher, incarnation)).or_default();
        times.push(at);
        MessageId { publisher, incarnation, sequence: times.len() as u64 - 1 }
    }

    /// Notes that `receiver` got a message, and checks it against what it got before.
    ///
    /// What came before a receiver's first message of a publisher is not missed here: see [`Checker::judge`].
    pub fn deliver(&self, at: Duration, receiver: u32, message: MessageId) {
        let mut record = self.record.lock();
        let record = &mut *record;
        let MessageId { publisher, incarnation, sequence } = message;
        if publisher != receiver {
            record.delivered += 1;
            record.arrivals.entry(receiver).or_default().push(at);
        }
        let Some(published) = record.published_at(message) else {
            let what = format!("{message} arrived, which nobody published");
            return record.found.add(seen(at, Check::Unknown, receiver, what));
        };
        let heard = record.heard.entry((receiver, publisher, incarnation)).or_insert_with(|| Heard {
            first: sequence,
            next: sequence,
            missing: BTreeSet::new(),
        });
        if let Some(check) = heard.take(sequence) {
            let last = heard.next - 1;
            let what = match check {
                Check::Duplicate => format!("{message} arrived once more"),
                _ => format!("{message} arrived after number {last} of the same publisher"),
            };
            record.found.add(seen(at, check, receiver, what));
        }
        if let Some((_, first)) = record.watches.range_mut(..=published).next_back() {
            first.entry((receiver, publisher)).or_insert(at);
        }
    }

    /// Begins to note when each receiver hears of each publisher again, counting messages published from `moment` until
    /// the next one that is watched. Call it at that moment.
    pub fn watch(&self, moment: Duration) {
        self.record.lock().watches.entry(moment).or_default();
    }

    /// How long after the watched `moment` the first message published since reached each receiver, by receiver and
    /// publisher.
    #[must_use]
    pub fn resumed(&self, moment: Duration) -> BTreeMap<(u32, u32), Duration> {
        let record = self.record.lock();
        let resumed = record.watches.get(&moment).into_iter().flatten();
        resumed.map(|(pair, at)| (*pair, at.saturating_sub(moment))).collect()
    }

    /// Says what was broken in all. `publishers` are those that should publish all the time, `hearers` says who
    /// subscribes to whom, by publisher.
    ///
    /// Call it when all that was published has had the time to arrive. Returns the violations with those that were
    /// found on the way, and the slowest resumptions, the slowest first.
    #[must_use]
    pub fn judge(
        &self,
        epochs: &Epochs,
        bound: Duration,
        publishers: &[usize],
        hearers: &[Vec<usize>],
    ) -> (Tally, Vec<Resumption>) {
        let mut found = self.record.lock().found.clone();
        let mut resumptions = Vec::new();
        for epoch in epochs.judged() {
            let last = epochs.last().is_some_and(|last| last.is(epoch));
            for &publisher in publishers {
                let pair = (publisher, &hearers[publisher][..]);
                self.judge_resumption(epoch, last, bound, pair, &mut found, &mut resumptions);
            }
            if resumptions.len() > 8 * RESUMPTIONS_MAX {
                // A run of many epochs keeps no more than it will tell.
                resumptions.sort_by(|a, b| slowness(b).total_cmp(&slowness(a)));
                resumptions.truncate(RESUMPTIONS_MAX);
            }
        }
        resumptions.sort_by(|a, b| slowness(b).total_cmp(&slowness(a)));
        resumptions.truncate(RESUMPTIONS_MAX);
        self.judge_completeness(epochs, hearers, &mut found);
        (found, resumptions)
    }

    fn judge_resumption(
        &self,
        epoch: &Epoch,
        last: bool,
        bound: Duration,
        (publisher, hearers): (usize, &[usize]),
        found: &mut Tally,
        resumptions: &mut Vec<Resumption>,
    ) {
        for &receiver in hearers.iter().filter(|receiver| epoch.joined(publisher, **receiver)) {
            let after = self.resumed_after(epoch.from, (receiver as u32, publisher as u32));
            resumptions.push(Resumption { at_ms: ms(epoch.from), receiver, publisher, after_ms: after.map(ms) });
            if after.is_some_and(|after| after <= bound) {
                continue;
            }
            let what = match after {
                Some(after) => format!("heard node {publisher} again after {after:.3?}, the bound is {bound:?}"),
                None => format!("never heard node {publisher} again"),
            };
            // What never came is as late as can be told; to the very end, it is late for ever.
            let never = if last { f64::MAX } else { ms(epoch.until - epoch.from) };
            let at_ms = ms(epoch.from + after.unwrap_or(bound));
            let figure = Some(after.map_or(never, ms));
            found.add(Violation { at_ms, check: Check::Resume, node: Some(receiver), what, figure });
        }
    }

    fn resumed_after(&self, moment: Duration, pair: Pair) -> Option<Duration> {
        let record = self.record.lock();
        Some(record.watches.get(&moment)?.get(&pair)?.saturating_sub(moment))
    }

    fn judge_completeness(&self, epochs: &Epochs, hearers: &[Vec<usize>], found: &mut Tally) {
        let record = self.record.lock();
        for (&(publisher, incarnation), times) in &record.published {
            for (sequence, &at) in (0..).zip(times) {
                let Some(epoch) = epochs.calm(at) else { continue };
                let message = MessageId { publisher, incarnation, sequence };
                let own = publisher as usize;
                for &receiver in hearers[own].iter().filter(|receiver| epoch.joined(own, **receiver)) {
                    if !record.has(receiver as u32, message) {
                        found.add(seen(at, Check::Complete, receiver as u32, format!("{message} never arrived")));
                    }
                }
            }
        }
    }

    /// Puts counts of what was published, received and lost into `timeline`.
    pub fn draw(&self, timeline: &mut Timeline) {
        let record = self.record.lock();
        for (&(publisher, _), times) in &record.published {
            times.iter().for_each(|at| add(timeline, *at, |t, bin| &mut t.nodes[publisher as usize].published[bin]));
        }
        for (&receiver, times) in &record.arrivals {
            times.iter().for_each(|at| add(timeline, *at, |t, bin| &mut t.nodes[receiver as usize].delivered[bin]));
        }
        for at in record.gaps() {
            let bin = timeline.bin(at);
            timeline.lost[bin] += 1;
        }
    }

    /// How many messages were published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.record.lock().published.values().map(|times| times.len() as u64).sum()
    }

    /// How many messages were received from others, duplicates included.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.record.lock().delivered
    }

    /// How often a receiver lacks a message although it has earlier and later ones of the same life: what faults cost.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.record.lock().heard.values().map(|heard| heard.missing.len() as u64).sum()
    }

    /// As [`Checker::gaps`], without the messages from and to `nodes`.
    #[must_use]
    pub fn gaps_without(&self, nodes: &BTreeSet<usize>) -> u64 {
        let among = |node: u32| nodes.contains(&(node as usize));
        let record = self.record.lock();
        let others =
            record.heard.iter().filter(|((receiver, publisher, _), _)| !among(*receiver) && !among(*publisher));
        others.map(|(_, heard)| heard.missing.len() as u64).sum()
    }

    /// What was found broken as messages arrived.
    #[must_use]
    pub fn found(&self) -> Tally {
        self.record.lock().found.clone()
    }
}

fn slowness(resumption: &Resumption) -> f64 {
    resumption.after_ms.unwrap_or(f64::INFINITY)
}

fn seen(at: Duration, check: Check, receiver: u32, what: String) -> Violation {
    Violation { at_ms: ms(at), check, node: Some(receiver as usize), what, figure: None }
}

fn add(timeline: &mut Timeline, at: Duration, cell: impl Fn(&mut Timeline, usize) -> &mut u32) {
    let bin = timeline.bin(at);
    *cell(timeline, bin) += 1;
}

#[cfg(test)]
mod tests;
