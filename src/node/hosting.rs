//! The host of a node: what it is made of, from the layers below. A node whose host does not start goes on without it.

use crate::config::Config;
use crate::host::control::Facts;
use crate::host::runner::Runner;
use crate::host::{Host, Parts, Reach};
use crate::identity::{Identity, NodeId};
use crate::mesh::Mesh;
use crate::store::Store;
use crate::wiring;
use lattice_broker::Broker;
use lattice_broker::env::Env;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the host says of itself; its clients connect at `nats`.
pub(super) fn facts(config: &Config, identity: &Identity, nats: SocketAddr) -> Facts {
    Facts {
        id: identity.node_id().to_string(),
        name: identity.name().to_owned(),
        lattice: config.host.lattice.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        nats: format!("nats://{nats}"),
        labels: config.host.labels.clone(),
        payload_max: config.client.max_payload,
    }
}

/// What the host is made of, without a place for images; `None` when the broker has no account for the nodes.
pub(super) fn parts(
    env: &Env,
    facts: Facts,
    identity: &Identity,
    broker: &Broker,
    mesh: &Arc<Mesh>,
    store: Arc<dyn Store>,
    runner: Arc<dyn Runner>,
) -> Option<Parts> {
    Some(Parts {
        env: env.clone(),
        node: identity.node_id(),
        facts,
        store,
        nodes: wiring::nodes_client(broker)?,
        clients: wiring::client(broker),
        reach: Arc::clone(mesh) as _,
        runner,
        images: None,
    })
}

impl Reach for Mesh {
    fn count(&self) -> usize {
        self.reachable()
    }

    fn reaches(&self, node: &NodeId) -> bool {
        Self::reaches(self, node)
    }
}

/// Starts it. Clients and links are there by now, so that an error cannot end the node any more: it is among its problems.
pub(super) fn start(parts: Parts, warnings: &mut Vec<String>) -> Option<Host> {
    match Host::start(parts) {
        Ok(host) => Some(host),
        Err(error) => {
            tracing::error!(%error, "the host does not start");
            warnings.push(format!("no components run here: {error}"));
            None
        }
    }
}
