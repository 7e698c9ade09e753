//! Room in what is remembered for a time: the older half goes when there is too much.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Forgets the older half, about, when there are more than `max`; `since` tells how old one is.
pub(crate) fn make_room<K: Eq + Hash, V>(all: &mut HashMap<K, V>, max: usize, since: impl Fn(&V) -> Instant) {
    if all.len() > max {
        let mut times: Vec<Instant> = all.values().map(&since).collect();
        let (_, middle, _) = times.select_nth_unstable(max / 2);
        let middle = *middle;
        all.retain(|_, one| since(one) > middle);
    }
}
