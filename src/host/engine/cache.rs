//! Compiled code on disk: found by what it was compiled from and by what, and loaded only when this node has written it.
//!
//! Whoever has code loaded that he made himself runs it outside all bounds. So each file carries a MAC by a key that
//! the node alone has, over the file's name and the code, and it is checked over the very bytes that are then
//! loaded. A file that does not pass is deleted, and compiled anew.

use ring::{digest, hmac};
use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Begins each file, and says how the rest is laid out: a MAC over what follows it, the name, and the code.
const HEAD: &[u8; 8] = b"latcwas1";
const MAC_BYTES: usize = 32;
const NAME_BYTES: usize = 32;
const SUFFIX: &str = "cwasm";
const NEW: &str = ".new-";

/// Where compiled code is kept.
#[derive(Clone)]
pub struct CodeCache {
    folder: PathBuf,
    key: hmac::Key,
    bytes_max: u64,
}

/// Which code: of an image, as an engine with certain settings compiles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeName([u8; NAME_BYTES]);

/// Code that has passed: nothing else is loaded.
struct Authentic<'a>(&'a [u8]);

impl CodeCache {
    /// Keeps at most `bytes_max` bytes in `folder`, which is made when there is something to keep; the oldest give way. `key`
    /// must be secret, and this node's alone: who knows it and can write to the folder can run anything here.
    #[must_use]
    pub fn new(folder: PathBuf, key: &[u8; 32], bytes_max: u64) -> Self {
        Self { folder, key: hmac::Key::new(hmac::HMAC_SHA256, key), bytes_max }
    }

    /// The code named `name`, if it is here and this node has written it.
    pub(super) fn load(&self, engine: &Engine, name: CodeName) -> Option<Component> {
        let path = self.path(name);
        let file = self.read(&path)?;
        let Some(code) = self.authenticate(name, &file) else {
            tracing::warn!(path = %path.display(), "compiled code that this node has not written: deleted");
            self.delete(&path);
            return None;
        };
        match load(engine, &code) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "compiled code cannot be loaded");
                self.delete(&path);
                None
            }
        }
    }

    /// Keeps `code`. When that is not possible it is compiled again the next time, so it is only logged.
    pub(super) fn store(&self, name: CodeName, code: &[u8]) {
        if let Err(error) = self.write(name, code) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code is not kept");
        }
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        // Whatever has been put there: it is not waited for, and not read beyond the bound.
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.len() > self.bytes_max {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(self.bytes_max).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn authenticate<'a>(&self, name: CodeName, file: &'a [u8]) -> Option<Authentic<'a>> {
        let rest = file.strip_prefix(HEAD)?;
        let (mac, rest) = rest.split_at_checked(MAC_BYTES)?;
        hmac::verify(&self.key, rest, mac).ok()?;
        // Or an old file could take the place of another one.
        rest.strip_prefix(&name.0).map(Authentic)
    }

    fn write(&self, name: CodeName, code: &[u8]) -> io::Result<()> {
        let len = (HEAD.len() + MAC_BYTES + NAME_BYTES + code.len()) as u64;
        if len > self.bytes_max {
            return Err(io::Error::other(format!("{len} bytes: at most {} are kept", self.bytes_max)));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.make_room(len);
        let mut signed = hmac::Context::with_key(&self.key);
        signed.update(&name.0);
        signed.update(code);
        let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(&self.folder)?;
        file.write_all(HEAD)?;
        file.write_all(signed.sign().as_ref())?;
        file.write_all(&name.0)?;
        file.write_all(code)?;
        file.persist(self.path(name))?;
        Ok(())
    }

    /// Deletes the oldest until `more` bytes find room.
    fn make_room(&self, more: u64) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let (path, meta) = entry.ok().map(|entry| (entry.path(), entry.metadata()))?;
                let is_code = path.extension().is_some_and(|suffix| suffix == SUFFIX);
                // One that was never finished: this node was ended meanwhile.
                if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(NEW.as_bytes())) {
                    self.delete(&path);
                }
                let meta = meta.ok().filter(|_| is_code)?;
                Some((meta.modified().ok()?, meta.len(), path))
            })
            .collect();
        files.sort();
        let mut total = more + files.iter().map(|(_, len, _)| len).sum::<u64>();
        for (_, len, path) in files {
            if total <= self.bytes_max {
                return;
            }
            self.delete(&path);
            total -= len;
        }
    }

    fn delete(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            tracing::debug!(path = %path.display(), %error, "compiled code cannot be deleted");
        }
    }

    fn path(&self, name: CodeName) -> PathBuf {
        self.folder.join(data_encoding::HEXLOWER.encode(&name.0)).with_extension(SUFFIX)
    }
}

impl fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeCache").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl CodeName {
    /// `settings` stands for the engine: its version, and all that has a say in what it compiles.
    pub(super) fn new(image: &[u8], settings: &[u8; 32]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(settings);
        context.update(digest::digest(&digest::SHA256, image).as_ref());
        Self(sum(context))
    }
}

/// What a SHA-256 comes to.
pub(super) fn sum(context: digest::Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

#[expect(unsafe_code, reason = "compiled code can only be loaded by a function that trusts it")]
fn load(engine: &Engine, code: &Authentic<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must be what this wasmtime has once serialized. `Authentic` is made in one place, of bytes in memory that
    // bear a MAC by a key of this node alone, which only `CodeCache::write` makes, of what `Component::serialize` returned.
    // They are borrowed from then on, so nobody changes them; another version or other settings have another name, and
    // wasmtime refuses them besides.
    unsafe { Component::deserialize(engine, code.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: CodeName = CodeName([7; 32]);

    fn cache(folder: &Path, key: u8) -> CodeCache {
        CodeCache::new(folder.to_owned(), &[key; 32], 4_000_000)
    }

    fn engine() -> (Engine, Vec<u8>) {
        let engine = Engine::default();
        let code = engine.precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
        (engine, code)
    }

    #[test]
    fn what_was_tampered_with_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1);
        let (engine, code) = engine();
        cache.store(NAME, &code);
        assert!(cache.load(&engine, NAME).is_some());
        let good = fs::read(cache.path(NAME)).unwrap();
        for at in [0, 8, 39, 40, 71, 72, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(cache.path(NAME), &bad).unwrap();
            assert!(cache.load(&engine, NAME).is_none(), "byte {at}");
            assert!(!cache.path(NAME).exists(), "it is deleted");
        }
        for len in [0, 7, 39, 40, 71, 72, good.len() - 1] {
            fs::write(cache.path(NAME), &good[..len]).unwrap();
            assert!(cache.load(&engine, NAME).is_none(), "{len} bytes");
        }
    }

    #[test]
    fn code_of_another_node_or_another_name_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, code) = engine();
        cache(folder.path(), 1).store(NAME, &code);
        let other = CodeName([8; 32]);
        let own = cache(folder.path(), 1);
        fs::copy(own.path(NAME), own.path(other)).unwrap();
        assert!(own.load(&engine, other).is_none());
        assert!(cache(folder.path(), 2).load(&engine, NAME).is_none());
    }

    #[test]
    fn the_oldest_give_way() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(folder.path().to_owned(), &[0; 32], 1_000);
        for number in 0..10 {
            cache.store(CodeName([number; 32]), &[0; 300]);
        }
        let sizes = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert_eq!(sizes.sum::<u64>(), 2 * 372);
        cache.store(CodeName([99; 32]), &[0; 1_000]);
        assert!(!cache.path(CodeName([99; 32])).exists(), "more than all the room");
    }

    #[test]
    fn names_differ_by_image_and_settings() {
        let names = [CodeName::new(b"a", &[0; 32]), CodeName::new(b"b", &[0; 32]), CodeName::new(b"a", &[1; 32])];
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
    }
}
