//! The command line: what can be typed, and which file does it. What a node is, is left to [`backend`].

mod apps;
pub mod backend;
mod components;
mod config;
mod deploy;
mod error;
mod events;
mod hosts;
mod http;
mod images;
mod invite;
mod join;
mod links;
mod logs;
mod members;
mod memory;
mod nats;
mod nats_server;
mod netsim;
mod new_file;
mod obtain;
mod output;
mod peers;
mod ps;
mod publish;
mod push;
mod pushing;
mod read_text;
mod reply;
mod request;
mod revoke;
mod root;
mod routes;
mod see;
mod serving;
mod start;
pub(crate) mod status;
mod stop;
mod subscribe;
mod trace;
mod up;

pub use error::CliError;

use crate::config::{Config, Origin, Override, OverrideKey};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use lattice_broker::env::Env;
use output::Output;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// All is well.
pub const EXIT_OK: u8 = 0;
/// It failed, or what was asked about is degraded.
pub const EXIT_FAILED: u8 = 1;
/// The command was used wrongly.
pub const EXIT_USAGE: u8 = 2;

/// One binary that joins devices into a mesh that speaks NATS.
#[derive(Debug, Parser)]
#[command(name = "lattice", version, disable_help_subcommand = false, propagate_version = true)]
struct Cli {
    /// Answer in JSON, whose fields stay as they are.
    #[arg(long, global = true, display_order = 90)]
    json: bool,
    /// No colours, also on a terminal.
    #[arg(long, global = true, env = "NO_COLOR", value_parser = clap::builder::FalseyValueParser::new(), display_order = 91)]
    no_color: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node.
    Up(up::Args),
    /// Print an invite for another device.
    Invite(invite::Args),
    /// Make the data folder a member of the lattice that an invite is from.
    Join(join::Args),
    /// Show the node, the others that it knows, and what is wrong.
    Status(status::Args),
    /// List the other nodes with their paths.
    Peers(peers::Args),
    /// Show which way messages go, or who takes those on a subject.
    Routes(routes::Args),
    /// Follow the way of a message hop by hop, without sending one.
    Trace(trace::Args),
    /// List what has happened to links, nodes and upstreams of late.
    Events(events::Args),
    /// List who has been admitted to the lattice, by whom and with what rights.
    Members(members::Args),
    /// Throw a member out, with whom it has admitted.
    Revoke(revoke::Args),
    /// Take the lattice's root key offline, put it back, or replace it.
    Root(root::Args),
    /// Publish a message.
    Pub(publish::Args),
    /// Subscribe, and print what arrives.
    Sub(subscribe::Args),
    /// Send a request and print the answer.
    Request(request::Args),
    /// Answer requests.
    Reply(reply::Args),
    /// Give a host components to keep, from which all hosts can start them.
    Push(push::Args),
    /// List the images of components that hosts keep, or remove one.
    Images(images::Args),
    /// Start a component on a host, or change it.
    Start(start::Args),
    /// Stop a component.
    Stop(stop::Args),
    /// List the components that run, on all hosts.
    Ps(hosts::AllArgs),
    /// Show what a component has written of late, on all hosts that run it.
    Logs(logs::Args),
    /// List the links between components and what they call, make one, or remove one.
    Links(links::Args),
    /// List the configurations of components and links, show one, put one, or remove one.
    Config(config::Args),
    /// Have an app run as its file says, on all hosts together, and go on running when hosts die.
    Deploy(deploy::Args),
    /// List the apps, and how far they are.
    Apps(hosts::AllArgs),
    /// Give an app up: all of it ends.
    Undeploy(apps::UndeployArgs),
    /// Simulate a site: cuts, crashes and foul weather in virtual time, repeatable from a seed.
    Netsim(netsim::Args),
    /// Serve NATS clients alone, in the place of a nats-server: with its flags and its config file.
    NatsServer(nats_server::Args),
}

/// Which node a command is about.
#[derive(Clone, Debug, clap::Args)]
struct NodeArgs {
    /// The node's data folder [default: the user's data folder].
    #[arg(long, value_name = "FOLDER", env = "LATTICE_DATA")]
    data: Option<PathBuf>,
    /// The node's config file; see docs/lattice.toml.
    #[arg(long, value_name = "FILE", env = "LATTICE_CONFIG")]
    config: Option<PathBuf>,
}

impl NodeArgs {
    fn config(&self, matches: &ArgMatches, more: Vec<Option<Override>>) -> Result<Config, CliError> {
        let data = self.data.as_ref().map(|data| vec![data.to_string_lossy().into_owned()]);
        let data = overriding(matches, "data", OverrideKey::Data, data);
        let all: Vec<Override> = more.into_iter().chain([data]).flatten().collect();
        let config = self.config.as_deref().filter(|path| !path.as_os_str().is_empty());
        Ok(Config::load(config, &all)?)
    }
}

/// What the argument `id` says for `key`. An empty variable of the environment says nothing.
fn overriding(matches: &ArgMatches, id: &str, key: OverrideKey, values: Option<Vec<String>>) -> Option<Override> {
    let values = values.filter(|values| !values.is_empty())?;
    let name = id.replace('_', "-");
    let origin = match matches.value_source(id) {
        Some(ValueSource::EnvVariable) if values.iter().all(String::is_empty) => return None,
        Some(ValueSource::EnvVariable) => Origin::Env(format!("LATTICE_{}", id.to_uppercase())),
        Some(_) | None => Origin::Flag(format!("--{name}")),
    };
    Some(Override { key, values, origin })
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // It has a command line of its own.
    ExitCode::from(nats_server::asked(&args).map_or_else(|| run(args.iter().cloned()), nats_server::run))
}

fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = Cli::command().try_get_matches_from(args).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli, matches))
    });
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version arrive here too. Nobody reads a closed pipe: there is nothing left to say.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE);
        }
    };
    let mut output = Output::new(cli.json, cli.no_color);
    let result = match cli.command {
        Some(command) => dispatch(command, &matches, &mut output),
        None => output.first_screen().map(|()| EXIT_OK).map_err(CliError::from),
    };
    result.unwrap_or_else(|error| {
        output.error(&error);
        error.exit()
    })
}

fn dispatch(command: Command, matches: &ArgMatches, output: &mut Output) -> Result<u8, CliError> {
    let matches = matches.subcommand().map(|(_, matches)| matches).expect("a command was parsed from a subcommand");
    if let Command::Netsim(args) = &command
        && let Some(done) = netsim::simulate(args, output)
    {
        return done;
    }
    if let Command::NatsServer(args) = &command {
        return Ok(nats_server::run(&args.flags));
    }
    let mut builder = match command {
        Command::Up(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build().map_err(|error| CliError::new(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        let env = Env::tokio();
        match command {
            Command::Up(args) => up::run(&env, &args, matches, output).await,
            Command::Invite(args) => invite::run(&env, &args, matches, output).await,
            Command::Join(args) => join::run(&env, &args, matches, output).await,
            Command::Status(args) => status::run(&env, &args, matches, output).await,
            Command::Peers(args) => peers::run(&env, &args, matches, output).await,
            Command::Routes(args) => routes::run(&env, &args, matches, output).await,
            Command::Trace(args) => trace::run(&env, &args, matches, output).await,
            Command::Events(args) => events::run(&env, &args, matches, output).await,
            Command::Members(args) => members::run(&env, &args, matches, output).await,
            Command::Revoke(args) => revoke::run(&env, &args, matches, output).await,
            Command::Root(args) => root::run(&env, &args, matches, output).await,
            Command::Pub(args) => publish::run(&env, &args, output).await,
            Command::Sub(args) => subscribe::run(&env, &args, output).await,
            Command::Request(args) => request::run(&env, &args, output).await,
            Command::Reply(args) => reply::run(&env, &args, output).await,
            Command::Push(args) => push::run(&env, &args, output).await,
            Command::Images(args) => images::run(&env, &args, output).await,
            Command::Start(args) => start::run(&env, &args, output).await,
            Command::Stop(args) => stop::run(&env, &args, output).await,
            Command::Ps(args) => ps::run(&env, &args, output).await,
            Command::Logs(args) => logs::run(&env, &args, output).await,
            Command::Links(args) => links::run(&env, &args, output).await,
            Command::Config(args) => config::run(&env, &args, output).await,
            Command::Deploy(args) => deploy::run(&env, &args, output).await,
            Command::Apps(args) => apps::run(&env, &args, output).await,
            Command::Undeploy(args) => apps::undeploy(&env, &args, output).await,
            Command::Netsim(args) => netsim::run(&env, &args, output).await,
            // Done above: it has a runtime of its own.
            Command::NatsServer(_) => Ok(EXIT_OK),
        }
    });
    // What still runs has been asked to end, and had its time: a name lookup that hangs must not hold the process.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests;
