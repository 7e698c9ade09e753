//! The node's disk for records: a small ordered key-value trait, and what stands behind it.
//!
//! Two implementations: [`DiskStore`] (sled) and [`MemoryStore`] (tests); the simulator has its own (`sim/disk.rs`). What the records mean is
//! left to those who write them; keys and certificates are not here but in plain files (`identity/folder.rs`),
//! because a store that cannot be opened is put aside and begun anew.

mod disk;
mod memory;

pub use disk::{DiskStore, Options, Replaced};
pub use memory::MemoryStore;

use lattice_broker::env::BoxFuture;
use std::fmt;

/// Bytes in a key, at most.
pub const KEY_MAX: usize = 512;

/// Bytes in a value, at most: larger ones make the file behind grow without end. Split what is longer.
pub const VALUE_MAX: usize = 16 * 1024;

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Ordered records, shared by all tasks of a node. Each call is atomic; several are not.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the disk fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Sets `key`. It survives a crash of the process soon, and a loss of power after [`Store::flush_durable`].
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
    /// Removes `key`, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the disk fails.
    fn delete(&self, key: &[u8]) -> Result<(), StoreError>;
    /// At most `limit` records whose keys start with `prefix`, in order, those after `after` when it is given.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the disk fails.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StoreError>;
    /// Ready when all that was written before survives a loss of power. Dropping it gives no more than the wait up.
    fn flush_durable(&self) -> BoxFuture<Result<(), StoreError>>;
    /// Bytes used on the disk.
    fn size(&self) -> u64;
}

/// A record was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The caller's mistake: split the value, shorten the key.
    #[error("{what} of {len} bytes exceeds {max}")]
    TooLarge {
        /// Key or value.
        what: &'static str,
        /// How long it is.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// The quota is used up: delete something, or raise it.
    #[error("the store is full: {used} of {quota} bytes are used")]
    Full {
        /// Bytes used.
        used: u64,
        /// Bytes allowed.
        quota: u64,
    },
    /// Someone else has it open: at opening only. Try again in a moment.
    #[error("the store is open elsewhere")]
    InUse,
    /// The disk fails, or is full.
    #[error("the store's disk fails: {why}")]
    Io {
        /// What the system says.
        why: String,
    },
}

pub(crate) fn check_sizes(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let within = |what, len, max| if len > max { Err(StoreError::TooLarge { what, len, max }) } else { Ok(()) };
    within("key", key.len(), KEY_MAX)?;
    within("value", value.len(), VALUE_MAX)
}

#[cfg(test)]
mod tests;
