//! Nodes of ours as servers of a fleet: the first makes a lattice, each other joins by a neighbour's invite.

use super::fleet::{Hosts, Server, cannot_start, cannot_write};
use super::plan::Plan;
use crate::cli::CliError;
use crate::control::client::ask;
use crate::control::{Answer, InviteRequest, Request};
use crate::status::Status;
use lattice_broker::env::Env;
use lattice_netsim::tier2::{Process, Program};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LINK_PORT: u16 = 7443;
/// How long a node may take to answer, and to have all its links.
const UP_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub(super) async fn start(
    env: &Env,
    hosts: &Hosts<'_>,
    plan: &Plan,
    servers: &mut Vec<Server>,
) -> Result<(), CliError> {
    let joining = plan.joining();
    let parent = |node: usize| joining.iter().find(|(joined, _)| *joined == node).and_then(|(_, by)| *by);
    let mut started = Vec::new();
    for &(node, by) in &joining {
        // The edge by which one of two nodes joined the other needs no flag.
        let dialled = plan.edges.iter().filter(|(a, b)| *a == node && parent(*a) != Some(*b) && parent(*b) != Some(*a));
        let peers: Vec<usize> = dialled.map(|(_, peer)| *peer).collect();
        let data = data(hosts, node)?;
        let program = Program::new(&hosts.place.lattice).args(args(hosts, plan, node, &peers)?);
        let mut process = hosts.process(node, "server");
        let first = match by {
            Some(by) => program.clone().args(["--join", &invite(env, &data_of(hosts, by)).await?]),
            None => program.clone(),
        };
        process.start(&first).map_err(|error| cannot_start(&process, &error))?;
        wait(env, &mut process, &data, "it answers", |_| true).await?;
        started.push((node, Server { process, program, runs: true }));
    }
    started.sort_by_key(|(node, _)| *node);
    servers.extend(started.into_iter().map(|(_, server)| server));
    for (node, server) in servers.iter_mut().enumerate() {
        let links = plan.degree(node);
        let linked = |status: &Status| status.peers.iter().filter(|peer| peer.link.is_some()).count() >= links;
        wait(env, &mut server.process, &data_of(hosts, node), &format!("it has {links} links"), linked).await?;
    }
    Ok(())
}

fn data_of(hosts: &Hosts<'_>, node: usize) -> PathBuf {
    hosts.place.work.join(hosts.name(node)).join("data")
}

fn data(hosts: &Hosts<'_>, node: usize) -> Result<PathBuf, CliError> {
    Ok(hosts.folder(node)?.join("data"))
}

fn args(hosts: &Hosts<'_>, plan: &Plan, node: usize, peers: &[usize]) -> Result<Vec<String>, CliError> {
    let config = hosts.folder(node)?.join("lattice.toml");
    std::fs::write(&config, plan.settings.to_string()).map_err(|error| cannot_write(&config, &error))?;
    let mut args: Vec<String> = ["up", "--listen", "127.0.0.1:4222"].map(str::to_owned).into();
    let data = data_of(hosts, node);
    let figures = [
        ("--name", hosts.name(node)),
        ("--config", config.display().to_string()),
        ("--data", data.display().to_string()),
        ("--link-listen", format!("0.0.0.0:{LINK_PORT}")),
    ];
    let peers = peers.iter().map(|&peer| ("--peer", format!("{}:{LINK_PORT}", hosts.address(peer))));
    args.extend(figures.into_iter().chain(peers).flat_map(|(flag, value)| [flag.to_owned(), value]));
    Ok(args)
}

async fn invite(env: &Env, data: &Path) -> Result<String, CliError> {
    let request = InviteRequest::new(Duration::from_secs(3600), 1);
    match ask(env, data, Request::Invite(request)).await? {
        Answer::Invite(invite) => Ok(invite),
        Answer::Status(_)
        | Answer::Members(_)
        | Answer::Revoked(_)
        | Answer::Roots(_)
        | Answer::Seen(_)
        | Answer::Stopping => Err(CliError::new("the node did not answer with an invite")),
    }
}

/// Waits until the node's status is as it should be.
async fn wait(
    env: &Env,
    process: &mut Process,
    data: &Path,
    what: &str,
    is_so: impl Fn(&Status) -> bool,
) -> Result<(), CliError> {
    let until = env.now() + UP_WITHIN;
    loop {
        if let Ok(Answer::Status(status)) = ask(env, data, Request::Status).await
            && is_so(&status)
        {
            return Ok(());
        }
        if let Some(status) = process.exited() {
            let message = format!("{} has ended ({status}): {}", process.name(), process.last_words());
            return Err(CliError::new(message));
        }
        if env.now() > until {
            let message = format!("{}: waited {} s in vain: {what}", process.name(), UP_WITHIN.as_secs());
            return Err(CliError::new(message).next("the same command with --keep-logs FOLDER, and a look at them"));
        }
        env.sleep(POLL).await;
    }
}
