//! `lattice nats-server`: the broker alone, in the place of a nats-server; also when the program is started under that name.
//!
//! What is typed and written is read in `src/drop_in/`; here it becomes a process, with its exit codes.

mod cluster;
mod process;
mod real_route;
mod remotes;

use super::{EXIT_FAILED, EXIT_OK};
use crate::drop_in::flags::{self, Flags};
use crate::drop_in::grammar::{self, Sources};
use crate::drop_in::options::Options;
use crate::drop_in::read::{self, Fault, Faults};
use crate::drop_in::to_broker::Listen;
use crate::drop_in::usage::USAGE;
use crate::drop_in::{PROGRAM, VERSION, signal, to_broker};
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The arguments of the real command are read by [`flags`]: this is for the list of commands alone.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(super) struct Args {
    /// As of nats-server; lattice nats-server --help lists them.
    #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) flags: Vec<OsString>,
}

/// The arguments behind the command, when `args` is all that the program was started with and asks for it.
pub(super) fn asked(args: &[OsString]) -> Option<&[OsString]> {
    let (program, rest) = args.split_first()?;
    if Path::new(program).file_name().is_some_and(|name| name == PROGRAM) {
        return Some(rest);
    }
    rest.split_first().filter(|(command, _)| *command == PROGRAM).map(|(_, rest)| rest)
}

/// Runs it to its end; returns the exit code.
pub(super) fn run(args: &[OsString]) -> u8 {
    let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let flags = match flags::parse(&args) {
        Ok(flags) => flags,
        Err(error) if error.shows_usage() => {
            complain(&format!("{error}\n\n{USAGE}"));
            return EXIT_OK;
        }
        Err(error) => return fail(&error.to_string()),
    };
    if flags.help || flags.version {
        let text = if flags.help { USAGE.to_owned() } else { format!("{PROGRAM}: v{VERSION}\n") };
        // Nobody reads a closed pipe.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return EXIT_OK;
    }
    if let Some(text) = &flags.signal {
        return signal::send(text).map_or_else(|error| fail(&error.to_string()), |()| EXIT_OK);
    }
    let loaded = load(&flags).and_then(|loaded| if flags.is_test { loaded.test() } else { Ok(loaded) });
    match (loaded, flags.is_test) {
        (Err(error), _) => fail(&error),
        (Ok(loaded), true) => {
            let file = loaded.file.unwrap_or_default();
            complain(&format!("{PROGRAM}: configuration file {} is valid ({})\n", file.display(), loaded.digest));
            EXIT_OK
        }
        (Ok(loaded), false) => process::run(flags, loaded),
    }
}

fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn fail(error: &str) -> u8 {
    complain(&format!("{PROGRAM}: {error}\n"));
    EXIT_FAILED
}

/// What flags and file come down to.
#[derive(Debug)]
struct Loaded {
    options: Options,
    file: Option<PathBuf>,
    /// Of what the file says, in the way of nats-server's: `sha256:…`.
    digest: String,
    warnings: Vec<Fault>,
}

impl Loaded {
    /// Asks more of the file than a start does, as nats-server's `-t` does.
    fn test(self) -> Result<Self, String> {
        if self.file.is_none() {
            return Err("must specify [-c, --config] option to check configuration file syntax".to_owned());
        }
        if !self.warnings.is_empty() {
            return Err(lines(&self.warnings));
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = Listen {
            clients: any,
            websocket: self.options.websocket.as_ref().map(|_| any),
            leafnodes: self.options.leafnodes.as_ref().map(|_| any),
        };
        to_broker::config(&self.options, listen).map_err(|error| error.to_string())?;
        Ok(self)
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn load(flags: &Flags) -> Result<Loaded, String> {
    let mut options = Options::default();
    let mut faults = Faults::default();
    let mut digest = String::new();
    if let Some(file) = &flags.config {
        let text = read_file(file)?;
        let name = file.to_string_lossy();
        let block = grammar::parse(&text, &name, &mut System).map_err(|error| error.to_string())?;
        if block.entries.is_empty() {
            return Err(format!("{name}: config has no values or is empty"));
        }
        read::apply(&block, &mut options, &mut faults);
        if !faults.errors.is_empty() {
            return Err(lines(&faults.errors));
        }
        digest = digest_of(&block);
    }
    flags.apply(&mut options)?;
    Ok(Loaded { options, file: flags.config.clone(), digest, warnings: faults.warnings })
}

/// The same for files that say the same, whatever their blanks and comments.
fn digest_of(block: &grammar::Block) -> String {
    let values: String =
        block.entries.iter().map(|entry| format!("{:?}={:?}\n", entry.key, entry.item.value)).collect();
    let digest = ring::digest::digest(&ring::digest::SHA256, values.as_bytes());
    format!("sha256:{}", data_encoding::HEXLOWER.encode(digest.as_ref()))
}

fn read_file(path: &Path) -> Result<String, String> {
    let why = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    std::fs::read_to_string(path).map_err(|error| format!("open {}: {}", path.display(), why(&error)))
}

/// The files and the environment of this process.
struct System;

impl Sources for System {
    fn include(&mut self, path: &str, from: &str) -> Result<(String, String), String> {
        let folder = Path::new(from).parent().unwrap_or_else(|| Path::new(""));
        let path = folder.join(path);
        let text = read_file(&path)?;
        Ok((text, path.to_string_lossy().into_owned()))
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
