//! `lattice stop component`: ends a component wherever it runs, or on one host, and waits until it has ended.

use super::hosts::{Found, Hosts, HostsArgs, Wanted};
use super::output::Output;
use super::start::subjects_config;
use super::{CliError, EXIT_OK, ps, serving};
use crate::config::units::Period;
use clap::Subcommand;
use lattice_broker::env::Env;
use serde::Serialize;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// End a component: on all hosts that run it, with its subscriptions and HTTP server, unless one host is named.
    Component(ComponentArgs),
}

#[derive(Debug, clap::Args)]
struct ComponentArgs {
    /// Its name.
    id: String,
    /// On this host alone, by name or id.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// How long to wait until it has ended.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Period,
    #[command(flatten)]
    hosts: HostsArgs,
}

#[derive(Serialize)]
struct Document<'a> {
    component: &'a str,
    hosts: Vec<String>,
}

pub(super) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let What::Component(args) = &args.what;
    let Period(patience) = args.timeout;
    let (hosts, id) = (args.hosts.connect(env).await?, &args.id);
    let stopping = match &args.host {
        Some(named) => vec![hosts.find(Some(named), ps::WAIT).await?],
        None => running(&hosts, id).await?,
    };
    serving::unserve(&hosts, &stopping, id).await?;
    for host in &stopping {
        // Its image does not matter, and has to be something.
        let wanted = Wanted { id, image: "none", count: 0, config: &[] };
        hosts.change(host, wanted, patience).await?;
    }
    if args.host.is_none() {
        forget_subjects(&hosts, id).await?;
    }
    let names: Vec<String> = stopping.into_iter().map(|host| host.friendly_name).collect();
    if output.json {
        output.document(&Document { component: id, hosts: names })?;
    } else {
        output.line(format!("{id} has ended on {}", names.join(", ")))?;
    }
    Ok(EXIT_OK)
}

/// The hosts that run it.
async fn running(hosts: &Hosts, id: &str) -> Result<Vec<Found>, CliError> {
    let running = ps::hosts_of(hosts, id, ps::WAIT).await?;
    if running.is_empty() {
        let error = CliError::new(format!("no host that can be reached runs a component {id:?}"));
        return Err(error
            .likely("it has ended, could not be started, or another name is meant")
            .next("lattice ps, or --host with the host that was to run it"));
    }
    Ok(running)
}

/// Takes back what `start --subscribe` has noted; nothing, when it has not.
async fn forget_subjects(hosts: &Hosts, id: &str) -> Result<(), CliError> {
    let link = json!({ "source_id": "lattice", "name": id, "wit_namespace": "wasmcloud", "wit_package": "messaging" });
    hosts.ask("link.del", &link).await?;
    hosts.ask(&format!("config.del.{}", subjects_config(id)), &json!({})).await.map(drop)
}
