//! An ordered map that mostly holds few pairs: a short list, and a tree once it is long.
//!
//! A tree takes room for eleven pairs at its first one; a broker keeps such maps for every filter and every member.

use std::collections::{BTreeMap, btree_map};

/// Pairs in a list, at most.
const LIST_MAX: usize = 16;

#[derive(Clone, Debug)]
pub(crate) enum Few<K, V> {
    /// In the order of the keys.
    List(Vec<(K, V)>),
    Tree(BTreeMap<K, V>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Tree(tree) => tree.is_empty(),
        }
    }

    /// Sets the value of `key`; returns the former one.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let list = match self {
            Self::Tree(tree) => return tree.insert(key, value),
            Self::List(list) => list,
        };
        match list.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => Some(std::mem::replace(&mut list[at].1, value)),
            Err(at) if list.len() < LIST_MAX => {
                if list.len() == list.capacity() {
                    // Half as much again, not twice: most such lists stay as they are.
                    list.reserve_exact(list.len() / 2 + 1);
                }
                list.insert(at, (key, value));
                None
            }
            Err(_) => {
                let mut tree: BTreeMap<K, V> = std::mem::take(list).into_iter().collect();
                tree.insert(key, value);
                *self = Self::Tree(tree);
                None
            }
        }
    }

    /// Takes `key` out; returns its value.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Tree(tree) => tree.remove(key),
            Self::List(list) => {
                let at = list.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
                Some(list.remove(at).1)
            }
        }
    }

    /// The pairs in the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (list, tree) = match self {
            Self::List(list) => (Some(list.iter()), None),
            Self::Tree(tree) => (None, Some(tree.iter())),
        };
        list.into_iter().flatten().map(|(key, value)| (key, value)).chain(tree.into_iter().flatten())
    }

    /// The pairs from `key` on.
    pub(crate) fn range_from<'a>(&'a self, key: &K) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let (list, tree) = match self {
            Self::List(list) => (Some(list[list.partition_point(|(known, _)| known < key)..].iter()), None),
            Self::Tree(tree) => (None, Some(tree.range(key..))),
        };
        list.into_iter().flatten().map(|(key, value)| (key, value)).chain(tree.into_iter().flatten())
    }
}

impl<K: Ord, V> IntoIterator for Few<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Chain<std::vec::IntoIter<(K, V)>, btree_map::IntoIter<K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        let (list, tree) = match self {
            Self::List(list) => (list, BTreeMap::new()),
            Self::Tree(tree) => (Vec::new(), tree),
        };
        list.into_iter().chain(tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        /// It is what a tree is, short or long.
        #[test]
        fn behaves_as_a_tree(ops in vec((any::<bool>(), 0u8..40, any::<u8>()), 0..120)) {
            let (mut few, mut tree) = (Few::default(), BTreeMap::new());
            for (adds, key, value) in ops {
                if adds {
                    prop_assert_eq!(few.insert(key, value), tree.insert(key, value));
                } else {
                    prop_assert_eq!(few.remove(&key), tree.remove(&key));
                }
                prop_assert_eq!(few.is_empty(), tree.is_empty());
                prop_assert!(few.iter().eq(tree.iter()));
                prop_assert!(few.range_from(&key).eq(tree.range(key..)));
            }
            prop_assert!(few.into_iter().eq(tree));
        }
    }
}
