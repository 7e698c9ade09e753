//! Files that commands make for their user to carry away: invites and keys.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a line into a file that its user alone can read, and onto the disk; one that is there is left alone.
///
/// # Errors
/// [`io::Error`]: the file is there already, or cannot be written. What was written of it stays.
pub(super) fn write_new(file: &Path, line: &str) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(opened, "{line}")?;
    opened.sync_all()
}

/// A new file, made before a command knows what belongs into it, so that it cannot fail for the file's sake when that is there.
/// Dropped without having been written it is taken away again.
#[derive(Debug)]
pub(super) struct Reserved {
    file: File,
    path: PathBuf,
    is_written: bool,
}

impl Reserved {
    /// Makes `path`, which its user alone can read.
    ///
    /// # Errors
    /// [`io::Error`]: it is there already, or cannot be made.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { file, path: path.to_owned(), is_written: false })
    }

    /// Writes `line` into it, and onto the disk.
    ///
    /// # Errors
    /// [`io::Error`]: it cannot be written, and is taken away.
    pub(super) fn write(mut self, line: &str) -> io::Result<()> {
        writeln!(self.file, "{line}")?;
        self.file.sync_all()?;
        self.is_written = true;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_written {
            // An empty file that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_file_is_new_and_goes_unless_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("news");
        drop(Reserved::new(&path).unwrap());
        assert!(!path.exists());
        Reserved::new(&path).unwrap().write("text").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text\n");
        assert_eq!(Reserved::new(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
