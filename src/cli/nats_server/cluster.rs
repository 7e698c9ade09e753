//! A server of a cluster: the broker on a node of a lattice, which has nothing on disk and lasts as long as the process.

use super::process::{cannot_listen, host_port, resolve};
use crate::config::Config;
use crate::drop_in::cluster::Cluster;
use crate::drop_in::options::Options;
use crate::identity::{Identity, Notary};
use crate::mesh::announcement::OwnShelf;
use crate::mesh::quic;
use crate::nats_url::ServerUrl;
use crate::node::{Node, Parts, StartError};
use crate::store::MemoryStore;
use lattice_broker::Broker;
use lattice_broker::env::Env;
use rand_core::Rng as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One frame on a link holds the largest message that any server of the cluster may let in.
const FRAME_MAX: usize = 66 << 20;
const LINK_BUFFER_MAX: usize = 2 * FRAME_MAX;

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
        config: settings(cluster, links, client_url(options)),
        identity,
        store: Arc::new(MemoryStore::default()),
        crypto: quic::crypto_provider(),
        shelf: Arc::new(OwnShelf),
        notary: Arc::new(Notary::default()),
        warnings: Vec::new(),
        runner: None,
        images: None,
    };
    Node::start_with(parts, broker).map_err(|error| match error {
        StartError::Listen(error) => cannot_listen(options, &error),
        error => failed(&error),
    })
}

/// The settings of a node for the links between the servers of the cluster, of which this one listens at `listen` for
/// others, and for clients as `client_url` says where that is one address.
fn settings(cluster: &Cluster, listen: SocketAddr, client_url: Option<String>) -> Config {
    let mut config = Config::default();
    config.link.listen = listen;
    config.link.peers = cluster.routes.iter().map(ServerUrl::host_port).collect();
    config.link.advertise = cluster.advertise.iter().cloned().collect();
    config.client.advertise = if cluster.no_advertise { Some(Vec::new()) } else { client_url.map(|url| vec![url]) };
    config.beacon.enabled = false;
    config.mesh.frame_max = FRAME_MAX;
    config.mesh.link_buffer_max = LINK_BUFFER_MAX;
    config
}

/// Where clients find the server, when that is one address: on all of them, the interfaces say where. The port may be 0.
fn client_url(options: &Options) -> Option<String> {
    let is_any = options.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    (!is_any).then(|| host_port(&options.host, options.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_becomes_links() {
        let mut cluster = Cluster { advertise: Some("e:1".to_owned()), ..Cluster::default() };
        cluster.set_routes("nats://a:1,b").unwrap();
        let config = settings(&cluster, ([127, 0, 0, 1], 0).into(), Some("c:1".to_owned()));
        assert_eq!(config.link.peers, ["a:1", "b:6222"]);
        assert_eq!((config.link.advertise, config.client.advertise), (vec!["e:1".into()], Some(vec!["c:1".into()])));
        assert!(!config.beacon.enabled);
        cluster.no_advertise = true;
        assert_eq!(settings(&cluster, ([127, 0, 0, 1], 0).into(), None).client.advertise, Some(Vec::new()));
    }

    #[test]
    fn one_address_is_told_and_all_are_not() {
        let at = |host: &str, port| client_url(&Options { host: host.to_owned(), port, ..Options::default() });
        assert_eq!((at("0.0.0.0", 1), at("::", 1)), (None, None));
        assert_eq!((at("::1", 0), at("edge", 2)), (Some("[::1]:0".to_owned()), Some("edge:2".to_owned())));
    }
}
