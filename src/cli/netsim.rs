//! `lattice netsim`: the lattice in a simulated network, and on real ones made for the purpose.
//!
//! Here is what can be typed and which scenario is meant. Runs are played by other processes of this program
//! (`worker.rs`), so that they use all cores, and so that one that crashes is a result like others.

mod answer;
mod random;
#[cfg(target_os = "linux")]
mod real;
mod run;
mod shrink;
#[cfg(target_os = "linux")]
mod storm;
mod swarm;
mod words;
mod worker;

use super::output::Output;
use super::{CliError, EXIT_OK};
use clap::Subcommand;
use lattice_broker::env::Env;
use lattice_netsim::{Scenario, library};
use std::path::Path;

/// Simulate a site: cuts, crashes and foul weather in virtual time, repeatable from a seed.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 all held, 1 something was violated, 2 wrong use.
First steps:
  lattice netsim list                          scenarios that come with the program
  lattice netsim run split-half                one of them, or a file of yours
  lattice netsim run site.toml --report r.html a page to look at
  lattice netsim swarm --runs 200              200 networks and their faults, drawn from 200 seeds";

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a scenario once.
    Run(run::RunArgs),
    /// Play many seeds: of a scenario, or of scenarios drawn by chance.
    Swarm(swarm::SwarmArgs),
    /// Play one seed of a swarm again.
    Replay(run::ReplayArgs),
    /// Make a failing scenario as small as it can be and still fail.
    Shrink(shrink::ShrinkArgs),
    /// List the scenarios that come with the program.
    List,
    /// Print a scenario as a file: one that comes with the program, or what a seed of a swarm has drawn.
    Show(run::ShowArgs),
    /// Play a scenario on real processes, in network namespaces of this machine.
    #[cfg(target_os = "linux")]
    Real(real::Args),
    /// Cut links or kill nodes by the hundred while messages flow, on real processes or in virtual time.
    #[cfg(target_os = "linux")]
    Storm(storm::Args),
    /// Play scenarios for another process of this program.
    #[command(hide = true)]
    Work,
    /// A client of one node of `real`.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    ClientAgent(real::AgentArgs),
}

/// Runs a command that simulates; `None` for one that needs a runtime, which [`run`] does.
///
/// Outside of any runtime: one would take a whole simulation for a single task of its own, and hold back what that
/// receives after some hundred messages to be fair to others.
pub(super) fn simulate(args: &Args, output: &Output) -> Option<Result<u8, CliError>> {
    Some(match &args.command {
        Command::Run(args) => run::run(args, output),
        Command::Replay(args) => run::replay(args, output),
        Command::Swarm(args) => swarm::run(args, output),
        Command::Shrink(args) => shrink::run(args, output),
        Command::List => list(output),
        Command::Show(args) => run::show(args, output),
        Command::Work => worker::serve(),
        #[cfg(target_os = "linux")]
        Command::Storm(args) if args.simulated => storm::simulate(args, output),
        #[cfg(target_os = "linux")]
        Command::Real(_) | Command::Storm(_) | Command::ClientAgent(_) => return None,
    })
}

/// Runs a command on real processes.
#[cfg_attr(not(target_os = "linux"), expect(clippy::unused_async, reason = "there are none here"))]
pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    match &args.command {
        #[cfg(target_os = "linux")]
        Command::Real(args) => real::run(env, args, output).await,
        #[cfg(target_os = "linux")]
        Command::Storm(args) if !args.simulated => real::storm(env, args, output).await,
        #[cfg(target_os = "linux")]
        Command::ClientAgent(args) => real::agent(env, args).await,
        _ => {
            let _ = env;
            simulate(args, output).unwrap_or(Ok(EXIT_OK))
        }
    }
}

fn list(output: &Output) -> Result<u8, CliError> {
    let mut table = super::output::Table::new(&["NAME", "NODES", "LASTS", "WHAT"]);
    for scenario in library() {
        let lasts = format!("{} s", scenario.duration_ms / 1_000);
        if output.json {
            output.record(&serde_json::json!({
                "name": scenario.name, "nodes": scenario.nodes(), "duration_ms": scenario.duration_ms, "about": scenario.about,
            }))?;
        }
        table.row(vec![scenario.name.clone(), scenario.nodes().to_string(), lasts, scenario.about]);
    }
    if !output.json {
        table.lines().try_for_each(|line| output.line(line))?;
    }
    Ok(EXIT_OK)
}

/// The scenario that `name` means: a file, or one that comes with the program.
fn scenario(name: &str) -> Result<Scenario, CliError> {
    let path = Path::new(name);
    let own = library().find(|scenario| scenario.name == name);
    match own.filter(|_| !path.exists()) {
        Some(scenario) => Ok(scenario),
        None if path.extension().is_none() && !path.exists() => {
            Err(CliError::usage(format!("{name:?} is neither a file nor a scenario that comes with the program"))
                .next("lattice netsim list"))
        }
        None => from_file(path, name),
    }
}

fn from_file(path: &Path, name: &str) -> Result<Scenario, CliError> {
    let refused = |error: &dyn std::fmt::Display| {
        // An error of a file names the file itself.
        let text = error.to_string();
        let text = if text.starts_with(name) { text } else { format!("{name}: {text}") };
        CliError::usage(text).next("docs/guides/netsim.md, or lattice netsim show split-half for an example")
    };
    let scenario = Scenario::from_file(path).map_err(|error| refused(&error))?;
    crate::sim::check(&scenario).map_err(|error| refused(&error))?;
    Ok(scenario)
}
