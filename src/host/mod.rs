//! The host: what runs components on a node, and answers those who ask for that.
//!
//! It sees the lattice through the ports, as a client in the process would: `state/` keeps records that all nodes come to have
//! alike, with no coordinator; `control/` is the control interface over them; `runner.rs` is what runs components, as
//! a trait, and `engine/` is that with wasmtime; `written.rs` is what they write; `images/` keeps what it is made of and hands it on;
//! `apps/` is what is wanted in all; `http/` has components answer those who ask by HTTP, `outgoing.rs` is whom they may ask themselves,
//! `links.rs` whom they call, and
//! `keyvalue/` keeps values for them. The node builds it, and ends it before the broker.

pub mod apps;
pub mod control;
pub mod double;
#[cfg(feature = "components")]
pub mod engine;
pub mod http;
pub mod images;
pub mod keyvalue;
pub mod links;
pub mod outgoing;
pub mod runner;
pub mod state;
pub mod written;

use crate::identity::NodeId;
use crate::ports::{BadInterest, Client};
use crate::store::{Store, StoreError};
use control::{Books, Control, Facts, Map};
use images::{Images, Shelf};
use lattice_broker::env::Env;
use runner::Runner;
use state::State;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Whether a node is a host, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether it is, where there is something to run components with.
    pub enabled: bool,
    /// The name by which clients of the control interface tell lattices apart: a word of subjects.
    pub lattice: String,
    /// Bytes of memory of all instances of components together.
    pub memory_max: u64,
    /// Bytes of memory of an instance whose component does not say how much it wants.
    pub instance_memory: u64,
    /// Calls of components in flight, of all together; more wait.
    pub calls_max: u32,
    /// Bytes of compiled code on disk; 0 keeps none.
    pub cache_max: u64,
    /// What the host says of itself, beside what its machine is.
    pub labels: Map,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            lattice: "default".to_owned(),
            memory_max: 256 << 20,
            instance_memory: 64 << 20,
            calls_max: 100,
            cache_max: 256 << 20,
            labels: Map::new(),
        }
    }
}

/// What a host is made of.
pub struct Parts {
    /// Time, tasks, randomness.
    pub env: Env,
    /// The node.
    pub node: NodeId,
    /// What the host says of itself.
    pub facts: Facts,
    /// The node's disk.
    pub store: Arc<dyn Store>,
    /// A client in the account of the nodes: for the records, and for requests from host to host.
    pub nodes: Arc<dyn Client>,
    /// A client in the account of clients: for the control interface.
    pub clients: Arc<dyn Client>,
    /// Which other nodes can be reached.
    pub reach: Arc<dyn Reach>,
    /// What runs components.
    pub runner: Arc<dyn Runner>,
    /// Where images are kept; without it components come from files alone.
    pub images: Option<Shelf>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("node", &self.node).field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Which other nodes can be reached at this moment.
pub trait Reach: Send + Sync + std::fmt::Debug + 'static {
    /// How many.
    fn count(&self) -> usize;
    /// Whether that one is among them.
    fn reaches(&self, node: &NodeId) -> bool;
}

/// A running host. Dropping it leaves its tasks running: call [`Host::drain`].
#[derive(Debug)]
pub struct Host {
    state: State,
    images: Option<Images>,
    control: Control,
    /// Ends what tends the values of components.
    stop: CancellationToken,
}

/// The host did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The records cannot be read.
    #[error(transparent)]
    State(#[from] state::StartError),
    /// The disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A subject that cannot be subscribed to.
    #[error(transparent)]
    Subject(#[from] BadInterest),
}

impl Host {
    /// Starts it: reads its records, listens, and has run what ran when it ended.
    ///
    /// # Errors
    /// [`StartError`] names what stands in the way.
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { env, node, facts, store, nodes, clients, reach, runner, images } = parts;
        let limits = state::Limits::default();
        let client = Arc::clone(&nodes);
        let reachable = {
            let reach = Arc::clone(&reach);
            Box::new(move || reach.count())
        };
        let disk = Arc::clone(&store);
        let records = state::Parts { env: env.clone(), me: node, store, client, reachable, limits };
        let state = State::start(records)?;
        let life = keyvalue::Life::begin(disk.as_ref(), &mut env.rng("keyvalue"))?;
        let values = Arc::new(keyvalue::Store::new(Arc::new(state.clone()), life));
        runner.provide(Arc::clone(&values));
        let images = images.map(|shelf| {
            let (env, nodes, clients) = (env.clone(), Arc::clone(&nodes), Arc::clone(&clients));
            let (host, lattice, payload_max) = (facts.id.clone(), facts.lattice.clone(), facts.payload_max);
            Images::start(images::Parts { env, host, lattice, payload_max, nodes, clients, shelf })
        });
        let images = images.transpose()?;
        let books = Books::labelled(Arc::new(state.clone()), facts.labels.clone());
        let (tending, changes, client, kept) = (env.clone(), state.changes(), clients, images.clone());
        let parts = control::Parts { env, facts, books, changes, nodes, client, runner, reach, images: kept };
        let control = Control::start(parts)?;
        let stop = CancellationToken::new();
        tending.spawn(keyvalue::tend(tending.clone(), disk, values, stop.clone()));
        Ok(Self { state, images, control, stop })
    }

    /// The records.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Ends what runs, which is remembered, and then the rest.
    pub async fn drain(&self) {
        self.control.stop().await;
        if let Some(images) = &self.images {
            images.stop();
        }
        self.stop.cancel();
        self.state.stop().await;
    }
}
