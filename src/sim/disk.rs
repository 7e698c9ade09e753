//! The simulator's disk as the [`Store`] of a node. What the disk does wrong is told in `lattice_netsim`.

use crate::store::{Record, Store, StoreError, check_sizes};
use lattice_broker::env::{BoxFuture, Env};
use lattice_netsim::{Disk, DiskError};

/// A disk as the node of one life sees it, in that life's time.
#[derive(Debug)]
pub(super) struct DiskStore {
    disk: Disk,
    env: Env,
}

impl DiskStore {
    pub(super) fn new(disk: Disk, env: Env) -> Self {
        Self { disk, env }
    }
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.get(key).map_err(store_error)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_sizes(key, value)?;
        self.disk.put(key, value).map_err(store_error)
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.disk.delete(key).map_err(store_error)
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.disk.scan(prefix, after, limit).map_err(store_error)
    }

    fn flush_durable(&self) -> BoxFuture<Result<(), StoreError>> {
        let sync = self.disk.sync(&self.env);
        Box::pin(async move { sync.await.map_err(store_error) })
    }

    fn size(&self) -> u64 {
        self.disk.bytes()
    }
}

fn store_error(error: DiskError) -> StoreError {
    match error {
        DiskError::Full { used, quota } => StoreError::Full { used, quota },
        DiskError::Damaged { .. } | DiskError::Failed { .. } | DiskError::PowerLost => {
            StoreError::Io { why: error.to_string() }
        }
    }
}
