//! `DiskStore`: sled behind the trait, with what was measured of it kept in mind.
//!
//! A durable write is `flush_async` and then `sync_data` on sled's file: its own flush is no fsync on Linux. Opening
//! can fail or panic after an abrupt stop: the folder is then put aside as `store.corrupt-N` and an empty one begun.
//! Where a panic aborts the process, a marker file tells the next start of it.

use super::{Record, Store, StoreError, check_sizes};
use lattice_broker::env::BoxFuture;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a [`DiskStore`] works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of memory for what was read, at most.
    pub cache_bytes: u64,
    /// Milliseconds between writes to disk that nobody asked for.
    pub flush_every_ms: u64,
    /// Bytes on disk, at most.
    pub quota_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 4 << 20, flush_every_ms: 500, quota_bytes: 64 << 20 }
    }
}

/// What the old store was replaced for: to be shown in the node's health until someone looks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store could not be opened ({why}); it is kept at {}, and an empty one was begun", kept_at.display())]
pub struct Replaced {
    /// What opening it said.
    pub why: String,
    /// Where the unreadable one is.
    pub kept_at: PathBuf,
}

/// Opens that did not come back before the folder is given up: one may have been a kill in the wrong moment.
const UNFINISHED_OPENS_MAX: u32 = 2;

/// Bytes written between two looks at the size on disk.
const QUOTA_CHECK_EVERY: u64 = 256 * 1024;

/// Records on disk. Dropping the last handle writes what is pending.
#[derive(Debug)]
pub struct DiskStore {
    db: sled::Db,
    /// sled's one file, for `sync_data`.
    file: Arc<File>,
    quota: u64,
    written: AtomicU64,
    used: AtomicU64,
}

impl DiskStore {
    /// Opens the store in `folder`, or makes it. A store that cannot be opened is put aside; the second value says so.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another handle is open, or for a moment after it was dropped: sled finishes in the
    /// background. [`StoreError::Io`] when not even an empty store can be made there.
    pub fn open(folder: &Path, options: &Options) -> Result<(Self, Option<Replaced>), StoreError> {
        let marker = folder.with_extension("opening");
        let unfinished = fs::read_to_string(&marker).ok().and_then(|n| n.trim().parse().ok()).unwrap_or(0_u32);
        let attempt = if unfinished >= UNFINISHED_OPENS_MAX {
            Err(Unopened::Broken("the program ended while opening it, several times".to_owned()))
        } else {
            fs::write(&marker, (unfinished + 1).to_string()).map_err(io_error)?;
            open(folder, options)
        };
        let result = match attempt {
            Ok(store) => Ok((store, None)),
            Err(Unopened::InUse) => Err(StoreError::InUse),
            Err(Unopened::Broken(why)) => {
                let kept_at = put_aside(folder).map_err(io_error)?;
                let replaced = Replaced { why, kept_at };
                open(folder, options).map(|store| (store, Some(replaced))).map_err(StoreError::from)
            }
        };
        // Its absence is what an open that came back leaves behind; an error here costs a look at the next start.
        let _ = fs::remove_file(&marker);
        result
    }

    fn check_quota(&self, more: u64) -> Result<(), StoreError> {
        let written = self.written.fetch_add(more, Ordering::Relaxed);
        let crossed = written / QUOTA_CHECK_EVERY != (written + more) / QUOTA_CHECK_EVERY;
        // Once full, each write looks anew: something may have been deleted.
        if crossed || self.used.load(Ordering::Relaxed) >= self.quota {
            self.used.store(self.size(), Ordering::Relaxed);
        }
        let used = self.used.load(Ordering::Relaxed);
        if used >= self.quota { Err(StoreError::Full { used, quota: self.quota }) } else { Ok(()) }
    }
}

/// Why sled did not open.
enum Unopened {
    /// Nothing is wrong with it, someone else has it.
    InUse,
    Broken(String),
}

impl Unopened {
    fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<sled::Error> for Unopened {
    fn from(error: sled::Error) -> Self {
        let text = error.to_string();
        // sled says it in words only.
        if text.contains("could not acquire lock") { Self::InUse } else { Self::Broken(text) }
    }
}

impl From<Unopened> for StoreError {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::InUse => Self::InUse,
            Unopened::Broken(why) => Self::Io { why },
        }
    }
}

fn open(folder: &Path, options: &Options) -> Result<DiskStore, Unopened> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(Some(options.flush_every_ms));
    let db = catch_unwind(AssertUnwindSafe(|| config.open())).map_err(|_| Unopened::broken("it panicked"))??;
    let file = File::open(folder.join("db")).map_err(Unopened::broken)?;
    let used = db.size_on_disk()?;
    Ok(DiskStore {
        db,
        file: Arc::new(file),
        quota: options.quota_bytes,
        written: AtomicU64::new(0),
        used: AtomicU64::new(used),
    })
}

fn put_aside(folder: &Path) -> io::Result<PathBuf> {
    for n in 1.. {
        let aside = folder.with_extension(format!("corrupt-{n}"));
        if !aside.exists() {
            fs::rename(folder, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::other("no free name"))
}

fn io_error(error: impl std::fmt::Display) -> StoreError {
    StoreError::Io { why: error.to_string() }
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get(key).map_err(io_error)?.map(|v| v.to_vec()))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_sizes(key, value)?;
        self.check_quota((key.len() + value.len()) as u64)?;
        self.db.insert(key, value).map_err(io_error)?;
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.db.remove(key).map_err(io_error)?;
        Ok(())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StoreError> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let mut found = Vec::new();
        for record in self.db.range::<&[u8], _>((start, Bound::Unbounded)).take(limit) {
            let (key, value) = record.map_err(io_error)?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push((key.to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    fn flush_durable(&self) -> BoxFuture<Result<(), StoreError>> {
        let (db, file) = (self.db.clone(), self.file.clone());
        Box::pin(async move {
            db.flush_async().await.map_err(io_error)?;
            file.sync_data().map_err(io_error)
        })
    }

    fn size(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }
}
