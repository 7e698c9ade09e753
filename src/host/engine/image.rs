//! Where the file of a component is, which one it is, and its bytes. What a component looks like is left to `images/file.rs`.

use crate::host::images::{BadReference, Digest, Shelf, read_component};
use crate::host::runner::RunError;
use std::path::PathBuf;
use std::time::SystemTime;

/// By what a file is told from another one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

/// Which file `image` is at present; `None` when there is none, and when its name says already what is in it.
pub(super) fn stamp(image: &str) -> Option<Stamp> {
    let Ok(Place::File(path)) = place(image) else { return None };
    let meta = std::fs::metadata(path).ok()?;
    Some(Stamp { len: meta.len(), modified: meta.modified().ok() })
}

/// Reads `image`, at most `bytes_max` bytes of it: a file, or what is on `shelf`. Waits for the disk.
///
/// # Errors
/// [`RunError::Image`]: no such image, too large, or no component.
pub(super) fn read(image: &str, shelf: Option<&Shelf>, bytes_max: u64) -> Result<Vec<u8>, RunError> {
    let bytes = place(image).and_then(|place| match place {
        Place::File(path) => read_component(&path, bytes_max),
        Place::Shelf(digest) => read_kept(digest, shelf, bytes_max),
    });
    bytes.map_err(|why| RunError::Image { image: image.to_owned(), why })
}

enum Place {
    File(PathBuf),
    Shelf(Digest),
}

fn place(image: &str) -> Result<Place, String> {
    if let Some(digest) = Digest::in_reference(image) {
        return digest.map(Place::Shelf).map_err(|error: BadReference| error.to_string());
    }
    const EXPECTED: &str = "expected file:///path, or a path, or lattice://sha256:…";
    let path = match image.split_once("://") {
        None => image,
        Some(("file", path)) if path.starts_with('/') => path,
        Some(_) => return Err(EXPECTED.to_owned()),
    };
    if path.is_empty() { Err(format!("is empty: {EXPECTED}")) } else { Ok(Place::File(path.into())) }
}

fn read_kept(digest: Digest, shelf: Option<&Shelf>, bytes_max: u64) -> Result<Vec<u8>, String> {
    let Some(shelf) = shelf else {
        return Err("is for hosts that keep images, and this one keeps none: expected file:///path".to_owned());
    };
    if shelf.size(digest).is_none() {
        return Err("is not kept on this host: lattice push it again".to_owned());
    }
    let bytes = read_component(&shelf.path(digest), bytes_max)?;
    // Disks rot, and files are edited.
    match Digest::of(&bytes) {
        found if found == digest => Ok(bytes),
        found => Err(format!("has become {found} on this host's disk: lattice images rm, and push it again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::images::Bounds;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn why(image: &str, shelf: Option<&Shelf>) -> String {
        read(image, shelf, 1_000).unwrap_err().to_string()
    }

    #[test]
    fn files_are_read_or_named() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["https://example.org/a.wasm", "file://a.wasm", ""] {
            assert!(why(bad, None).contains("expected file:///path, or a path, or lattice://sha256:"), "{bad}");
        }
        assert!(why("/no/such/file", None).contains("No such file"));
        let good = folder.path().join("good").to_str().unwrap().to_owned();
        std::fs::write(&good, EMPTY).unwrap();
        assert_eq!(read(&format!("file://{good}"), None, 1_000).unwrap(), EMPTY);
        assert!(stamp(&good).is_some() && stamp("/no/such/file").is_none());
    }

    #[test]
    fn what_is_kept_is_read_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path().join("images"), Bounds::default());
        let digest = Digest::of(EMPTY);
        let image = digest.to_reference();
        assert!(why(&image, None).contains("this one keeps none"));
        assert!(why(&image, Some(&shelf)).contains("lattice push it again"));
        assert!(why("lattice://sha256:abc", Some(&shelf)).contains("64 hexadecimal digits"));
        assert!(shelf.put(digest, EMPTY.len() as u64, 0, EMPTY).unwrap().done);
        assert_eq!((read(&image, Some(&shelf), 1_000).unwrap(), stamp(&image)), (EMPTY.to_vec(), None));
        std::fs::write(shelf.path(digest), [EMPTY, b"\0"].concat()).unwrap();
        assert!(why(&image, Some(&shelf)).contains("has become sha256:"));
    }
}
