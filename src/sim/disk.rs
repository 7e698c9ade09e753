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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{KEY_MAX, VALUE_MAX};
    use lattice_netsim::{Dice, DiskConfig, World, WorldConfig};

    /// Goal: what the disk says reaches the node as what its real store would say.
    #[test]
    fn errors_are_those_of_a_store() {
        let world = World::new(1, WorldConfig::hosts(1));
        let disk = Disk::new(Dice::new(1, "disk", 0), DiskConfig { quota_bytes: 30_000, ..DiskConfig::default() });
        let store = DiskStore::new(disk.clone(), world.host(0).env());
        store.put(b"a/1", &[0; VALUE_MAX]).unwrap();
        let long = store.put(b"a", &[0; VALUE_MAX + 1]);
        assert_eq!(long, Err(StoreError::TooLarge { what: "value", len: VALUE_MAX + 1, max: VALUE_MAX }));
        assert!(matches!(store.put(&[0; KEY_MAX + 1], b""), Err(StoreError::TooLarge { what: "key", .. })));
        assert_eq!(store.put(b"b", &[0; VALUE_MAX]), Err(StoreError::Full { used: store.size(), quota: 30_000 }));
        assert_eq!(store.scan(b"a/", None, 9).unwrap().len(), 1);
        disk.configure(DiskConfig { read_fails: 1.0, ..disk.config() });
        assert_eq!(store.get(b"a/1"), Err(StoreError::Io { why: "the read failed".into() }));
    }
}
