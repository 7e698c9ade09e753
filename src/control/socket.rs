//! The file `control.sock` in a data folder: claimed by one node at a time, for its user alone.
//!
//! A lock on `control.lock` says who owns the folder; it goes with the process, whatever way that ends, so a socket
//! found under the lock is a dead node's and is replaced. A path that is too long for a socket's address (108 bytes
//! on Linux) is reached through the open folder's entry in `/proc/self/fd`; where that is missing, it is an error.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

const SOCKET: &str = "control.sock";
/// Bound under this name and renamed once its permissions are set, so that nobody else finds it open.
const SOCKET_NEW: &str = "control.new";
const LOCK: &str = "control.lock";
/// Room for a path in the smallest `sockaddr_un` in use, without its final zero.
const PATH_MAX: usize = 103;

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another node has the folder.
    #[error("a node already runs on {}", data.display())]
    InUse {
        /// The folder.
        data: PathBuf,
    },
    /// Nobody has it.
    #[error("no node runs on {}", data.display())]
    NotRunning {
        /// The folder.
        data: PathBuf,
    },
    /// The socket is another user's.
    #[error("the node on {} belongs to another user", data.display())]
    Denied {
        /// The folder.
        data: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A listening socket and the claim to its folder. Dropping it removes the socket and gives the folder up.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) listener: UnixListener,
    /// Who may connect: the user that the folder's files belong to.
    pub(super) owner: u32,
    path: PathBuf,
    _lock: File,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What remains is recognised as stale by the next node.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A data folder that no node can start on while this lives; nobody answers on its socket either.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

/// Keeps nodes off `data`, which is made when it is missing, for a command that works on it for a moment.
///
/// # Errors
/// [`SocketError::InUse`]: a node has it, starts or ends there, or another command holds it.
/// [`SocketError::Io`] when the system says no.
pub fn hold(data: &Path) -> Result<Hold, SocketError> {
    make(data)?;
    Ok(Hold { _lock: lock(data)? })
}

/// Claims `data` (made when it is missing, for its user alone) and listens on its socket.
pub(super) async fn claim(data: &Path) -> Result<Claim, SocketError> {
    make(data)?;
    let lock = lock(data)?;
    let owner = lock.metadata().map_err(|error| failed("inspect", data, LOCK, error))?.uid();
    // Where locks are not supported, whoever answers has the folder.
    if connect(data).await.is_ok() {
        return Err(SocketError::InUse { data: data.to_owned() });
    }
    let listener = listen(data).map_err(|error| failed("listen on", data, SOCKET, error))?;
    Ok(Claim { listener, owner, path: data.join(SOCKET), _lock: lock })
}

fn make(data: &Path) -> Result<(), SocketError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error| SocketError::Io { what: "make the folder", path: data.to_owned(), error })
}

fn failed(what: &'static str, data: &Path, name: &str, error: io::Error) -> SocketError {
    SocketError::Io { what, path: data.join(name), error }
}

fn lock(data: &Path) -> Result<File, SocketError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(data.join(LOCK));
    let file = file.map_err(|error| failed("open", data, LOCK, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::InUse { data: data.to_owned() }),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(failed("lock", data, LOCK, error)),
    }
}

fn listen(data: &Path) -> io::Result<UnixListener> {
    let fresh = data.join(SOCKET_NEW);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let short = Short::of(data, SOCKET_NEW)?;
    let listener = UnixListener::bind(&short.path)?;
    std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, data.join(SOCKET))?;
    Ok(listener)
}

/// Connects to the node that has `data`.
pub(super) async fn connect(data: &Path) -> Result<UnixStream, SocketError> {
    let short = Short::of(data, SOCKET);
    let connected = match &short {
        Ok(short) => UnixStream::connect(&short.path).await,
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    };
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => SocketError::NotRunning { data: data.to_owned() },
        io::ErrorKind::PermissionDenied => SocketError::Denied { data: data.to_owned() },
        _ => failed("connect to", data, SOCKET, error),
    })
}

/// A path to a file in a folder that fits a socket's address. Of use while it lives.
struct Short {
    path: PathBuf,
    _folder: Option<File>,
}

impl Short {
    fn of(data: &Path, name: &str) -> io::Result<Self> {
        let path = data.join(name);
        if path.as_os_str().len() <= PATH_MAX {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(data)?;
        let entry = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        if !entry.exists() {
            let text =
                format!("the path is too long for a socket: choose a data folder of at most {} bytes", PATH_MAX - 13);
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, text));
        }
        Ok(Self { path: entry.join(name), _folder: Some(folder) })
    }
}
