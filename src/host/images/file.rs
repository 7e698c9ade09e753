//! The file that a component comes in: read within bounds, and looked at before the compiler has to.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// How every WebAssembly file begins.
const MAGIC: &[u8; 4] = b"\0asm";
/// What follows in a component, and in a core module.
const COMPONENT: &[u8; 4] = &[0x0d, 0, 1, 0];
const MODULE: &[u8; 4] = &[1, 0, 0, 0];

/// Reads a component, at most `bytes_max` bytes of it. Waits for the disk.
///
/// # Errors
/// Why not, and what is expected: no such file, too large, or no component.
pub fn read_component(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let bytes = read_file(path, bytes_max)?;
    check_component(&bytes)?;
    Ok(bytes)
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

/// Whether `bytes`, the beginning of a file or all of it, are those of a component.
///
/// # Errors
/// What they are instead.
pub fn check_component(bytes: &[u8]) -> Result<(), String> {
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

    #[test]
    fn what_is_no_component_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let why = |bytes: &[u8]| {
            let path = folder.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            read_component(&path, 1_000).unwrap_err()
        };
        assert!(why(b"hello world").ends_with("which begins with the bytes 00 61 73 6d 0d"));
        assert!(why(b"").contains("is no WebAssembly"));
        assert!(why(b"\0asm\x0d").contains("ends after 5 bytes"));
        assert!(why(b"\0asm\x01\0\0\0").contains("is a core module"));
        assert!(why(&[0; 1_001]).contains("has 1001 bytes: expected at most 1000 (image_bytes_max)"));
        assert!(read_component(folder.path(), 1_000).unwrap_err().contains("is no file"));
    }
}
