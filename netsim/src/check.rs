//! What must never break, checked as messages arrive: no duplicate, order per publisher, completeness, resumption.
//!
//! A test's publishers ask [`Checker::publish`] for the id of each message and its subscribers report it with
//! [`Checker::deliver`]; how the id travels is theirs. Violations are values with a time; whether they fail the run is
//! left to the test.

use crate::guarded::Guarded;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Violations that are kept; the rest is only counted.
const KEPT_MAX: usize = 10_000;

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

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// It arrived before.
    Duplicate,
    /// A later one of the same publisher arrived before.
    OutOfOrder {
        /// The latest that had arrived.
        after: u64,
    },
    /// It was never published.
    Unknown,
    /// It did not arrive.
    Missing,
    /// Nothing that the publisher sent after a fault's end arrived within the bound.
    Resumed {
        /// When the first arrived, counted from the end of the fault; `None` when none did.
        after: Option<Duration>,
        /// Within what it should have.
        bound: Duration,
    },
}

/// One thing that must not happen and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// When it was seen, in virtual time.
    pub at: Duration,
    /// Who received, or did not.
    pub receiver: u32,
    /// Which message; of [`Broken::Resumed`], the first that could have arrived.
    pub message: MessageId,
    /// What was broken.
    pub broken: Broken,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} at receiver {}: {:?}", self.at, self.message, self.receiver, self.broken)
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
    fn take(&mut self, sequence: u64) -> Option<Broken> {
        if self.has(sequence) {
            return Some(Broken::Duplicate);
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
        Some(Broken::OutOfOrder { after: self.next - 1 })
    }
}

#[derive(Debug, Default)]
struct Record {
    /// When each message of a publisher's life was published, by sequence.
    published: BTreeMap<(u32, u32), Vec<Duration>>,
    /// By receiver and publisher's life.
    heard: BTreeMap<(u32, u32, u32), Heard>,
    /// By end of fault: the first arrival of something published since, by receiver and publisher.
    watches: BTreeMap<Duration, BTreeMap<(u32, u32), Duration>>,
    violations: Vec<Violation>,
    violations_total: u64,
    delivered: u64,
}

impl Record {
    fn violate(&mut self, violation: Violation) {
        self.violations_total += 1;
        if self.violations.len() < KEPT_MAX {
            self.violations.push(violation);
        }
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
    /// What came before a receiver's first message of a publisher is not missed here: see [`Checker::complete`].
    pub fn deliver(&self, at: Duration, receiver: u32, message: MessageId) {
        let mut record = self.record.lock();
        let record = &mut *record;
        record.delivered += 1;
        let MessageId { publisher, incarnation, sequence } = message;
        let times = record.published.get(&(publisher, incarnation));
        let published = times.and_then(|times| times.get(usize::try_from(sequence).ok()?)).copied();
        let Some(published) = published else {
            return record.violate(Violation { at, receiver, message, broken: Broken::Unknown });
        };
        let heard = record.heard.entry((receiver, publisher, incarnation)).or_insert_with(|| Heard {
            first: sequence,
            next: sequence,
            missing: BTreeSet::new(),
        });
        if let Some(broken) = heard.take(sequence) {
            record.violate(Violation { at, receiver, message, broken });
        }
        for (_, resumed) in record.watches.range_mut(..=published) {
            resumed.entry((receiver, publisher)).or_insert(at);
        }
    }

    /// Begins to note when each receiver hears of each publisher again, counting messages published from `moment` on.
    /// Call it at that moment.
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

    /// Checks that each of `receivers` heard each of `publishers` (but not itself) within `bound` of the watched
    /// `moment`. Returns the violations, which are also kept.
    pub fn resume_within(
        &self,
        moment: Duration,
        bound: Duration,
        receivers: &[u32],
        publishers: &[u32],
    ) -> Vec<Violation> {
        let resumed = self.resumed(moment);
        let mut found = Vec::new();
        for &receiver in receivers {
            for &publisher in publishers.iter().filter(|publisher| **publisher != receiver) {
                let after = resumed.get(&(receiver, publisher)).copied();
                if after.is_none_or(|after| after > bound) {
                    let message = MessageId { publisher, incarnation: 0, sequence: 0 };
                    let at = moment + after.unwrap_or(bound);
                    found.push(Violation { at, receiver, message, broken: Broken::Resumed { after, bound } });
                }
            }
        }
        self.keep(&found);
        found
    }

    /// Checks that each of `receivers` got everything that others published from `from` to `to`, both included. Call it
    /// when that has had the time to arrive. Returns the violations, which are also kept.
    pub fn complete(&self, from: Duration, to: Duration, receivers: &[u32]) -> Vec<Violation> {
        let mut found = Vec::new();
        {
            let record = self.record.lock();
            for (&(publisher, incarnation), times) in &record.published {
                let since = times.partition_point(|at| *at < from);
                for (sequence, &at) in (0..).zip(times).skip(since).take_while(|(_, at)| **at <= to) {
                    for &receiver in receivers.iter().filter(|receiver| **receiver != publisher) {
                        let heard = record.heard.get(&(receiver, publisher, incarnation));
                        if !heard.is_some_and(|heard| heard.has(sequence)) {
                            let message = MessageId { publisher, incarnation, sequence };
                            found.push(Violation { at, receiver, message, broken: Broken::Missing });
                        }
                    }
                }
            }
        }
        self.keep(&found);
        found
    }

    fn keep(&self, found: &[Violation]) {
        let mut record = self.record.lock();
        found.iter().for_each(|violation| record.violate(*violation));
    }

    /// All violations found so far, in the order in which they were found; the first 10,000.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.record.lock().violations.clone()
    }

    /// How many violations were found.
    #[must_use]
    pub fn violations_total(&self) -> u64 {
        self.record.lock().violations_total
    }

    /// How many messages were published.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.record.lock().published.values().map(|times| times.len() as u64).sum()
    }

    /// How many messages were received, duplicates included.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.record.lock().delivered
    }

    /// How often a receiver lacks a message although it has earlier and later ones of the same life: what faults cost.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.record.lock().heard.values().map(|heard| heard.missing.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests;
