//! `lattice root`: takes the lattice's root key offline, and puts it back. Replacing it is in `root/rotate.rs`; what is to be
//! seen and heard of that, in `root/follow.rs`.

mod follow;
mod rotate;

use super::new_file::write_new;
use super::output::Output;
use super::{CliError, EXIT_OK, NodeArgs, backend};
use crate::control::{self, SocketError};
use crate::identity::escrow::{self, EscrowError};
use crate::identity::{LINE_TEXT_MAX, Line};
use crate::node;
use clap::{ArgMatches, Subcommand};
use lattice_broker::env::Env;
use serde::Serialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No passphrase's file is longer, and no key.
const FILE_MAX: u64 = 4_096;
/// No file with a key is longer: below the key is the line that leads to it.
const KEY_FILE_MAX: u64 = FILE_MAX + LINE_TEXT_MAX as u64;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the root key into a new file, and remove it from the data folder.
    Export(Export),
    /// Put a root key that was exported back into the data folder.
    Import(Import),
    /// Replace the root key by a new one: the old one counts for nothing any more. All members stay.
    Rotate(rotate::Args),
    /// Show the root keys that there were, and who may not have heard of the last one.
    Show(follow::Show),
    /// Go by a root key that was replaced elsewhere, as a file tells.
    Follow(follow::Args),
}

#[derive(Debug, clap::Args)]
struct Export {
    /// The new file.
    file: PathBuf,
    /// Leave the key in the data folder as well: a copy for the safe.
    #[arg(long)]
    keep: bool,
    /// Without a passphrase: whoever reads the file has the lattice.
    #[arg(long, conflicts_with = "passphrase_file")]
    plain: bool,
    #[command(flatten)]
    passphrase: Passphrase,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, clap::Args)]
struct Import {
    /// The file.
    file: PathBuf,
    #[command(flatten)]
    passphrase: Passphrase,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, clap::Args)]
struct Passphrase {
    /// The file whose first line is the passphrase; - for the standard input.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The passphrase itself: only from the environment, since others see the command line.
    #[arg(long, env = "LATTICE_PASSPHRASE", hide = true, hide_env_values = true)]
    passphrase: Option<String>,
}

impl Passphrase {
    fn get(&self) -> Result<Option<String>, CliError> {
        let Some(file) = &self.passphrase_file else {
            return Ok(self.passphrase.clone().filter(|passphrase| !passphrase.is_empty()));
        };
        let text = if file == Path::new("-") { read(io::stdin().lock(), FILE_MAX) } else { read_file(file, FILE_MAX) };
        let text = text
            .map_err(|error| CliError::new(format!("cannot read the passphrase from {}: {error}", file.display())))?;
        Ok(text.lines().next().map(str::to_owned))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    lattice: String,
    file: &'a Path,
    /// Whether the key is in the data folder now.
    here: bool,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    match &args.what {
        What::Export(export) => self::export(env, export, matches, output).await,
        What::Import(import) => self::import(env, import, matches, output).await,
        What::Rotate(rotate) => rotate::run(env, rotate, matches, output).await,
        What::Show(show) => follow::show(env, show, matches, output).await,
        What::Follow(follow) => follow::run(env, follow, matches, output).await,
    }
}

async fn export(env: &Env, args: &Export, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node.config(matches, Vec::new())?;
    let passphrase = args.passphrase.get()?;
    let _held = control::hold(&config.data).map_err(running)?;
    let (folder, identity) = backend::member_folder(&config)?;
    let root = identity.root_key().ok_or_else(|| {
        CliError::new(format!("{} does not hold the root key", config.data.display()))
            .likely("another node has made the lattice, or the key is offline already")
    })?;
    let text = match (args.plain, &passphrase) {
        (true, _) => root.to_text(),
        (false, Some(passphrase)) => escrow::seal(root, passphrase, &mut env.rng("root"))?,
        (false, None) => return Err(EscrowError::NoPassphrase.into()),
    };
    let line = backend::member_roll(env, &folder, &identity).await?.line();
    write(&args.file, &with_line(text, &line))?;
    // Only what has been read back is safe enough to remove the other copy.
    let back = read_file(&args.file, KEY_FILE_MAX).map_err(|error| failed(&args.file, &error))?;
    let back = escrow::open(parts(&back).0, passphrase.as_deref())?;
    if back.public() != root.public() {
        return Err(CliError::new(format!("{} does not read back as it was written", args.file.display())));
    }
    if root.public() != line.current() {
        let new = line.current().to_root_text();
        output.notice(format!("warning: this key speaks for the lattice no more: it has been replaced by {new}"));
    }
    if !args.keep {
        folder.take_root().map_err(|error| backend::advised(&error, error.advice()))?;
    }
    let lattice = identity.lattice().to_hex();
    if output.json {
        output.document(&Document { lattice, file: &args.file, here: args.keep })?;
        return Ok(EXIT_OK);
    }
    if args.plain {
        output.notice("warning: the file is not sealed: whoever reads it can admit and revoke whom he likes");
    }
    let left = if args.keep { "it stays in the data folder as well" } else { "it is gone from the data folder" };
    output.line(format!("the root key of lattice {} is in {}; {left}", &lattice[..8], args.file.display()))?;
    output.line("keep a second copy: without the root key nobody can revoke the first members".to_owned())?;
    Ok(EXIT_OK)
}

async fn import(env: &Env, args: &Import, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node.config(matches, Vec::new())?;
    let _held = control::hold(&config.data).map_err(running)?;
    let (folder, identity) = backend::member_folder(&config)?;
    let text = read_file(&args.file, KEY_FILE_MAX).map_err(|error| failed(&args.file, &error))?;
    let (key, line) = parts(&text);
    let root = escrow::open(key, args.passphrase.get()?.as_deref())?;
    let roll = backend::member_roll(env, &folder, &identity).await?;
    if let Some(line) = line {
        // This node may not have heard of it.
        node::follow_roots(&roll, line, None)?;
        roll.durable().await?;
    }
    folder.put_root(&roll.line(), &root).map_err(|error| backend::advised(&error, error.advice()))?;
    let lattice = identity.lattice().to_hex();
    if output.json {
        output.document(&Document { lattice, file: &args.file, here: true })?;
        return Ok(EXIT_OK);
    }
    output.line(format!("the root key of lattice {} is in the data folder", &lattice[..8]))?;
    Ok(EXIT_OK)
}

/// A node has the key in its memory: it has to end before it can be without.
fn running(error: SocketError) -> CliError {
    match error {
        SocketError::InUse { data } => CliError::new(format!("a node runs on {}", data.display()))
            .likely("it holds the root key in its memory")
            .next("end it first, and start it again afterwards"),
        other => other.into(),
    }
}

fn failed(file: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("cannot read the root key from {}: {error}", file.display()))
}

fn read_file(file: &Path, len_max: u64) -> io::Result<String> {
    read(std::fs::File::open(file)?, len_max)
}

fn read(from: impl Read, len_max: u64) -> io::Result<String> {
    let mut text = String::new();
    from.take(len_max).read_to_string(&mut text)?;
    Ok(text)
}

/// A key's text, with the line that leads to it below: so it can be put back where nobody has heard of that yet.
fn with_line(key: String, line: &Line) -> String {
    let is_told = !line.steps().is_empty() && line.expelled().is_some();
    if is_told { format!("{key}\n{}", line.to_text()) } else { key }
}

/// The key and the line in a file that was written so.
fn parts(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    text.split_once('\n').map_or((text, None), |(key, line)| (key.trim_end(), Some(line.trim_start())))
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    write_new(file, text).map_err(|error| {
        CliError::new(format!("cannot write the root key to {}: {error}", file.display()))
            .next("a file that is not there yet, in a folder that this user may write to")
    })
}

impl From<EscrowError> for CliError {
    fn from(error: EscrowError) -> Self {
        let new = Self::new(error.to_string());
        match error {
            EscrowError::NoPassphrase => {
                new.next("LATTICE_PASSPHRASE in the environment, --passphrase-file FILE, or to export without: --plain")
            }
            EscrowError::WrongPassphrase | EscrowError::Short { .. } => new.next("another passphrase"),
            EscrowError::Damaged { .. } | EscrowError::Other(_) => {
                new.next("a file that lattice root export has written")
            }
        }
    }
}
