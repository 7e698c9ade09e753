use super::*;
use std::path::Path;

/// Opens, once a handle that was just dropped has let go.
fn open(folder: &Path) -> (DiskStore, Option<Replaced>) {
    for _ in 0..1_000_000 {
        match DiskStore::open(folder, &Options::default()) {
            Err(StoreError::InUse) => std::thread::yield_now(),
            result => return result.unwrap(),
        }
    }
    panic!("someone keeps {} open", folder.display());
}

fn exercise(store: &dyn Store) {
    for (key, value) in [("a/1", "one"), ("a/2", "two"), ("b/1", "other")] {
        store.put(key.as_bytes(), value.as_bytes()).unwrap();
    }
    assert_eq!(store.get(b"a/2").unwrap().as_deref(), Some(&b"two"[..]));
    let keys = |after: Option<&[u8]>, limit| -> Vec<_> {
        store.scan(b"a/", after, limit).unwrap().into_iter().map(|(k, _)| String::from_utf8(k).unwrap()).collect()
    };
    assert_eq!(keys(None, 10), ["a/1", "a/2"]);
    assert_eq!(keys(None, 1), ["a/1"]);
    assert_eq!(keys(Some(b"a/1"), 10), ["a/2"]);
    store.delete(b"a/1").unwrap();
    assert_eq!(store.get(b"a/1").unwrap(), None);
    let long = store.put(b"a", &[0; VALUE_MAX + 1]).unwrap_err();
    assert_eq!(long, StoreError::TooLarge { what: "value", len: VALUE_MAX + 1, max: VALUE_MAX });
    assert!(matches!(store.put(&[0; KEY_MAX + 1], b""), Err(StoreError::TooLarge { what: "key", .. })));
}

#[test]
fn both_stores_behave_alike() {
    exercise(&MemoryStore::default());
    let folder = tempfile::tempdir().unwrap();
    exercise(&open(&folder.path().join("store")).0);
}

#[test]
fn memory_is_bounded() {
    let store = MemoryStore::new(100);
    store.put(b"a", &[0; 60]).unwrap();
    assert_eq!(store.put(b"b", &[0; 60]), Err(StoreError::Full { used: 61, quota: 100 }));
    store.delete(b"a").unwrap();
    store.put(b"a", &[0; 30]).unwrap();
    store.put(b"a", &[0; 20]).unwrap();
    store.put(b"b", &[0; 60]).unwrap();
    store.delete(b"a").unwrap();
    assert_eq!(store.size(), 61);
}

#[test]
fn disk_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { quota_bytes: 2 << 20, ..Options::default() };
    let (store, _) = DiskStore::open(&folder.path().join("store"), &options).unwrap();
    let full = (0..4_000_u32).find_map(|n| store.put(&n.to_be_bytes(), &[n as u8; 4_096]).err());
    assert!(matches!(full, Some(StoreError::Full { .. })), "{full:?}");
}

/// A process that is killed: its files are copied away while the store is open and nothing is closed.
#[tokio::test]
async fn what_was_flushed_survives_an_abrupt_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (live, copy) = (folder.path().join("live"), folder.path().join("copy"));
    let (store, replaced) = open(&live);
    assert_eq!(replaced, None);
    for n in 0..100_u32 {
        store.put(&n.to_be_bytes(), &[7; 1_000]).unwrap();
    }
    store.flush_durable().await.unwrap();
    std::fs::create_dir(&copy).unwrap();
    for name in ["db", "conf"] {
        std::fs::copy(live.join(name), copy.join(name)).unwrap();
    }
    let (again, replaced) = open(&copy);
    assert_eq!(replaced, None);
    assert_eq!(again.scan(b"", None, 1_000).unwrap().len(), 100);
}

#[test]
fn an_unreadable_store_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(open(&path));
    std::fs::write(path.join("conf"), b"not what sled writes").unwrap();
    let (store, replaced) = open(&path);
    let replaced = replaced.unwrap();
    assert_eq!(replaced.kept_at, folder.path().join("store.corrupt-1"));
    assert!(replaced.kept_at.join("conf").exists());
    store.put(b"k", b"v").unwrap();
    drop(store);
    assert_eq!(open(&path).1, None, "the new one opens without a word");
}

/// A store that someone else has open is not broken, and stays where it is.
#[test]
fn an_open_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (store, _) = open(&path);
    assert_eq!(DiskStore::open(&path, &Options::default()).unwrap_err(), StoreError::InUse);
    store.put(b"k", b"v").unwrap();
    assert!(!folder.path().join("store.corrupt-1").exists() && !folder.path().join("store.opening").exists());
}

#[test]
fn opens_that_never_came_back_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(open(&path));
    let marker = folder.path().join("store.opening");
    std::fs::write(&marker, "1").unwrap();
    assert_eq!(open(&path).1, None, "once may have been a kill");
    std::fs::write(&marker, "2").unwrap();
    assert!(open(&path).1.is_some());
    assert!(!marker.exists());
}
