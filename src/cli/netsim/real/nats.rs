//! Real nats-servers as a fleet: one cluster, with their defaults but for names and addresses.

use super::fleet::{Hosts, Server, cannot_start, cannot_write};
use super::plan::Plan;
use crate::cli::CliError;
use lattice_netsim::tier2::Program;
use std::path::{Path, PathBuf};

const ROUTE_PORT: u16 = 6222;

/// The binary: what was asked for, else one in PATH, else one that this repository has fetched for its tests.
pub(super) fn find(asked: Option<&Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let fetched = PathBuf::from(".work/nats-server");
    match asked {
        Some(asked) => Some(asked.to_owned()).filter(|path| path.is_file()),
        None => installed.chain([fetched]).find(|path| path.is_file()),
    }
}

/// Whatever the topology says, the servers of a cluster are all linked to each other.
pub(super) fn start(hosts: &Hosts<'_>, plan: &Plan, servers: &mut Vec<Server>) -> Result<(), CliError> {
    for node in 0..plan.nodes {
        let config = hosts.folder(node)?.join("server.conf");
        std::fs::write(&config, configuration(hosts, node, plan.nodes))
            .map_err(|error| cannot_write(&config, &error))?;
        let program = Program::new(&hosts.place.nats_server).args(["-c".as_ref(), config.as_os_str()]);
        let mut process = hosts.process(node, "server");
        process.start(&program).map_err(|error| cannot_start(&process, &error))?;
        servers.push(Server { process, program, runs: true });
    }
    Ok(())
}

fn configuration(hosts: &Hosts<'_>, node: usize, nodes: usize) -> String {
    let others = (0..nodes).filter(|other| *other != node);
    let routes: Vec<String> =
        others.map(|other| format!("\"nats-route://{}:{ROUTE_PORT}\"", hosts.address(other))).collect();
    format!(
        "server_name: \"{}\"\nlisten: \"127.0.0.1:4222\"\n\
         cluster {{\n  name: \"netsim\"\n  listen: \"{}:{ROUTE_PORT}\"\n  routes: [{}]\n}}\n",
        hosts.name(node),
        hosts.address(node),
        routes.join(", ")
    )
}
