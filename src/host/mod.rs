//! The host: what runs components on a node, and answers those who ask for that.
//!
//! It sees the lattice through the ports, as a client in the process would: `state/` keeps records that all nodes come to have
//! alike, with no coordinator; `control/` is the control interface over them; `runner.rs` is what runs components, as
//! a trait, and `engine/` is that with wasmtime; `http/` has components answer those who ask by HTTP, and `keyvalue/` keeps values
//! for them. The node builds it, and ends it before the broker.

pub mod control;
pub mod double;
#[cfg(feature = "components")]
pub mod engine;
pub mod http;
pub mod keyvalue;
pub mod runner;
pub mod state;

use crate::identity::NodeId;
use crate::ports::{BadInterest, Client};
use crate::store::{Store, StoreError};
use control::{Books, Control, Facts};
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
    /// How many other nodes can be reached at this moment.
    pub reachable: Box<dyn Fn() -> usize + Send + Sync>,
    /// What runs components.
    pub runner: Arc<dyn Runner>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("node", &self.node).field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// A running host. Dropping it leaves its tasks running: call [`Host::drain`].
#[derive(Debug)]
pub struct Host {
    state: State,
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
        let Parts { env, node, facts, store, nodes, clients, reachable, runner } = parts;
        let limits = state::Limits::default();
        let (client, disk) = (Arc::clone(&nodes), Arc::clone(&store));
        let records = state::Parts { env: env.clone(), me: node, store, client, reachable, limits };
        let state = State::start(records)?;
        let life = keyvalue::Life::begin(disk.as_ref(), &mut env.rng("keyvalue"))?;
        let values = Arc::new(keyvalue::Store::new(Arc::new(state.clone()), life));
        runner.provide(Arc::clone(&values));
        let books = Books::new(Arc::new(state.clone()));
        let changes = state.changes();
        let tending = env.clone();
        let control = Control::start(control::Parts { env, facts, books, changes, nodes, client: clients, runner })?;
        let stop = CancellationToken::new();
        tending.spawn(keyvalue::tend(tending.clone(), disk, values, stop.clone()));
        Ok(Self { state, control, stop })
    }

    /// The records.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Ends what runs, which is remembered, and then the rest.
    pub async fn drain(&self) {
        self.control.stop().await;
        self.stop.cancel();
        self.state.stop().await;
    }
}
