//! `lattice revoke`: throws a member out, here and wherever a link or a file takes the news.

use super::obtain::obtain;
use super::output::Output;
use super::read_text::read_text;
use super::{CliError, EXIT_OK, NodeArgs};
use crate::control::client::AskError;
use crate::control::{Answer, Request, RevokeRequest};
use crate::identity::revocation::FILE_MAX;
use clap::ArgMatches;
use lattice_broker::env::Env;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The member: its name, or its id as lattice members shows it, or its key N…. Whom it has admitted goes with it.
    #[arg(required_unless_present = "import", conflicts_with = "import")]
    node: Option<String>,
    /// Write the news into this file, to be carried to where no link leads.
    #[arg(long, value_name = "FILE", conflicts_with = "import")]
    file: Option<PathBuf>,
    /// Take in what another node has written into this file.
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    #[command(flatten)]
    node_args: NodeArgs,
}

pub(super) async fn run(env: &Env, args: &Args, matches: &ArgMatches, output: &Output) -> Result<u8, CliError> {
    let config = args.node_args.config(matches, Vec::new())?;
    let request = match (&args.import, &args.node) {
        (Some(file), _) => RevokeRequest::Import(read(file)?),
        (None, Some(node)) => RevokeRequest::Node(node.clone()),
        (None, None) => return Err(CliError::usage("whom to revoke is missing: expected a member, or --import FILE")),
    };
    let Answer::Revoked(revoked) = obtain(env, &config, Request::Revoke(request)).await? else {
        return Err(AskError::Misunderstood.into());
    };
    if let Some(file) = &args.file {
        std::fs::write(file, format!("{}\n", revoked.file))
            .map_err(|error| CliError::new(format!("revoked, but cannot write {}: {error}", file.display())))?;
    }
    if output.json {
        output.document(&revoked)?;
        return Ok(EXIT_OK);
    }
    match &revoked.nodes[..] {
        [] => output.line("nobody who was a member until now")?,
        nodes => output.line(format!("members no more: {}", nodes.join(", ")))?,
    }
    if let Some(file) = &args.file {
        output.line(format!("where no link leads:  lattice revoke --import {}", file.display()))?;
    }
    Ok(EXIT_OK)
}

fn read(file: &Path) -> Result<String, CliError> {
    read_text(file, FILE_MAX).map_err(|error| {
        let new = CliError::new(format!("cannot read revocations from {}: {error}", file.display()));
        new.next("--import with a file that lattice revoke NODE --file FILE has written")
    })
}
