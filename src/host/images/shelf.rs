//! The images that a node keeps in its data folder, one file each, named by what is in it; and those that are on their way.
//!
//! What arrives is written aside as `.part`, and becomes an image by one rename when all of it is there, on the disk, and is what its
//! name says. So whatever is called `.wasm` is whole, however a node ends. All of this waits for the disk: tasks call it by
//! [`Env::work`](lattice_broker::env::Env::work). Who may put what here is left to others.

use super::file::check_component;
use super::reference::Digest;
use ring::digest::{Context, SHA256};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;

/// Bytes of an image, at most.
pub const IMAGE_BYTES_MAX: u64 = 32 << 20;
/// Bytes of all images of a node, at most.
pub const BYTES_MAX: u64 = 512 << 20;
/// Images of a node, at most.
pub const IMAGES_MAX: usize = 256;
/// Images that are on their way at a time: as many as a node fetches at once, and as many that clients send. The one that was not
/// heard of for the longest time gives way to another.
pub const UPLOADS_MAX: usize = 8;

/// Shorter than this is no component.
const IMAGE_BYTES_MIN: u64 = 8;
const WHOLE: &str = "wasm";
const PART: &str = "part";
const BUFFER: usize = 64 << 10;

/// What a shelf may hold. None of it is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of an image.
    pub image_bytes_max: u64,
    /// Bytes of all of them, those on their way among them.
    pub bytes_max: u64,
    /// Images, likewise.
    pub images_max: usize,
    /// Images on their way.
    pub uploads_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let (image_bytes_max, bytes_max) = (IMAGE_BYTES_MAX, BYTES_MAX);
        Self { image_bytes_max, bytes_max, images_max: IMAGES_MAX, uploads_max: UPLOADS_MAX }
    }
}

/// The images in a folder. Clones are handles of the same shelf; a folder has one.
#[derive(Clone, Debug)]
pub struct Shelf {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    bounds: Bounds,
    /// Held while anything is written, so that there is one writer.
    uploads: Mutex<Uploads>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Uploads {
    under_way: BTreeMap<Digest, Upload>,
    /// How often any was heard of.
    heard: u64,
}

#[derive(Debug)]
struct Upload {
    size: u64,
    have: u64,
    heard: u64,
}

/// An image on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// How far an image has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there: the next one wanted is at this offset.
    pub have: u64,
    /// All are, and the image is on the shelf.
    pub done: bool,
}

/// Some bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// How many the image has.
    pub size: u64,
    /// Those that were asked for, as many of them as there are.
    pub bytes: Vec<u8>,
}

/// An image is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShelfError {
    /// It is too small or too large to be one.
    #[error("image {digest} of {size} bytes: expected {IMAGE_BYTES_MIN} to {max}")]
    Size {
        /// Which.
        digest: Digest,
        /// Its bytes, as announced.
        size: u64,
        /// The most that are accepted.
        max: u64,
    },
    /// There is no room for it.
    #[error(
        "image {digest} of {size} bytes finds no room: {images} images of {bytes} bytes are kept, and {images_max} of {bytes_max} \
         may be: lattice images rm makes room"
    )]
    Full {
        /// Which.
        digest: Digest,
        /// Its bytes.
        size: u64,
        /// Images that are kept.
        images: usize,
        /// Their bytes.
        bytes: u64,
        /// Images that may be kept.
        images_max: usize,
        /// Bytes that they may have.
        bytes_max: u64,
    },
    /// More was sent than there is of it.
    #[error("{len} bytes at {offset} of image {digest}, which has {size}")]
    Beyond {
        /// Which.
        digest: Digest,
        /// Its bytes, as announced.
        size: u64,
        /// Where these were to go.
        offset: u64,
        /// How many they are.
        len: u64,
    },
    /// What has come is another one.
    #[error("what came as image {digest} is {found}: it was changed on its way, or on the disk that it came from")]
    Other {
        /// Which was announced.
        digest: Digest,
        /// Which it is.
        found: Digest,
    },
    /// It is what it was said to be, and no component.
    #[error("image {digest} {why}")]
    NoComponent {
        /// Which.
        digest: Digest,
        /// What it is instead, and what is expected.
        why: String,
    },
    /// The disk refuses.
    #[error("cannot {what} {}: {error}", path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        error: String,
    },
}

type Result<T> = std::result::Result<T, ShelfError>;

impl Shelf {
    /// The shelf in `folder`, which is made when there is something to keep. What was on its way when a node ended is removed: whoever
    /// sent it begins again.
    #[must_use]
    pub fn open(folder: PathBuf, bounds: Bounds) -> Self {
        let inner = Inner { folder, bounds, uploads: Mutex::default(), changes: watch::Sender::new(0) };
        inner.sweep();
        Self { inner: Arc::new(inner) }
    }

    /// Where image `digest` is, when it is kept.
    #[must_use]
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.inner.path(digest, WHOLE)
    }

    /// How many bytes image `digest` has; `None` when it is not kept.
    #[must_use]
    pub fn size(&self, digest: Digest) -> Option<u64> {
        self.inner.size(digest)
    }

    /// All that is kept, by digest.
    ///
    /// # Errors
    /// [`ShelfError::Disk`].
    pub fn list(&self) -> Result<Vec<Kept>> {
        self.inner.list()
    }

    /// Counts up when an image comes or goes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// At most `len` bytes of image `digest`, from `offset` on; none beyond its end. `None` when it is not kept.
    ///
    /// # Errors
    /// [`ShelfError::Disk`].
    pub fn read(&self, digest: Digest, offset: u64, len: usize) -> Result<Option<Chunk>> {
        let path = self.path(digest);
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let meta = file.metadata().map_err(failed("look at", &path))?;
        if !meta.is_file() || meta.len() > self.inner.bounds.image_bytes_max {
            return Ok(None);
        }
        let size = meta.len();
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(left)];
        file.read_exact_at(&mut bytes, offset).map_err(failed("read", &path))?;
        Ok(Some(Chunk { size, bytes }))
    }

    /// Takes `bytes`, which are at `offset` of image `digest`, of `size` bytes in all. The first ones begin it, the last ones have
    /// it looked at and kept. What is at another offset than the next that is wanted is left out, so that it does no harm to send
    /// something twice: [`Progress::have`] says where to go on. An image that is kept already is done at once. One that is
    /// announced with another size begins anew.
    ///
    /// # Errors
    /// [`ShelfError`]; after all but [`ShelfError::Beyond`] nothing of it is there.
    pub fn put(&self, digest: Digest, size: u64, offset: u64, bytes: &[u8]) -> Result<Progress> {
        let inner = &self.inner;
        let mut uploads = inner.uploads();
        if let Some(size) = inner.size(digest) {
            return Ok(Progress { have: size, done: true });
        }
        if uploads.under_way.get(&digest).is_none_or(|upload| upload.size != size) {
            inner.begin(&mut uploads, digest, size)?;
        }
        let have = uploads.hear(digest);
        if offset != have {
            return Ok(Progress { have, done: false });
        }
        let len = bytes.len() as u64;
        if len > size - have {
            return Err(ShelfError::Beyond { digest, size, offset, len });
        }
        let appended = inner.append(digest, offset, bytes).and_then(|()| {
            let have = have + len;
            if have == size { inner.finish(digest).map(|()| true) } else { Ok(false) }
        });
        match appended {
            Ok(false) => {
                let have = uploads.advance(digest, len);
                Ok(Progress { have, done: false })
            }
            Ok(true) => {
                uploads.under_way.remove(&digest);
                inner.changes.send_modify(|count| *count += 1);
                Ok(Progress { have: size, done: true })
            }
            Err(error) => {
                inner.give_up(&mut uploads, digest);
                Err(error)
            }
        }
    }

    /// Removes image `digest`, and what is on its way of it. False when it was not kept.
    ///
    /// # Errors
    /// [`ShelfError::Disk`].
    pub fn remove(&self, digest: Digest) -> Result<bool> {
        let mut uploads = self.inner.uploads();
        if uploads.under_way.contains_key(&digest) {
            self.inner.give_up(&mut uploads, digest);
        }
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => {
                self.inner.changes.send_modify(|count| *count += 1);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }
}

impl Uploads {
    /// Somebody sends that one; how many bytes there are of it.
    fn hear(&mut self, digest: Digest) -> u64 {
        self.heard += 1;
        let heard = self.heard;
        self.under_way.get_mut(&digest).map_or(0, |upload| {
            upload.heard = heard;
            upload.have
        })
    }

    fn advance(&mut self, digest: Digest, len: u64) -> u64 {
        self.under_way.get_mut(&digest).map_or(0, |upload| {
            upload.have += len;
            upload.have
        })
    }

    /// Which was not heard of for the longest time.
    fn stalest(&self) -> Option<Digest> {
        self.under_way.iter().min_by_key(|(_, upload)| upload.heard).map(|(digest, _)| *digest)
    }

    fn bytes(&self) -> u64 {
        self.under_way.values().map(|upload| upload.size).sum()
    }
}

impl Inner {
    fn path(&self, digest: Digest, suffix: &str) -> PathBuf {
        self.folder.join(digest.to_hex()).with_extension(suffix)
    }

    fn size(&self, digest: Digest) -> Option<u64> {
        let meta = fs::symlink_metadata(self.path(digest, WHOLE)).ok()?;
        meta.is_file().then_some(meta.len())
    }

    fn list(&self) -> Result<Vec<Kept>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.folder)(error)),
        };
        let kept = entries.filter_map(|entry| {
            let digest = named(&entry.ok()?.path(), WHOLE)?;
            Some(Kept { digest, size: self.size(digest)? })
        });
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by_key(|kept| kept.digest);
        Ok(kept)
    }

    /// Removes what was never finished.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| named(path, PART).is_some()) {
            delete(&path);
        }
    }

    fn begin(&self, uploads: &mut Uploads, digest: Digest, size: u64) -> Result<()> {
        let max = self.bounds.image_bytes_max;
        if !(IMAGE_BYTES_MIN..=max).contains(&size) {
            return Err(ShelfError::Size { digest, size, max });
        }
        if uploads.under_way.contains_key(&digest) {
            self.give_up(uploads, digest);
        }
        self.make_room(uploads, digest, size)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed("make", &self.folder))?;
        let path = self.path(digest, PART);
        delete(&path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(&path).map_err(failed("make", &path))?;
        uploads.under_way.insert(digest, Upload { size, have: 0, heard: 0 });
        Ok(())
    }

    /// Has those on their way give way that were not heard of for long, until there is room for one more of `size` bytes.
    fn make_room(&self, uploads: &mut Uploads, digest: Digest, size: u64) -> Result<()> {
        let Bounds { bytes_max, images_max, uploads_max, .. } = self.bounds;
        let kept = self.list()?;
        let (images, bytes) = (kept.len(), kept.iter().map(|kept| kept.size).sum::<u64>());
        if images >= images_max || bytes + size > bytes_max {
            return Err(ShelfError::Full { digest, size, images, bytes, images_max, bytes_max });
        }
        let has_room = |uploads: &Uploads| {
            let under_way = uploads.under_way.len();
            under_way < uploads_max && images + under_way < images_max && bytes + uploads.bytes() + size <= bytes_max
        };
        while !has_room(uploads) {
            let Some(stalest) = uploads.stalest() else { break };
            self.give_up(uploads, stalest);
        }
        Ok(())
    }

    fn append(&self, digest: Digest, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let path = self.path(digest, PART);
        let mut options = OpenOptions::new();
        let file = options.write(true).custom_flags(libc::O_NOFOLLOW).open(&path).map_err(failed("open", &path))?;
        file.write_all_at(bytes, offset).map_err(failed("write", &path))
    }

    /// Makes what has come an image, if it is the one that was announced.
    fn finish(&self, digest: Digest) -> Result<()> {
        let path = self.path(digest, PART);
        let mut file = File::open(&path).map_err(failed("open", &path))?;
        check(digest, &mut file, &path)?;
        file.sync_all().map_err(failed("write", &path))?;
        fs::rename(&path, self.path(digest, WHOLE)).map_err(failed("rename", &path))?;
        let folder = File::open(&self.folder).and_then(|folder| folder.sync_all());
        folder.map_err(failed("write", &self.folder))
    }

    fn give_up(&self, uploads: &mut Uploads, digest: Digest) {
        uploads.under_way.remove(&digest);
        delete(&self.path(digest, PART));
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().expect("no holder of this lock panics")
    }
}

fn check(digest: Digest, file: &mut File, path: &Path) -> Result<()> {
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER]);
    let mut not_component = None;
    let mut is_first = true;
    loop {
        let len = match file.read(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read", path)(error)),
        };
        if std::mem::take(&mut is_first) {
            not_component = check_component(&buffer[..len]).err();
        }
        if len == 0 {
            break;
        }
        context.update(&buffer[..len]);
    }
    let found = Digest::from_ring(&context.finish());
    if found != digest {
        return Err(ShelfError::Other { digest, found });
    }
    not_component.map_or(Ok(()), |why| Err(ShelfError::NoComponent { digest, why }))
}

/// The digest by which a file is called that ends so.
fn named(path: &Path, suffix: &str) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(suffix)?.strip_suffix('.')?.parse().ok()
}

fn delete(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "what is left of an image cannot be removed"),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ShelfError {
    let path = path.to_owned();
    move |error| ShelfError::Disk { what, path, error: error.to_string() }
}

#[cfg(test)]
mod tests;
