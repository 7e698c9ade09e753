//! The node as a process of the simulator: whole, over simulated sockets, with its keys made from the run's seed.
//!
//! One [`Nodes`] is a lattice: node 0 made it and admitted the others. [`play`] runs a scenario with one, and with clients
//! on each host. Which faults strike, and when hosts boot and die, is left to `lattice_netsim`.

mod clients;
mod disk;
pub mod log;
mod record;
mod run;
mod watch;

pub use record::Counts;
pub use run::{HUGE_PAGES, Run, Setup, check, cpu_time, memory_needed, play, play_caught, play_in};

use crate::config::file::File;
use crate::config::{Config, ConfigError, LINK_PORT};
use crate::host::runner::Runner;
use crate::identity::{Identity, NodeId, Notary};
use crate::mesh::announcement::SharedShelf;
use crate::node::{Node, Parts, StartError};
use disk::DiskStore;
use lattice_broker::env::Rng;
use lattice_netsim::{Dice, Disk, DiskConfig, Host, Process, Scenario, World};
use rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How long a supervisor waits before it starts a node again that did not start.
const START_AGAIN: Duration = Duration::from_secs(1);

/// Changes the settings of the node on a host before it starts.
pub type Tune = Box<dyn Fn(usize, &mut Config) + Send + Sync>;

/// Makes what runs the components of the node on a host, for each of its lives.
pub type Runners = Box<dyn Fn(usize) -> Arc<dyn Runner> + Send + Sync>;

/// The nodes of one lattice, one on each host from 0 on. [`World::install`] it on them.
///
/// What survives a crash is kept here: the keys, and a disk. A host that boots again has lost power: what its node had
/// not synced is gone, as [`Nodes::disk`] is configured. Nodes find each other by name, wherever hosts go.
#[derive(Clone)]
pub struct Nodes {
    machines: Arc<Vec<Machine>>,
    settings: Arc<Config>,
    tune: Arc<Tune>,
    runners: Option<Arc<Runners>>,
    /// What all nodes know is kept, and its signatures are checked, once.
    shelf: Arc<SharedShelf>,
    notary: Arc<Notary>,
    /// Dropping a node would not end it, but its broker must be held for as long as it runs.
    running: Arc<Mutex<BTreeMap<usize, Arc<Node>>>>,
}

/// What a node finds when it starts.
#[derive(Debug)]
struct Machine {
    identity: Identity,
    disk: Disk,
    /// Whom it dials.
    peers: Vec<String>,
}

/// Where the node on host `i` is dialled.
fn name(i: usize) -> String {
    format!("host-{i}:{LINK_PORT}")
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("nodes", &self.machines.len()).finish_non_exhaustive()
    }
}

/// The settings that a scenario gives its nodes are none.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// A key or a type that the config file does not have.
    #[error("[node]: {0}")]
    Unknown(#[from] toml::de::Error),
    /// A key that the simulator sets itself.
    #[error("[node]: {key} is set by the simulator")]
    Taken {
        /// The key.
        key: &'static str,
    },
    /// A value out of its range.
    #[error("[node]: {0}")]
    Value(#[from] ConfigError),
}

/// The settings that `scenario` gives its nodes.
fn settings(scenario: &Scenario) -> Result<Config, BadSettings> {
    let file: File = scenario.node.clone().try_into()?;
    let taken = [
        ("data", file.data.is_some()),
        ("name", file.name.is_some()),
        ("listen", file.listen.is_some()),
        ("join", file.join.is_some()),
        ("link.listen", file.link.listen.is_some()),
        ("link.peers", file.link.peers.is_some()),
        ("link.advertise", file.link.advertise.is_some()),
        ("upstream", file.upstream.url.is_some()),
        ("client.auth", file.client.auth.token.is_some() || file.client.auth.users.is_some()),
    ];
    if let Some((key, _)) = taken.into_iter().find(|(_, taken)| *taken) {
        return Err(BadSettings::Taken { key });
    }
    // Named here where the default looks at the machine.
    let mut file = File { data: Some("/".into()), name: Some("node".to_owned()), ..file };
    // A scenario says who is linked to whom, and what must come of it follows from that.
    file.forming.auto.get_or_insert(false);
    Ok(Config::resolve(file, None, &[])?)
}

impl Nodes {
    /// The nodes of `scenario`, with the settings that it gives them.
    ///
    /// # Errors
    /// [`BadSettings`].
    pub fn of(world: &World, scenario: &Scenario) -> Result<Self, BadSettings> {
        let settings = settings(scenario)?;
        Ok(Self { settings: Arc::new(settings), ..Self::new(world, scenario.nodes(), &scenario.edges()) })
    }

    /// The nodes for `world`, on its hosts 0 to `nodes` - 1. Of each of `edges` the first dials the second, and nobody dials
    /// anybody else unless [`Nodes::tuned`] turns `forming.auto` on.
    ///
    /// # Panics
    /// When an edge names a host that the world has not.
    #[must_use]
    pub fn new(world: &World, nodes: usize, edges: &[(usize, usize)]) -> Self {
        let mut rng = Rng::seed_from_u64(world.seed());
        let root = Identity::generate_root(&mut rng, "node-0");
        let others = (1..nodes).map(|i| root.admit(&mut rng, &format!("node-{i}")).expect("the root may admit"));
        let identities: Vec<Identity> = std::iter::once(root.clone()).chain(others).collect();
        let peers = |i| edges.iter().filter(|edge| edge.0 == i).map(|edge| name(edge.1)).collect();
        let disk = |i| Disk::new(Dice::new(world.seed(), "disk", i as u64), DiskConfig::default());
        let machine = |(i, identity)| Machine { identity, disk: disk(i), peers: peers(i) };
        let machines: Vec<Machine> = identities.into_iter().enumerate().map(machine).collect();
        let mut settings = Config { data: "/".into(), ..Config::default() };
        settings.forming.auto = false;
        Self {
            machines: Arc::new(machines),
            settings: Arc::new(settings),
            tune: Arc::new(Box::new(|_, _| {})),
            runners: None,
            shelf: Arc::default(),
            notary: Arc::default(),
            running: Arc::default(),
        }
    }

    /// Lets `tune` change each node's settings before it starts.
    #[must_use]
    pub fn tuned(mut self, tune: Tune) -> Self {
        self.tune = Arc::new(tune);
        self
    }

    /// Makes each node a host of components, with what `runners` makes to run them.
    #[must_use]
    pub fn hosting(mut self, runners: Runners) -> Self {
        self.runners = Some(Arc::new(runners));
        self
    }

    /// The node on host `i`, in its present or last life; none before the first.
    #[must_use]
    pub fn node(&self, i: usize) -> Option<Arc<Node>> {
        self.running().get(&i).cloned()
    }

    /// Who the node on host `i` is, with its keys.
    ///
    /// # Panics
    /// When the host has no node.
    #[must_use]
    pub fn identity(&self, i: usize) -> &Identity {
        &self.machines[i].identity
    }

    /// Who the nodes are, by host.
    #[must_use]
    pub fn ids(&self) -> Vec<NodeId> {
        self.machines.iter().map(|machine| machine.identity.node_id()).collect()
    }

    /// The disk of the node on host `i`: to make it worse, to damage it, and to see what became of it.
    ///
    /// # Panics
    /// When the host has no node.
    #[must_use]
    pub fn disk(&self, i: usize) -> &Disk {
        &self.machines[i].disk
    }

    fn config(&self, host: &Host) -> Config {
        let (i, link) = (host.index(), host.addr(LINK_PORT));
        let mut config = Config { name: format!("node-{i}"), ..Config::clone(&self.settings) };
        config.link.listen = link;
        config.link.advertise = vec![name(i)];
        config.link.peers = self.machines[i].peers.clone();
        // A lattice that a test makes is as large as it says.
        config.mesh.nodes_max = config.mesh.nodes_max.max(self.machines.len() + 1);
        (self.tune)(i, &mut config);
        config
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<Node>>> {
        self.running.lock().expect("no holder of this lock panics")
    }
}

impl Nodes {
    /// Starts the node of `host`, if nothing is in its way.
    fn try_start(&self, host: &Host) -> Result<(), StartError> {
        let machine = &self.machines[host.index()];
        let env = host.env();
        let parts = Parts {
            config: self.config(host),
            identity: Arc::new(machine.identity.clone().with_boot(u64::from(host.incarnation()) + 1)),
            store: Arc::new(DiskStore::new(machine.disk.clone(), env.clone())),
            crypto: lattice_netsim::tls::provider(env.rng("tls")),
            shelf: Arc::clone(&self.shelf) as _,
            notary: Arc::clone(&self.notary),
            warnings: Vec::new(),
            runner: self.runners.as_ref().map(|runners| runners(host.index())),
            // Simulated disks have no files.
            images: None,
            env,
        };
        self.running().insert(host.index(), Arc::new(Node::start(parts)?));
        Ok(())
    }
}

impl Process for Nodes {
    /// Starts the node of this host; as long as it does not start, for its disk, again and again.
    ///
    /// # Panics
    /// When the host has no node.
    fn start(&self, host: Host) {
        if host.incarnation() > 0 {
            self.machines[host.index()].disk.crash();
        }
        let Err(error) = self.try_start(&host) else { return };
        tracing::warn!(node = host.index(), %error, "the node does not start");
        let nodes = self.clone();
        host.env().spawn(async move {
            loop {
                host.env().sleep(START_AGAIN).await;
                if nodes.try_start(&host).is_ok() {
                    return;
                }
            }
        });
    }
}
