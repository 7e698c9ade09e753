//! What is kept under a key, and how that and counters are read, written and removed: the rules of the module, over records.
//!
//! Names of records are `kv/BUCKET/KEY`, shared for what stands there, and with a byte 0 and the part of a life (`life.rs`) behind it for each
//! part of a counter, which its node owns. Who may open which bucket is left to `buckets.rs`.

use super::life::Life;
use crate::codec::{self, Decode, Encode};
use crate::host::state::{DATA, Key, Look, NAME_MAX, Page, State, WriteError};
use crate::identity::NodeId;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes of a bucket's name.
pub const BUCKET_BYTES_MAX: usize = 64;
/// Bytes of a bucket's name and a key together: with what is around them they fit the name of a record.
pub const NAME_BYTES_MAX: usize = NAME_MAX - DATA.len() - 1 - PART_BYTES;
/// Bytes of a value: with what is around it it fits a record.
pub const VALUE_BYTES_MAX: usize = 12_000;
/// Behind the name of a part: a byte 0 and 17 digits.
const PART_BYTES: usize = 18;
/// Keys in one page of a list.
const PAGE_MAX: usize = 1_000;

/// Where records are: [`State`], or what a test puts in its place.
pub trait Records: Send + Sync + fmt::Debug + 'static {
    /// Whose copy it is.
    fn me(&self) -> NodeId;
    /// What stands at a name of data, and the parts there.
    fn look(&self, name: &str) -> Look;
    /// Names of shared data that begin with `prefix`, at most `max`, behind what the page before says.
    fn page(&self, prefix: &str, after: Option<u64>, max: usize) -> Page;
    /// This node's own keys of data.
    fn own(&self) -> Vec<Key>;
    /// Writes, or deletes.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed then.
    fn write(&self, key: Key, value: Option<Vec<u8>>) -> Result<(), WriteError>;
}

impl Records for State {
    fn me(&self) -> NodeId {
        Self::me(self)
    }

    fn look(&self, name: &str) -> Look {
        Self::look(self, name)
    }

    fn page(&self, prefix: &str, after: Option<u64>, max: usize) -> Page {
        Self::page(self, prefix, after, max)
    }

    fn own(&self) -> Vec<Key> {
        self.own_data()
    }

    fn write(&self, key: Key, value: Option<Vec<u8>>) -> Result<(), WriteError> {
        Self::write(self, key, value)
    }
}

/// Nothing was done; the caller is told why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No bucket can have that name.
    #[error(
        "bucket {0:?}: a name of 1 to {BUCKET_BYTES_MAX} letters, digits, dots, hyphens and underscores is accepted"
    )]
    Bucket(String),
    /// No key can be that.
    #[error(
        "a key of {len} bytes in bucket {bucket}: 1 to {} bytes without control characters are accepted",
        NAME_BYTES_MAX - bucket.len()
    )]
    Key {
        /// The bucket.
        bucket: String,
        /// Bytes of the key.
        len: usize,
    },
    /// It is too long.
    #[error("{key}: a value of {len} bytes: at most {VALUE_BYTES_MAX} are accepted")]
    Value {
        /// The key.
        key: String,
        /// Bytes of the value.
        len: usize,
    },
    /// What stands there cannot be counted on from.
    #[error("{key}: its value is no decimal number from 0 to {}: set one, or delete it, to count there", u64::MAX)]
    NoNumber {
        /// The key.
        key: String,
    },
    /// There is no such number.
    #[error("{key}: the sum would be more than {}", u64::MAX)]
    TooLarge {
        /// The key.
        key: String,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What stands at a shared key.
#[derive(Debug, Encode, Decode)]
enum Base {
    /// A value that was set over what had the digest `over`: to set the same once more is another record.
    Value { over: u64, bytes: Vec<u8> },
    /// It is counted from 0, since what has the digest `over`.
    Count { over: u64 },
}

/// What one node has counted, in one of its lives.
#[derive(Debug, Encode, Decode)]
struct Part {
    generation: u64,
    sum: u64,
}

/// All that is known of a key.
struct Standing {
    digest: u64,
    base: Option<Base>,
    parts: Vec<(Key, Part)>,
}

/// The values of components. All that a component is told of is in the records already.
pub struct Store {
    records: Arc<dyn Records>,
    life: Life,
    /// Held while something is read in order to be written: parts that nobody seemed to need when it was last looked.
    doubtful: Mutex<BTreeSet<Key>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Store {
    /// The values in `records`, of a node in its life `life`.
    #[must_use]
    pub fn new(records: Arc<dyn Records>, life: Life) -> Self {
        Self { records, life, doubtful: Mutex::default() }
    }

    /// Whether a bucket can have that name.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub fn check(bucket: &str) -> Result<(), Error> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=BUCKET_BYTES_MAX).contains(&bucket.len()) && bucket.bytes().all(is_letter) {
            return Ok(());
        }
        Err(Error::Bucket(bucket.chars().take(BUCKET_BYTES_MAX).collect()))
    }

    /// The value at `key`, if there is one.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Key`].
    pub fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.standing(&name(bucket, key)?).value())
    }

    /// Whether there is a value at `key`.
    ///
    /// # Errors
    /// As of [`Store::get`].
    pub fn exists(&self, bucket: &str, key: &str) -> Result<bool, Error> {
        Ok(self.standing(&name(bucket, key)?).base.is_some())
    }

    /// Has `value` be at `key`, which is the end of what was counted there. The same value once more is written as well: it is later than what
    /// another part of the lattice may have set meanwhile.
    ///
    /// # Errors
    /// [`Error`], but for those of numbers.
    pub fn set(&self, bucket: &str, key: &str, value: Vec<u8>) -> Result<(), Error> {
        let name = name(bucket, key)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(Error::Value { key: key.to_owned(), len: value.len() });
        }
        let _writing = self.writing();
        let standing = self.standing(&name);
        self.write(&name, Some(Base::Value { over: standing.digest, bytes: value }))?;
        self.forget(&standing);
        Ok(())
    }

    /// Has nothing be at `key`. To delete what is deleted is no record: what another part of the lattice has set meanwhile, stays.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Key`]; [`Error::Write`] when the disk fails.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<(), Error> {
        let name = name(bucket, key)?;
        let _writing = self.writing();
        let standing = self.standing(&name);
        self.write(&name, None)?;
        self.forget(&standing);
        Ok(())
    }

    /// Counts `delta` at `key`, from 0 when nothing is there, and returns the sum as it is known here.
    ///
    /// # Errors
    /// [`Error`]; nothing was counted then.
    pub fn increment(&self, bucket: &str, key: &str, delta: u64) -> Result<u64, Error> {
        let name = name(bucket, key)?;
        let _writing = self.writing();
        let standing = self.standing(&name);
        let from = standing.from().ok_or_else(|| Error::NoNumber { key: key.to_owned() })?;
        let sum = from.checked_add(standing.counted().unwrap_or_default()).and_then(|sum| sum.checked_add(delta));
        let sum = sum.ok_or_else(|| Error::TooLarge { key: key.to_owned() })?;
        let generation = standing.generation();
        let is_first = standing.base.is_none();
        if is_first {
            self.write(&name, Some(Base::Count { over: generation }))?;
        }
        let part = Key::owned(self.records.me(), format!("{name}\0{}", self.life.part()));
        let before = standing.parts.iter().find(|(key, before)| *key == part && before.generation == generation);
        let counted = Part { generation, sum: before.map_or(0, |(_, before)| before.sum).saturating_add(delta) };
        let written = self.records.write(part, Some(codec::encode(&counted)));
        if written.is_err() && is_first {
            // Else there would be a 0 that nobody has counted. It goes by itself if that fails, too: with the next deletion.
            drop(self.write(&name, None));
        }
        written?;
        Ok(sum)
    }

    /// The keys of a bucket, in no order that means anything: at most 1,000, and behind which number the others are, if there are any.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub fn keys(&self, bucket: &str, after: Option<u64>) -> Result<(Vec<String>, Option<u64>), Error> {
        Self::check(bucket)?;
        let prefix = format!("{DATA}{bucket}/");
        let Page { names, next } = self.records.page(&prefix, after, PAGE_MAX);
        Ok((names.into_iter().map(|name| name[prefix.len()..].to_owned()).collect(), next))
    }

    /// Removes those of this node's parts that count nothing any more, and did not when this was last called: what they belong to may have been on
    /// its way then. To be called now and then.
    pub fn sweep(&self) {
        let mut suspects = self.writing();
        let seen: BTreeSet<Key> = self.records.own().into_iter().filter(|key| self.is_over(key)).collect();
        let (over, suspected): (BTreeSet<Key>, BTreeSet<Key>) =
            seen.into_iter().partition(|key| suspects.contains(key));
        *suspects = suspected;
        self.remove(over);
    }

    /// Whether a part of this node's counts nothing.
    fn is_over(&self, key: &Key) -> bool {
        let Some((name, _)) = key.name.split_once('\0') else { return false };
        let standing = self.standing(name);
        let part = standing.parts.iter().find(|(other, _)| other == key);
        standing.base.is_none() || part.is_some_and(|(_, part)| part.generation != standing.generation())
    }

    /// Removes this node's parts of what is no more. What fails is left for [`Store::sweep`].
    fn forget(&self, standing: &Standing) {
        let me = self.records.me();
        self.remove(standing.parts.iter().map(|(key, _)| key.clone()).filter(|key| key.owner == Some(me)));
    }

    fn remove(&self, parts: impl IntoIterator<Item = Key>) {
        for key in parts {
            if let Err(error) = self.records.write(key, None) {
                tracing::debug!(%error, "a part of a counter stays that counts nothing");
            }
        }
    }

    fn standing(&self, name: &str) -> Standing {
        let Look { value, digest, parts } = self.records.look(name);
        // What a later version has written is as if it were not there.
        let part = |(key, part): (Key, Vec<u8>)| Some((key, codec::decode(&part).ok()?));
        let parts = parts.into_iter().filter_map(part).collect();
        Standing { digest, base: value.and_then(|base| codec::decode(&base).ok()), parts }
    }

    fn write(&self, name: &str, base: Option<Base>) -> Result<(), WriteError> {
        self.records.write(Key::shared(name), base.as_ref().map(codec::encode))
    }

    fn writing(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.doubtful.lock().expect("no holder of this lock panics")
    }
}

impl Standing {
    /// To what parts belong that count.
    const fn generation(&self) -> u64 {
        match &self.base {
            Some(Base::Count { over }) => *over,
            Some(Base::Value { .. }) | None => self.digest,
        }
    }

    /// What all have counted; `None` when nobody has.
    fn counted(&self) -> Option<u64> {
        let generation = self.generation();
        let parts = self.parts.iter().map(|(_, part)| part).filter(|part| part.generation == generation);
        parts.map(|part| part.sum).reduce(u64::saturating_add)
    }

    /// From which number it is counted; `None` when there is something else.
    fn from(&self) -> Option<u64> {
        match &self.base {
            Some(Base::Value { bytes, .. }) => number(bytes),
            Some(Base::Count { .. }) | None => Some(0),
        }
    }

    fn value(self) -> Option<Vec<u8>> {
        let (counted, from) = (self.counted(), self.from());
        let sum = |sum: u64| sum.to_string().into_bytes();
        match (self.base?, counted, from) {
            (Base::Count { .. }, counted, _) => Some(sum(counted.unwrap_or_default())),
            (Base::Value { .. }, Some(counted), Some(from)) => Some(sum(from.saturating_add(counted))),
            (Base::Value { bytes, .. }, _, _) => Some(bytes),
        }
    }
}

/// A decimal number, without a sign or a blank.
fn number(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

fn name(bucket: &str, key: &str) -> Result<String, Error> {
    Store::check(bucket)?;
    let fits = (1..=NAME_BYTES_MAX - bucket.len()).contains(&key.len());
    if !fits || key.contains(char::is_control) {
        return Err(Error::Key { bucket: bucket.to_owned(), len: key.len() });
    }
    Ok(format!("{DATA}{bucket}/{key}"))
}
