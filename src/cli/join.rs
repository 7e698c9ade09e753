//! `lattice join`: makes the data folder a member of the lattice that an invite is from, and ends.

use super::output::Output;
use super::up::short_id;
use super::{CliError, EXIT_OK, NodeArgs, backend, overriding};
use crate::config::OverrideKey;
use crate::control::server::Server;
use crate::identity::TEXT_MAX;
use clap::ArgMatches;
use lattice_broker::env::Env;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The invite, as `lattice invite` prints it; or the file that it is in; or - to read it from the standard input.
    #[arg(value_name = "INVITE|FILE|-")]
    invite: String,
    #[command(flatten)]
    node: NodeArgs,
    /// What other nodes call this one [default: the host's name].
    #[arg(long, env = "LATTICE_NAME")]
    name: Option<String>,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let name = overriding(matches, "name", OverrideKey::Name, args.name.clone().map(|name| vec![name]));
    let config = args.node.config(matches, vec![name])?;
    let invite = read(&args.invite)?;
    // No node may start on the folder while it changes its lattice, and none may run.
    let claim = Server::claim(env, &config.data).await?;
    let joined = backend::join(env, &config, &invite).await?;
    drop(claim);
    if output.json {
        output.document(&joined)?;
        return Ok(EXIT_OK);
    }
    let lattice = joined.lattice.get(..8).unwrap_or(&joined.lattice);
    let verb = if joined.already { "already a member of" } else { "joined" };
    output.line(format!("{verb} lattice {lattice} as \"{}\", id {}", joined.name, short_id(&joined.id)))?;
    output.line(format!("next:  lattice up --data {}", config.data.display()))?;
    Ok(EXIT_OK)
}

/// The invite that `given` is, or names.
fn read(given: &str) -> Result<String, CliError> {
    let failed = |error: io::Error| {
        let new = CliError::new(format!("cannot read the invite from {given}: {error}"));
        new.next("lattice join <invite>, with the text itself")
    };
    if given == "-" {
        return take(io::stdin().lock(), given).map_err(failed);
    }
    // An invite has no name that a file could: whoever names no file has pasted text, good or bad.
    if given.trim_start().starts_with("lat1:") || !Path::new(given).exists() {
        return Ok(given.trim().to_owned());
    }
    take(File::open(given).map_err(failed)?, given).map_err(failed)
}

/// The line with the invite, whatever stands around it; all of it when there is none, for the error to show.
fn take(from: impl Read, name: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    let max = 2 * TEXT_MAX as u64;
    from.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let text = format!("{name} has more than {max} bytes, and no invite is as long");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| line.starts_with("lat1:"));
    Ok(line.unwrap_or(text.trim()).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_found_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("invite");
        std::fs::write(&file, "valid 1 h, 1 use; on the other device: …\n  lat1:abc \n").unwrap();
        let given = file.to_str().unwrap();
        assert_eq!(read(given).unwrap(), "lat1:abc");
        assert_eq!(read(" lat1:abc\n").unwrap(), "lat1:abc");
        assert_eq!(read("no such file").unwrap(), "no such file");
        std::fs::write(&file, "x".repeat(60_000)).unwrap();
        let error = read(given).unwrap_err().to_string();
        assert!(error.contains(given) && error.contains("no invite is as long"), "{error}");
        std::fs::write(&file, "").unwrap();
        assert_eq!(read(given).unwrap(), "");
        assert!(read(folder.path().to_str().unwrap()).unwrap_err().to_string().contains("cannot read"));
    }
}
