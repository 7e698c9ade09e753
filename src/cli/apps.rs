//! `lattice apps`: which apps are wanted, and how far they are; `lattice undeploy` gives one up.

use super::hosts::{AllArgs, Hosts, HostsArgs, Inventory, from_value};
use super::output::{self, Output, Table};
use super::{CliError, EXIT_OK, ps};
use crate::config::units::Period;
use crate::host::apps::spread::{fits, spread};
use crate::host::apps::{Component, OF_APP, Server, Spread};
use crate::host::control::{ID, is_id};
use crate::identity::NodeId;
use lattice_broker::env::Env;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How often it is looked whether all has ended.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(super) struct UndeployArgs {
    /// The app's name.
    name: String,
    /// How long to wait until all of it has ended; 0s does not wait.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Period,
    #[command(flatten)]
    hosts: HostsArgs,
}

/// How a component of an app is, or a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    pub(super) app: String,
    pub(super) component: String,
    /// `4`, or `1 per host`.
    pub(super) wanted: String,
    /// Instances that run for the app; of a server, hosts that listen.
    pub(super) runs: u32,
    /// The names of the hosts on which.
    pub(super) hosts: Vec<String>,
    /// Hosts that it may run on.
    pub(super) fitting: usize,
    /// Whether each host runs what it should.
    pub(super) settled: bool,
    /// What hosts say that stands in the way.
    pub(super) problems: Vec<String>,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, wanted, runs, fitting, problems, .. } = self;
        match fitting {
            0 => write!(f, "no host that answers has the labels that {component} is to run on")?,
            _ => write!(f, "{component} has {runs} of {wanted}")?,
        }
        problems.iter().try_for_each(|problem| write!(f, " ({problem})"))
    }
}

/// What is wanted of an app.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wanted {
    pub(super) components: BTreeMap<String, Component>,
    pub(super) providers: BTreeMap<String, Server>,
}

#[derive(Serialize)]
struct Undeployed<'a> {
    app: &'a str,
    undeployed: bool,
}

/// How all of an app is, as the hosts say that have answered.
pub(super) fn standing(app: &str, wanted: &Wanted, inventories: &[Inventory]) -> Vec<Standing> {
    let hosts: BTreeMap<NodeId, &Inventory> =
        inventories.iter().filter_map(|host| Some((host.host_id.parse().ok()?, host))).collect();
    let components = wanted.components.iter().map(|(id, component)| component_standing(app, id, component, &hosts));
    let servers = wanted.providers.iter().map(|(id, server)| server_standing(app, id, server, inventories));
    components.chain(servers).collect()
}

fn component_standing(app: &str, id: &str, wanted: &Component, hosts: &BTreeMap<NodeId, &Inventory>) -> Standing {
    let shares = spread(id, wanted, &hosts.iter().map(|(id, host)| (*id, &host.labels)).collect());
    let runs = |host: &Inventory| host.instances(app, id, &wanted.image);
    let running = hosts.values().filter(|host| runs(host) > 0);
    let is_right = |(host, seen): (&NodeId, &&Inventory)| runs(seen) == shares.get(host).copied().unwrap_or_default();
    Standing {
        app: app.to_owned(),
        component: id.to_owned(),
        wanted: match wanted.spread {
            Spread::Instances(count) => count.to_string(),
            Spread::PerHost(count) => format!("{count} per host"),
        },
        runs: hosts.values().map(|host| runs(host)).sum(),
        hosts: names(running.copied()),
        fitting: hosts.values().filter(|host| fits(&wanted.on, &host.labels)).count(),
        settled: !shares.is_empty() && hosts.iter().all(is_right),
        problems: Vec::new(),
    }
}

/// By the alphabet.
fn names<'a>(hosts: impl Iterator<Item = &'a Inventory>) -> Vec<String> {
    let mut names: Vec<String> = hosts.map(|host| host.friendly_name.clone()).collect();
    names.sort();
    names
}

fn server_standing(app: &str, id: &str, wanted: &Server, inventories: &[Inventory]) -> Standing {
    let fitting: Vec<&Inventory> = inventories.iter().filter(|host| fits(&wanted.on, &host.labels)).collect();
    let server = |host: &Inventory| host.providers.iter().find(|provider| provider.id == id).cloned();
    let listens = |host: &&&Inventory| server(host).is_some_and(|server| !server.listening.is_empty());
    let listening: Vec<&&Inventory> = fitting.iter().filter(listens).collect();
    let problems = fitting.iter().filter_map(|host| Some((host, server(host)?.problems)));
    Standing {
        app: app.to_owned(),
        component: id.to_owned(),
        wanted: "1 per host".to_owned(),
        runs: u32::try_from(listening.len()).unwrap_or(u32::MAX),
        hosts: names(listening.iter().map(|host| **host)),
        fitting: fitting.len(),
        settled: !fitting.is_empty() && listening.len() == fitting.len(),
        problems: problems
            .flat_map(|(host, problems)| {
                problems.into_iter().map(|problem| format!("{}: {problem}", host.friendly_name))
            })
            .collect(),
    }
}

impl Inventory {
    /// Instances of a component of that image which it runs for an app.
    fn instances(&self, app: &str, id: &str, image: &str) -> u32 {
        let is_its = |component: &&super::hosts::Component| {
            let of = component.annotations.as_ref().and_then(|notes| notes.get(OF_APP));
            component.id == id && component.image_ref == image && of.is_some_and(|of| of == app)
        };
        self.components.iter().filter(is_its).map(|component| component.max_instances).sum()
    }

    fn runs_for(&self, app: &str) -> bool {
        let components = self.components.iter().filter_map(|component| component.annotations.as_ref());
        let providers = self.providers.iter().filter_map(|provider| provider.annotations.as_ref());
        let mut notes = components.chain(providers);
        notes.by_ref().filter_map(|notes| notes.get(OF_APP)).any(|of| of == app)
    }
}

/// Whether an app can have that name: it is a word of subjects.
///
/// # Errors
/// Says what would be accepted.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if is_id(name) { Ok(()) } else { Err(format!("the app's name is {name:?}: {ID}")) }
}

pub(super) async fn run(env: &Env, args: &AllArgs, output: &Output) -> Result<u8, CliError> {
    let Period(time) = args.timeout;
    let hosts = args.hosts.connect(env).await?;
    let apps: BTreeMap<String, Wanted> = from_value(hosts.ask_own("app.list", b"{}").await?.unwrap_or_default())?;
    let inventories = ps::inventories(&hosts, time).await?;
    let all: Vec<Standing> = apps.iter().flat_map(|(name, app)| standing(name, app, &inventories)).collect();
    if output.json {
        output.document(&all)?;
    } else if all.is_empty() {
        output.line("no apps: `lattice deploy app.toml` has one run")?;
    } else {
        table(&all).lines().try_for_each(|line| output.line(line))?;
    }
    Ok(EXIT_OK)
}

fn table(all: &[Standing]) -> Table {
    let mut table = Table::new(&["APP", "COMPONENT", "WANTED", "RUNS", "STATE", "HOSTS"]);
    for Standing { app, component, wanted, runs, hosts, settled, .. } in all {
        // What others name must not touch the terminal.
        let [app, component] = [app, component].map(|text| text.escape_debug().to_string());
        let hosts = output::names(hosts.iter().map(String::as_str));
        let state = if *settled { "settled" } else { "changing" }.to_owned();
        table.row(vec![app, component, wanted.clone(), runs.to_string(), state, hosts]);
    }
    table
}

pub(super) async fn undeploy(env: &Env, args: &UndeployArgs, output: &Output) -> Result<u8, CliError> {
    check_name(&args.name).map_err(CliError::usage)?;
    let (hosts, name, Period(patience)) = (args.hosts.connect(env).await?, &*args.name, args.timeout);
    hosts.ask_own(&format!("app.del.{name}"), b"{}").await?;
    let until = env.now() + patience;
    let ended = loop {
        let left = running(&hosts, name).await?;
        if left.is_empty() || patience.is_zero() {
            break left.is_empty();
        }
        if env.now() >= until {
            let left = output::names(left.iter().map(String::as_str));
            return Err(CliError::new(format!("{name} is no more wanted, but runs on {left} after {patience:?}"))
                .likely("calls of it go on")
                .next("lattice ps   in a moment"));
        }
        env.sleep(LOOK).await;
    };
    if output.json {
        output.document(&Undeployed { app: name, undeployed: true })?;
    } else {
        output.line(if ended { format!("{name} has ended") } else { format!("{name} is no more wanted") })?;
    }
    Ok(EXIT_OK)
}

/// The names of the hosts that run something for an app.
async fn running(hosts: &Hosts, app: &str) -> Result<Vec<String>, CliError> {
    let inventories = ps::inventories(hosts, ps::WAIT).await?;
    Ok(inventories.into_iter().filter(|host| host.runs_for(app)).map(|host| host.friendly_name).collect())
}
