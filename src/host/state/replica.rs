//! One node's copy of the records: what is written, what is merged, what is forgotten, and the digests of all that.
//!
//! Merging keeps the greater of two records, so that it does not matter in which order, how often, or over whom they come.
//! Two rules stand beside that. Tombstones end after [`TOMBSTONE_MS`], or earlier, as `tombstones.rs` says, when there is no room. Their
//! age is told by the records alone, so that all copies come to the same: it is that at the second latest of the times at which
//! each writer wrote last by its own clock, which no single clock that is wrong can move. And a node that finds its own key written later than it has
//! written it itself in this life (its disk was lost, or its clock was) writes it once more over that. What it has
//! not written in this life it takes from the others, as its own memory.
//!
//! Copies are alike in the end when all records have room, tombstones as well. Where they have not, copies go on apart without a circle: each keeps what
//! stands and the latest deletions, no copy takes and forgets the same for ever, and what steers the lattice is alike as long as it and the data that
//! stands have room. Of data one copy may then have for ever, until something is deleted or written anew, what another refuses: a value that is older
//! than all deletions that the other remembers. And a value whose deletion all have forgotten is back on all when one brings it.

use super::clock::{Clock, Stamp, has_clock};
use super::data::{Data, Look, Page};
use super::hash::Hash;
use super::record::{Entry, Key, Record, RecordError, TOMBSTONE_MS};
use super::tombstones::Tombstones;
use crate::identity::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeInclusive};

/// Into how many parts keys are divided by their hash, each with a digest.
pub const BUCKETS: usize = 64;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records, tombstones among them.
    pub records: usize,
    /// Bytes of them all, each with some 100 for what is around it.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { records: 8192, bytes: 16 << 20 }
    }
}

/// What became of a record that came from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It stands now, in the place of an older one or as a new one; when it is a tombstone that nobody needs any more,
    /// nothing stands now.
    Taken,
    /// What stood there is as late or later.
    Known,
    /// It is this node's own key, which it has written otherwise: this stands now, and the others must hear of it.
    Reasserted(Entry),
    /// It is no record, or there is no room.
    Refused(RecordError),
}

/// A copy of the records.
#[derive(Debug)]
pub struct Replica {
    me: NodeId,
    clock: Clock,
    limits: Limits,
    /// By the hash of the key.
    entries: BTreeMap<u64, Entry>,
    /// Of each bucket the sum of its elements.
    buckets: [u64; BUCKETS],
    bytes: usize,
    /// Tombstones from before are forgotten.
    horizon_ms: u64,
    /// What there is of data.
    data: Data,
    /// What was deleted.
    tombstones: Tombstones,
    /// Keys that were forgotten for the sake of what was put last.
    forgotten: Vec<Key>,
    /// This node's own keys that it has written in this life.
    written: BTreeSet<u64>,
    /// Records of others that were no records or had no room.
    pub refused: u64,
}

impl Replica {
    /// The copy of node `me`, without records.
    #[must_use]
    pub const fn new(me: NodeId, limits: Limits) -> Self {
        Self {
            me,
            clock: Clock::new(me),
            limits,
            entries: BTreeMap::new(),
            buckets: [0; BUCKETS],
            bytes: 0,
            horizon_ms: 0,
            data: Data::new(),
            tombstones: Tombstones::new(),
            forgotten: Vec::new(),
            written: BTreeSet::new(),
            refused: 0,
        }
    }

    /// Whose copy it is.
    #[must_use]
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// The value at `key`, unless there is none.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&[u8]> {
        self.record(key)?.value.as_deref()
    }

    /// The keys and values of `owner`, or the shared ones, whose names begin with `prefix`; by name.
    #[must_use]
    pub fn list(&self, owner: Option<NodeId>, prefix: &str) -> Vec<(&str, &[u8])> {
        let mut found: Vec<(&str, &[u8])> = Vec::new();
        for Entry { key, record } in self.entries.values() {
            if let Some(value) = &record.value
                && key.owner == owner
                && key.name.starts_with(prefix)
            {
                found.push((&key.name, value));
            }
        }
        found.sort_unstable();
        found
    }

    /// Owners, names and values of what nodes have as their own under names that begin with `prefix`; by owner, then by name.
    #[must_use]
    pub fn owned(&self, prefix: &str) -> Vec<(NodeId, &str, &[u8])> {
        let mut found: Vec<(NodeId, &str, &[u8])> = Vec::new();
        for Entry { key, record } in self.entries.values() {
            if let (Some(owner), Some(value)) = (key.owner, &record.value)
                && key.name.starts_with(prefix)
            {
                found.push((owner, &key.name, value));
            }
        }
        found.sort_unstable();
        found
    }

    /// What stands at the shared key of data `name`, and the records of all owners whose names are `name`, a byte 0 and something more.
    #[must_use]
    pub fn look(&self, name: &str) -> Look {
        let shared = self.entries.get(&Key::shared(name).hash()).filter(|entry| entry.key.is_shared(name));
        let value = shared.and_then(|entry| entry.record.value.clone());
        let parts = self.data.parts(name).filter_map(|key| Some((key.clone(), self.get(&key)?.to_vec()))).collect();
        Look { digest: shared.map_or(0, Entry::element), value, parts }
    }

    /// Names of shared data that begin with `prefix`, in no order that means anything, but in one that does not change: at most `max`
    /// behind `after`, which is what the page before says.
    #[must_use]
    pub fn page(&self, prefix: &str, after: Option<u64>, max: usize) -> Page {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let there = self.entries.range(behind).filter(|(_, Entry { key, record })| {
            key.owner.is_none() && !record.is_tombstone() && key.name.starts_with(prefix)
        });
        let mut there = there.take(max.saturating_add(1));
        let mut page = Page::default();
        let mut last = 0;
        for (hash, entry) in there.by_ref().take(max) {
            page.names.push(entry.key.name.clone());
            last = *hash;
        }
        page.next = there.next().map(|_| last);
        page
    }

    /// The keys of data of `owner`.
    #[must_use]
    pub fn data_of(&self, owner: NodeId) -> Vec<Key> {
        self.data.keys().filter(|key| key.owner == Some(owner)).collect()
    }

    /// All entries, tombstones as well, in the order of the hashes of their keys.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// How many records there are, tombstones among them, and their bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// Stamps of others that were too far ahead to be followed.
    #[must_use]
    pub const fn ahead(&self) -> u64 {
        self.clock.ahead
    }

    /// What is to stand at `key` from now on, later than what stands there: to be kept on disk, and then given to
    /// [`Replica::commit`]. `None` when it stands there already.
    ///
    /// # Errors
    /// [`RecordError`] says why it cannot.
    pub fn stage(&mut self, wall_ms: u64, key: Key, value: Option<Vec<u8>>) -> Result<Option<Entry>, RecordError> {
        let before = self.record(&key);
        if before.map_or(value.is_none(), |before| before.value == value) {
            return Ok(None);
        }
        let over = before.map(|before| before.stamp);
        let staged = self.stamped(wall_ms, key, value, over)?;
        self.data.check(&staged, self.entries.get(&staged.key.hash()), self.limits)?;
        Ok(Some(staged))
    }

    /// Puts what was staged in its place.
    pub fn commit(&mut self, entry: Entry) {
        if entry.key.owner == Some(self.me) {
            self.written.insert(entry.key.hash());
        }
        self.put_in_room(entry);
    }

    /// Takes in what was read from this node's disk.
    ///
    /// # Errors
    /// [`RecordError`]: it is no record, or there is no room.
    pub fn restore(&mut self, wall_ms: u64, entry: Entry) -> Result<(), RecordError> {
        let hash = entry.key.hash();
        self.admit(&entry)?;
        self.clock.observe(wall_ms, entry.record.stamp);
        if self.tombstones.is_surplus(hash, &entry, self.entries.get(&hash), self.rest_max()) {
            self.forgotten = vec![entry.key];
        } else {
            self.put_in_room(entry);
        }
        Ok(())
    }

    /// Keys of tombstones that were forgotten since the latest [`Replica::commit`], [`Replica::restore`] or [`Replica::merge`] that put something: it
    /// needed their room. They are told once, and are to go from the disk.
    pub fn forgotten(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.forgotten)
    }

    /// Takes in what another node has sent.
    pub fn merge(&mut self, wall_ms: u64, entry: Entry) -> Merged {
        let hash = entry.key.hash();
        let before = self.entries.get(&hash).filter(|before| before.key == entry.key);
        if before.is_some_and(|before| before.record >= entry.record) {
            return Merged::Known;
        }
        if let Err(error) = entry.check() {
            return self.refuse(error);
        }
        self.clock.observe(wall_ms, entry.record.stamp);
        if entry.record.is_forgotten(self.horizon_ms)
            || self.tombstones.is_surplus(hash, &entry, before, self.rest_max())
        {
            return if self.forget(hash, &entry.key) { Merged::Taken } else { Merged::Known };
        }
        if self.written.contains(&hash) && entry.key.owner == Some(self.me) {
            let value = before.and_then(|before| before.record.value.clone());
            return match self.stamped(wall_ms, entry.key, value, Some(entry.record.stamp)) {
                Ok(entry) => {
                    self.put_in_room(entry.clone());
                    Merged::Reasserted(entry)
                }
                Err(error) => self.refuse(error),
            };
        }
        if let Err(error) = self.admit(&entry) {
            return self.refuse(error);
        }
        self.put_in_room(entry);
        Merged::Taken
    }

    /// Forgets the tombstones whose time is over, and returns their keys. Takes a look at every record.
    pub fn expire(&mut self) -> Vec<Key> {
        let mut last: BTreeMap<NodeId, u64> = BTreeMap::new();
        let stamps = self.entries.values().map(|entry| entry.record.stamp);
        // Any other count may stand for a time that its writer found on a record, and not on its clock.
        for stamp in stamps.filter(|stamp| has_clock(stamp.wall_ms) && stamp.count == 0) {
            let known = last.entry(stamp.writer).or_default();
            *known = stamp.wall_ms.max(*known);
        }
        let mut last: Vec<u64> = last.into_values().collect();
        last.sort_unstable();
        let second = last.iter().rev().nth(1).copied().unwrap_or_default();
        self.horizon_ms = second.saturating_sub(TOMBSTONE_MS);
        let over = self.entries.iter().filter(|(_, entry)| entry.record.is_forgotten(self.horizon_ms));
        let over: Vec<(u64, Key)> = over.map(|(hash, entry)| (*hash, entry.key.clone())).collect();
        for (hash, key) in &over {
            self.forget(*hash, key);
        }
        over.into_iter().map(|(_, key)| key).collect()
    }

    /// The digest of all: two replicas with the same records have the same.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.buckets.iter().fold(Hash::default(), |hash, bucket| hash.number(*bucket)).finish()
    }

    /// The digests of the buckets.
    #[must_use]
    pub const fn buckets(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }

    /// The entries whose keys have hashes in `hashes`, with them.
    pub fn range(&self, hashes: RangeInclusive<u64>) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(hashes).map(|(hash, entry)| (*hash, entry))
    }

    /// The entry whose key has that hash.
    #[must_use]
    pub fn by_hash(&self, hash: u64) -> Option<&Entry> {
        self.entries.get(&hash)
    }

    /// What stands at `key`, a tombstone as well.
    #[must_use]
    pub fn record(&self, key: &Key) -> Option<&Record> {
        self.entries.get(&key.hash()).filter(|entry| entry.key == *key).map(|entry| &entry.record)
    }

    fn stamped(
        &mut self,
        wall_ms: u64,
        key: Key,
        value: Option<Vec<u8>>,
        over: Option<Stamp>,
    ) -> Result<Entry, RecordError> {
        let stamp = self.clock.stamp(wall_ms, over);
        let stamp =
            stamp.ok_or_else(|| RecordError::Stamp { key: key.to_string(), wall_ms: super::clock::WALL_MAX_MS })?;
        let entry = Entry { key, record: Record { stamp, value } };
        entry.check()?;
        self.admit(&entry)?;
        Ok(entry)
    }

    fn refuse(&mut self, error: RecordError) -> Merged {
        self.refused += 1;
        Merged::Refused(error)
    }

    /// Whether there is room for it, by forgetting tombstones that give way to it if need be. A tombstone in the place of a
    /// record needs none: deleting is possible when all is full.
    fn admit(&self, entry: &Entry) -> Result<(), RecordError> {
        let before = self.entries.get(&entry.key.hash());
        if let Some(other) = before.filter(|before| before.key != entry.key) {
            return Err(RecordError::Collision { key: entry.key.to_string(), other: other.key.to_string() });
        }
        if (before.is_some() && entry.record.is_tombstone()) || self.room_for(entry).1 {
            return Ok(());
        }
        let Limits { records: records_max, bytes: bytes_max } = self.limits;
        let (records, bytes) = self.size();
        Err(RecordError::Full { key: entry.key.to_string(), records, bytes, records_max, bytes_max })
    }

    /// Puts `entry` in its place, and forgets what gives way to it.
    fn put_in_room(&mut self, entry: Entry) {
        self.forgotten = self.make_room(&entry);
        self.put(entry);
    }

    /// Forgets as many tombstones as it takes to have room for `entry`, and returns their keys.
    fn make_room(&mut self, entry: &Entry) -> Vec<Key> {
        let mut forgotten = Vec::new();
        for hash in self.room_for(entry).0 {
            if let Some(key) = self.entries.get(&hash).map(|old| old.key.clone()) {
                self.forget(hash, &key);
                forgotten.push(key);
            }
        }
        forgotten
    }

    /// The hashes of the tombstones that it takes to have room for `entry`, and whether there is room then.
    fn room_for(&self, entry: &Entry) -> (Vec<u64>, bool) {
        let hash = entry.key.hash();
        let (mut records, mut bytes) = self.with(entry);
        let surplus = self.tombstones.surplus(hash, entry, self.entries.get(&hash), self.rest_max());
        let mut gone: Vec<u64> = surplus.iter().map(|(hash, _)| *hash).collect();
        records -= gone.len();
        bytes -= surplus.iter().map(|(_, size)| size).sum::<usize>();
        for (old, size) in self.tombstones.giving_way(hash, entry).filter(|found| !surplus.contains(found)) {
            if self.fits(records, bytes) {
                break;
            }
            (records, bytes) = (records - 1, bytes - size);
            gone.push(old);
        }
        (gone, self.fits(records, bytes))
    }

    /// How many tombstones there may be of what is no data.
    fn rest_max(&self) -> usize {
        (self.limits.records / 2).max(1)
    }

    /// How much there is with `entry` in its place.
    fn with(&self, entry: &Entry) -> (usize, usize) {
        let before = self.entries.get(&entry.key.hash());
        let records = self.entries.len() + usize::from(before.is_none());
        (records, self.bytes + entry.size() - before.map_or(0, Entry::size))
    }

    const fn fits(&self, records: usize, bytes: usize) -> bool {
        records <= self.limits.records && bytes <= self.limits.bytes
    }

    fn put(&mut self, entry: Entry) {
        let hash = entry.key.hash();
        self.take(hash, &entry.key);
        let bucket = &mut self.buckets[bucket_of(hash)];
        *bucket = bucket.wrapping_add(entry.element());
        self.bytes += entry.size();
        self.data.put(&entry);
        self.tombstones.put(hash, &entry);
        self.entries.insert(hash, entry);
    }

    /// Has nothing be known of that key. False when there is no entry of it.
    fn forget(&mut self, hash: u64, key: &Key) -> bool {
        // Else all that was ever written would be remembered.
        self.written.remove(&hash);
        self.take(hash, key)
    }

    /// False when there is no entry of that key.
    fn take(&mut self, hash: u64, key: &Key) -> bool {
        if self.entries.get(&hash).is_none_or(|entry| entry.key != *key) {
            return false;
        }
        let Some(entry) = self.entries.remove(&hash) else { return false };
        let bucket = &mut self.buckets[bucket_of(hash)];
        *bucket = bucket.wrapping_sub(entry.element());
        self.bytes -= entry.size();
        self.data.take(&entry);
        self.tombstones.take(hash, &entry);
        true
    }
}

/// In which bucket keys with that hash are: buckets are ranges of hashes, in order.
#[must_use]
pub const fn bucket_of(hash: u64) -> usize {
    (hash >> (u64::BITS - BUCKETS.trailing_zeros())) as usize
}
