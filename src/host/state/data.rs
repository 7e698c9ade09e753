//! What there is of data among the records: their names in order, and how much room they take.
//!
//! What components keep must not take the room of what the lattice is told to be: a node writes data only while all that it knows of
//! has half of the room. What others have written is merged nonetheless, since all copies are to be alike.

use super::record::{Entry, Key, RecordError};
use super::replica::Limits;
use crate::identity::NodeId;
use std::collections::BTreeSet;

/// What stands at a name of data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The shared value.
    pub value: Option<Vec<u8>>,
    /// Tells apart what stands there from all that stood there before, a tombstone as well; 0 when there is no record.
    pub digest: u64,
    /// What owners have there.
    pub parts: Vec<(Key, Vec<u8>)>,
}

/// Some of many names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The names.
    pub names: Vec<String>,
    /// Behind what the next page begins; `None` when there is none.
    pub next: Option<u64>,
}

/// The keys of data that has a value, by name: all owners of one beside each other.
#[derive(Debug)]
pub(super) struct Data {
    keys: BTreeSet<(String, Option<NodeId>)>,
    bytes: usize,
}

impl Data {
    pub(super) const fn new() -> Self {
        Self { keys: BTreeSet::new(), bytes: 0 }
    }

    pub(super) fn put(&mut self, entry: &Entry) {
        if counts(entry) && self.keys.insert((entry.key.name.clone(), entry.key.owner)) {
            self.bytes += entry.size();
        }
    }

    pub(super) fn take(&mut self, entry: &Entry) {
        if counts(entry) && self.keys.remove(&(entry.key.name.clone(), entry.key.owner)) {
            self.bytes -= entry.size();
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().map(|(name, owner)| Key { owner: *owner, name: name.clone() })
    }

    /// The keys with an owner whose names are `name`, a byte 0, and something more.
    pub(super) fn parts(&self, name: &str) -> impl Iterator<Item = Key> {
        let prefix = format!("{name}\0");
        let keys = self.keys.range((prefix.clone(), None)..);
        let keys = keys.take_while(move |(name, _)| name.starts_with(&prefix)).filter(|(_, owner)| owner.is_some());
        keys.map(|(name, owner)| Key { owner: *owner, name: name.clone() })
    }

    /// Whether this node may write `entry` where `before` is.
    ///
    /// # Errors
    /// [`RecordError::Share`]: there would be more data than half of the room, and more than before.
    pub(super) fn check(&self, entry: &Entry, before: Option<&Entry>, limits: Limits) -> Result<(), RecordError> {
        if !counts(entry) {
            return Ok(());
        }
        let before = before.filter(|before| counts(before));
        let (records, bytes) = (self.keys.len(), self.bytes);
        let (records_max, bytes_max) = (limits.records / 2, limits.bytes / 2);
        let more = before.is_none() && records >= records_max;
        let size = before.map_or(0, Entry::size);
        let larger = entry.size() > size && bytes - size + entry.size() > bytes_max;
        if more || larger {
            return Err(RecordError::Share { key: entry.key.to_string(), records, bytes, records_max, bytes_max });
        }
        Ok(())
    }
}

fn counts(entry: &Entry) -> bool {
    entry.key.is_data() && !entry.record.is_tombstone()
}
