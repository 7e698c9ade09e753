//! [`Records`] of one node in memory, for tests: no disk, and no others but those that a test has it hear of.

use super::store::Records;
use crate::host::state::{Entry, Key, Limits, Look, Merged, Page, Replica, WriteError};
use crate::identity::NodeId;
use std::sync::{Mutex, MutexGuard};

/// When everything is written here; the count of stamps tells what was later.
const NOW_MS: u64 = 1_800_000_000_000;

/// The records of one node.
#[derive(Debug)]
pub struct Memory(Mutex<Replica>);

impl Memory {
    /// No records, of node `me`.
    #[must_use]
    pub const fn new(me: NodeId, limits: Limits) -> Self {
        Self(Mutex::new(Replica::new(me, limits)))
    }

    /// All that there is.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.replica().entries().cloned().collect()
    }

    /// Has it hear of a record.
    pub fn merge(&self, entry: Entry) -> Merged {
        self.replica().merge(NOW_MS, entry)
    }

    /// Has it find a record on its disk. One that has no room is left out.
    pub fn restore(&self, entry: Entry) {
        drop(self.replica().restore(NOW_MS, entry));
    }

    fn replica(&self) -> MutexGuard<'_, Replica> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Records for Memory {
    fn me(&self) -> NodeId {
        self.replica().me()
    }

    fn look(&self, name: &str) -> Look {
        self.replica().look(name)
    }

    fn page(&self, prefix: &str, after: Option<u64>, max: usize) -> Page {
        self.replica().page(prefix, after, max)
    }

    fn own(&self) -> Vec<Key> {
        let replica = self.replica();
        replica.data_of(replica.me())
    }

    fn write(&self, key: Key, value: Option<Vec<u8>>) -> Result<(), WriteError> {
        let mut replica = self.replica();
        if let Some(entry) = replica.stage(NOW_MS, key, value)? {
            replica.commit(entry);
        }
        Ok(())
    }
}
