//! `lattice netsim`: networks that go wrong on purpose.

#[cfg(target_os = "linux")]
mod real;

use super::CliError;
use super::output::Output;
use clap::Subcommand;
use lattice_broker::env::Env;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a scenario on real processes, in network namespaces; beside real nats-servers when asked.
    #[cfg(target_os = "linux")]
    Real(real::Args),
    /// A client of one node of `real`.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    ClientAgent(real::AgentArgs),
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    match &args.command {
        #[cfg(target_os = "linux")]
        Command::Real(args) => real::run(env, args, output).await,
        #[cfg(target_os = "linux")]
        Command::ClientAgent(args) => real::agent(env, args).await,
    }
}
