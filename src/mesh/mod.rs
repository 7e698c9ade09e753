//! Everything between the nodes: who there is, who wants what, and which way it goes.
//!
//! The order of the modules is the way of bytes: a connection (`quic`) becomes a link (`greeting`, `links`, `link`), its
//! control frames drive the control plane (`frame`, `control` and what it composes), whose routes the data plane
//! (`plane`) forwards by, and nothing is lost by it (`flow`, `resequence`; `custody`, `parking`, `ring`). All but `quic`,
//! `join`, `lan`, `link`, `watcher`, `dialer`, `driver` and `custodian` is free of IO.
//! Who may be a member is left to `crate::identity`, local delivery to the broker behind `crate::ports`.

pub mod allowance;
pub mod announcement;
pub mod backoff;
pub mod beacon;
pub mod candidates;
mod chronicle;
pub mod client_urls;
pub mod control;
pub mod cost;
pub mod counters;
mod custodian;
pub mod custody;
mod detour;
mod dialer;
pub mod digest;
mod driver;
pub mod events;
pub mod flow;
pub mod forming;
pub mod frame;
pub mod frame_queue;
pub mod greeting;
pub mod heartbeat;
pub mod id;
pub mod interest;
pub mod interest_queue;
pub mod join;
mod lan;
pub mod learnt;
mod link;
pub mod links;
pub mod lsdb;
pub mod outbuf;
pub mod parking;
pub mod plane;
pub mod queue;
pub mod quic;
mod remembered;
pub mod resequence;
pub mod ring;
pub mod share;
mod shared;
pub mod sorted;
pub mod spf;
pub mod streams;
pub mod suspicion;
pub mod times;
pub mod trace;
pub mod view;
pub mod watcher;

use crate::config::interfaces;
use crate::identity::{Chain, Identity, Revocation, Roll};
use crate::ports::{Bus, UpstreamId};
use crate::store::Store;
use allowance::{Allowance, Limit};
use announcement::Shelf;
use control::Control;
use detour::Detours;
use driver::Driver;
use events::What;
use forming::Forming;
use heartbeat::Pace;
use lattice_broker::env::Env;
use links::Link;
use plane::{Arrivals, Plane};
use shared::{Input, Shared};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use view::{Backlog, InterestView, Sight, View};

/// Control frames that may wait for the control plane; the links wait when there are more.
const INPUTS_MAX: usize = 256;
/// How often a node looks where it can be dialled: interfaces come and go, and names move.
const ADDRESSES_EVERY: Duration = Duration::from_secs(10);
/// How often clients are told something else, as there may be thousands of them, and what is at least between two times.
const CLIENT_URLS: Limit = Limit { at_once: 5, every: Duration::from_secs(1) };
const CLIENT_URLS_LEAST: Duration = Duration::from_millis(50);
/// How long all links together may take to end in peace.
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// How long the packets that close links in peace may take to leave: the peers have said goodbye, and miss nothing without.
const LAST_PACKETS: Duration = Duration::from_millis(5);
/// How long peers are told that their links have been cut.
const CUT_OFF_MAX: Duration = Duration::from_secs(1);

/// Delays and bounds of the links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whom to keep a link to: `host:port`.
    pub peers: Vec<String>,
    /// Where others can dial this node, as `host:port`: what it announces, and tells a node that joins through it. When
    /// nothing is named there, or nothing of it is found, the addresses of its interfaces are.
    pub advertise: Vec<String>,
    /// Whom to dial besides.
    pub forming: forming::Config,
    /// Whether members in the local network are told, and heard; not when nobody is dialled besides.
    pub beacon: beacon::Config,
    /// How often a link shows that it is alive.
    pub heartbeat: Pace,
    /// Silence after which a link is dead, unless its heartbeats are too far apart to tell.
    pub dead_after: Duration,
    /// The first wait before dialling again.
    pub redial_min: Duration,
    /// The longest wait before dialling again.
    pub redial_max: Duration,
    /// How long looking up a peer's name may take.
    pub dial_timeout: Duration,
    /// How long a new connection may take to become a link.
    pub greet_timeout: Duration,
    /// Bytes that may wait for each of a link's streams; what comes on top is dropped and counted.
    pub link_bytes_max: usize,
    /// Where clients find this node.
    pub clients: Clients,
    /// How long a full link may hold up the one that it gets frames from.
    pub stall_max: Duration,
    /// Bounds of the control plane.
    pub control: control::Config,
}

/// Where the clients of other nodes are told to find this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// They are not told of it, and its own clients are not told of others.
    Nowhere,
    /// Where it listens: at this address, or at those of the interfaces if it is unspecified. Loopback is kept to itself.
    Listening(SocketAddr),
    /// At these, each a `host:port`.
    At(Vec<String>),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            advertise: Vec::new(),
            forming: forming::Config::default(),
            beacon: beacon::Config::default(),
            heartbeat: Pace::Automatic,
            dead_after: Duration::from_millis(2_500),
            redial_min: Duration::from_millis(100),
            redial_max: Duration::from_secs(1),
            dial_timeout: Duration::from_secs(5),
            greet_timeout: Duration::from_secs(5),
            link_bytes_max: 32 << 20,
            clients: Clients::Nowhere,
            stall_max: Duration::from_secs(2),
            control: control::Config::default(),
        }
    }
}

/// What a mesh is made of.
#[derive(Debug)]
pub struct Parts {
    /// Who this node is.
    pub identity: Arc<Identity>,
    /// Who else has been admitted.
    pub roll: Arc<Roll>,
    /// The socket of its links.
    pub transport: quic::Transport,
    /// The data plane, which the caller has attached to the broker…
    pub plane: Arc<Plane>,
    /// …to get this.
    pub bus: Arc<dyn Bus>,
    /// The real servers that this node is configured for.
    pub upstreams: Vec<UpstreamId>,
    /// Where its announcements stand.
    pub shelf: Arc<dyn Shelf>,
    /// Where it writes down who was found where.
    pub store: Arc<dyn Store>,
}

/// A running mesh.
///
/// Dropping it leaves its tasks running until the process ends: call [`Mesh::drain`].
#[derive(Debug)]
pub struct Mesh {
    shared: Arc<Shared>,
    sight: Arc<Sight>,
    serving: watch::Receiver<BTreeMap<UpstreamId, bool>>,
    client_urls: watch::Receiver<Vec<String>>,
    accepting: CancellationToken,
}

/// A link as status commands show it.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// Whose.
    pub peer: crate::identity::NodeId,
    /// The peer's name.
    pub name: String,
    /// The peer's address at this moment.
    pub address: SocketAddr,
    /// True when this node dialled.
    pub dialed: bool,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// How it is.
    pub health: watcher::Health,
    /// When it came up.
    pub since: Instant,
    /// Datagrams sent over it.
    pub packets_sent: u64,
    /// Of these, those that were taken for lost.
    pub packets_lost: u64,
    /// Bytes of datagrams sent over it…
    pub bytes_sent: u64,
    /// …and received.
    pub bytes_received: u64,
    /// Bytes that wait for its streams.
    pub waiting: usize,
}

impl Mesh {
    /// Starts the links and the control plane: accepts, dials `config.peers`, and routes. Spawns its tasks on `env`.
    #[must_use]
    pub fn start(env: Env, config: Config, parts: Parts) -> Self {
        let Parts { identity, roll, transport, plane, bus, upstreams, shelf, store } = parts;
        let facts = greeting::Facts {
            id: identity.node_id(),
            name: identity.name().to_owned(),
            boot: identity.boot(),
            lattice: identity.lattice().0,
        };
        let (inputs, received) = mpsc::channel(INPUTS_MAX);
        let (serving_tx, serving) = watch::channel(BTreeMap::new());
        let sight = Arc::new(Sight::default());
        let peers = config.peers.clone();
        let arrivals = Mutex::new(Arrivals::new(Arc::clone(&bus), plane.hold_bounds()));
        let shared = Arc::new(Shared {
            identity: Arc::clone(&identity),
            roll,
            facts,
            transport,
            links: links::Links::default(),
            histories: suspicion::Histories::default(),
            plane,
            arrivals,
            dial_problems: dialer::DialProblems::default(),
            events: Mutex::default(),
            inputs,
            last_link: AtomicU64::new(0),
            stop: CancellationToken::new(),
            config,
            env,
        });
        let mut control = control_of(&shared, identity, shelf);
        control.handle(shared.env.now(), control::Event::Upstreams(&upstreams));
        let (accepting, written) = (CancellationToken::new(), Arc::new(Notify::new()));
        let driver = Driver {
            shared: Arc::clone(&shared),
            control,
            forming: forming_of(&shared, store.as_ref()),
            store: Arc::clone(&store),
            written: Arc::clone(&written),
            accepting: accepting.clone(),
            bus,
            inputs: received,
            sight: Arc::clone(&sight),
            serving: serving_tx,
            links: BTreeMap::new(),
            revocations: 0,
            successions: 0,
            detours: Detours::default(),
            chronicle: chronicle::Chronicle::new(shared.facts.id, &shared.roll),
        };
        shared.env.spawn(driver.run());
        shared.env.spawn(custodian::run(Arc::clone(&shared)));
        shared.env.spawn(remembered::flush(Arc::clone(&shared), store, written));
        shared.env.spawn(tell_addresses(Arc::clone(&shared)));
        let (urls_told, client_urls) = watch::channel(Vec::new());
        if shared.config.clients != Clients::Nowhere {
            shared.env.spawn(tell_client_urls(Arc::clone(&shared), Arc::clone(&sight), urls_told));
        }
        shared.env.spawn(accept(Arc::clone(&shared), accepting.clone()));
        lan::start(&shared, accepting.clone());
        for peer in peers {
            let keep = dialer::keep(Arc::clone(&shared), peer);
            let accepting = accepting.clone();
            shared.env.spawn(async move {
                // Ended by the token alone: keeping a link has no end of its own.
                let _ = accepting.run_until_cancelled(keep).await;
            });
        }
        Self { shared, sight, serving, client_urls, accepting }
    }

    /// Every other node that is known, and the way to it.
    #[must_use]
    pub fn view(&self) -> View {
        self.sight.view()
    }

    /// How many other nodes can be reached.
    #[must_use]
    pub fn reachable(&self) -> usize {
        self.shared.plane.reachable()
    }

    /// Whether there is a path to `node`.
    #[must_use]
    pub fn reaches(&self, node: &crate::identity::NodeId) -> bool {
        self.shared.plane.reaches(node)
    }

    /// How many other nodes are so many links away that messages do not reach them.
    #[must_use]
    pub fn too_far(&self) -> usize {
        self.shared.plane.too_far()
    }

    /// The links that are up.
    #[must_use]
    pub fn links(&self) -> Vec<LinkView> {
        self.shared.links.all().iter().map(link_view).collect()
    }

    /// Whose links are up, each once for each link.
    #[must_use]
    pub fn peers(&self) -> Vec<crate::identity::NodeId> {
        self.shared.links.all().iter().map(|link| link.peer).collect()
    }

    /// What waits for the streams of the links, control and data, in the order of their peers' keys.
    #[must_use]
    pub fn backlogs(&self) -> Vec<Backlog> {
        let links = self.shared.links.all();
        let buffers = links.iter().flat_map(|link| {
            let (peer, control, data) = (link.peer, &link.control, &link.data);
            let control = (control.pending(), control.most(), control.bytes_max());
            [(peer, control), (peer, (data.pending(), data.most(), data.bytes_max()))]
        });
        buffers.map(|(peer, (bytes, bytes_most, bytes_max))| Backlog { peer, bytes, bytes_most, bytes_max }).collect()
    }

    /// Frames that found a link's buffer full.
    #[must_use]
    pub fn dropped_full(&self) -> u64 {
        self.shared.plane.counters.dropped_link_full.count()
    }

    /// This node's interest as the others are told, and then that of each other node as far as it is known here. Nothing
    /// once the mesh has been drained. A copy of all of it is made: for looking at, not for every second.
    pub async fn interest(&self) -> Vec<InterestView> {
        let (asked, answer) = oneshot::channel();
        self.shared.tell(Input::ShowInterest(asked)).await;
        answer.await.unwrap_or_default()
    }

    /// For each node within reach the neighbour to turn to if the link that leads there became suspect, where there is
    /// one. Some runs over the whole graph, on the control plane's task: for when somebody looks. Nothing once the mesh
    /// has been drained.
    pub async fn alternates(&self) -> BTreeMap<crate::identity::NodeId, crate::identity::NodeId> {
        let (asked, answer) = oneshot::channel();
        self.shared.tell(Input::ShowAlternates(asked)).await;
        answer.await.unwrap_or_default()
    }

    /// The data plane.
    #[must_use]
    pub fn plane(&self) -> &Plane {
        &self.shared.plane
    }

    /// Tells the others that this node has admitted somebody.
    pub async fn admitted(&self, chain: Arc<Chain>) {
        self.shared.tell(Input::Admitted(chain)).await;
    }

    /// Cuts off who is a member no more by these, which are in the roll already, and tells the others.
    pub async fn revoke(&self, revocations: Vec<Revocation>) {
        self.shared.tell(Input::Revoke(revocations)).await;
    }

    /// Cuts off who does not count by the root keys that the roll has now, and tells the others of them.
    pub async fn succeed(&self) {
        self.shared.tell(Input::Succeed).await;
    }

    /// Peers that are configured and not linked at present, with the reason.
    #[must_use]
    pub fn dial_problems(&self) -> Vec<(String, String)> {
        self.shared.dial_problems.list()
    }

    /// What has happened after the event numbered `after`, as far as it is remembered.
    #[must_use]
    pub fn events(&self, after: u64) -> events::Since {
        self.shared.events().since(after)
    }

    /// What the links and the data plane have counted.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.shared.plane.counters.by_name()
    }

    /// How long it took until routes followed from changes of this node's own links.
    #[must_use]
    pub fn rerouted(&self) -> times::Told {
        self.shared.plane.counters.rerouted.told()
    }

    /// Round trips of the links that this node has dialled, at each answered heartbeat.
    #[must_use]
    pub fn round_trips(&self) -> times::Told {
        self.shared.plane.counters.round_trips.told()
    }

    /// What was counted of whom this node dials of its own accord.
    #[must_use]
    pub fn forming_counters(&self) -> [(&'static str, u64); 9] {
        self.sight.forming().by_name()
    }

    /// What the sockets and handshakes have counted.
    #[must_use]
    pub fn transport_counters(&self) -> BTreeMap<String, u64> {
        self.shared.transport.counters().snapshot()
    }

    /// Which upstreams this node is the one to serve, as it changes.
    #[must_use]
    pub fn serving(&self) -> watch::Receiver<BTreeMap<UpstreamId, bool>> {
        self.serving.clone()
    }

    /// Where clients can connect, to this node and to others within reach, as it changes; see [`client_urls::choose`].
    #[must_use]
    pub fn client_urls(&self) -> watch::Receiver<Vec<String>> {
        self.client_urls.clone()
    }

    /// Ends all links in peace: says goodbye, lets what is buffered arrive, closes the socket. Takes three seconds at
    /// most; what has not arrived by then is lost.
    pub async fn drain(&self) {
        self.accepting.cancel();
        let links = self.shared.links.all();
        links.iter().for_each(|link| link.stop.cancel());
        let ended = async {
            for link in &links {
                link.connection.closed().await;
            }
        };
        // When the time is up the transport cuts what is left.
        let ended = self.shared.env.timeout(DRAIN_MAX, ended).await;
        self.shared.transport.close(if ended.is_ok() { LAST_PACKETS } else { CUT_OFF_MAX }).await;
        self.shared.stop.cancel();
    }
}

fn control_of(shared: &Shared, identity: Arc<Identity>, shelf: Arc<dyn Shelf>) -> Control {
    let me = control::Identity {
        node: shared.facts.id,
        name: shared.facts.name.clone(),
        boot: shared.facts.boot,
        lattice: shared.facts.lattice,
    };
    let signer = Box::new(move |message: &[u8]| identity.key().sign(message));
    let roll = Arc::clone(&shared.roll);
    Control::new(shared.config.control.clone(), me, signer, roll, shelf, shared.env.now())
}

fn forming_of(shared: &Shared, store: &dyn Store) -> Forming {
    let (env, now) = (&shared.env, shared.env.now());
    let mut forming = Forming::new(shared.config.forming.clone(), shared.facts.boot, env.rng("forming"), now);
    if let Err(error) = remembered::load(store, now, &mut forming) {
        tracing::warn!(%error, "where members were found before the start cannot be read");
    }
    forming
}

fn link_view(link: &Arc<Link>) -> LinkView {
    let stats = link.connection.stats();
    LinkView {
        peer: link.peer,
        name: link.name.clone(),
        address: link.address(),
        dialed: link.dialed,
        rtt: link.connection.rtt(),
        health: link.health(),
        since: link.since,
        packets_sent: stats.udp_tx.datagrams,
        packets_lost: stats.path.lost_packets,
        bytes_sent: stats.udp_tx.bytes,
        bytes_received: stats.udp_rx.bytes,
        waiting: link.control.pending() + link.data.pending(),
    }
}

/// Takes in whoever connects: members get a link, holders of an invite get admitted.
async fn accept(shared: Arc<Shared>, accepting: CancellationToken) {
    while let Some(Some(accepted)) = accepting.run_until_cancelled(shared.transport.accept()).await {
        match accepted {
            quic::Accepted::Link(connected) => {
                let shared = Arc::clone(&shared);
                shared.env.clone().spawn(async move {
                    // How it ended matters to a dialler only.
                    let _ = link::run(&shared, connected).await;
                });
            }
            quic::Accepted::Join(attempt) => {
                let shared = Arc::clone(&shared);
                shared.env.clone().spawn(async move { admit(&shared, attempt).await });
            }
        }
    }
}

/// Where this node can be dialled at this moment: a name may have moved since the start.
async fn own_addresses(shared: &Shared) -> Vec<SocketAddr> {
    let Shared { env, config, .. } = shared;
    let mut found = Vec::new();
    let look_up = async {
        for name in &config.advertise {
            match env.resolve(name).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => tracing::debug!(name, %error, "an address to advertise cannot be looked up"),
            }
        }
    };
    if env.timeout(config.dial_timeout, look_up).await.is_err() {
        tracing::debug!("the addresses to advertise could not all be looked up in time");
    }
    if found.is_empty() {
        found = interfaces::addresses(env, shared.transport.local_addr());
    }
    found
}

/// Where clients can connect to this node at this moment.
fn own_client_urls(shared: &Shared) -> Vec<String> {
    match &shared.config.clients {
        Clients::Nowhere => Vec::new(),
        Clients::At(urls) => urls.clone(),
        Clients::Listening(listen) => {
            let found = interfaces::addresses(&shared.env, *listen).into_iter();
            found.filter(|address| !address.ip().is_loopback()).map(|address| address.to_string()).collect()
        }
    }
}

/// Finds what clients of this node are to be told, as that changes; they are told once a second at most, but for some
/// changes that come together, as when nodes start or one has gone.
async fn tell_client_urls(shared: Arc<Shared>, sight: Arc<Sight>, told: watch::Sender<Vec<String>>) {
    let mut allowance = Allowance::default();
    while shared.stop.run_until_cancelled(sight.changed()).await.is_some() {
        let urls = sight.client_urls(&told.borrow());
        let is_other = told.send_if_modified(|told| {
            let is_other = *told != urls;
            *told = urls;
            is_other
        });
        if is_other {
            let now = shared.env.now();
            allowance.take(now, CLIENT_URLS);
            let pause = allowance.wait(now, CLIENT_URLS).max(CLIENT_URLS_LEAST);
            let _ = shared.stop.run_until_cancelled(shared.env.sleep(pause)).await;
        }
    }
}

/// Announces where this node can be dialled, and where clients can connect, as that changes.
async fn tell_addresses(shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        shared.tell(Input::Addresses(own_addresses(&shared).await)).await;
        shared.tell(Input::ClientUrls(own_client_urls(&shared))).await;
        let _ = shared.stop.run_until_cancelled(shared.env.sleep(ADDRESSES_EVERY)).await;
    }
}

async fn admit(shared: &Shared, attempt: quic::JoinAttempt) {
    let addresses = own_addresses(shared).await;
    match join::serve(&shared.env, &shared.identity, &shared.roll, attempt, &addresses).await {
        Ok(join::Served::Admitted(joiner, chain)) => {
            tracing::info!(node = %joiner.node, name = joiner.name, "a node has joined");
            shared.note(What::MemberAdmitted, Some((joiner.node, &joiner.name)), None);
            shared.tell(Input::Admitted(chain)).await;
        }
        Ok(join::Served::Refused(refusal)) => tracing::info!(%refusal, "a node was not admitted"),
        Err(error) => tracing::debug!(%error, "a join came to nothing"),
    }
}

/// An instant for tests to count from.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do, and there is no other way to one")]
fn start_of_time() -> Instant {
    Instant::now()
}
