//! Shortest paths from this node, each with a neighbour to turn to when the path's first link fails.
//!
//! An edge counts when both of its ends announce it; its cost towards a node is what the near end announces. Pure: a
//! database in, routes out. Nodes that share a database never send a frame in a circle, since every hop's remaining
//! cost is less than the one before; the order of the keys decides between paths that are equally good.

use super::id::NodeId;
use crate::planted::{self, Bug};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Least and greatest cost of a link: sums over a whole lattice fit into 32 bits.
pub const COST: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// Neighbours that are looked at as alternates: the cheapest ones. Each costs a run over the whole graph.
const ALTERNATES_MAX: usize = 16;

/// A node as it announces itself.
#[derive(Clone, Copy, Debug)]
pub struct Vertex<'a> {
    /// The node.
    pub node: NodeId,
    /// Its index in frames.
    pub index: u32,
    /// Its neighbours in ascending order, with the cost of the link to each.
    pub adjacency: &'a [(NodeId, u32)],
}

/// Where frames go: one consistent view of the lattice from this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// This node.
    pub me: NodeId,
    /// This node's index: the origin of its frames.
    pub index: u32,
    /// This node's boot epoch: its frames' sequence numbers begin anew when it changes.
    pub boot: u64,
    /// The other nodes that can be reached, by the index that frames name them with.
    pub by_index: BTreeMap<u32, Route>,
    /// All nodes that can be reached, this one too, with the index that each claims. When two claim the same one it
    /// belongs to the smaller key, and the other is in no frame until it has picked another.
    pub reachable: BTreeMap<NodeId, u32>,
}

/// The way to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The node.
    pub node: NodeId,
    /// The neighbour that frames go to.
    pub next: NodeId,
    /// Sum of the costs of the links.
    pub cost: u32,
    /// Number of links.
    pub hops: u32,
    /// Another neighbour, whose own path to the node does not come back here: for when the link to `next` is in doubt.
    /// One that avoids the node `next` as well is preferred.
    pub alternate: Option<NodeId>,
}

impl Routes {
    /// The view of a node that knows nobody.
    #[must_use]
    pub fn alone(me: NodeId, index: u32, boot: u64) -> Self {
        Self { me, index, boot, by_index: BTreeMap::new(), reachable: BTreeMap::from([(me, index)]) }
    }

    /// Computes the routes from `me` over `vertices`, which are in ascending order and include `me`.
    #[must_use]
    pub fn compute(me: NodeId, boot: u64, vertices: &[Vertex<'_>]) -> Self {
        let graph = Graph::new(vertices);
        let Ok(source) = vertices.binary_search_by_key(&me, |v| v.node) else { return Self::alone(me, 0, boot) };
        let mut routes = Self::alone(me, vertices[source].index, boot);
        let paths = graph.paths(source);
        let alternates = Alternates::new(&graph, source);
        for (at, (vertex, path)) in vertices.iter().zip(&paths).enumerate() {
            let Some(path) = path.filter(|_| at != source) else { continue };
            routes.reachable.insert(vertex.node, vertex.index);
            let loses_to_me = vertex.index == routes.index && me < vertex.node;
            if loses_to_me || routes.by_index.contains_key(&vertex.index) {
                continue;
            }
            let alternate = alternates.choose(at, path).map(|n| vertices[n].node);
            let Path { cost, hops, first } = path;
            let mut next = vertices[first].node;
            // Planted: the way round is as good as the way, without a thought for whose way it leads back to.
            if hops > 1 && planted::is(Bug::RouteLoop) {
                next = alternate.unwrap_or(next);
            }
            let route = Route { node: vertex.node, next, cost, hops, alternate };
            routes.by_index.insert(vertex.index, route);
        }
        routes
    }
}

/// A label of Dijkstra's algorithm. Ordered: cheaper, then shorter, then the smaller first neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Path {
    cost: u32,
    hops: u32,
    first: usize,
}

/// Edges that both ends announce, between positions in the list of vertices.
struct Graph {
    edges: Vec<Vec<(usize, u32)>>,
}

impl Graph {
    fn new(vertices: &[Vertex<'_>]) -> Self {
        let mutual = |from: &Vertex<'_>, to: NodeId, cost: u32| {
            let position = vertices.binary_search_by_key(&to, |v| v.node).ok()?;
            let back = vertices[position].adjacency.binary_search_by_key(&from.node, |&(node, _)| node).is_ok();
            (back && to != from.node).then_some((position, cost.clamp(*COST.start(), *COST.end())))
        };
        let edges_of = |v: &Vertex<'_>| v.adjacency.iter().filter_map(|&(to, cost)| mutual(v, to, cost)).collect();
        Self { edges: vertices.iter().map(edges_of).collect() }
    }

    /// Best paths from `source` to everywhere.
    fn paths(&self, source: usize) -> Vec<Option<Path>> {
        let mut best: Vec<Option<Path>> = vec![None; self.edges.len()];
        let start = Path { cost: 0, hops: 0, first: source };
        best[source] = Some(start);
        let mut heap = BinaryHeap::from([Reverse((start, source))]);
        while let Some(Reverse((path, at))) = heap.pop() {
            if best[at] != Some(path) {
                continue;
            }
            for &(to, cost) in &self.edges[at] {
                let first = if at == source { to } else { path.first };
                let longer = Path { cost: path.cost.saturating_add(cost), hops: path.hops + 1, first };
                if best[to].is_none_or(|known| longer < known) {
                    best[to] = Some(longer);
                    heap.push(Reverse((longer, to)));
                }
            }
        }
        best
    }
}

/// Distances from the neighbours: what decides whether one is a way round (RFC 5286, inequalities 1 and 3).
struct Alternates {
    source: usize,
    /// By neighbour: cost of the link to it, and its own paths.
    neighbors: BTreeMap<usize, (u32, Vec<Option<Path>>)>,
}

impl Alternates {
    fn new(graph: &Graph, source: usize) -> Self {
        let mut cheapest = graph.edges[source].clone();
        cheapest.sort_unstable_by_key(|&(neighbor, cost)| (cost, neighbor));
        cheapest.truncate(ALTERNATES_MAX);
        let neighbors = cheapest.into_iter().map(|(n, cost)| (n, (cost, graph.paths(n)))).collect();
        Self { source, neighbors }
    }

    fn choose(&self, to: usize, primary: Path) -> Option<usize> {
        let cost = |paths: &[Option<Path>], to: usize| paths[to].map(|path| u64::from(path.cost));
        let from_primary = self.neighbors.get(&primary.first).and_then(|(_, paths)| cost(paths, to));
        let usable = self.neighbors.iter().filter(|&(&n, _)| n != primary.first).filter_map(|(&n, (link, paths))| {
            let onward = cost(paths, to)?;
            if onward >= cost(paths, self.source)? + u64::from(primary.cost) {
                return None;
            }
            let avoids_primary =
                from_primary.zip(cost(paths, primary.first)).is_some_and(|(rest, there)| onward < there + rest);
            Some((!avoids_primary, u64::from(*link) + onward, n))
        });
        usable.min().map(|(_, _, n)| n)
    }
}

#[cfg(test)]
mod tests;
