//! Everything between the nodes: who there is, who wants what, and which way it goes.
//!
//! The order of the modules is the way of bytes: a connection (`quic`) becomes a link (`greeting`, `links`, `link`), its
//! control frames drive the control plane (`frame`, `control` and what it composes), whose routes the data plane
//! (`plane`, `flow`) forwards by. All but `quic`, `join`, `link`, `dialer` and `driver` is free of IO.
//! Who may be a member is left to `crate::identity`, local delivery to the broker behind `crate::ports`.

pub mod announcement;
pub mod backoff;
pub mod control;
pub mod counters;
mod dialer;
pub mod digest;
mod driver;
pub mod flow;
pub mod frame;
pub mod greeting;
pub mod heartbeat;
pub mod id;
pub mod interest;
pub mod interest_queue;
pub mod join;
pub mod learnt;
mod link;
pub mod links;
pub mod lsdb;
pub mod outbuf;
pub mod plane;
pub mod queue;
pub mod quic;
mod shared;
pub mod sorted;
pub mod spf;
pub mod view;

use crate::identity::{Identity, Vouchers};
use crate::ports::{Bus, UpstreamId};
use announcement::Shelf;
use control::Control;
use driver::Driver;
use lattice_broker::env::Env;
use links::Link;
use plane::{Arrivals, Plane};
use shared::{Input, Shared};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use view::{Backlog, InterestView, Sight, View};

/// Control frames that may wait for the control plane; the links wait when there are more.
const INPUTS_MAX: usize = 256;
/// How long all links together may take to end in peace.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Delays and bounds of the links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whom to keep a link to: `host:port`.
    pub peers: Vec<String>,
    /// Where others can dial this node, as `host:port`: what a node that joins through it is told, looked up then…
    pub advertise: Vec<String>,
    /// …or these, when nothing is named there, or nothing of it is found.
    pub addresses: Vec<SocketAddr>,
    /// How often a link says that it is alive.
    pub heartbeat: Duration,
    /// Silence after which a link is dead.
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
    /// How long a full link may hold up the one that it gets frames from.
    pub stall_max: Duration,
    /// Bounds of the control plane.
    pub control: control::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            advertise: Vec::new(),
            addresses: Vec::new(),
            heartbeat: Duration::from_millis(250),
            dead_after: Duration::from_secs(2),
            redial_min: Duration::from_millis(100),
            redial_max: Duration::from_secs(1),
            dial_timeout: Duration::from_secs(5),
            greet_timeout: Duration::from_secs(5),
            link_bytes_max: 32 << 20,
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
    /// The invites that it has made.
    pub vouchers: Arc<dyn Vouchers>,
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
}

/// A running mesh.
///
/// Dropping it leaves its tasks running until the process ends: call [`Mesh::drain`].
#[derive(Debug)]
pub struct Mesh {
    shared: Arc<Shared>,
    sight: Arc<Sight>,
    serving: watch::Receiver<BTreeMap<UpstreamId, bool>>,
    accepting: CancellationToken,
}

/// A link as status commands show it.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// Whose.
    pub peer: crate::identity::NodeId,
    /// The peer's address at this moment.
    pub address: SocketAddr,
    /// True when this node dialled.
    pub dialed: bool,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Packets sent, and those that were lost.
    pub packets: (u64, u64),
    /// When it came up.
    pub since: Instant,
}

impl Mesh {
    /// Starts the links and the control plane: accepts, dials `config.peers`, and routes. Spawns its tasks on `env`.
    #[must_use]
    pub fn start(env: Env, config: Config, parts: Parts) -> Self {
        let Parts { identity, vouchers, transport, plane, bus, upstreams, shelf } = parts;
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
        let shared = Arc::new(Shared {
            identity: Arc::clone(&identity),
            vouchers,
            facts,
            transport,
            links: links::Links::default(),
            plane,
            arrivals: Mutex::new(Arrivals::new(Arc::clone(&bus))),
            dial_problems: dialer::DialProblems::default(),
            inputs,
            last_link: AtomicU64::new(0),
            stop: CancellationToken::new(),
            config,
            env,
        });
        let mut control = control_of(&shared, identity, shelf);
        control.handle(shared.env.now(), control::Event::Upstreams(&upstreams));
        let driver = Driver {
            shared: Arc::clone(&shared),
            control,
            bus,
            inputs: received,
            sight: Arc::clone(&sight),
            serving: serving_tx,
            links: BTreeMap::new(),
        };
        shared.env.spawn(driver.run());
        let accepting = CancellationToken::new();
        shared.env.spawn(accept(Arc::clone(&shared), accepting.clone()));
        for peer in peers {
            let keep = dialer::keep(Arc::clone(&shared), peer);
            let accepting = accepting.clone();
            shared.env.spawn(async move {
                // Ended by the token alone: keeping a link has no end of its own.
                let _ = accepting.run_until_cancelled(keep).await;
            });
        }
        Self { shared, sight, serving, accepting }
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
        let buffers = links.iter().flat_map(|link| [(link.peer, &link.control), (link.peer, &link.data)]);
        buffers
            .map(|(peer, out)| Backlog {
                peer,
                bytes: out.pending(),
                bytes_most: out.most(),
                bytes_max: out.bytes_max(),
            })
            .collect()
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

    /// Peers that are configured and not linked at present, with the reason.
    #[must_use]
    pub fn dial_problems(&self) -> Vec<(String, String)> {
        self.shared.dial_problems.list()
    }

    /// What the links and the data plane have counted.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.shared.plane.counters.by_name()
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
        let _ = self.shared.env.timeout(DRAIN_MAX, ended).await;
        self.shared.transport.close().await;
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
    Control::new(shared.config.control.clone(), me, signer, shelf, shared.env.now())
}

fn link_view(link: &Arc<Link>) -> LinkView {
    let path = link.connection.stats().path;
    LinkView {
        peer: link.peer,
        address: link.address(),
        dialed: link.dialed,
        rtt: link.connection.rtt(),
        packets: (path.sent_packets, path.lost_packets),
        since: link.since,
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
                Err(error) => tracing::warn!(name, %error, "an address to advertise cannot be looked up"),
            }
        }
    };
    if env.timeout(config.dial_timeout, look_up).await.is_err() {
        tracing::warn!("the addresses to advertise could not all be looked up in time");
    }
    if found.is_empty() { config.addresses.clone() } else { found }
}

async fn admit(shared: &Shared, attempt: quic::JoinAttempt) {
    let addresses = own_addresses(shared).await;
    match join::serve(&shared.env, &shared.identity, shared.vouchers.as_ref(), attempt, &addresses).await {
        Ok(join::Served::Admitted(joiner)) => {
            tracing::info!(node = %joiner.node, name = joiner.name, "a node has joined")
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
