//! The lattice as this node sees it, for people: a copy that status commands may read at any time.

use super::control::{Control, Counters};
use super::interest::Key;
use super::spf::Routes;
use crate::identity::NodeId;
use std::sync::Arc;

/// Every other node that is known, and what the control plane has counted.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// In the order of their keys; shared by the views between two changes of the routes.
    pub nodes: Arc<Vec<NodeView>>,
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

impl View {
    /// The present view.
    #[must_use]
    pub(super) fn new(control: &Control, routes: &Routes) -> Self {
        let way = |index| {
            let route = routes.by_index.get(&index)?;
            Some((route.node, WayView { next: route.next, cost: route.cost, hops: route.hops }))
        };
        let nodes = control.nodes().filter(|(lsa, _)| lsa.node != routes.me).map(|(lsa, _)| NodeView {
            id: lsa.node,
            name: lsa.name.clone(),
            way: way(lsa.index).filter(|(node, _)| *node == lsa.node).map(|(_, way)| way),
        });
        Self { nodes: Arc::new(nodes.collect()), counters: control.counters() }
    }

    /// The same nodes, with newer counts.
    #[must_use]
    pub(super) fn recounted(&self, counters: Counters) -> Self {
        Self { nodes: Arc::clone(&self.nodes), counters }
    }
}
