//! Files that are brought to a command: news that were written elsewhere.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of `file`, which has at most `bytes_max` bytes.
///
/// # Errors
/// [`io::Error`]: it cannot be read, is no text, or is longer.
pub(super) fn read_text(file: &Path, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    let len = File::open(file)?.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
    if len > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {bytes_max} bytes")));
    }
    Ok(text)
}
