//! The node as a process of the simulator: whole, over simulated sockets, with its keys made from the run's seed.
//!
//! One [`Nodes`] is a lattice: node 0 made it and admitted the others. What clients do on the hosts, which faults strike
//! and what must hold is left to the tests; when hosts boot and die, to `lattice_netsim`.

mod disk;

use crate::config::{Config, LINK_PORT};
use crate::identity::Identity;
use crate::node::{Node, Parts};
use disk::DiskStore;
use lattice_broker::env::Rng;
use lattice_netsim::{Dice, Disk, DiskConfig, Host, Process, World};
use rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// Changes the settings of the node on a host before it starts.
pub type Tune = Box<dyn Fn(usize, &mut Config) + Send + Sync>;

/// The nodes of one lattice, one on each host from 0 on. [`World::install`] it on them.
///
/// What survives a crash is kept here: the keys, and a disk. A host that boots again has lost power: what its node had
/// not synced is gone, as [`Nodes::disk`] is configured. Nodes find each other by name, wherever hosts go.
pub struct Nodes {
    machines: Vec<Machine>,
    tune: Tune,
    /// Dropping a node would not end it, but its broker must be held for as long as it runs.
    running: Mutex<BTreeMap<usize, Arc<Node>>>,
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

impl Nodes {
    /// The nodes for `world`, on its hosts 0 to `nodes` - 1. Of each of `edges` the first dials the second.
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
        let machines = identities.into_iter().enumerate().map(machine).collect();
        Self { machines, tune: Box::new(|_, _| {}), running: Mutex::default() }
    }

    /// Lets `tune` change each node's settings before it starts.
    #[must_use]
    pub fn tuned(mut self, tune: Tune) -> Self {
        self.tune = tune;
        self
    }

    /// The node on host `i`, in its present or last life; none before the first.
    #[must_use]
    pub fn node(&self, i: usize) -> Option<Arc<Node>> {
        self.running().get(&i).cloned()
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
        // Named one by one where the default looks at the machine.
        let mut config = Config { data: "/".into(), name: format!("node-{i}"), ..Config::default() };
        config.link.listen = link;
        config.link.advertise = vec![name(i)];
        config.link.peers = self.machines[i].peers.clone();
        (self.tune)(i, &mut config);
        config
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<Node>>> {
        self.running.lock().expect("no holder of this lock panics")
    }
}

impl Process for Nodes {
    /// Starts the node of this host.
    ///
    /// # Panics
    /// When the host has no node, or the node does not start: nothing on a simulated host is in its way but a disk that
    /// is full, damaged or fails.
    fn start(&self, host: Host) {
        let machine = &self.machines[host.index()];
        let env = host.env();
        if host.incarnation() > 0 {
            machine.disk.crash();
        }
        let parts = Parts {
            config: self.config(&host),
            identity: Arc::new(machine.identity.clone().with_boot(u64::from(host.incarnation()) + 1)),
            store: Arc::new(DiskStore::new(machine.disk.clone(), env.clone())),
            crypto: lattice_netsim::tls::provider(env.rng("tls")),
            warnings: Vec::new(),
            env,
        };
        let node = Node::start(parts).unwrap_or_else(|error| panic!("node {} does not start: {error}", host.index()));
        self.running().insert(host.index(), Arc::new(node));
    }
}
