//! What every task of the mesh holds on to.

use super::Config;
use super::dialer::DialProblems;
use super::events::{Events, What};
use super::forming::Outcome;
use super::frame::{ControlFrame, Hello};
use super::greeting::Facts;
use super::links::{Link, LinkId, Links};
use super::plane::{Arrivals, Plane};
use super::quic::Transport;
use super::suspicion::Histories;
use super::view::InterestView;
use crate::identity::{Chain, Identity, NodeId, Revocation, Roll};
use lattice_broker::env::Env;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The parts of a running mesh.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) env: Env,
    pub(super) config: Config,
    pub(super) identity: Arc<Identity>,
    pub(super) roll: Arc<Roll>,
    pub(super) facts: Facts,
    pub(super) transport: Transport,
    pub(super) links: Links,
    pub(super) histories: Histories,
    pub(super) plane: Arc<Plane>,
    pub(super) arrivals: Mutex<Arrivals>,
    pub(super) dial_problems: DialProblems,
    pub(super) events: Mutex<Events>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) last_link: AtomicU64,
    pub(super) stop: CancellationToken,
}

/// What the links tell the control plane.
#[derive(Debug)]
pub(super) enum Input {
    /// A link came up; the peer's greeting.
    Up(Arc<Link>, Hello),
    /// A link ended.
    Down(LinkId),
    /// What a link costs, or whether it is relied on, has changed: [`Link::health`].
    Health(LinkId),
    /// A control frame came.
    Frame(LinkId, ControlFrame),
    /// This node has admitted somebody.
    Admitted(Arc<Chain>),
    /// Somebody is a member no more.
    Revoke(Vec<Revocation>),
    /// Other root keys speak for the lattice.
    Succeed,
    /// Where this node can be dialled.
    Addresses(Vec<SocketAddr>),
    /// Where clients can connect to this node.
    ClientUrls(Vec<String>),
    /// A member may be there, as the local network says.
    Beacon(NodeId, SocketAddr),
    /// The attempt at a node has ended.
    Dialled(NodeId, Outcome),
    /// Somebody wants to see whose interest is known.
    ShowInterest(oneshot::Sender<Vec<InterestView>>),
    /// Somebody wants to see which neighbour would be turned to for each node.
    ShowAlternates(oneshot::Sender<BTreeMap<NodeId, NodeId>>),
}

impl Shared {
    /// Hands `input` to the control plane. Waits while it is busy, which slows the sending peer down.
    pub(super) async fn tell(&self, input: Input) {
        // An error means that the mesh is stopped, and nobody needs to know any more.
        let _ = self.inputs.send(input).await;
    }

    /// Notes what has happened, for whoever asks later.
    pub(super) fn note(&self, what: What, node: Option<(NodeId, &str)>, why: Option<String>) {
        self.events().note(self.env.wall(), what, node, why);
    }

    pub(super) fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().expect("no holder of this lock panics")
    }

    pub(super) fn next_link(&self) -> u64 {
        self.last_link.fetch_add(1, Ordering::Relaxed) + 1
    }
}
