//! The file that a component comes in: found, read within bounds, and looked at before the compiler has to.

use crate::host::runner::RunError;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How every WebAssembly file begins.
const MAGIC: &[u8; 4] = b"\0asm";
/// What follows in a component, and in a core module.
const COMPONENT: &[u8; 4] = &[0x0d, 0, 1, 0];
const MODULE: &[u8; 4] = &[1, 0, 0, 0];

/// By what a file is told from another one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

/// Which file `image` is at present; `None` when there is none.
pub(super) fn stamp(image: &str) -> Option<Stamp> {
    let meta = std::fs::metadata(path(image).ok()?).ok()?;
    Some(Stamp { len: meta.len(), modified: meta.modified().ok() })
}

/// Reads `image`, at most `bytes_max` bytes of it. Waits for the disk.
///
/// # Errors
/// [`RunError::Image`]: no such file, too large, or no component.
pub(super) fn read(image: &str, bytes_max: u64) -> Result<Vec<u8>, RunError> {
    let error = |why: String| RunError::Image { image: image.to_owned(), why };
    let bytes = path(image).and_then(|path| read_file(&path, bytes_max)).map_err(error)?;
    check(&bytes).map_err(error)?;
    Ok(bytes)
}

fn path(image: &str) -> Result<PathBuf, String> {
    let path = match image.split_once("://") {
        None => image,
        Some(("file", path)) if path.starts_with('/') => path,
        Some(_) => return Err("expected file:///path, or a path".to_owned()),
    };
    if path.is_empty() { Err("is empty: expected file:///path, or a path".to_owned()) } else { Ok(path.into()) }
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    // To open a pipe is to wait for somebody at its other end, unless one says so.
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(|error| error.to_string())?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("is no file".to_owned());
    }
    let too_large = |len: u64| format!("has {len} bytes: expected at most {bytes_max} (image_bytes_max)");
    if meta.len() > bytes_max {
        return Err(too_large(meta.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    // It may have grown since.
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let len = bytes.len() as u64;
    if len > bytes_max { Err(too_large(len)) } else { Ok(bytes) }
}

fn check(bytes: &[u8]) -> Result<(), String> {
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(magic), Some(kind)) if magic == MAGIC => match kind {
            _ if kind == COMPONENT => Ok(()),
            _ if kind == MODULE => {
                Err("is a core module: expected a component, which `wasm-tools component new` makes of it".to_owned())
            }
            kind => Err(format!("is WebAssembly of an unknown version {kind:02x?}: expected a component")),
        },
        (Some(magic), None) if magic == MAGIC => Err(format!("ends after {} bytes: expected a component", bytes.len())),
        _ => Err("is no WebAssembly: expected a component, which begins with the bytes 00 61 73 6d 0d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(image: &str) -> String {
        read(image, 1_000).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_component_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        assert!(why(&file("text", b"hello world")).ends_with("which begins with the bytes 00 61 73 6d 0d"));
        assert!(why(&file("empty", b"")).contains("is no WebAssembly"));
        assert!(why(&file("short", b"\0asm\x0d")).contains("ends after 5 bytes"));
        assert!(why(&file("module", b"\0asm\x01\0\0\0")).contains("is a core module"));
        assert!(why(&file("large", &[0; 1_001])).contains("has 1001 bytes: expected at most 1000 (image_bytes_max)"));
        assert!(why(folder.path().to_str().unwrap()).contains("is no file"));
        assert!(why("https://example.org/a.wasm").contains("expected file:///path, or a path"));
        assert!(why("file://a.wasm").contains("expected file:///path, or a path"));
        assert!(why("/no/such/file").contains("No such file"));
        let good = file("good", b"\0asm\x0d\0\x01\0");
        assert_eq!(read(&format!("file://{good}"), 1_000).unwrap().len(), 8);
    }
}
