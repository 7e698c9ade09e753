//! A component on its way from a file to a host that is to keep it: chunk by chunk, and again from where the host has it when an
//! answer does not come. For `push`, and whoever else has components that hosts shall have.

use super::CliError;
use super::hosts::{Failure, Found, Hosts, from_value};
use super::output::{Output, size};
use crate::host::images::{Digest, IMAGE_BYTES_MAX, read_component};
use serde::Deserialize;
use std::path::Path;

/// Bytes of a chunk, at most, and at least when one was late: the line may be thin.
const CHUNK_MAX: usize = 512 << 10;
const CHUNK_MIN: usize = 16 << 10;
/// How often a chunk is sent that brings the image no further.
const TRIES: usize = 6;
/// From how many bytes on people are shown how far it is.
const LONG: usize = 1 << 20;

/// A component that was read.
pub(super) struct Image {
    name: String,
    bytes: Vec<u8>,
    digest: Digest,
}

/// How far a host has it.
#[derive(Deserialize)]
struct Progress {
    have: u64,
    done: bool,
}

impl Image {
    /// Reads `path`, and sees that it is a component.
    ///
    /// # Errors
    /// Names the file, what is wrong with it, and what is expected.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = read_component(path, IMAGE_BYTES_MAX).map_err(|why| {
            CliError::usage(format!("{}: {why}", path.display()))
                .next("the .wasm file of a component, as cargo build --target wasm32-wasip2 makes it")
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, digest: Digest::of(&bytes), bytes })
    }

    /// What its file is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What components are started from once a host has it.
    pub(super) fn reference(&self) -> String {
        self.digest.to_reference()
    }
}

/// Has `host` keep `image`; ready when it does. What it has already is not sent.
///
/// # Errors
/// What the host says, or that it does not answer.
pub(super) async fn push(hosts: &Hosts, host: &Found, image: &Image, output: &Output) -> Result<(), CliError> {
    let Image { name, bytes, digest } = image;
    let total = bytes.len();
    let mut chunk = CHUNK_MAX.min(hosts.payload_max()).max(1);
    // The first question, with nothing in it, is how much of it the host has.
    let (mut have, mut len, mut failed) = (0, 0, 0);
    loop {
        let part = &bytes[have..have + len];
        let operation = format!("image.put.{}.{}.{total}.{have}", host.id, digest.to_hex());
        match hosts.ask_own(&operation, part).await {
            Ok(response) => {
                let Progress { have: there, done } = from_value(response.unwrap_or_default())?;
                if done {
                    break;
                }
                let there = usize::try_from(there).unwrap_or(total).min(total);
                let is_further = len == 0 || there > have;
                failed = if is_further { 0 } else { failed + 1 };
                have = there;
            }
            Err(Failure::Refused(error)) => return Err(error.next("another --host, or lattice images")),
            Err(Failure::Unanswered(_)) if failed < TRIES => {
                failed += 1;
                chunk = (chunk / 2).max(CHUNK_MIN.min(chunk));
            }
            Err(Failure::Unanswered(error)) => {
                return Err(CliError::new(format!("{} does not answer: {error}", host.friendly_name))
                    .likely("it cannot be reached any more, or keeps no images")
                    .next("the same command in a moment: it goes on from there"));
            }
        }
        if failed > TRIES {
            return Err(CliError::new(format!("{} does not take {name}: it stays at byte {have}", host.friendly_name))
                .likely("others send it images at the same time")
                .next("the same command in a moment: it goes on from there"));
        }
        len = chunk.min(total - have);
        if total > LONG {
            output.progress(format!("{name}: {} of {}", size(have as u64), size(total as u64)));
        }
    }
    if total > LONG {
        output.progress("");
    }
    Ok(())
}
