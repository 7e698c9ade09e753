//! The records on the node's disk: one record of the store for each.

use super::record::{Entry, Key, Record};
use crate::codec;
use crate::store::{Store, StoreError};

/// What the keys of the store begin with.
const PREFIX: &[u8] = b"state/";
/// Records read at a time.
const PAGE: usize = 64;

/// Keeps what stands at `key`; removes it when nothing does.
///
/// # Errors
/// [`StoreError`]; the disk has what it had before.
pub(super) fn keep(store: &dyn Store, key: &Key, record: Option<&Record>) -> Result<(), StoreError> {
    let name = name(key);
    match record {
        Some(record) => store.put(&name, &codec::encode(record)),
        None => store.delete(&name),
    }
}

/// Reads all records; what cannot be read as one is left out and counted. `take` may remove what it is given.
///
/// # Errors
/// [`StoreError`]: the disk fails, or `take` does.
pub(super) fn load(
    store: &dyn Store,
    mut take: impl FnMut(Entry) -> Result<(), StoreError>,
) -> Result<usize, StoreError> {
    let (mut after, mut unreadable): (Option<Vec<u8>>, usize) = (None, 0);
    loop {
        let page = store.scan(PREFIX, after.as_deref(), PAGE)?;
        for (name, value) in &page {
            match (codec::decode::<Key>(&name[PREFIX.len()..]), codec::decode::<Record>(value)) {
                (Ok(key), Ok(record)) => take(Entry { key, record })?,
                (Err(_), _) | (_, Err(_)) => unreadable += 1,
            }
        }
        match page.into_iter().next_back() {
            Some((name, _)) => after = Some(name),
            None => return Ok(unreadable),
        }
    }
}

fn name(key: &Key) -> Vec<u8> {
    let mut name = PREFIX.to_vec();
    codec::encode_into(key, &mut name);
    name
}

#[cfg(test)]
mod tests {
    use super::super::clock::Stamp;
    use super::super::record::{NAME_MAX, VALUE_MAX};
    use super::*;
    use crate::identity::NodeId;
    use crate::store::MemoryStore;

    /// Goal: the longest record fits the store; what is damaged is left out and the rest is there.
    #[test]
    fn records_come_back() {
        let (store, writer) = (MemoryStore::default(), NodeId([200; 32]));
        let stamp = Stamp { wall_ms: (1 << 48) - 1, count: u32::MAX, writer };
        let entry = |n: usize, value| Entry {
            key: Key::owned(writer, format!("{n:0width$}", width = NAME_MAX)),
            record: Record { stamp, value },
        };
        let mut entries: Vec<Entry> = (0..PAGE * 2).map(|n| entry(n, Some(vec![255; VALUE_MAX]))).collect();
        entries.push(entry(PAGE * 2, None));
        for Entry { key, record } in &entries {
            keep(&store, key, Some(record)).unwrap();
        }
        store.put(b"state/what", b"?").unwrap();
        let mut read = Vec::new();
        let take = |entry| {
            read.push(entry);
            Ok(())
        };
        assert_eq!(load(&store, take), Ok(1));
        assert_eq!(read, entries);
        entries.iter().for_each(|entry| keep(&store, &entry.key, None).unwrap());
        assert_eq!(store.scan(b"state/", None, 9).unwrap().len(), 1);
    }
}
