//! The node as a process of the simulator: whole, over simulated sockets, with its keys made from the run's seed.
//!
//! One [`Nodes`] is a lattice: node 0 made it and admitted the others. What clients do on the hosts, which faults strike
//! and what must hold is left to the tests; when hosts boot and die, to `lattice_netsim`.

use crate::config::{Config, LINK_PORT};
use crate::identity::Identity;
use crate::mesh::announcement::SharedShelf;
use crate::node::{Node, Parts};
use crate::store::MemoryStore;
use lattice_broker::env::Rng;
use lattice_netsim::{Host, Process, World};
use rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// Changes the settings of the node on a host before it starts.
pub type Tune = Box<dyn Fn(usize, &mut Config) + Send + Sync>;

/// The nodes of one lattice, one on each host from 0 on. [`World::install`] it on them.
///
/// What survives a crash is kept here: keys, and the store, which counts as a disk that loses nothing.
pub struct Nodes {
    disks: Vec<Disk>,
    tune: Tune,
    /// What all nodes know is kept, and its signatures are checked, once.
    shelf: Arc<SharedShelf>,
    /// Dropping a node would not end it, but its broker must be held for as long as it runs.
    running: Mutex<BTreeMap<usize, Arc<Node>>>,
}

/// What a node finds when it starts.
#[derive(Debug)]
struct Disk {
    identity: Identity,
    store: Arc<MemoryStore>,
    /// Whom it dials.
    peers: Vec<SocketAddr>,
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("nodes", &self.disks.len()).finish_non_exhaustive()
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
        let peers = |i| edges.iter().filter(|edge| edge.0 == i).map(|edge| world.addr(edge.1, LINK_PORT)).collect();
        let disk = |(i, identity)| Disk { identity, store: Arc::default(), peers: peers(i) };
        let disks = identities.into_iter().enumerate().map(disk).collect();
        Self { disks, tune: Box::new(|_, _| {}), shelf: Arc::default(), running: Mutex::default() }
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

    fn config(&self, host: &Host) -> Config {
        let (i, link) = (host.index(), host.addr(LINK_PORT));
        // Named one by one where the default looks at the machine.
        let mut config = Config { data: "/".into(), name: format!("node-{i}"), ..Config::default() };
        config.link.listen = link;
        config.link.advertise = vec![link.to_string()];
        config.link.peers = self.disks[i].peers.iter().map(ToString::to_string).collect();
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
    /// When the host has no node, or the node does not start: a simulated host has nothing that could be in its way.
    fn start(&self, host: Host) {
        let disk = &self.disks[host.index()];
        let env = host.env();
        let parts = Parts {
            config: self.config(&host),
            identity: Arc::new(disk.identity.clone().with_boot(u64::from(host.incarnation()) + 1)),
            store: Arc::clone(&disk.store) as _,
            crypto: lattice_netsim::tls::provider(env.rng("tls")),
            shelf: Arc::clone(&self.shelf) as _,
            warnings: Vec::new(),
            env,
        };
        let node = Node::start(parts).expect("nothing on a simulated host is in the way of a node");
        self.running().insert(host.index(), Arc::new(node));
    }
}
