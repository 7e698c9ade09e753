//! HTTP of a node: hands the figures of its lattice to `web`, which has those of the broker by itself.

use super::CliError;
use crate::config::Config;
use crate::mesh::times::Told;
use crate::node::Node;
use crate::web::{self, Figures, Lattice, Link, Times, Watched};
use lattice_broker::env::Env;
use lattice_broker::monitor::Surroundings;
use std::net::SocketAddr;
use std::sync::Arc;

/// Answers where `config` says until the process ends. Returns where that is; nothing when there is to be none.
///
/// # Errors
/// What its user shall read; the node runs on.
pub(super) fn listen(env: &Env, config: &Config, node: &Arc<Node>) -> Result<Option<SocketAddr>, CliError> {
    let Some(listen) = config.http else { return Ok(None) };
    let monitor = node.broker().monitor();
    let watched = Watched { monitor: monitor.clone(), lattice: Some(Arc::new(Seen(Arc::clone(node), env.clone()))) };
    let at = web::listen(env, listen, watched, "", None)
        .map_err(|error| CliError::cannot_listen("HTTP", listen, "--http-listen", &error))?;
    monitor.set_surroundings(Surroundings {
        http_host: at.ip().to_string(),
        http_port: at.port(),
        ..Surroundings::default()
    });
    if !at.ip().is_loopback() {
        tracing::warn!(listen = %at, "other machines can see clients, subjects and nodes by HTTP: it has no password");
    }
    Ok(Some(at))
}

/// The lattice as a node sees it.
#[derive(Debug)]
struct Seen(Arc<Node>, Env);

impl Lattice for Seen {
    fn figures(&self) -> Figures {
        let Self(node, env) = self;
        let (mesh, now) = (node.mesh(), env.now());
        let link = |link: crate::mesh::LinkView| Link {
            name: link.name,
            key: link.peer.to_string(),
            address: link.address,
            dialed: link.dialed,
            round_trip: link.rtt,
            up: now.saturating_duration_since(link.since),
            cost: link.health.cost(),
            suspected: link.health.doubt > 0,
            loss: link.health.loss,
            packets_sent: link.packets_sent,
            packets_lost: link.packets_lost,
            bytes_received: link.bytes_received,
            bytes_sent: link.bytes_sent,
            waiting: link.waiting,
        };
        let times = |Told { parts, sum }| Times { parts, sum };
        Figures {
            links: mesh.links().into_iter().map(link).collect(),
            nodes: mesh.view().nodes.len(),
            reachable: mesh.reachable(),
            counters: node.lattice_counters(),
            rerouted: times(mesh.rerouted()),
            round_trips: times(mesh.round_trips()),
        }
    }
}
