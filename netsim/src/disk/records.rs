//! The records of a disk: those that lie on it, and above them the writes that a loss of power would take.

use super::{DiskError, DiskRecord};
use crate::rng::{Dice, derive};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Unsynced writes, at most. Beyond, the oldest are written back, as a kernel does in time.
const UNSYNCED_MAX: usize = 65_536;

/// A value as it lies on the disk.
#[derive(Clone, Debug)]
struct Stored {
    value: Vec<u8>,
    sum: u64,
}

impl Stored {
    fn new(key: &[u8], value: &[u8]) -> Self {
        Self { value: value.to_vec(), sum: checksum(key, value) }
    }

    /// The value, unless it has been damaged.
    fn read(&self, key: &[u8]) -> Result<Vec<u8>, DiskError> {
        if self.sum == checksum(key, &self.value) {
            Ok(self.value.clone())
        } else {
            Err(DiskError::Damaged { key: key.to_vec() })
        }
    }
}

/// No single flipped bit and no half of a record has the same one.
fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut state = derive(key.len() as u64, "record", value.len() as u64);
    for byte in key.iter().chain(value) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    }
    state
}

/// A write that no sync has covered. No value is a deletion.
#[derive(Debug)]
struct Write {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Ordered records.
#[derive(Debug, Default)]
pub(super) struct Records {
    stored: BTreeMap<Vec<u8>, Stored>,
    unsynced: VecDeque<Write>,
    /// For each key in `unsynced` the number of its last write, counted from the first ever.
    newest: BTreeMap<Vec<u8>, u64>,
    /// Writes that are in `unsynced` no more.
    settled: u64,
    /// In keys and values, as read.
    bytes: u64,
}

impl Records {
    /// Writes until now.
    pub(super) fn written(&self) -> u64 {
        self.settled + self.unsynced.len() as u64
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was written last to `key`, if that is not on the disk yet.
    fn unsynced_value(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        let number = self.newest.get(key)?;
        Some(&self.unsynced[(number - self.settled) as usize].value)
    }

    /// Bytes that `key` and its value take.
    pub(super) fn bytes_of(&self, key: &[u8]) -> u64 {
        let len = match self.unsynced_value(key) {
            Some(value) => value.as_ref().map(Vec::len),
            None => self.stored.get(key).map(|stored| stored.value.len()),
        };
        len.map_or(0, |len| (key.len() + len) as u64)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        match self.unsynced_value(key) {
            Some(value) => Ok(value.clone()),
            None => self.stored.get(key).map(|stored| stored.read(key)).transpose(),
        }
    }

    pub(super) fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<DiskRecord>, DiskError> {
        let start = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        let range = (start, Bound::Unbounded);
        let mut stored = self.stored.range::<[u8], _>(range).map(|(key, _)| key).peekable();
        let mut newest = self.newest.range::<[u8], _>(range).map(|(key, _)| key).peekable();
        let keys = std::iter::from_fn(|| match (stored.peek(), newest.peek()) {
            (Some(a), Some(b)) if a == b => stored.next().and(newest.next()),
            (Some(a), Some(b)) if a < b => stored.next(),
            (Some(_), None) => stored.next(),
            _ => newest.next(),
        });
        let mut found = Vec::new();
        for key in keys.take_while(|key| key.starts_with(prefix)) {
            if found.len() == limit {
                break;
            }
            found.extend(self.get(key)?.map(|value| (key.clone(), value)));
        }
        Ok(found)
    }

    pub(super) fn write(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes -= self.bytes_of(key);
        self.newest.insert(key.to_vec(), self.written());
        self.unsynced.push_back(Write { key: key.to_vec(), value: value.map(<[u8]>::to_vec) });
        self.bytes += self.bytes_of(key);
        if self.unsynced.len() > UNSYNCED_MAX {
            self.settle(self.settled + 1);
        }
    }

    /// Puts all writes before the `up_to`-th on the disk.
    pub(super) fn settle(&mut self, up_to: u64) {
        while self.settled < up_to {
            let Some(Write { key, value }) = self.unsynced.pop_front() else { return };
            if self.newest.get(&key) == Some(&self.settled) {
                self.newest.remove(&key);
            }
            self.settled += 1;
            match value {
                Some(value) => self.stored.insert(key.clone(), Stored::new(&key, &value)),
                None => self.stored.remove(&key),
            };
        }
    }

    /// Keeps the oldest `kept` of the unsynced writes, and half of the next one if it is torn. Returns whether it was: a
    /// deletion cannot be, and half of what was there before is all of it.
    pub(super) fn power_off(&mut self, kept: usize, tears: bool) -> bool {
        self.settle(self.settled + kept as u64);
        let lost = std::mem::take(&mut self.unsynced);
        self.newest.clear();
        self.settled += lost.len() as u64;
        let torn = lost.into_iter().next().filter(|_| tears).is_some_and(|write| self.tear(write));
        self.bytes = self.stored.iter().map(|(key, stored)| (key.len() + stored.value.len()) as u64).sum();
        torn
    }

    fn tear(&mut self, Write { key, value }: Write) -> bool {
        let Some(value) = value else { return false };
        let sum = checksum(&key, &value);
        let old = self.stored.get(&key).map(|stored| stored.value.clone()).unwrap_or_default();
        let half = value.len() / 2;
        let mut mixed = value[..half].to_vec();
        mixed.extend(old.iter().skip(half));
        if mixed == old || mixed == value {
            return false;
        }
        self.stored.insert(key, Stored { value: mixed, sum });
        true
    }

    /// Flips a bit of one value on the disk, or of its checksum. Returns the key.
    pub(super) fn flip_bit(&mut self, dice: &mut Dice) -> Option<Vec<u8>> {
        let nth = dice.below(self.stored.len() as u64) as usize;
        let (key, stored) = self.stored.iter_mut().nth(nth)?;
        let bit = dice.below((stored.value.len() as u64 + 8) * 8);
        match stored.value.get_mut((bit / 8) as usize) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            None => stored.sum ^= 1 << (bit % 64),
        }
        Some(key.clone())
    }
}
