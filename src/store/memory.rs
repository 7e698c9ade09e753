//! `MemoryStore`: a store that forgets, for tests.

use super::{Record, Store, StoreError, check_sizes};
use lattice_broker::env::BoxFuture;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

/// Records in memory. Bounded by a quota as the one on disk is.
#[derive(Debug)]
pub struct MemoryStore {
    records: Mutex<Records>,
    quota: u64,
}

#[derive(Debug)]
struct Records {
    by_key: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes in all keys and values.
    size: u64,
}

impl Records {
    fn remove(&mut self, key: &[u8]) {
        if let Some(old) = self.by_key.remove(key) {
            self.size -= (key.len() + old.len()) as u64;
        }
    }
}

impl MemoryStore {
    /// An empty store for at most `quota` bytes of keys and values.
    #[must_use]
    pub const fn new(quota: u64) -> Self {
        Self { records: Mutex::new(Records { by_key: BTreeMap::new(), size: 0 }), quota }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no one panics while holding it")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.records().by_key.get(key).cloned())
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_sizes(key, value)?;
        let mut records = self.records();
        let more = (key.len() + value.len()) as u64;
        if records.size + more > self.quota {
            return Err(StoreError::Full { used: records.size, quota: self.quota });
        }
        records.remove(key);
        records.by_key.insert(key.to_vec(), value.to_vec());
        records.size += more;
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.records().remove(key);
        Ok(())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StoreError> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let records = self.records();
        let matching =
            records.by_key.range::<[u8], _>((start, Bound::Unbounded)).take_while(|(k, _)| k.starts_with(prefix));
        Ok(matching.take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn flush_durable(&self) -> BoxFuture<Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn size(&self) -> u64 {
        self.records().size
    }
}
