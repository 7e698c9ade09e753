use super::*;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

/// A component of that many bytes, which are others for each `number`.
fn component(number: u8, len: usize) -> (Digest, Vec<u8>) {
    let mut bytes = vec![number; len];
    bytes[..8].copy_from_slice(b"\0asm\x0d\0\x01\0");
    (Digest::of(&bytes), bytes)
}

fn shelf(folder: &TempDir) -> Shelf {
    let bounds = Bounds { image_bytes_max: 1_000, bytes_max: 2_500, images_max: 4, uploads_max: 3 };
    Shelf::open(folder.path().join("images"), bounds)
}

fn put(shelf: &Shelf, digest: Digest, image: &[u8], range: std::ops::Range<usize>) -> Result<Progress> {
    shelf.put(digest, image.len() as u64, range.start as u64, &image[range])
}

fn keep(shelf: &Shelf, number: u8, len: usize) -> Digest {
    let (digest, image) = component(number, len);
    assert!(put(shelf, digest, &image, 0..len).unwrap().done);
    digest
}

fn files(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path().join("images")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const fn progress(have: u64, done: bool) -> Progress {
    Progress { have, done }
}

/// Goal: an image that comes in chunks, one of them twice and one too early, is kept, whole, for its user alone.
#[test]
fn an_image_comes_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(&folder);
    assert!(shelf.list().unwrap().is_empty() && !folder.path().join("images").exists(), "made when it is needed");
    let (digest, image) = component(1, 1_000);
    let mut changes = shelf.changes();
    assert_eq!(put(&shelf, digest, &image, 0..0), Ok(progress(0, false)));
    assert_eq!(put(&shelf, digest, &image, 0..400), Ok(progress(400, false)));
    assert_eq!(put(&shelf, digest, &image, 0..400), Ok(progress(400, false)), "an answer was lost");
    assert_eq!(put(&shelf, digest, &image, 700..1_000), Ok(progress(400, false)), "too early");
    assert_eq!((shelf.size(digest), shelf.read(digest, 0, 10)), (None, Ok(None)));
    assert!(!changes.has_changed().unwrap());
    assert_eq!(put(&shelf, digest, &image, 400..1_000), Ok(progress(1_000, true)));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(put(&shelf, digest, &image, 0..0), Ok(progress(1_000, true)), "it is there");

    assert_eq!(shelf.list().unwrap(), [Kept { digest, size: 1_000 }]);
    assert_eq!(files(&folder), [format!("{}.wasm", digest.to_hex())]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&shelf.path(digest)), mode(&folder.path().join("images"))), (0o600, 0o700));
    let read = |offset: usize, len: usize| shelf.read(digest, offset as u64, len).unwrap().unwrap();
    assert_eq!(read(0, 300), Chunk { size: 1_000, bytes: image[..300].to_vec() });
    assert_eq!(read(900, 300).bytes, image[900..]);
    assert_eq!((read(1_000, 300).bytes, read(5_000, 1).bytes), (vec![], vec![]));

    assert_eq!((shelf.remove(digest), shelf.remove(digest)), (Ok(true), Ok(false)));
    assert!(changes.has_changed().unwrap() && shelf.list().unwrap().is_empty());
}

/// Goal: what is not what it was announced as, or no component, leaves nothing.
#[test]
fn what_is_another_thing_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(&folder);
    let (digest, mut image) = component(1, 1_000);
    image[999] ^= 1;
    assert_eq!(put(&shelf, digest, &image, 0..500), Ok(progress(500, false)));
    let error = put(&shelf, digest, &image, 500..1_000).unwrap_err();
    assert_eq!(error, ShelfError::Other { digest, found: Digest::of(&image) });
    assert!(files(&folder).is_empty() && shelf.size(digest).is_none());
    assert_eq!(put(&shelf, digest, &image, 0..0), Ok(progress(0, false)), "from the beginning");

    for (bytes, why) in [(b"hello world".as_slice(), "is no WebAssembly"), (b"\0asm\x01\0\0\0", "is a core module")] {
        let digest = Digest::of(bytes);
        let error = put(&shelf, digest, bytes, 0..bytes.len()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("image {digest} {why}")), "{error}");
    }
    assert_eq!(files(&folder), [format!("{}.part", digest.to_hex())]);
    let error = shelf.put(digest, 1_000, 0, &[0; 1_001]).unwrap_err();
    assert_eq!(error, ShelfError::Beyond { digest, size: 1_000, offset: 0, len: 1_001 });
    for size in [0, 7, 1_001, u64::MAX] {
        assert_eq!(shelf.put(digest, size, 0, b"").unwrap_err(), ShelfError::Size { digest, size, max: 1_000 });
    }
}

/// Goal: what was on its way when the node ended is gone when it starts again; what was kept is there.
#[test]
fn what_was_torn_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let before = shelf(&folder);
    let kept = keep(&before, 1, 100);
    let (torn, image) = component(2, 100);
    put(&before, torn, &image, 0..50).unwrap();
    assert_eq!(files(&folder).len(), 2);
    fs::write(folder.path().join("images/notes.part"), "not ours").unwrap();
    drop(before);
    let after = shelf(&folder);
    assert_eq!(after.list().unwrap(), [Kept { digest: kept, size: 100 }]);
    assert_eq!(files(&folder).len(), 2, "what others have put there stays");
    assert_eq!(put(&after, torn, &image, 50..100), Ok(progress(0, false)));
    assert!(put(&after, torn, &image, 0..100).unwrap().done);
}

/// Goal: more than may be kept is refused with what is there, and what is on its way gives way before that.
#[test]
fn it_has_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(&folder);
    let (first, image) = component(1, 1_000);
    put(&shelf, first, &image, 0..1).unwrap();
    let (second, image) = component(2, 1_000);
    put(&shelf, second, &image, 0..1).unwrap();
    keep(&shelf, 3, 1_000);
    assert_eq!(put(&shelf, second, &image, 0..0), Ok(progress(1, false)), "the first gave way, which is older");
    keep(&shelf, 4, 1_000);
    let error = put(&shelf, second, &image, 0..0).unwrap_err().to_string();
    assert!(error.contains("2 images of 2000 bytes are kept, and 4 of 2500 may be: lattice images rm"), "{error}");
    keep(&shelf, 5, 10);
    keep(&shelf, 6, 10);
    let (digest, image) = component(7, 10);
    assert!(matches!(put(&shelf, digest, &image, 0..10), Err(ShelfError::Full { images: 4, .. })));
    for kept in shelf.list().unwrap() {
        shelf.remove(kept.digest).unwrap();
    }

    let uploads: Vec<_> = (10..14).map(|number| component(number, 100)).collect();
    for (digest, image) in &uploads {
        put(&shelf, *digest, image, 0..50).unwrap();
    }
    assert_eq!(files(&folder).len(), 3);
    assert_eq!(put(&shelf, uploads[1].0, &uploads[1].1, 0..0), Ok(progress(50, false)));
    assert_eq!(put(&shelf, uploads[0].0, &uploads[0].1, 0..0), Ok(progress(0, false)), "it takes the third's place");
    assert_eq!(put(&shelf, uploads[1].0, &uploads[1].1, 0..0), Ok(progress(50, false)));
    assert!(shelf.remove(uploads[1].0) == Ok(false) && files(&folder).len() == 2);
}
