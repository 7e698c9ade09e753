//! A disk for ordered records, with what disks do wrong: forget what was not synced, tear, rot, fill up, wait and fail.
//!
//! It stands beside the world: whoever runs the program on it decides when the power is lost. Writes are seen at once
//! and are safe after a sync, as with a file system. Each record has a checksum, so what is damaged is an error that
//! names its key, never another value. What the records mean is left to the program.

mod records;

use crate::guarded::Guarded;
use crate::rng::Dice;
use lattice_broker::env::Env;
use records::Records;
use std::sync::Arc;
use std::time::Duration;

/// A key and its value.
pub type DiskRecord = (Vec<u8>, Vec<u8>);

/// What a disk is like. It can change while the disk is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskConfig {
    /// Bytes in all keys and values that fit.
    pub quota_bytes: u64,
    /// How long a sync takes.
    pub sync: Duration,
    /// Probability that a sync says that it is done and has done nothing.
    pub sync_lies: f64,
    /// Probability that a read fails.
    pub read_fails: f64,
    /// Probability that a write fails; it has changed nothing then.
    pub write_fails: f64,
    /// Probability that a sync fails; nothing more is safe then than before.
    pub sync_fails: f64,
    /// Probability, for each write in turn, that it survives a loss of power unsynced. After the first that does not,
    /// none does.
    pub unsynced_kept: f64,
    /// Probability that the first write that does not survive is torn: half of it is on the disk, and it cannot be read.
    pub torn: f64,
}

impl Default for DiskConfig {
    /// 64 MiB that never fail, and forget all that was not synced.
    fn default() -> Self {
        Self {
            quota_bytes: 64 << 20,
            sync: Duration::ZERO,
            sync_lies: 0.0,
            read_fails: 0.0,
            write_fails: 0.0,
            sync_fails: 0.0,
            unsynced_kept: 0.0,
            torn: 0.0,
        }
    }
}

/// A disk did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The record was torn, or bits of it have flipped: what it was is lost. Writing it anew repairs it.
    #[error("the record {} is damaged: its checksum is wrong", .key.escape_ascii())]
    Damaged {
        /// Its key.
        key: Vec<u8>,
    },
    /// The quota is used up.
    #[error("the disk is full: {used} of {quota} bytes are used")]
    Full {
        /// Bytes used.
        used: u64,
        /// Bytes that there are.
        quota: u64,
    },
    /// As chance would have it.
    #[error("the {what} failed")]
    Failed {
        /// `read`, `write` or `sync`.
        what: &'static str,
    },
    /// The power was lost before the sync was done.
    #[error("the power was lost during the sync")]
    PowerLost,
}

/// What happened to a disk. A fault whose count stays at 0 made no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Writes and deletions.
    pub writes: u64,
    /// Syncs that were done.
    pub syncs: u64,
    /// Syncs that said so and were not.
    pub lied: u64,
    /// Reads, writes and syncs that failed.
    pub failed: u64,
    /// Writes that found no room.
    pub full: u64,
    /// Losses of power.
    pub crashes: u64,
    /// Unsynced writes that those took.
    pub lost: u64,
    /// Unsynced writes that survived them.
    pub kept: u64,
    /// Records that they tore.
    pub torn: u64,
    /// Bits flipped.
    pub flipped: u64,
    /// Reads that met a damaged record.
    pub damaged_reads: u64,
}

#[derive(Debug)]
struct State {
    config: DiskConfig,
    dice: Dice,
    records: Records,
    counters: DiskCounters,
    /// Losses of power: a sync from before one is not done after it.
    power: u64,
}

impl State {
    fn fails(&mut self, what: &'static str, p: f64) -> Result<(), DiskError> {
        if self.dice.chance(p) {
            self.counters.failed += 1;
            return Err(DiskError::Failed { what });
        }
        Ok(())
    }

    fn read<T>(&mut self, read: impl FnOnce(&Records) -> Result<T, DiskError>) -> Result<T, DiskError> {
        self.fails("read", self.config.read_fails)?;
        let result = read(&self.records);
        self.counters.damaged_reads += u64::from(result.is_err());
        result
    }

    fn end_sync(&mut self, sync: &Sync) -> Result<(), DiskError> {
        if sync.power != self.power {
            return Err(DiskError::PowerLost);
        }
        self.fails("sync", self.config.sync_fails)?;
        if self.dice.chance(self.config.sync_lies) {
            self.counters.lied += 1;
        } else {
            self.records.settle(sync.up_to);
            self.counters.syncs += 1;
        }
        Ok(())
    }
}

/// A sync that has begun: all writes before it will be safe.
#[derive(Debug)]
struct Sync {
    up_to: u64,
    power: u64,
}

/// A disk, as many hold it. What one writes all read.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Guarded<State>>);

impl Disk {
    /// An empty disk whose chances come from `dice`.
    #[must_use]
    pub fn new(dice: Dice, config: DiskConfig) -> Self {
        let (records, counters) = (Records::default(), DiskCounters::default());
        Self(Arc::new(Guarded::new(State { config, dice, records, counters, power: 0 })))
    }

    /// What it is like now.
    #[must_use]
    pub fn config(&self) -> DiskConfig {
        self.0.lock().config
    }

    /// Makes it like that from now on. A smaller quota takes nothing away.
    pub fn configure(&self, config: DiskConfig) {
        self.0.lock().config = config;
    }

    /// What happened to it until now.
    #[must_use]
    pub fn counters(&self) -> DiskCounters {
        self.0.lock().counters
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`DiskError::Damaged`], [`DiskError::Failed`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.0.lock().read(|records| records.get(key))
    }

    /// At most `limit` records whose keys start with `prefix`, in order, those after `after` when it is given.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] when one of them is, [`DiskError::Failed`].
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<DiskRecord>, DiskError> {
        self.0.lock().read(|records| records.scan(prefix, after, limit))
    }

    /// Sets `key`. It is read at once, and survives a loss of power after a sync.
    ///
    /// # Errors
    /// [`DiskError::Full`], [`DiskError::Failed`]; nothing has changed then.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        let state = &mut *self.0.lock();
        state.fails("write", state.config.write_fails)?;
        let (used, quota) = (state.records.bytes(), state.config.quota_bytes);
        let freed = state.records.bytes_of(key);
        if used - freed + (key.len() + value.len()) as u64 > quota {
            state.counters.full += 1;
            return Err(DiskError::Full { used, quota });
        }
        state.records.write(key, Some(value));
        state.counters.writes += 1;
        Ok(())
    }

    /// Removes `key`, if it is there.
    ///
    /// # Errors
    /// [`DiskError::Failed`]; nothing has changed then.
    pub fn delete(&self, key: &[u8]) -> Result<(), DiskError> {
        let state = &mut *self.0.lock();
        state.fails("write", state.config.write_fails)?;
        state.records.write(key, None);
        state.counters.writes += 1;
        Ok(())
    }

    /// Makes all that was written before the call safe, in as much of `env`'s time as the disk takes. Given up half way,
    /// it has done nothing.
    ///
    /// # Errors
    /// [`DiskError::Failed`], [`DiskError::PowerLost`].
    pub fn sync(&self, env: &Env) -> impl Future<Output = Result<(), DiskError>> + Send + use<> {
        let (sync, takes) = {
            let state = self.0.lock();
            (Sync { up_to: state.records.written(), power: state.power }, state.config.sync)
        };
        let (disk, env) = (self.clone(), env.clone());
        async move {
            if !takes.is_zero() {
                env.sleep(takes).await;
            }
            disk.0.lock().end_sync(&sync)
        }
    }

    /// Loses power: what was not synced is gone, but for what the disk's configuration leaves to chance.
    pub fn crash(&self) {
        let state = &mut *self.0.lock();
        state.power += 1;
        state.counters.crashes += 1;
        let (config, dice) = (state.config, &mut state.dice);
        let unsynced = state.records.unsynced();
        let kept = (0..unsynced).take_while(|_| dice.chance(config.unsynced_kept)).count();
        let tears = kept < unsynced && dice.chance(config.torn);
        let torn = state.records.power_off(kept, tears);
        state.counters.kept += kept as u64;
        state.counters.lost += (unsynced - kept) as u64;
        state.counters.torn += u64::from(torn);
    }

    /// Flips a bit of a record that lies on the disk, of any with the same chance. Returns its key, or `None` when
    /// nothing lies there. Readers notice unless the record has been written anew since its last sync.
    pub fn flip_bit(&self) -> Option<Vec<u8>> {
        let state = &mut *self.0.lock();
        let key = state.records.flip_bit(&mut state.dice)?;
        state.counters.flipped += 1;
        Some(key)
    }

    /// Bytes in all keys and values.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.lock().records.bytes()
    }
}

#[cfg(test)]
mod tests;
