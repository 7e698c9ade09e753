//! What a component may keep beyond its calls: in which buckets, and how much of that in a second. What is kept is
//! `host/keyvalue/`'s.
//!
//! All that is written goes to every node of the lattice and to its disk: a component that writes in a loop is slowed down by an error
//! that it can see, not ended.

use super::lock;
use super::rate::{Pass, Rate};
use crate::host::keyvalue::{Buckets, Store};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Writes that a component may make in a second, and at once after a while.
const WRITES_PER_SECOND: u32 = 100;
const WRITES_AT_ONCE: u32 = 1_000;
/// Lists that it may have made in a second, and at once: each looks through all records.
const LISTS_PER_SECOND: u32 = 100;

/// What one component may keep.
#[derive(Debug)]
pub(super) struct Data {
    /// None when the node has no place for that.
    pub(super) store: Option<Arc<Store>>,
    pub(super) buckets: Buckets,
    pub(super) pace: Arc<Pace>,
}

/// How fast a component writes. It outlives changes of the component.
#[derive(Debug)]
pub(super) struct Pace {
    writes: Mutex<Rate>,
    lists: Mutex<Rate>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        let writes = Rate::with_burst(WRITES_PER_SECOND, WRITES_AT_ONCE, now);
        Self { writes: Mutex::new(writes), lists: Mutex::new(Rate::new(LISTS_PER_SECOND, now)) }
    }

    /// Asks for a write.
    ///
    /// # Errors
    /// What to tell the component.
    pub(super) fn write(&self, now: Instant) -> Result<(), String> {
        match lock(&self.writes).pass(now) {
            Pass::Yes { .. } => Ok(()),
            Pass::No => Err(format!(
                "this component writes too fast: at most {WRITES_PER_SECOND} values a second, {WRITES_AT_ONCE} at once"
            )),
        }
    }

    /// Asks for a list of keys.
    ///
    /// # Errors
    /// What to tell the component.
    pub(super) fn list(&self, now: Instant) -> Result<(), String> {
        match lock(&self.lists).pass(now) {
            Pass::Yes { .. } => Ok(()),
            Pass::No => Err(format!("this component lists keys too often: at most {LISTS_PER_SECOND} times a second")),
        }
    }
}
