//! The lattice as this node sees it, for people: made when somebody asks.

use super::announcement::Announcement;
use super::client_urls;
use super::control::{Control, Counters};
use super::forming;
use super::interest::Key;
use super::spf::Routes;
use crate::identity::NodeId;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Every other node that is known, and what the control plane has counted.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In the order of their keys.
    pub nodes: Vec<NodeView>,
    /// What the control plane has counted.
    pub counters: Counters,
}

/// Another node.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Its key.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The way to it, when there is one.
    pub way: Option<WayView>,
}

/// The way to a node.
#[derive(Clone, Copy, Debug)]
pub struct WayView {
    /// The neighbour that it begins with.
    pub next: NodeId,
    /// Sum of the costs of its links.
    pub cost: u32,
    /// Number of its links.
    pub hops: u32,
}

/// What one node wants of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterestView {
    /// Whose interest.
    pub node: NodeId,
    /// Whether messages go there by it: the node is within reach, or this one.
    pub in_force: bool,
    /// The entries with their weights, in order.
    pub entries: Vec<(Arc<Key>, u32)>,
}

/// What waits for one stream of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Whose link.
    pub peer: NodeId,
    /// Bytes that wait, those being written included.
    pub bytes: usize,
    /// The most that have waited since the link came up, not counting a single large frame that waited alone…
    pub bytes_most: usize,
    /// …which must never be more than this.
    pub bytes_max: usize,
}

/// What a [`View`] is made of when somebody asks: what the control plane knew when the routes last changed.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// Every node that was known.
    announcements: Vec<Arc<Announcement>>,
    routes: Option<Arc<Routes>>,
}

impl Outlook {
    pub(super) fn new(control: &Control, routes: &Arc<Routes>) -> Self {
        let announcements = control.announcements().cloned().collect();
        Self { announcements, routes: Some(Arc::clone(routes)) }
    }
}

/// Where the control plane puts what there is to see, and others look.
#[derive(Debug, Default)]
pub(super) struct Sight {
    outlook: ArcSwap<Outlook>,
    changed: Notify,
    counters: Mutex<Counters>,
    forming: Mutex<forming::Counters>,
}

impl Sight {
    pub(super) fn show(&self, outlook: Outlook) {
        self.outlook.store(Arc::new(outlook));
        self.changed.notify_one();
    }

    /// Ready when something is shown that this has not been ready for; one task may wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What clients are to be told, who have been told of `before`.
    pub(super) fn client_urls(&self, before: &[String]) -> Vec<String> {
        let outlook = self.outlook.load();
        let chosen = outlook.routes.as_ref().map(|routes| client_urls::choose(routes, &outlook.announcements, before));
        chosen.unwrap_or_default()
    }

    pub(super) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().expect("no holder of this lock panics")
    }

    pub(super) fn forming(&self) -> MutexGuard<'_, forming::Counters> {
        self.forming.lock().expect("no holder of this lock panics")
    }

    pub(super) fn view(&self) -> View {
        let counters = *self.counters();
        View::new(&self.outlook.load(), counters)
    }
}

impl View {
    /// The lattice as `outlook` shows it.
    #[must_use]
    pub(super) fn new(outlook: &Outlook, counters: Counters) -> Self {
        let Some(routes) = &outlook.routes else { return Self { nodes: Vec::new(), counters } };
        let way = |index| {
            let route = routes.by_index.get(&index)?;
            Some((route.node, WayView { next: route.next, cost: route.cost, hops: route.hops }))
        };
        let others = outlook.announcements.iter().map(|known| known.lsa()).filter(|lsa| lsa.node != routes.me);
        let nodes = others.map(|lsa| NodeView {
            id: lsa.node,
            name: lsa.name.clone(),
            way: way(lsa.index).filter(|(node, _)| *node == lsa.node).map(|(_, way)| way),
        });
        Self { nodes: nodes.collect(), counters }
    }
}
