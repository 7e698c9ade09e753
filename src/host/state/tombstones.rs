//! Which tombstones there are, and which of them give way to what when there is no room. What is never forgotten for room is what stands.
//!
//! Two classes: those of data, and those of the rest, which is what the lattice is told to be.
//!
//! - Data has older tombstones of data give way.
//! - The rest has tombstones of data give way, however late they are: who deletes much data must neither keep the lattice from being
//!   steered, nor have it forget what was deleted of the rest. Only then do older tombstones of the rest give way.
//! - Tombstones of the rest are so many at most as half of the records, the latest ones: else they could keep all data out.
//!
//! In each class the oldest goes first.
//!
//! So what gives way never drives out again what it gave way to, not even by the older record that comes back where its tombstone is forgotten: within
//! a class only the later displaces the earlier, or stands at its key, and from data to the rest nothing does. What displaces what has no
//! circle, and copies that go on telling each other the same records come to an end.

use super::clock::Stamp;
use super::record::Entry;
use std::collections::BTreeMap;

/// The hash of a tombstone's key, and its size.
pub(super) type Found = (u64, usize);

/// The tombstones of one copy.
#[derive(Debug)]
pub(super) struct Tombstones {
    data: Class,
    rest: Class,
}

/// By age, and by the hash of the key: the sizes.
type Class = BTreeMap<(Stamp, u64), usize>;

impl Tombstones {
    pub(super) const fn new() -> Self {
        Self { data: Class::new(), rest: Class::new() }
    }

    pub(super) fn put(&mut self, hash: u64, entry: &Entry) {
        if entry.record.is_tombstone() {
            self.class(entry).insert((entry.record.stamp, hash), entry.size());
        }
    }

    pub(super) fn take(&mut self, hash: u64, entry: &Entry) {
        if entry.record.is_tombstone() {
            self.class(entry).remove(&(entry.record.stamp, hash));
        }
    }

    /// Those that may be forgotten for `entry`, whose key has that hash, in the order in which they are.
    pub(super) fn giving_way<'a>(&'a self, hash: u64, entry: &Entry) -> impl Iterator<Item = Found> + use<'a> {
        let (is_data, stamp) = (entry.key.is_data(), entry.record.stamp);
        let data = self.data.iter().take_while(move |((old, _), _)| !is_data || *old < stamp);
        let rest = self.rest.iter().take_while(move |((old, _), _)| !is_data && *old < stamp);
        data.chain(rest).map(|((_, hash), size)| (*hash, *size)).filter(move |(old, _)| *old != hash)
    }

    /// Those that are too many with `entry` in the place of `before`, when there are to be `max` of the rest.
    pub(super) fn surplus(&self, hash: u64, entry: &Entry, before: Option<&Entry>, max: usize) -> Vec<Found> {
        if !is_of_rest(entry) {
            return Vec::new();
        }
        let count = self.others_of_rest(before) + 1;
        self.older_of_rest(hash, entry).take(count.saturating_sub(max)).collect()
    }

    /// Whether `entry`, in the place of `before`, is a tombstone of the rest that is older than `max` others.
    pub(super) fn is_surplus(&self, hash: u64, entry: &Entry, before: Option<&Entry>, max: usize) -> bool {
        is_of_rest(entry) && self.others_of_rest(before) >= max && self.older_of_rest(hash, entry).next().is_none()
    }

    fn older_of_rest(&self, hash: u64, entry: &Entry) -> impl Iterator<Item = Found> {
        let older = self.rest.range(..(entry.record.stamp, 0)).map(|((_, hash), size)| (*hash, *size));
        older.filter(move |(old, _)| *old != hash)
    }

    /// How many of the rest there are but for `before`.
    fn others_of_rest(&self, before: Option<&Entry>) -> usize {
        self.rest.len() - usize::from(before.is_some_and(is_of_rest))
    }

    fn class(&mut self, entry: &Entry) -> &mut Class {
        if entry.key.is_data() { &mut self.data } else { &mut self.rest }
    }
}

fn is_of_rest(entry: &Entry) -> bool {
    entry.record.is_tombstone() && !entry.key.is_data()
}
