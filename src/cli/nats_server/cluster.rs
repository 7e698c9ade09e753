//! A server of a cluster: the broker on a node of a lattice, which has nothing on disk and lasts as long as the process.

use super::process::{cannot_listen, host_port, resolve};
use crate::drop_in::cluster::Cluster;
use crate::drop_in::options::Options;
use crate::identity::{Identity, Notary};
use crate::mesh::announcement::OwnShelf;
use crate::mesh::quic;
use crate::node::{Node, Parts, StartError};
use crate::store::MemoryStore;
use lattice_broker::Broker;
use lattice_broker::env::Env;
use rand_core::Rng as _;
use std::net::IpAddr;
use std::sync::Arc;

/// Who the server is to the others of its cluster.
pub(super) fn identity(env: &Env, options: &Options, cluster: &Cluster) -> Result<Arc<Identity>, String> {
    let mut rng = env.rng("cluster");
    let named = &options.server_name;
    let name = if named.is_empty() { format!("server-{:08x}", rng.next_u32()) } else { named.clone() };
    let (user, password) = cluster.secret()?;
    let made = Identity::of_secret(&mut rng, &name, &user, &password.0);
    made.map(Arc::new).map_err(|error| format!("server_name in a cluster: {error}"))
}

/// Starts it: when this returns, clients and other servers can connect.
pub(super) async fn start(
    env: &Env,
    options: &Options,
    cluster: &Cluster,
    identity: Arc<Identity>,
    broker: Broker,
) -> Result<Node, String> {
    let at = host_port(&cluster.host, cluster.port);
    let failed = |error: &dyn std::fmt::Display| format!("Error listening on router port: {at}, \"{error}\"");
    let links = resolve(env, &cluster.host, cluster.port).await.map_err(|error| failed(&error))?;
    let parts = Parts {
        env: env.clone(),
        config: cluster.node(links, client_url(options)),
        identity,
        store: Arc::new(MemoryStore::default()),
        crypto: quic::crypto_provider(),
        shelf: Arc::new(OwnShelf),
        notary: Arc::new(Notary::default()),
        warnings: Vec::new(),
    };
    Node::start_with(parts, broker).map_err(|error| match error {
        StartError::Listen(error) => cannot_listen(options, &error),
        error => failed(&error),
    })
}

/// Where clients find the server, when that is one address: on all of them, the interfaces say where. The port may be 0.
fn client_url(options: &Options) -> Option<String> {
    let is_any = options.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    (!is_any).then(|| host_port(&options.host, options.port))
}
