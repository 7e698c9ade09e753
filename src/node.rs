//! The node: builds the layers from the bottom up, answers for them, and ends them in reverse.
//!
//! It has neither disk nor command line: what it is made of comes in as [`Parts`], so that the simulator builds the same
//! node over simulated sockets. How the layers are joined is `wiring.rs`'s.

use crate::config::{self, Config};
use crate::control::InviteRequest;
use crate::gateway::{self, Gateway};
use crate::identity::{Identity, Invite, IssueError, LatticeId, NodeId, StoreVouchers, Terms, Vouchers};
use crate::mesh::announcement::Shelf;
use crate::mesh::plane::Plane;
use crate::mesh::{self, Mesh, quic};
use crate::ports::{NeighborKind, UpstreamId};
use crate::status::{self, Status};
use crate::store::{Store, StoreError};
use crate::wiring;
use lattice_broker::env::Env;
use lattice_broker::{self as broker, Broker};
use rustls::crypto::CryptoProvider;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Keys of the store: a peer to dial, by its address, and where this node last listened.
const PEER_PREFIX: &[u8] = b"peer/";
const LISTEN_KEY: &[u8] = b"link/listen";
/// Most peers that are read back from the store.
const PEERS_MAX: usize = 64;
/// Most addresses in an invite: it is a line that people copy.
const INVITE_ADDRESSES_MAX: usize = 8;

/// What a node is made of.
#[derive(Debug)]
pub struct Parts {
    /// Time, tasks, randomness, sockets.
    pub env: Env,
    /// Its settings.
    pub config: Config,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Its records.
    pub store: Arc<dyn Store>,
    /// The cryptography of its links.
    pub crypto: Arc<CryptoProvider>,
    /// Where announcements stand: a shelf of its own, or one shared with other nodes of this process.
    pub shelf: Arc<dyn Shelf>,
    /// What went wrong before the start and its user should know.
    pub warnings: Vec<String>,
}

/// A running node. Dropping it leaves its tasks running until the process ends: call [`Node::drain`].
#[derive(Debug)]
pub struct Node {
    env: Env,
    config: Config,
    identity: Arc<Identity>,
    vouchers: Arc<StoreVouchers>,
    broker: Broker,
    mesh: Mesh,
    gateway: Option<Arc<Gateway>>,
    nats: SocketAddr,
    link: SocketAddr,
    started: Instant,
    warnings: Vec<String>,
}

/// The node did not start; nothing of it is left running but what ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port for clients that cannot be had.
    #[error(transparent)]
    Listen(#[from] broker::ListenError),
    /// A port for links that cannot be had.
    #[error(transparent)]
    Bind(#[from] quic::BindError),
    /// A setting that the broker cannot work with.
    #[error(transparent)]
    Broker(#[from] broker::ConfigError),
    /// An upstream that cannot be used.
    #[error(transparent)]
    Upstream(#[from] gateway::ConfigError),
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// No invite was made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// An address to advertise that nobody can look up.
    #[error("link.advertise = {address:?} cannot be looked up: {error}")]
    Advertise {
        /// As configured.
        address: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The node may not, or cannot.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Node {
    /// Starts a node. When it returns, clients and other nodes can connect.
    ///
    /// # Errors
    /// [`StartError`] names what stands in the way.
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { env, config, identity, store, crypto, shelf, warnings } = parts;
        let broker = Broker::new(env.clone(), broker_config(&config, &identity))?;
        let vouchers = Arc::new(StoreVouchers::new(Arc::clone(&store)));
        let transport = bind(&env, &config.link, &identity, Arc::clone(&vouchers) as _, &crypto)?;
        let link = transport.local_addr();
        let gateway = config.upstream.as_ref().map(|upstream| gateway_of(&env, upstream, &identity)).transpose()?;
        let mesh_config = mesh_config(&config, link, stored_peers(store.as_ref())?);
        store.put(LISTEN_KEY, link.to_string().as_bytes())?;
        // Last of what can fail: clients come at once, and no later error could take the listener back.
        let nats = broker.listen()?;

        let plane = Arc::new(Plane::new(env.clone(), identity.node_id(), config.mesh.frame_max));
        let bus = wiring::attach(&broker, NeighborKind::Mesh, Arc::clone(&plane) as _);
        let upstreams: Vec<UpstreamId> = gateway.iter().map(|gateway| gateway.upstream()).collect();
        let parts = mesh::Parts {
            identity: Arc::clone(&identity),
            vouchers: Arc::clone(&vouchers) as _,
            transport,
            plane,
            bus,
            upstreams,
            shelf,
        };
        let mesh = Mesh::start(env.clone(), mesh_config, parts);
        if let Some(gateway) = &gateway {
            gateway.set_active(false);
            let bus = wiring::attach(&broker, gateway.kind(), Arc::clone(gateway) as _);
            gateway.run(bus);
            env.spawn(follow_election(Arc::clone(gateway), mesh.serving()));
        }
        let started = env.now();
        Ok(Self { env, config, identity, vouchers, broker, mesh, gateway, nats, link, started, warnings })
    }

    /// Where NATS clients connect.
    #[must_use]
    pub fn nats(&self) -> SocketAddr {
        self.nats
    }

    /// Where other nodes connect.
    #[must_use]
    pub fn link(&self) -> SocketAddr {
        self.link
    }

    /// The broker: for clients inside the process.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Who it is to other nodes.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    /// The mesh: what it knows of the others, and how its links are.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// How many other nodes can be reached.
    #[must_use]
    pub fn reachable(&self) -> usize {
        self.mesh.reachable()
    }

    /// How the node and its view of the lattice are.
    #[must_use]
    pub fn status(&self) -> Status {
        let stats = self.broker.stats();
        let upstream = self.gateway.as_ref().map(|gateway| gateway.status());
        let peers = self.peers();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.identity.name().to_owned(),
            id: self.identity.node_id().to_string(),
            lattice: self.identity.lattice().to_hex(),
            uptime_secs: (self.env.now() - self.started).as_secs(),
            data: self.config.data.display().to_string(),
            nats: self.nats.to_string(),
            link: self.link.to_string(),
            clients: usize::try_from(stats.connections).unwrap_or(usize::MAX),
            subscriptions: usize::try_from(stats.subscriptions).unwrap_or(usize::MAX),
            problems: self.problems(&peers, upstream.as_ref()),
            counters: self.counters(&stats),
            upstream,
            peers,
        }
    }

    /// Makes an invite to this node's lattice.
    ///
    /// # Errors
    /// [`InviteError`]; there is no invite then.
    pub async fn invite(&self, request: InviteRequest) -> Result<Invite, InviteError> {
        issue(&self.env, &self.config, &self.identity, &self.vouchers, self.link, request).await
    }

    /// Ends the node in order: no new clients, what is there is delivered, the links say goodbye.
    pub async fn drain(&self) {
        self.broker.drain().await;
        if let Some(gateway) = &self.gateway {
            gateway.stop().await;
        }
        self.mesh.drain().await;
    }

    fn peers(&self) -> Vec<status::Peer> {
        let now = self.env.now();
        let links = self.mesh.links();
        let view = self.mesh.view();
        let name = |id| view.nodes.iter().find(|node| node.id == id).map(|node| node.name.clone());
        let peer = |node: &mesh::view::NodeView| status::Peer {
            name: node.name.clone(),
            id: node.id.to_string(),
            reachable: node.way.is_some(),
            hops: node.way.map_or(0, |way| way.hops),
            cost: node.way.map_or(0, |way| way.cost),
            via: node.way.filter(|way| way.next != node.id).and_then(|way| name(way.next)),
            link: links.iter().find(|link| link.peer == node.id).map(|link| link_status(link, now)),
        };
        view.nodes.iter().map(peer).collect()
    }

    fn problems(&self, peers: &[status::Peer], upstream: Option<&status::Upstream>) -> Vec<String> {
        let mut problems = self.warnings.clone();
        let lost: Vec<&str> = peers.iter().filter(|peer| !peer.reachable).map(|peer| peer.name.as_str()).collect();
        if !lost.is_empty() {
            problems.push(format!("cannot be reached: {}", lost.join(", ")));
        }
        if let Some(error) = upstream.filter(|upstream| !upstream.connected).and_then(|up| up.error.as_ref()) {
            problems.push(format!("upstream: {error}"));
        }
        for (address, reason) in self.mesh.dial_problems() {
            problems.push(format!("peer {address}: {reason}"));
        }
        problems
    }

    fn counters(&self, stats: &broker::Stats) -> BTreeMap<String, u64> {
        let broker = [
            ("client_in_msgs", stats.in_msgs),
            ("client_in_bytes", stats.in_bytes),
            ("client_out_msgs", stats.out_msgs),
            ("client_out_bytes", stats.out_bytes),
            ("slow_consumers", stats.slow_consumers),
            ("publisher_stalls", stats.stalls),
        ];
        let mut counters: BTreeMap<String, u64> = broker.map(|(name, count)| (name.to_owned(), count)).into();
        counters.extend(stats.drops.iter().map(|(reason, count)| (format!("client_dropped_{reason}"), *count)));
        counters.extend(self.mesh.counters().into_iter().map(|(name, count)| (format!("mesh_{name}"), count)));
        let control = self.mesh.view().counters.by_name();
        counters.extend(control.into_iter().map(|(name, count)| (format!("control_{name}"), count)));
        counters.extend(self.mesh.transport_counters());
        if let Some(gateway) = &self.gateway {
            counters.extend(gateway.counters().into_iter().map(|(name, count)| (format!("upstream_{name}"), count)));
        }
        counters
    }
}

/// Makes an invite to the lattice of `identity`, whose node listens, or will listen, for links on `link`.
///
/// # Errors
/// [`InviteError`]; there is no invite then.
pub async fn issue(
    env: &Env,
    config: &Config,
    identity: &Identity,
    vouchers: &StoreVouchers,
    link: SocketAddr,
    request: InviteRequest,
) -> Result<Invite, InviteError> {
    let mut addresses = Vec::new();
    for address in &config.link.advertise {
        let looked_up = env.resolve(address).await;
        let error = |error| InviteError::Advertise { address: address.clone(), error };
        addresses.extend(looked_up.map_err(error)?);
    }
    if addresses.is_empty() {
        addresses = own_addresses(link);
    }
    addresses.truncate(INVITE_ADDRESSES_MAX);
    let terms = Terms { valid_for: request.expires, uses: request.uses, addresses };
    Ok(vouchers.issue(identity, &mut env.rng("invite"), &terms, env.wall()).await?)
}

/// Where this node last listened for links: what an invite names while it does not run.
///
/// # Errors
/// [`StoreError`]: the disk fails.
pub fn last_link(store: &dyn Store) -> Result<Option<SocketAddr>, StoreError> {
    let text = store.get(LISTEN_KEY)?;
    Ok(text.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()))
}

/// Remembers peers to dial from now on.
///
/// # Errors
/// [`StoreError`]: the disk fails or is full.
pub fn remember_peers(store: &dyn Store, peers: &[SocketAddr]) -> Result<(), StoreError> {
    peers.iter().try_for_each(|peer| store.put(&[PEER_PREFIX, peer.to_string().as_bytes()].concat(), b""))
}

fn stored_peers(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    let records = store.scan(PEER_PREFIX, None, PEERS_MAX)?;
    let address = |(key, _): (Vec<u8>, _)| String::from_utf8(key[PEER_PREFIX.len()..].to_vec()).ok();
    Ok(records.into_iter().filter_map(address).collect())
}

fn own_addresses(link: SocketAddr) -> Vec<SocketAddr> {
    config::interfaces::advertise(link).addresses.into_iter().map(|(address, _)| address).collect()
}

fn bind(
    env: &Env,
    link: &config::Link,
    identity: &Arc<Identity>,
    vouchers: Arc<dyn Vouchers>,
    crypto: &Arc<CryptoProvider>,
) -> Result<quic::Transport, quic::BindError> {
    let transport = quic::Config {
        // The links' own heartbeats notice first; this is for connections that never became a link.
        idle_timeout: link.dead_after * 2,
        keep_alive: link.dead_after / 2,
        ..quic::Config::new(link.listen)
    };
    let bound = quic::Transport::bind(env, &transport, identity, Arc::clone(&vouchers), crypto);
    match (bound, link.listen_without_ipv6()) {
        (Err(quic::BindError::Io { .. }), Some(listen)) => {
            quic::Transport::bind(env, &quic::Config { listen, ..transport }, identity, vouchers, crypto)
        }
        (bound, _) => bound,
    }
}

fn gateway_of(
    env: &Env,
    upstream: &config::Upstream,
    identity: &Identity,
) -> Result<Arc<Gateway>, gateway::ConfigError> {
    let LatticeId(id) = identity.lattice();
    let cluster = format!("lattice-{:02x}{:02x}{:02x}{:02x}", id[0], id[1], id[2], id[3]);
    let mut config = gateway::Config::new(upstream.url.clone(), &cluster, identity.name())?;
    config.ping_interval = upstream.ping_interval;
    Ok(Gateway::new(env.clone(), config))
}

/// Connects to the upstream only while this node is the one that was elected to.
async fn follow_election(gateway: Arc<Gateway>, mut serving: tokio::sync::watch::Receiver<BTreeMap<UpstreamId, bool>>) {
    loop {
        let active = serving.borrow_and_update().get(&gateway.upstream()).copied().unwrap_or(false);
        gateway.set_active(active);
        if serving.changed().await.is_err() {
            return;
        }
    }
}

fn broker_config(config: &Config, identity: &Identity) -> broker::Config {
    let client = &config.client;
    broker::Config {
        listen: config.listen,
        server_name: identity.name().to_owned(),
        server_id: identity.node_id().to_string(),
        max_payload: client.max_payload,
        max_control_line: client.max_control_line,
        max_pending: client.max_pending,
        max_connections: client.max_connections,
        max_subscriptions: client.max_subscriptions,
        ping_interval: client.ping_interval,
        ping_max: client.ping_max,
        auth_timeout: client.auth_timeout,
        write_deadline: client.write_deadline,
        auth: auth(&client.auth),
        ..broker::Config::default()
    }
}

fn auth(auth: &config::Auth) -> broker::Auth {
    match auth {
        config::Auth::Open => broker::Auth::None,
        config::Auth::Token(token) => broker::Auth::Token(token.clone()),
        config::Auth::Users(users) => {
            let user = |user: &config::User| broker::User { name: user.name.clone(), password: user.password.clone() };
            broker::Auth::Users(users.iter().map(user).collect())
        }
    }
}

fn mesh_config(config: &Config, link: SocketAddr, stored: Vec<String>) -> mesh::Config {
    let mut peers = config.link.peers.clone();
    peers.extend(stored);
    peers.sort();
    peers.dedup();
    mesh::Config {
        peers,
        advertise: config.link.advertise.clone(),
        addresses: own_addresses(link),
        heartbeat: config.link.heartbeat,
        dead_after: config.link.dead_after,
        redial_min: config.link.redial_min,
        redial_max: config.link.redial_max,
        link_bytes_max: config.mesh.link_buffer_max,
        control: mesh::control::Config { nodes_max: config.mesh.nodes_max, ..mesh::control::Config::default() },
        ..mesh::Config::default()
    }
}

fn link_status(link: &mesh::LinkView, now: Instant) -> status::Link {
    let (sent, lost) = link.packets;
    status::Link {
        address: link.address.to_string(),
        dialed: link.dialed,
        rtt_ms: link.rtt.as_secs_f64() * 1e3,
        loss: if sent == 0 { 0.0 } else { lost as f64 / sent as f64 },
        up_secs: (now - link.since).as_secs(),
    }
}

#[cfg(test)]
mod tests;
