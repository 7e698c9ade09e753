//! `lattice join`: makes the data folder a member of the lattice that an invite is from, and ends.

use super::output::Output;
use super::up::short_id;
use super::{CliError, EXIT_OK, NodeArgs, backend, overriding};
use crate::config::OverrideKey;
use crate::control::server::Server;
use clap::ArgMatches;
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The invite, as `lattice invite` prints it.
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
    // No node may start on the folder while it changes its lattice, and none may run.
    let claim = Server::claim(env, &config.data).await?;
    let joined = backend::join(env, &config, args.invite.trim()).await?;
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
