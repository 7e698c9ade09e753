//! Files that commands make for their user to carry away: invites and keys.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a line into a file that its user alone can read, and onto the disk; one that is there is left alone.
///
/// # Errors
/// [`io::Error`]: the file is there already, or cannot be written. What was written of it stays.
pub(super) fn write_new(file: &Path, line: &str) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(opened, "{line}")?;
    opened.sync_all()
}
