//! A record: a key, who owns it, and what was written there last; what is too large to be one.
//!
//! A key with an owner is written by that node alone; one without by all, and the last one to write it wins. What is
//! deleted leaves a tombstone, so that it is not taken for something that a node has yet to hear of.

use super::clock::{Stamp, WALL_MAX_MS, has_clock};
use super::hash::Hash;
use crate::codec::{Decode, Encode};
use crate::identity::NodeId;
use std::fmt;

/// Bytes in a key's name, at most.
pub const NAME_MAX: usize = 256;
/// Bytes in a value, at most: with all around it, it fits a record of the node's store.
pub const VALUE_MAX: usize = 12 << 10;
/// How long a tombstone is kept, in milliseconds: 90 days. A part of the lattice that was away for longer may bring back what
/// was deleted meanwhile. One whose writer had no clock tells no age, and is kept as long as there is room.
pub const TOMBSTONE_MS: u64 = 90 * 24 * 3600 * 1000;

/// How the names of data begin: what components keep, and not what the lattice is told to be. All data together has half of the room,
/// and changes of it are no news to those who look what is to run.
pub const DATA: &str = "kv/";

/// What a record is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Key {
    /// The node that alone may write it.
    pub owner: Option<NodeId>,
    /// Its name: 1 to [`NAME_MAX`] bytes.
    pub name: String,
}

/// What stands at a key. Of two the greater one is kept: the one with the later stamp; the rest decides only between those
/// that a faulty writer has stamped alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Record {
    /// When it was written, and by whom.
    pub stamp: Stamp,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A record with its key, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// What stands there.
    pub record: Record,
}

/// Why a record is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The caller's mistake, or the peer's: another name.
    #[error("the name of a record has {len} bytes: 1 to {NAME_MAX} are accepted")]
    Name {
        /// Its bytes.
        len: usize,
    },
    /// Split it, or keep it elsewhere.
    #[error("the value of {key} has {len} bytes: at most {VALUE_MAX} are accepted")]
    Value {
        /// The key.
        key: String,
        /// Its bytes.
        len: usize,
    },
    /// Delete something first.
    #[error(
        "{key} has no room: there are {records} records of {bytes} bytes, and at most {records_max} of {bytes_max} are kept"
    )]
    Full {
        /// The key.
        key: String,
        /// How many there are.
        records: usize,
        /// Their bytes.
        bytes: usize,
        /// How many may be.
        records_max: usize,
        /// Their bytes.
        bytes_max: usize,
    },
    /// Delete some data first.
    #[error(
        "{key} has no room: there are {records} records of {bytes} bytes of data, and at most {records_max} of {bytes_max} are written"
    )]
    Share {
        /// The key.
        key: String,
        /// How many there are.
        records: usize,
        /// Their bytes.
        bytes: usize,
        /// How many may be.
        records_max: usize,
        /// Their bytes.
        bytes_max: usize,
    },
    /// A node wrote what belongs to another.
    #[error("{key} was written by {writer}, which does not own it")]
    Owner {
        /// The key.
        key: String,
        /// Who wrote it.
        writer: NodeId,
    },
    /// A stamp at the end of time.
    #[error("{key} has a stamp of {wall_ms} ms: less than {WALL_MAX_MS} are accepted")]
    Stamp {
        /// The key.
        key: String,
        /// The stamp's.
        wall_ms: u64,
    },
    /// Two names with the same hash, which does not happen by chance.
    #[error("{key} cannot be told from {other}: another name is needed")]
    Collision {
        /// The key.
        key: String,
        /// The one that is there.
        other: String,
    },
}

impl Key {
    /// A key that all write.
    #[must_use]
    pub fn shared(name: impl Into<String>) -> Self {
        Self { owner: None, name: name.into() }
    }

    /// A key of `owner`.
    #[must_use]
    pub fn owned(owner: NodeId, name: impl Into<String>) -> Self {
        Self { owner: Some(owner), name: name.into() }
    }

    /// Whether it is the shared one of that name.
    #[must_use]
    pub fn is_shared(&self, name: &str) -> bool {
        self.owner.is_none() && self.name == name
    }

    /// Whether data is there: [`DATA`].
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.name.starts_with(DATA)
    }

    /// By which the key is found: the same everywhere.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let hash = self.owner.map_or(Hash::default(), |owner| Hash::default().bytes(owner.as_bytes()));
        hash.bytes(self.name.as_bytes()).finish()
    }
}

/// Whether a value can be kept at a key, where there is room.
///
/// # Errors
/// [`RecordError::Name`], [`RecordError::Value`].
pub fn fits(key: &Key, value: &[u8]) -> Result<(), RecordError> {
    if !(1..=NAME_MAX).contains(&key.name.len()) {
        return Err(RecordError::Name { len: key.name.len() });
    }
    if value.len() > VALUE_MAX {
        return Err(RecordError::Value { key: key.to_string(), len: value.len() });
    }
    Ok(())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Some(owner) => write!(f, "{} of {}", self.name, owner.short()),
            None => f.write_str(&self.name),
        }
    }
}

impl Record {
    /// Tells records of one key apart that have the same time.
    #[must_use]
    pub fn tie(&self) -> u64 {
        let hash = Hash::default().bytes(self.stamp.writer.as_bytes());
        self.value.as_ref().map_or(hash, |value| hash.bytes(value)).finish()
    }

    /// Whether it says that something was deleted.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// Whether it is a tombstone from before `horizon_ms`, which nobody needs.
    #[must_use]
    pub fn is_forgotten(&self, horizon_ms: u64) -> bool {
        self.is_tombstone() && has_clock(self.stamp.wall_ms) && self.stamp.wall_ms < horizon_ms
    }
}

impl Entry {
    /// What it takes of memory and of a message, about.
    #[must_use]
    pub fn size(&self) -> usize {
        const AROUND: usize = 100;
        AROUND + self.key.name.len() + self.record.value.as_ref().map_or(0, Vec::len)
    }

    /// In the digest of a set of entries.
    pub(super) fn element(&self) -> u64 {
        let Stamp { wall_ms, count, .. } = self.record.stamp;
        Hash::default().number(self.key.hash()).number(wall_ms).number(count.into()).number(self.record.tie()).finish()
    }

    /// Whether it can be a record at all.
    ///
    /// # Errors
    /// [`RecordError`] names what cannot be.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        let Self { key, record } = self;
        fits(key, record.value.as_deref().unwrap_or_default())?;
        if record.stamp.wall_ms >= WALL_MAX_MS {
            return Err(RecordError::Stamp { key: key.to_string(), wall_ms: record.stamp.wall_ms });
        }
        match key.owner {
            Some(owner) if owner != record.stamp.writer => {
                Err(RecordError::Owner { key: key.to_string(), writer: record.stamp.writer })
            }
            Some(_) | None => Ok(()),
        }
    }
}
