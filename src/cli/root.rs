//! `lattice root`: takes the lattice's root key offline, and puts it back.

use super::new_file::write_new;
use super::output::Output;
use super::{CliError, EXIT_OK, NodeArgs, backend};
use crate::control::{self, SocketError};
use crate::identity::escrow::{self, EscrowError};
use clap::{ArgMatches, Subcommand};
use lattice_broker::env::Env;
use serde::Serialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No file with a key or a passphrase is longer.
const FILE_MAX: u64 = 4_096;

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
        let text = if file == Path::new("-") { read(io::stdin().lock()) } else { read_file(file) };
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

pub(super) fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    match &args.what {
        What::Export(export) => self::export(env, export, matches, output),
        What::Import(import) => self::import(import, matches, output),
    }
}

fn export(env: &Env, args: &Export, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
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
    write(&args.file, &text)?;
    // Only what has been read back is safe enough to remove the other copy.
    let back =
        escrow::open(&read_file(&args.file).map_err(|error| failed(&args.file, &error))?, passphrase.as_deref())?;
    if back.public() != root.public() {
        return Err(CliError::new(format!("{} does not read back as it was written", args.file.display())));
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

fn import(args: &Import, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node.config(matches, Vec::new())?;
    let _held = control::hold(&config.data).map_err(running)?;
    let (folder, identity) = backend::member_folder(&config)?;
    let text = read_file(&args.file).map_err(|error| failed(&args.file, &error))?;
    let root = escrow::open(&text, args.passphrase.get()?.as_deref())?;
    folder.put_root(&identity, &root).map_err(|error| backend::advised(&error, error.advice()))?;
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

fn read_file(file: &Path) -> io::Result<String> {
    read(std::fs::File::open(file)?)
}

fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
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
