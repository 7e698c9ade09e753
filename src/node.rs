//! The node: builds the layers from the bottom up, answers for them, and ends them in reverse.
//!
//! It has neither disk nor command line: what it is made of comes in as [`Parts`], so that the simulator builds the same
//! node over simulated sockets. How the layers are joined is `wiring.rs`'s.

mod hosting;
mod members;
mod roots;
mod seeing;

pub use members::{RevokeError, find as find_member, list as list_members, told as told_revoked};
pub use roots::{FollowError, follow as follow_roots, list as list_roots};
pub use seeing::SeeError;

use crate::config::{self, Config};
use crate::control::{InviteRequest, RevokeRequest, RootRequest};
use crate::gateway::{self, Gateway};
use crate::host::runner::Runner;
use crate::host::{self, Host, images};
use crate::identity::{
    Admission, Applicant, Identity, Invite, IssueError, Joiner, LatticeId, NodeId, Notary, Refusal, Revocation, Roll,
    Terms, revocation,
};
use crate::mesh::announcement::Shelf;
use crate::mesh::plane::{self, Plane};
use crate::mesh::resequence;
use crate::mesh::spf::HOPS_MAX;
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
use std::time::{Duration, Instant};

/// Keys of the store: a peer to dial, by its address, and where this node last listened.
const PEER_PREFIX: &[u8] = b"peer/";
const LISTEN_KEY: &[u8] = b"link/listen";
/// A connection that is silent for so long is dead, whatever its link thinks: more than twice the longest interval of
/// heartbeats.
const IDLE_MIN: Duration = Duration::from_secs(150);
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
    /// Who checks the members' chains: likewise.
    pub notary: Arc<Notary>,
    /// What went wrong before the start and its user should know.
    pub warnings: Vec<String>,
    /// What runs components; without it the node is no host.
    pub runner: Option<Arc<dyn Runner>>,
    /// Where a host keeps images; without it components come from files alone.
    pub images: Option<images::Shelf>,
}

/// A running node. Dropping it leaves its tasks running until the process ends: call [`Node::drain`].
#[derive(Debug)]
pub struct Node {
    env: Env,
    config: Config,
    identity: Arc<Identity>,
    roll: Arc<Roll>,
    broker: Broker,
    mesh: Arc<Mesh>,
    gateway: Option<Arc<Gateway>>,
    host: Option<Host>,
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
        let broker = Self::broker_of(&parts.env, &parts.config, &parts.identity)?;
        Self::start_with(parts, broker)
    }

    /// The broker of a node with these settings, for [`Node::start_with`]: what runs components is a client of it.
    ///
    /// # Errors
    /// [`StartError::Broker`] names the setting that it cannot work with.
    pub fn broker_of(env: &Env, config: &Config, identity: &Identity) -> Result<Broker, StartError> {
        Ok(Broker::new(env.clone(), broker_config(config, identity))?)
    }

    /// The same with a broker that has its own settings, and does not listen yet.
    ///
    /// # Errors
    /// [`StartError`] names what stands in the way.
    pub fn start_with(parts: Parts, broker: Broker) -> Result<Self, StartError> {
        let Parts { env, config, identity, store, crypto, shelf, notary, mut warnings, runner, images } = parts;
        let roll = Arc::new(Roll::open(&identity, Arc::clone(&store), notary)?);
        let transport = bind(&env, &config.link, &identity, &roll, &crypto)?;
        let link = transport.local_addr();
        let gateway = config.upstream.as_ref().map(|upstream| gateway_of(&env, upstream, &identity)).transpose()?;
        let mut mesh_config = mesh_config(&config, stored_peers(store.as_ref())?);
        store.put(LISTEN_KEY, link.to_string().as_bytes())?;
        // Last of what can fail: clients come at once, and no later error could take the listener back.
        let nats = broker.listen()?;
        mesh_config.clients = match &config.client.advertise {
            None => mesh::Clients::Listening(nats),
            Some(urls) if urls.is_empty() => mesh::Clients::Nowhere,
            Some(urls) => mesh::Clients::At(urls.iter().map(|url| with_port(url, nats.port())).collect()),
        };

        let bounds = plane_bounds(&config.mesh, &config.link);
        let plane = Arc::new(Plane::new(env.clone(), identity.node_id(), config.mesh.frame_max, bounds));
        let bus = wiring::attach(&broker, NeighborKind::Mesh, Arc::clone(&plane) as _);
        let upstreams: Vec<UpstreamId> = gateway.iter().map(|gateway| gateway.upstream()).collect();
        let parts = mesh::Parts {
            identity: Arc::clone(&identity),
            roll: Arc::clone(&roll),
            transport,
            plane,
            bus,
            upstreams,
            shelf,
            store: Arc::clone(&store),
        };
        let mesh = Arc::new(Mesh::start(env.clone(), mesh_config, parts));
        if let Some(gateway) = &gateway {
            gateway.set_active(false);
            let bus = wiring::attach(&broker, gateway.kind(), Arc::clone(gateway) as _);
            gateway.run(bus);
            env.spawn(follow_election(Arc::clone(gateway), mesh.serving()));
        }
        env.spawn(follow_client_urls(broker.clone(), mesh.client_urls()));
        let started = env.now();
        let facts = hosting::facts(&config, &identity, nats);
        let runner = runner.filter(|_| config.host.enabled);
        let parts = runner.and_then(|runner| hosting::parts(&env, facts, &identity, &broker, &mesh, store, runner));
        let host = parts.and_then(|parts| hosting::start(host::Parts { images, ..parts }, &mut warnings));
        Ok(Self { env, config, identity, roll, broker, mesh, gateway, host, nats, link, started, warnings })
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

    /// Who is a member, and by which root keys.
    #[must_use]
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// The mesh: what it knows of the others, and how its links are.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The host, when this node is one.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
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
            // Who answers HTTP is above the node.
            http: None,
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
        issue(&self.env, &self.config, &self.identity, &self.roll, self.link, request).await
    }

    /// Every member that is known.
    #[must_use]
    pub fn members(&self) -> Vec<status::Member> {
        let view = self.mesh.view();
        let reachable = |id| view.nodes.iter().find(|node| node.id == id).map(|node| node.way.is_some());
        members::list(&self.identity, &self.roll, self.roll.now(self.env.wall()), reachable)
    }

    /// Throws a member out, or takes in what others have signed to that end. Ready when it survives a loss of power.
    ///
    /// # Errors
    /// [`RevokeError`]; nobody is thrown out then.
    pub async fn revoke(&self, request: RevokeRequest) -> Result<status::Revoked, RevokeError> {
        let before = self.roll.list();
        let revocations = revocations(&self.env, &self.identity, &self.roll, request)?;
        // As far as there is room: those that are in the roll must be in force.
        let taken = revocations.iter().try_for_each(|revocation| self.roll.revoke(revocation).map(drop));
        self.mesh.revoke(revocations.clone()).await;
        taken?;
        self.roll.durable().await?;
        Ok(members::told(&self.roll, &revocations, &before))
    }

    /// Shows the root keys, or goes by those that a file tells of. Ready when that survives a loss of power.
    ///
    /// # Errors
    /// [`FollowError`].
    pub async fn root(&self, request: RootRequest) -> Result<status::Roots, FollowError> {
        if let RootRequest::Follow { text, instead } = request {
            if roots::follow(&self.roll, &text, instead.as_deref())? {
                self.mesh.succeed().await;
            }
            self.roll.durable().await?;
        }
        Ok(roots::list(&self.identity, &self.roll, &self.members()))
    }

    /// Admits a device that holds `invite`, without a network between the two: what a join does, for simulations.
    ///
    /// # Errors
    /// [`Refusal`]; it is no member then.
    pub async fn take_in(&self, invite: &Invite, applicant: &Applicant) -> Result<Admission, Refusal> {
        let application = applicant.application();
        let joiner = Joiner { node: NodeId(application.node.0), name: applicant.name().to_owned() };
        let admitted = self.roll.admit(&self.identity, invite.chain(), &application, &joiner, self.env.wall())?;
        admitted.durable.await.map_err(|error| Refusal::Unable { why: error.to_string() })?;
        self.mesh.admitted(admitted.chain).await;
        Ok(admitted.admission)
    }

    /// Ends the node in order: components end, no new clients, what is there is delivered, the links say goodbye.
    pub async fn drain(&self) {
        if let Some(host) = &self.host {
            host.drain().await;
        }
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
        if let Some(what) = self.roll.refuses(self.identity.membership()) {
            problems.push(format!("this node is a member no more; revoked: {what}"));
        }
        problems.extend(roots::problem(&self.roll));
        let excess = self.roll.list().into_iter().filter(|member| member.excess && !member.revoked);
        let excess: Vec<String> = excess.map(|member| member.name).collect();
        if !excess.is_empty() {
            problems.push(format!(
                "admitted beyond the uses of an invite, in parts that were apart: {}",
                excess.join(", ")
            ));
        }
        let lost: Vec<&str> = peers.iter().filter(|peer| !peer.reachable).map(|peer| peer.name.as_str()).collect();
        if !lost.is_empty() {
            problems.push(format!("cannot be reached: {}", lost.join(", ")));
        }
        let too_far = self.mesh.too_far();
        if too_far > 0 {
            problems.push(format!("{too_far} nodes are more than {HOPS_MAX} links away, where no message gets"));
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
        counters.extend(self.lattice_counters());
        counters
    }

    /// What was counted of all that is not the broker's: links, routing, the upstream.
    #[must_use]
    pub fn lattice_counters(&self) -> BTreeMap<String, u64> {
        let mut counters = BTreeMap::new();
        counters.extend(self.mesh.counters().into_iter().map(|(name, count)| (format!("mesh_{name}"), count)));
        let control = self.mesh.view().counters.by_name();
        counters.extend(control.into_iter().map(|(name, count)| (format!("control_{name}"), count)));
        let forming = self.mesh.forming_counters().into_iter();
        counters.extend(forming.map(|(name, count)| (format!("forming_{name}"), count)));
        counters.extend(self.mesh.transport_counters());
        if let Some(gateway) = &self.gateway {
            counters.extend(gateway.counters().into_iter().map(|(name, count)| (format!("upstream_{name}"), count)));
        }
        if let Some(host) = &self.host {
            let state = host.state().counters().into_iter();
            counters.extend(state.map(|(name, count)| (format!("state_{name}"), count)));
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
    roll: &Roll,
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
        addresses = config::interfaces::addresses(env, link);
    }
    addresses.truncate(INVITE_ADDRESSES_MAX);
    let InviteRequest { expires, uses, grant } = request;
    let terms = Terms { valid_for: expires, uses, grant, addresses };
    Ok(identity.issue(&mut env.rng("invite"), terms, roll.now(env.wall()))?.with_line(&roll.line()))
}

/// The revocations that `request` asks for, each of which somebody has signed who may.
///
/// # Errors
/// [`RevokeError`].
pub fn revocations(
    env: &Env,
    identity: &Identity,
    roll: &Roll,
    request: RevokeRequest,
) -> Result<Vec<Revocation>, RevokeError> {
    let revocations = match request {
        RevokeRequest::Node(name) => vec![members::revocation_of(identity, roll, &name, roll.now(env.wall()))?],
        RevokeRequest::Import(text) => revocation::from_text(roll.root(), &text)?,
    };
    let current = roll.line().current();
    revocations.iter().try_for_each(|revocation| revocation.verify(roll.root(), current).map(drop))?;
    Ok(revocations)
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

fn bind(
    env: &Env,
    link: &config::Link,
    identity: &Arc<Identity>,
    roll: &Arc<Roll>,
    crypto: &Arc<CryptoProvider>,
) -> Result<quic::Transport, quic::BindError> {
    let transport = quic::Config {
        // Never sooner than the links' own heartbeats notice, however far apart these are: the ends agree on the shorter.
        idle_timeout: IDLE_MIN.max(link.dead_after * 2),
        ..quic::Config::new(link.listen)
    };
    let bound = quic::Transport::bind(env, &transport, identity, roll, crypto);
    match (bound, link.listen_without_ipv6()) {
        (Err(quic::BindError::Io { .. }), Some(listen)) => {
            quic::Transport::bind(env, &quic::Config { listen, ..transport }, identity, roll, crypto)
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
    config.tls = upstream.tls.clone();
    config.credentials_file.clone_from(&upstream.credentials_file);
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

/// Port 0 stands for the one that was picked.
fn with_port(url: &str, port: u16) -> String {
    url.strip_suffix(":0").map_or_else(|| url.to_owned(), |host| format!("{host}:{port}"))
}

/// Tells clients where else the lattice is.
async fn follow_client_urls(broker: Broker, mut urls: tokio::sync::watch::Receiver<Vec<String>>) {
    while urls.changed().await.is_ok() {
        broker.set_connect_urls(&urls.borrow_and_update());
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
        own_accounts: vec![wiring::NODES_ACCOUNT],
        ..broker::Config::default()
    }
}

fn auth(auth: &config::Auth) -> broker::Auth {
    match auth {
        config::Auth::Open => broker::Auth::default(),
        config::Auth::Token(token) => broker::Auth::token(token),
        config::Auth::Users(users) => {
            let user = |user: &config::User| broker::User::with_password(&user.name, &user.password);
            broker::Auth::users(users.iter().map(user).collect())
        }
    }
}

fn mesh_config(config: &Config, stored: Vec<String>) -> mesh::Config {
    let mut peers = config.link.peers.clone();
    peers.extend(stored);
    peers.sort();
    peers.dedup();
    mesh::Config {
        peers,
        advertise: config.link.advertise.clone(),
        forming: config.forming.clone(),
        beacon: config.beacon.clone(),
        heartbeat: config.link.heartbeat,
        dead_after: config.link.dead_after,
        redial_min: config.link.redial_min,
        redial_max: config.link.redial_max,
        link_bytes_max: config.mesh.link_buffer_max,
        control: mesh::control::Config { nodes_max: config.mesh.nodes_max, ..mesh::control::Config::default() },
        ..mesh::Config::default()
    }
}

fn plane_bounds(config: &config::Mesh, link: &config::Link) -> plane::Bounds {
    let hold = resequence::Bounds::default();
    plane::Bounds {
        hold: resequence::Bounds {
            bytes_max: config.hold_max,
            origin_bytes_max: config.hold_origin_max,
            time: config.hold_time,
            gone_time: hold.gone_time.max(link.dead_after),
        },
        parked_max: config.parked_max,
        parked_for: config.parked_time,
        ring_max: config.ring_max,
    }
}

fn link_status(link: &mesh::LinkView, now: Instant) -> status::Link {
    status::Link {
        address: link.address.to_string(),
        dialed: link.dialed,
        rtt_ms: link.rtt.as_secs_f64() * 1e3,
        loss: link.health.loss,
        suspected: link.health.doubt > 0,
        cost: link.health.cost(),
        up_secs: (now - link.since).as_secs(),
        packets_sent: link.packets_sent,
        packets_lost: link.packets_lost,
    }
}

#[cfg(test)]
mod tests;
