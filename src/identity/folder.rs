//! `Folder`: a node's data folder: its lock, and its identity as plain files that outlive any crash.
//!
//! ```text
//! lock                 held while a process uses the folder; holds its pid
//! identity/node.key    identity/issuer.key   identity/root.key (first node only)   nkey seeds
//! identity/chain.pem   identity/issuer.pem   certificates
//! identity/name        identity/lattice      identity/boot
//! identity/roots       identity/root.next    how the root key was replaced, where that was done; the new key meanwhile
//! joining/             keys of a node that has asked to join and was not answered yet
//! store/               records (`store.rs`)
//! components/key       a secret: what says that compiled code was compiled by this node
//! components/code/     compiled code (`host/engine/cache.rs`)
//! images/              images of components, by what is in them (`host/images/shelf.rs`)
//! ```
//!
//! Each file is written aside, synced and renamed; the identity as a whole appears by one rename. What the sockets
//! in the folder are for is left to others.

use super::advice::Advice;
use super::applicant::own_issuer;
use super::certificate;
use super::chain::{Chain, ChainError};
use super::key::Key;
use super::line::{LINE_TEXT_MAX, Line};
use super::name::check_name;
use super::nkey::Kind;
use super::{Applicant, Identity, LatticeId, OwnIssuer, PublicKey, Rotation};
use data_encoding::BASE64;
use lattice_broker::env::Rng;
use rand_core::Rng as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// No identity or key file is longer, but the one about root keys.
const FILE_MAX: u64 = 64 * 1024;

/// A data folder that this process has for itself. Dropping it releases the lock.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

/// A data folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("{} is in use by another process{}", path.display(), pid.map_or_else(String::new, |p| format!(" (pid {p})")))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process, as it wrote it down.
        pid: Option<u32>,
    },
    /// A file in it is not as it was written.
    #[error("{} is damaged: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It holds a node already.
    #[error("{} is a member of lattice {lattice} already", path.display())]
    Member {
        /// The folder.
        path: PathBuf,
        /// The lattice.
        lattice: LatticeId,
    },
    /// The key of another lattice's root.
    #[error("that is the root key of lattice {theirs}, and this node is of {ours}")]
    OtherRoot {
        /// The folder's.
        ours: LatticeId,
        /// The key's.
        theirs: LatticeId,
    },
    /// A root key of this lattice that has been replaced.
    #[error("that root key speaks for the lattice no more: it has been replaced by {}", new.to_root_text())]
    OldRoot {
        /// By which.
        new: PublicKey,
    },
    /// The system refuses.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl FolderError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::InUse { .. } => Advice::new(
                "E0120",
                "a node runs with this folder",
                "lattice status, or --data with another folder for a second node",
            ),
            Self::Damaged { .. } => Advice::new(
                "E0121",
                "the disk failed, or the file was edited or copied in part",
                "restore it from a backup, or move the folder away and join anew",
            ),
            Self::Member { .. } => Advice::new(
                "E0122",
                "it joined, or made a lattice of its own at its first start",
                "--data with a new folder, or move this one away first",
            ),
            Self::OldRoot { .. } => Advice::new(
                "E0129",
                "it was replaced after this copy had been made",
                "lattice root import FILE   with the key that took its place",
            ),
            Self::OtherRoot { .. } => {
                Advice::new("E0124", "the file is of another lattice", "lattice status   shows which lattice this is")
            }
            Self::Io { .. } => {
                Advice::new("E0123", "missing rights, or a full or read-only disk", "--data with a folder of your own")
            }
        }
    }
}

type Result<T> = std::result::Result<T, FolderError>;

impl Folder {
    /// Takes the folder at `path`, making it when it is not there.
    ///
    /// # Errors
    /// [`FolderError::InUse`] while another process has it; [`FolderError::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        make_dir(path)?;
        let lock_path = path.join("lock");
        let mut lock = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = lock.take(16).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(FolderError::InUse { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path)(error)),
        }
        lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).map_err(failed("write", &lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where [`DiskStore`](crate::store::DiskStore) keeps the node's records.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Where the code of components is kept once it is compiled.
    #[must_use]
    pub fn code_path(&self) -> PathBuf {
        self.path.join("components/code")
    }

    /// Where images of components are kept that hosts hand to each other.
    #[must_use]
    pub fn images_path(&self) -> PathBuf {
        self.path.join("images")
    }

    /// The key by which this node knows compiled code that it has made itself; made when there is none. One that cannot be read
    /// is made anew: all that is lost is time, for compiling.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn code_key(&self, rng: &mut Rng) -> Result<[u8; 32]> {
        let dir = self.path.join("components");
        let present = read_text(&dir.join("key")).ok().and_then(|text| BASE64.decode(text.as_bytes()).ok());
        if let Some(key) = present.and_then(|key| key.try_into().ok()) {
            return Ok(key);
        }
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        make_dir(&dir)?;
        write_text(&dir, "key", &BASE64.encode(&key))?;
        Ok(key)
    }

    /// The identity that it holds, read and checked; `None` in a new folder. The boot number is the last start's.
    ///
    /// # Errors
    /// [`FolderError::Damaged`] names the file that is missing or wrong.
    pub fn identity(&self) -> Result<Option<Identity>> {
        let dir = self.path.join("identity");
        if dir.try_exists().map_err(failed("look at", &dir))? { read_identity(&dir).map(Some) } else { Ok(None) }
    }

    /// Makes `identity` the folder's. All of it is on the disk for good afterwards, or nothing.
    ///
    /// # Errors
    /// [`FolderError::Member`] when there is one already; [`FolderError::Io`].
    pub fn create(&self, identity: &Identity) -> Result<()> {
        if let Some(present) = self.identity()? {
            return Err(FolderError::Member { path: self.path.clone(), lattice: present.lattice() });
        }
        let (new, dir) = (self.path.join("identity.new"), self.path.join("identity"));
        remove_dir(&new)?;
        make_dir(&new)?;
        write_identity(&new, identity)?;
        fs::rename(&new, &dir).map_err(failed("rename", &new))?;
        sync_dir(&self.path)?;
        remove_dir(&self.path.join("joining"))
    }

    /// Counts a start: `identity` gets a boot number that no earlier start had, even when this one is cut short.
    ///
    /// # Errors
    /// [`FolderError::Io`]: it must not start then.
    pub fn count_boot(&self, identity: Identity) -> Result<Identity> {
        let boot = identity.boot.saturating_add(1);
        write_file(&self.path.join("identity/boot"), format!("{boot}\n").as_bytes())?;
        Ok(identity.with_boot(boot))
    }

    /// Puts the root's key back, which must be the last one of `line`, the folder's lattice's.
    ///
    /// # Errors
    /// [`FolderError::OldRoot`] when it is an earlier one, [`FolderError::OtherRoot`] when it is another lattice's;
    /// [`FolderError::Io`].
    pub fn put_root(&self, line: &Line, root: &Key) -> Result<()> {
        let dir = self.path.join("identity");
        if root.public() != line.current() {
            let (ours, theirs) = (LatticeId::of(line.first()), LatticeId::of(root.public()));
            let is_old = line.has(root.public());
            return Err(if is_old {
                FolderError::OldRoot { new: line.current() }
            } else {
                FolderError::OtherRoot { ours, theirs }
            });
        }
        if !line.steps().is_empty() {
            write_text(&dir, "roots", &line.to_text())?;
        }
        write_text(&dir, "root.key", &root.to_text())
    }

    /// Puts a new root key in the place of the one that is here. However this is cut short, the folder holds a key to which
    /// the line in it leads.
    ///
    /// # Errors
    /// [`FolderError::Io`]. The new key counts if [`Folder::identity`] then has a line that leads to it.
    pub fn rotate(&self, rotation: &Rotation) -> Result<()> {
        let dir = self.path.join("identity");
        write_text(&dir, "root.next", &rotation.root.to_text())?;
        write_text(&dir, "roots", &rotation.line.to_text())?;
        finish_rotation(&dir)
    }

    /// Removes the root's key, of which the caller has made sure that it is elsewhere.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn take_root(&self) -> Result<()> {
        let path = self.path.join("identity/root.key");
        fs::remove_file(&path).map_err(failed("remove", &path))?;
        sync_dir(&self.path.join("identity"))
    }

    /// Gives the node another name, which has passed [`check_name`].
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn rename(&self, mut identity: Identity, name: &str) -> Result<Identity> {
        write_file(&self.path.join("identity/name"), format!("{name}\n").as_bytes())?;
        name.clone_into(&mut identity.name);
        Ok(identity)
    }

    /// The keys to ask for membership with: those of an attempt that was not answered, or new ones.
    ///
    /// # Errors
    /// [`FolderError::Member`] when it is a member already; [`FolderError::Io`].
    pub fn applicant(&self, rng: &mut Rng, name: &str) -> Result<Applicant> {
        if let Some(present) = self.identity()? {
            return Err(FolderError::Member { path: self.path.clone(), lattice: present.lattice() });
        }
        let dir = self.path.join("joining");
        let keys = (read_key(&dir, "node.key", Kind::Node), read_key(&dir, "issuer.key", Kind::Issuer));
        if let (Ok(node), Ok(issuer)) = keys {
            return Ok(Applicant { node, issuer, name: name.to_owned() });
        }
        // Whatever was left there is worth no more than one use of an invite.
        let applicant = Applicant::generate(rng, name);
        remove_dir(&dir)?;
        make_dir(&dir)?;
        write_text(&dir, "node.key", &applicant.node.to_text())?;
        write_text(&dir, "issuer.key", &applicant.issuer.to_text())?;
        Ok(applicant)
    }
}

fn write_identity(dir: &Path, identity: &Identity) -> Result<()> {
    write_text(dir, "node.key", &identity.node.to_text())?;
    write_file(&dir.join("chain.pem"), pem(identity.chain()).as_bytes())?;
    if let Some(issuer) = &identity.issuer {
        write_text(dir, "issuer.key", &issuer.key.to_text())?;
        write_file(&dir.join("issuer.pem"), pem(&issuer.chain.to_der()[..1]).as_bytes())?;
    }
    if let Some(root) = &identity.root {
        write_text(dir, "root.key", &root.to_text())?;
    }
    if !identity.line.steps().is_empty() {
        write_text(dir, "roots", &identity.line.to_text())?;
    }
    write_text(dir, "name", &identity.name)?;
    write_text(dir, "lattice", &identity.lattice_name)?;
    // The first start counts it up.
    write_text(dir, "boot", &identity.boot.saturating_sub(1).to_string())
}

fn read_identity(dir: &Path) -> Result<Identity> {
    let node = read_key(dir, "node.key", Kind::Node)?;
    let chain_path = dir.join("chain.pem");
    let shown = read_pem(&chain_path)?;
    let lattice = shown.last().and_then(certificate::lattice_id);
    let lattice = lattice.ok_or_else(|| damaged(&chain_path, "it does not end in a root certificate"))?;
    let chain = Chain::read(lattice, &shown).map_err(|error| unreadable(&chain_path, &error))?;
    if chain.node().is_none_or(|(certified, _)| certified.0 != node.public().0) {
        return Err(damaged(&chain_path, "it certifies another key than node.key"));
    }
    let boot_path = dir.join("boot");
    let boot = read_text(&boot_path)?.parse().map_err(|e| damaged(&boot_path, format!("it is no number ({e})")))?;
    let (name, lattice_name) = (read_name(&dir.join("name"))?, read_name(&dir.join("lattice"))?);
    let issuer = read_issuer(dir, &chain)?;
    let line = read_line(dir, chain.root())?;
    let root = read_root(dir, &line)?;
    Ok(Identity { root, boot, line, ..Identity::member(node, chain, issuer, name, lattice_name) })
}

/// Certificates of before the first release are not read any more; that is not damage, and says so.
fn unreadable(path: &Path, error: &ChainError) -> FolderError {
    damaged(path, format!("{error}; folders that an unreleased version has made are not read: join anew"))
}

fn read_issuer(dir: &Path, chain: &Chain) -> Result<Option<OwnIssuer>> {
    let (key_path, pem_path) = (dir.join("issuer.key"), dir.join("issuer.pem"));
    if !key_path.exists() && !pem_path.exists() {
        return Ok(None);
    }
    let key = read_key(dir, "issuer.key", Kind::Issuer)?;
    let certificates = read_pem(&pem_path)?;
    let [certificate] = &certificates[..] else {
        return Err(damaged(&pem_path, "it does not hold one certificate"));
    };
    let warrant = certificate::read(certificate).ok_or_else(|| damaged(&pem_path, "it is no issuer's"))?;
    own_issuer(key, chain, warrant).map(Some).map_err(|error| damaged(&pem_path, error))
}

/// The line that leads to the root key that is here, or that was known when the node joined.
fn read_line(dir: &Path, first: PublicKey) -> Result<Line> {
    let path = dir.join("roots");
    if !is_there(&path)? {
        return Ok(Line::new(first));
    }
    Line::from_text(first, &line_of(&path, LINE_TEXT_MAX as u64)?).map_err(|error| damaged(&path, error))
}

fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(failed("look at", path))
}

/// The new root key takes its place.
fn finish_rotation(dir: &Path) -> Result<()> {
    let next = dir.join("root.next");
    fs::rename(&next, dir.join("root.key")).map_err(failed("rename", &next))?;
    sync_dir(dir)
}

fn read_root(dir: &Path, line: &Line) -> Result<Option<Key>> {
    let next = dir.join("root.next");
    if is_there(&next)? {
        // Cut short: it is the root's key if it was written down that it is, and nobody knows of it otherwise. What cannot be
        // read may be the only copy of a key that all go by.
        let new = read_key(dir, "root.next", Kind::Root)?;
        if !line.steps().is_empty() && new.public() == line.current() {
            finish_rotation(dir)?;
        } else {
            fs::remove_file(&next).map_err(failed("remove", &next))?;
        }
    }
    let path = dir.join("root.key");
    // Its absence is the rule: other nodes have none, and it may have been taken offline.
    if !is_there(&path)? {
        return Ok(None);
    }
    let root = read_key(dir, "root.key", Kind::Root)?;
    // One that was replaced speaks for nobody, and does no harm.
    if !line.has(root.public()) {
        return Err(damaged(&path, "it is the key of another lattice"));
    }
    Ok(Some(root))
}

fn read_key(dir: &Path, file: &str, kind: Kind) -> Result<Key> {
    let path = dir.join(file);
    Key::parse(kind, &read_text(&path)?).map_err(|e| damaged(&path, e))
}

fn read_name(path: &Path) -> Result<String> {
    let name = read_text(path)?;
    check_name(&name).map_err(|e| damaged(path, e))?;
    Ok(name)
}

fn read_text(path: &Path) -> Result<String> {
    line_of(path, FILE_MAX)
}

fn line_of(path: &Path, len_max: u64) -> Result<String> {
    let text = String::from_utf8(read_file(path, len_max)?).map_err(|_| damaged(path, "it is no text"))?;
    // Each is written with a line's end: what lacks it was cut off.
    let line = text.strip_suffix('\n').ok_or_else(|| damaged(path, "its end is missing"))?;
    Ok(line.to_owned())
}

fn read_pem(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read_file(path, FILE_MAX)?;
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| damaged(path, format!("it is no PEM ({e:?})")))
}

fn read_file(path: &Path, len_max: u64) -> Result<Vec<u8>> {
    let open = File::open(path);
    if open.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Err(damaged(path, "it is missing"));
    }
    let mut bytes = Vec::new();
    let read = open.and_then(|file| file.take(len_max + 1).read_to_end(&mut bytes));
    let len = read.map_err(failed("read", path))?;
    if len as u64 > len_max { Err(damaged(path, format!("it is longer than {len_max} bytes"))) } else { Ok(bytes) }
}

fn write_text(dir: &Path, file: &str, text: &str) -> Result<()> {
    write_file(&dir.join(file), format!("{text}\n").as_bytes())
}

/// Replaces `path` as a whole, for good.
fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_added_extension("new");
    let mut options = OpenOptions::new();
    let mut file =
        private(options.write(true).create(true).truncate(true)).open(&aside).map_err(failed("write", &aside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &aside))?;
    fs::rename(&aside, path).map_err(failed("write", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

fn make_dir(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed("make", path))
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed("remove", path)(e)),
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut out = String::new();
    for certificate in certificates {
        let text = BASE64.encode(certificate);
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            out.extend(line.iter().copied().map(char::from));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |error| FolderError::Io { what, path, error }
}

fn damaged(file: &Path, why: impl ToString) -> FolderError {
    FolderError::Damaged { file: file.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests;
