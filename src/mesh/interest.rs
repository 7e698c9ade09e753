//! Who wants what: for every node the set of its subjects, versioned, so that copies can be told apart and caught up.
//!
//! Each change of a node's set is one step of its version. A copy keeps the latest changes beside the set, and
//! passes them on to whoever is a few steps behind; who is further behind gets the set itself, in parts. Changes are
//! absolute, so a set that already has some of them takes all of them without harm.
//!
//! When to send what is left to the control plane; what interest does, to the broker.

mod local;

pub use local::Local;

use super::announcement::Shelf;
use super::digest::{Digest, Element};
use super::frame::{Delta, Snapshot};
use super::id::NodeId;
use crate::codec::{Decode, Encode};
use crate::planted::{self, Bug};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// Most bytes of account, subject and queue group of one entry.
pub const ENTRY_MAX: usize = 16 << 10;
/// Bytes of changes in one frame: what the frame allows, less its largest entry and the rest of the record.
const FRAME_FILL: usize = 40 << 10;
/// How many changes, and bytes of them, are kept for those who are behind.
const LOG_CHANGES_MAX: usize = 1024;
const LOG_BYTES_MAX: usize = 256 << 10;
/// What an entry costs beside its text, in memory.
const OVERHEAD: usize = 160;

/// What an entry of a node's interest is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Key {
    /// The account.
    pub account: Box<[u8]>,
    /// The subject, with wildcards.
    pub subject: Box<[u8]>,
    /// The queue group, or plain interest.
    pub queue: Option<Box<[u8]>>,
    /// Set when it is the interest of that node's upstream server.
    pub via: Option<u64>,
}

impl Key {
    /// Bytes of its text.
    #[must_use]
    pub fn text_len(&self) -> usize {
        self.account.len() + self.subject.len() + self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    fn element(&self, weight: u32) -> Element {
        let element = Element::new().bytes(&self.account).bytes(&self.subject);
        let element = match &self.queue {
            None => element.number(0),
            Some(queue) => element.number(1).bytes(queue),
        };
        let element = match self.via {
            None => element.number(0),
            Some(via) => element.number(1).number(via),
        };
        element.number(weight.into())
    }
}

/// What an entry changes to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    /// The entry.
    pub key: Arc<Key>,
    /// Members of the queue group, 1 for plain interest, 0 when there is none any more.
    pub weight: u32,
}

impl Change {
    fn size(&self) -> usize {
        self.key.text_len() + 32
    }
}

/// Bounds on the interest that is kept. An entry past them is refused and counted, never silently dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one node.
    pub entries: usize,
    /// Bytes of one node's entries.
    pub bytes: usize,
    /// Bytes of the entries of all nodes.
    pub bytes_total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1_000_000, bytes: 256 << 20, bytes_total: 1 << 30 }
    }
}

/// What is known of one node's interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    boot: u64,
    version: u64,
    /// The version from which on the set is exact: the parts of its snapshot were not all of one version.
    exact_from: u64,
    entries: BTreeMap<Arc<Key>, u32>,
    digest: Digest,
    bytes: usize,
    /// Entries were refused, so that the set is less than its version says.
    truncated: bool,
    /// The latest changes; the last one led to `version`.
    log: VecDeque<Change>,
    log_bytes: usize,
}

impl Held {
    /// An empty set, as every node has it at its start.
    #[must_use]
    pub fn new(boot: u64) -> Self {
        Self { boot, ..Self::default() }
    }

    /// The boot epoch that the versions count in.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// The number of changes since the start.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version, when the set is exactly that: what others may rely on. 0 otherwise.
    #[must_use]
    pub fn exact_version(&self) -> u64 {
        if self.version >= self.exact_from { self.version } else { 0 }
    }

    /// True when the set is known to be wrong, so that it has to be fetched anew.
    #[must_use]
    pub fn distrusted(&self) -> bool {
        self.exact_from == u64::MAX
    }

    /// Digest of the entries.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.0
    }

    /// True when entries were refused because of a limit.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The entries in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&Arc<Key>, u32)> {
        self.entries.iter().map(|(key, weight)| (key, *weight))
    }

    /// The weight of an entry; 0 when there is none.
    #[must_use]
    pub fn weight(&self, key: &Key) -> u32 {
        self.entries.get(key).copied().unwrap_or(0)
    }

    /// The changes from version `have` on, if that many are still known.
    pub fn since(&self, have: u64) -> Option<impl Iterator<Item = &Change>> {
        let missing = usize::try_from(self.version.checked_sub(have)?).ok()?;
        let skip = self.log.len().checked_sub(missing)?;
        Some(self.log.iter().skip(skip))
    }

    /// As many entries after `after` as one frame takes, and whether they were the last.
    #[must_use]
    pub fn part(&self, after: Option<&Key>) -> (Vec<Change>, bool) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.entries.range::<Key, _>((start, Bound::Unbounded));
        let (mut part, mut size) = (Vec::new(), 0);
        for (key, &weight) in rest.by_ref() {
            let change = Change { key: key.clone(), weight };
            size += change.size();
            part.push(change);
            if size >= FRAME_FILL {
                break;
            }
        }
        (part, rest.next().is_none())
    }

    /// Takes one step. Returns whether the set has changed by it.
    fn step(&mut self, change: &Change, limits: Limits, refused: &mut u64) -> bool {
        self.version += 1;
        self.log_bytes += change.size();
        self.log.push_back(change.clone());
        while self.log.len() > LOG_CHANGES_MAX || self.log_bytes > LOG_BYTES_MAX {
            self.log_bytes -= self.log.pop_front().map_or(0, |old| old.size());
        }
        self.set(change, limits, refused)
    }

    fn set(&mut self, change: &Change, limits: Limits, refused: &mut u64) -> bool {
        let Change { key, weight } = change;
        let before = self.weight(key);
        if before == *weight {
            return false;
        }
        let size = key.text_len() + OVERHEAD;
        if before == 0 && (self.entries.len() >= limits.entries || self.bytes + size > limits.bytes) {
            *refused += 1;
            self.truncated = true;
            return false;
        }
        if before > 0 {
            self.digest.remove(key.element(before));
            self.bytes -= size;
        }
        if *weight > 0 {
            self.digest.add(key.element(*weight));
            self.bytes += size;
            self.entries.insert(key.clone(), *weight);
        } else {
            self.entries.remove(key);
        }
        true
    }

    /// What has to change in this set for it to become `new`.
    fn difference(&self, new: &Self) -> Vec<Change> {
        let gone = self.entries.keys().filter(|key| new.weight(key) == 0).map(|key| (key, 0));
        let come = new.entries().filter(|&(key, weight)| self.weight(key) != weight);
        gone.chain(come).map(|(key, weight)| Change { key: key.clone(), weight }).collect()
    }
}

/// Splits changes into lists that each fit one frame.
#[must_use]
pub fn frames<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<Vec<Change>> {
    let (mut frames, mut size) = (Vec::new(), FRAME_FILL);
    for change in changes {
        if size >= FRAME_FILL {
            frames.push(Vec::new());
            size = 0;
        }
        size += change.size();
        frames.last_mut().expect("the first change has begun a frame").push(change.clone());
    }
    frames
}

/// What is wrong with changes that no honest node would send.
#[must_use]
pub fn flaw(changes: &[Change]) -> Option<&'static str> {
    changes.iter().find_map(|change| match &*change.key {
        key if key.subject.is_empty() => Some("an empty subject"),
        key if key.text_len() > ENTRY_MAX => Some("an entry longer than allowed"),
        _ => None,
    })
}

/// A snapshot on its way in.
#[derive(Clone, Debug)]
pub struct Staging {
    held: Held,
    /// The version of the first part.
    first: u64,
    refused: u64,
}

/// What became of a delta.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing in it was new.
    Old,
    /// Changes before it are missing: nothing was taken.
    Gap,
    /// Taken: all but the first `skipped` changes were new, and these have changed the set.
    New {
        /// Changes that were known.
        skipped: usize,
        /// Entries that are different now.
        changed: Vec<Change>,
    },
}

/// The interest of all other nodes.
#[derive(Debug)]
pub struct Interest {
    limits: Limits,
    /// Copied when one is changed that others hold, too: see [`Interest::share`].
    nodes: BTreeMap<NodeId, Arc<Held>>,
    bytes: usize,
    /// Entries refused since the start.
    pub refused: u64,
}

impl Interest {
    /// Nobody's interest yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, nodes: BTreeMap::new(), bytes: 0, refused: 0 }
    }

    /// What is known of a node's interest.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Held> {
        self.nodes.get(&node).map(|held| &**held)
    }

    /// Lets what is known of a node be kept once for all who share the shelf and know the same.
    pub fn share(&mut self, node: NodeId, shelf: &dyn Shelf) {
        if let Some(held) = self.nodes.get_mut(&node) {
            *held = shelf.interest(node, Arc::clone(held));
        }
    }

    /// Begins anew for a node that has started, or that was not known.
    pub fn reset(&mut self, node: NodeId, boot: u64) {
        self.remove(node);
        self.nodes.insert(node, Arc::new(Held::new(boot)));
    }

    /// Forgets a node.
    pub fn remove(&mut self, node: NodeId) {
        self.bytes -= self.nodes.remove(&node).map_or(0, |held| held.bytes);
    }

    /// Takes in changes. They are of the boot epoch of the last [`Interest::reset`].
    pub fn apply(&mut self, delta: &Delta) -> Applied {
        let Some(held) = self.nodes.get_mut(&delta.node) else { return Applied::Gap };
        let to = delta.from.saturating_add(delta.changes.len() as u64);
        if to <= held.version {
            return Applied::Old;
        }
        let Some(skipped) = held.version.checked_sub(delta.from) else { return Applied::Gap };
        let skipped = usize::try_from(skipped).expect("less than the number of changes");
        let others = self.bytes - held.bytes;
        let limits = room(self.limits, others);
        let new = &delta.changes[skipped..];
        let held = Arc::make_mut(held);
        let mut step = |change: &&Change| {
            // Planted: every fifth change is counted and not made.
            if planted::is(Bug::InterestDeltaDropped) && held.version % 5 == 4 {
                held.version += 1;
                return false;
            }
            held.step(change, limits, &mut self.refused)
        };
        let changed = new.iter().filter(&mut step).cloned().collect();
        self.bytes = others + held.bytes;
        Applied::New { skipped, changed }
    }

    /// Puts a part of a snapshot to those before it.
    pub fn stage(&self, staging: Option<Staging>, part: &Snapshot) -> Option<Staging> {
        let mut staging = match staging {
            Some(staging) if !part.first => staging,
            None if !part.first => return None,
            _ => Staging { held: Held::new(part.boot), first: part.version, refused: 0 },
        };
        let limits = room(self.limits, self.bytes);
        for change in &part.entries {
            staging.held.set(change, limits, &mut staging.refused);
        }
        staging.held.exact_from = part.version;
        Some(staging)
    }

    /// Puts a complete snapshot in place of what was known, and returns the entries that are different now.
    /// `None` when what is known is newer.
    pub fn replace(&mut self, node: NodeId, staging: Staging) -> Option<Vec<Change>> {
        let Staging { held: mut new, first, refused } = staging;
        let old = self.nodes.get(&node).filter(|old| old.boot == new.boot)?;
        if first <= old.version && old.exact_version() > 0 {
            return None;
        }
        new.version = first;
        let changed = old.difference(&new);
        self.bytes = self.bytes - old.bytes + new.bytes;
        self.refused += refused;
        self.nodes.insert(node, Arc::new(new));
        Some(changed)
    }

    /// Distrusts what is known of a node: it must be fetched anew. The entries stay in force until then.
    pub fn distrust(&mut self, node: NodeId) {
        if let Some(held) = self.nodes.get_mut(&node).map(Arc::make_mut) {
            held.exact_from = u64::MAX;
            held.log.clear();
            held.log_bytes = 0;
        }
    }
}

/// What a node may take when all others together have `others` bytes.
fn room(limits: Limits, others: usize) -> Limits {
    Limits { bytes: limits.bytes.min(limits.bytes_total.saturating_sub(others)), ..limits }
}

#[cfg(test)]
mod tests;
