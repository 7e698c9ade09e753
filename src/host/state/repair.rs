//! A repair: two copies of the records find out what differs, and give each other that and nothing else.
//!
//! The asker, [`Repair`], goes through the hashes of the keys in order, as far at a time as one message holds; the one who
//! answers, `answer`, keeps nothing in mind. It ends when all hashes have been gone through, or when no answer
//! comes: what was given by then stays, and the next digest begins another. Who is asked, and when, is left to
//! `exchange.rs`.

use super::record::Entry;
use super::replica::{BUCKETS, Replica, bucket_of};
use super::wire::{LINES_MAX, Line, Message, Summary, within};
use crate::identity::NodeId;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The asker's side of a repair.
#[derive(Debug)]
pub struct Repair {
    /// Whom it asks.
    pub peer: NodeId,
    /// Its number.
    pub round: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The other says what it has from that hash on.
    Compare { from: u64 },
    /// Both give.
    Trade { to: u64, give: BTreeSet<u64>, want: BTreeSet<u64> },
}

/// What the asker does next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// It says this, and waits for an answer.
    Ask(Message),
    /// It has gone through all.
    Done,
    /// That was no answer to what it asked last: it goes on waiting.
    Wait,
}

impl Repair {
    /// Begins, with what is to be said first.
    #[must_use]
    pub fn begin(peer: NodeId, round: u32, replica: &Replica) -> (Self, Message) {
        (Self { peer, round, stage: Stage::Compare { from: 0 } }, compare(replica, 0))
    }

    /// Goes on with what the other has.
    pub fn summary(&mut self, replica: &Replica, summary: &Summary) -> Step {
        let Stage::Compare { from } = self.stage else { return Step::Wait };
        if summary.from != from || summary.to < from || summary.lines.len() > LINES_MAX {
            return Step::Wait;
        }
        let (give, want) = difference(replica, summary);
        self.stage = Stage::Trade { to: summary.to, give, want };
        self.next(replica)
    }

    /// Goes on after records have come and been merged, which were of keys with `hashes`.
    pub fn records(&mut self, replica: &Replica, hashes: &[u64]) -> Step {
        let Stage::Trade { want, .. } = &mut self.stage else { return Step::Wait };
        want.retain(|hash| !hashes.contains(hash));
        if hashes.is_empty() {
            // The other has none of them any more.
            want.clear();
        }
        self.next(replica)
    }

    fn next(&mut self, replica: &Replica) -> Step {
        let Stage::Trade { to, give, want } = &mut self.stage else { return Step::Wait };
        if !give.is_empty() || !want.is_empty() {
            let given = within(give.iter().filter_map(|hash| replica.by_hash(*hash)));
            // What is not here any more is not given either.
            let last = given.last().map(|entry| entry.key.hash());
            let rest = last.and_then(|last| last.checked_add(1)).map(|next| give.split_off(&next));
            *give = rest.unwrap_or_default();
            return Step::Ask(Message::Trade { give: given, want: want.iter().copied().collect() });
        }
        let Some(from) = to.checked_add(1) else { return Step::Done };
        self.stage = Stage::Compare { from };
        Step::Ask(compare(replica, from))
    }
}

fn compare(replica: &Replica, from: u64) -> Message {
    Message::Compare { buckets: replica.buckets().to_vec(), from }
}

/// What this copy has and the other lacks, and the other way round, by hash: what either has later, or nobody can say.
fn difference(replica: &Replica, summary: &Summary) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let theirs: BTreeMap<u64, &Line> = summary.lines.iter().map(|line| (line.hash, line)).collect();
    let (mut give, mut want) = (BTreeSet::new(), BTreeSet::new());
    for (hash, entry) in replica.range(summary.from..=summary.to) {
        if !differs(summary.differing, hash) {
            continue;
        }
        let mine = Line::of(hash, entry);
        let order = theirs.get(&hash).map(|theirs| (mine.wall_ms, mine.count).cmp(&(theirs.wall_ms, theirs.count)));
        match order {
            None | Some(Ordering::Greater) => {
                give.insert(hash);
            }
            Some(Ordering::Less) => {
                want.insert(hash);
            }
            Some(Ordering::Equal) if theirs[&hash].tie != mine.tie => {
                give.insert(hash);
                want.insert(hash);
            }
            Some(Ordering::Equal) => {}
        }
    }
    want.extend(theirs.keys().filter(|hash| replica.by_hash(**hash).is_none()));
    (give, want)
}

const fn differs(differing: u64, hash: u64) -> bool {
    differing >> bucket_of(hash) & 1 == 1
}

/// The answer to a [`Message::Compare`]; `None` when it is none.
#[must_use]
pub fn summary(replica: &Replica, buckets: &[u64], from: u64) -> Option<Summary> {
    if buckets.len() != BUCKETS {
        return None;
    }
    let each = replica.buckets().iter().zip(buckets).enumerate();
    let differing = each.fold(0, |bits, (at, (mine, theirs))| bits | u64::from(mine != theirs) << at);
    let mut lines: Vec<Line> = Vec::new();
    for (hash, entry) in replica.range(from..=u64::MAX).filter(|(hash, _)| differs(differing, *hash)) {
        if lines.len() == LINES_MAX {
            let to = lines.last().map_or(from, |line| line.hash);
            return Some(Summary { from, to, differing, lines });
        }
        lines.push(Line::of(hash, entry));
    }
    Some(Summary { from, to: u64::MAX, differing, lines })
}

/// The answer to the `want` of a [`Message::Trade`].
#[must_use]
pub fn wanted(replica: &Replica, want: &[u64]) -> Vec<Entry> {
    within(want.iter().take(LINES_MAX).filter_map(|hash| replica.by_hash(*hash)))
}
