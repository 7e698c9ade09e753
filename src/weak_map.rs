//! `WeakMap`: what somebody holds, by a key, so that all who come to hold the same share one copy.
//!
//! It keeps nothing alive. When two values may share a key, which of them counts is the caller's to decide.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// Below this a sweep is not worth it.
pub const SWEEP_MIN: usize = 1_024;

/// Values that somebody holds. What nobody holds any more is let go when the map has become twice as full.
#[derive(Debug)]
pub struct WeakMap<K, V> {
    /// Only looked up.
    held: HashMap<K, Weak<V>>,
    /// As many as there may be before those that nobody holds are taken out.
    sweep_at: usize,
}

impl<K, V> Default for WeakMap<K, V> {
    fn default() -> Self {
        Self { held: HashMap::new(), sweep_at: 0 }
    }
}

impl<K: Eq + Hash, V> WeakMap<K, V> {
    /// The value of `key`, if somebody holds it.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.held.get(key).and_then(Weak::upgrade)
    }

    /// Lets others find `value` by `key`, in the place of what they found before.
    pub fn insert(&mut self, key: K, value: &Arc<V>) {
        if self.held.len() >= self.sweep_at {
            self.held.retain(|_, held| held.strong_count() > 0);
            self.sweep_at = (self.held.len() * 2).max(SWEEP_MIN);
        }
        self.held.insert(key, Arc::downgrade(value));
    }

    /// How many keys it has, with those of values that nobody holds any more.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}
