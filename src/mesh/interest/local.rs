//! This node's own interest: what its clients and upstreams want, and what the others have yet to be told.
//!
//! More interest is told at once. Less is told after a delay, since what goes often comes back: a client that
//! reconnects, a program that subscribes for every request. The flooding itself is left to the control plane.

use super::{Change, ENTRY_MAX, Held, Key, LOG_BYTES_MAX, LOG_CHANGES_MAX, Limits};
use crate::planted::{self, Bug};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// This node's interest.
#[derive(Debug)]
pub struct Local {
    held: Held,
    limits: Limits,
    delay: Duration,
    /// Entries whose weight will go down, to what, and when.
    waning: BTreeMap<Arc<Key>, (Instant, u32)>,
    deadlines: BTreeSet<(Instant, Arc<Key>)>,
    /// The version that the others have been told.
    told: u64,
    untold_bytes: usize,
    /// Entries refused since the start.
    pub refused: u64,
}

impl Local {
    /// No interest yet. What ends is withdrawn after `delay`.
    #[must_use]
    pub fn new(boot: u64, limits: Limits, delay: Duration) -> Self {
        Self {
            held: Held::new(boot),
            limits,
            delay,
            waning: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            told: 0,
            untold_bytes: 0,
            refused: 0,
        }
    }

    /// The set as the others get it.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Sets how much interest there is in `key`; 0 for none.
    ///
    /// An entry past the limits is refused and counted: the others will not know of it.
    pub fn set(&mut self, now: Instant, key: Key, weight: u32) {
        let told = self.held.weight(&key);
        if weight >= told {
            self.keep(&key);
            if weight > told {
                self.step(Change { key: Arc::new(key), weight });
            }
            return;
        }
        if let Some((_, to)) = self.waning.get_mut(&key) {
            *to = weight;
            return;
        }
        // Planted: the others never hear that it has ended.
        if planted::is(Bug::RemovalNeverFlooded) {
            return;
        }
        let (key, at) = (Arc::new(key), now + self.delay);
        self.deadlines.insert((at, key.clone()));
        self.waning.insert(key, (at, weight));
    }

    /// Withdraws one entry whose time is up. False when there is none.
    pub fn expire(&mut self, now: Instant) -> bool {
        let Some((_, key)) = self.deadlines.first().filter(|(at, _)| *at <= now).cloned() else { return false };
        let weight = self.keep(&key).unwrap_or_default();
        self.step(Change { key, weight });
        true
    }

    /// When the next entry is to be withdrawn.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// True when there are changes that the others have not been told.
    #[must_use]
    pub fn untold(&self) -> bool {
        self.told < self.held.version
    }

    /// True when no more changes should be made before the others are told: the log would lose some.
    #[must_use]
    pub fn full(&self) -> bool {
        self.untold_bytes >= LOG_BYTES_MAX / 4 || (self.held.version - self.told) as usize >= LOG_CHANGES_MAX / 2
    }

    /// The changes that the others have not been told, and the version before them. They count as told now.
    pub fn tell(&mut self) -> (u64, Vec<&Change>) {
        let from = std::mem::replace(&mut self.told, self.held.version);
        self.untold_bytes = 0;
        (from, self.held.since(from).into_iter().flatten().collect())
    }

    /// Goes on in another boot epoch. Nobody knows of any version in it, so everybody has to fetch the whole set.
    pub fn reboot(&mut self, boot: u64) {
        self.held.boot = boot;
        self.held.log.clear();
        self.held.log_bytes = 0;
        self.told = self.held.version;
        self.untold_bytes = 0;
    }

    /// The entry stays as the others know it. Returns what it would have gone down to.
    fn keep(&mut self, key: &Key) -> Option<u32> {
        let (key, (at, weight)) = self.waning.remove_entry(key)?;
        self.deadlines.remove(&(at, key));
        Some(weight)
    }

    fn step(&mut self, change: Change) {
        let Limits { entries, bytes, .. } = self.limits;
        let new = self.held.weight(&change.key) == 0;
        let full = self.held.entries.len() >= entries || self.held.bytes + change.size() + super::OVERHEAD > bytes;
        if change.key.text_len() > ENTRY_MAX || (new && full) {
            self.refused += 1;
            return;
        }
        self.untold_bytes += change.size();
        self.held.step(&change, self.limits, &mut self.refused);
    }
}
