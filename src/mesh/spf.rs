//! Shortest paths from this node, and for each a neighbour to turn to when the path's first link is in doubt.
//!
//! An edge counts when both of its ends announce it; its cost towards a node is what the near end announces. Pure: a
//! database in, routes out. Nodes that share a database never send a frame in a circle, since every hop's remaining
//! cost is less than the one before; the order of the keys decides between paths that are equally good.

use super::id::NodeId;
use super::sorted::Sorted;
use crate::planted::{self, Bug};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Least and greatest cost of a link: sums over a whole lattice fit into 32 bits.
pub const COST: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// Links that a frame may pass, few enough to end a loop soon. A node that is further away gets no frames.
pub const HOPS_MAX: u32 = 64;

/// Neighbours that are looked at as alternates: the cheapest ones. Each costs a run over the whole graph.
const ALTERNATES_MAX: usize = 16;

/// A node as it announces itself.
#[derive(Clone, Copy, Debug)]
pub struct Vertex<'a> {
    /// The node.
    pub node: NodeId,
    /// Its index in frames.
    pub index: u32,
    /// Its present life, as frames name it.
    pub life: u16,
    /// Whether frames of others may go through it. It is the end of every path that leads to it else.
    pub transit: bool,
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
    /// The other nodes that frames reach, by the index that these name them with.
    pub by_index: Sorted<u32, Route>,
    /// All nodes that can be reached, this one too, with the index that each claims. When two claim the same one it
    /// belongs to the smaller key, and the other is in no frame until it has picked another.
    pub reachable: Sorted<NodeId, u32>,
    /// How many nodes there is a path to that is longer than [`HOPS_MAX`].
    pub too_far: usize,
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
    /// The node's present life, as frames name it.
    pub life: u16,
}

impl Routes {
    /// The view of a node that knows nobody.
    #[must_use]
    pub fn alone(me: NodeId, index: u32, boot: u64) -> Self {
        Self { me, index, boot, by_index: Sorted::default(), reachable: Sorted::from_iter([(me, index)]), too_far: 0 }
    }

    /// Computes the routes from `me` over `vertices`, which are in ascending order and include `me`.
    #[must_use]
    pub fn compute(me: NodeId, boot: u64, vertices: &[Vertex<'_>]) -> Self {
        let Ok(source) = vertices.binary_search_by_key(&me, |v| v.node) else { return Self::alone(me, 0, boot) };
        let paths = Graph::new(vertices).paths(source);
        let index = vertices[source].index;
        let within_reach = || vertices.iter().zip(&paths).filter_map(|(vertex, path)| Some((vertex, (*path)?)));
        let others = within_reach().filter(|(vertex, path)| {
            let loses_to_me = vertex.index == index && me < vertex.node;
            vertex.node != me && !loses_to_me && path.hops <= HOPS_MAX
        });
        let route = |(vertex, path): (&Vertex<'_>, Path)| {
            let mut next = vertices[path.first as usize].node;
            // Planted: the way round is as good as the way, without a thought for whose way it leads back to.
            if path.hops > 1 && planted::is(Bug::RouteLoop) {
                let mut others = vertices[source].adjacency.iter().rev().map(|(neighbor, _)| *neighbor);
                next = others.find(|other| *other != next).unwrap_or(next);
            }
            (vertex.index, Route { node: vertex.node, next, cost: path.cost, hops: path.hops, life: vertex.life })
        };
        Self {
            me,
            index,
            boot,
            by_index: others.map(route).collect(),
            reachable: within_reach().map(|(vertex, _)| (vertex.node, vertex.index)).collect(),
            too_far: within_reach().filter(|(_, path)| path.hops > HOPS_MAX).count(),
        }
    }
}

/// For each node within reach another neighbour than the first of its path, whose own path does not come back here: for
/// when the link to the first one is in doubt. One that avoids the node there as well is preferred.
///
/// Each neighbour costs a run over the whole graph, so this is for when it is needed, not for every change.
#[must_use]
pub fn alternates(me: NodeId, vertices: &[Vertex<'_>]) -> BTreeMap<NodeId, NodeId> {
    let Ok(source) = vertices.binary_search_by_key(&me, |v| v.node) else { return BTreeMap::new() };
    let graph = Graph::new(vertices);
    let alternates = Alternates::new(&graph, source);
    let paths = graph.paths(source);
    let others = paths.iter().enumerate().filter(|(at, _)| *at != source);
    let chosen = others.filter_map(|(at, path)| Some((vertices[at].node, alternates.choose(at, (*path)?)?)));
    chosen.map(|(node, alternate)| (node, vertices[alternate].node)).collect()
}

/// Whether frames of `me` could get to `neighbor` without the edge between the two.
#[must_use]
pub fn is_way_round(me: NodeId, neighbor: NodeId, vertices: &[Vertex<'_>]) -> bool {
    let position = |node| vertices.binary_search_by_key(&node, |vertex: &Vertex<'_>| vertex.node);
    let (Ok(source), Ok(target)) = (position(me), position(neighbor)) else { return false };
    let graph = Graph::new(vertices);
    let mut seen = vec![false; vertices.len()];
    seen[source] = true;
    let mut ahead = vec![source];
    while let Some(at) = ahead.pop() {
        let next = graph.of(at).iter().map(|&(to, _)| to as usize);
        for to in next.filter(|&to| (at, to) != (source, target)) {
            if to == target {
                return true;
            }
            if !std::mem::replace(&mut seen[to], true) && graph.transit[to] {
                ahead.push(to);
            }
        }
    }
    false
}

/// A label of Dijkstra's algorithm. Ordered: cheaper, then shorter, then the smaller first neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Path {
    cost: u32,
    hops: u32,
    first: u32,
}

impl Path {
    /// The label and the vertex that it is about as one number, in the order of labels.
    fn pack(self, at: u32) -> u128 {
        u128::from(self.cost) << 96 | u128::from(self.hops) << 64 | u128::from(self.first) << 32 | u128::from(at)
    }

    fn unpack(packed: u128) -> (Self, usize) {
        let part = |shift: u32| (packed >> shift) as u32;
        (Self { cost: part(96), hops: part(64), first: part(32) }, part(0) as usize)
    }
}

/// Edges that both ends announce, between positions in the list of vertices.
struct Graph {
    edges: Vec<(u32, u32)>,
    /// Where the edges of each vertex begin; one more for the end.
    starts: Vec<usize>,
    transit: Vec<bool>,
}

impl Graph {
    fn new(vertices: &[Vertex<'_>]) -> Self {
        let positions = Positions::new(vertices);
        let (mut edges, mut starts) = (Vec::with_capacity(vertices.len() * 4), Vec::with_capacity(vertices.len() + 1));
        for vertex in vertices {
            starts.push(edges.len());
            edges.extend(vertex.adjacency.iter().filter_map(|&(to, cost)| {
                let position = positions.find(to)?;
                let back = vertices[position].adjacency.binary_search_by_key(&vertex.node, |&(node, _)| node).is_ok();
                (back && to != vertex.node).then_some((position as u32, cost.clamp(*COST.start(), *COST.end())))
            }));
        }
        starts.push(edges.len());
        Self { edges, starts, transit: vertices.iter().map(|vertex| vertex.transit).collect() }
    }

    /// Neighbours of a vertex, with the cost of the link to each.
    fn of(&self, at: usize) -> &[(u32, u32)] {
        &self.edges[self.starts[at]..self.starts[at + 1]]
    }

    /// Best paths of `source` to everywhere: what it sends itself needs no transit through it.
    fn paths(&self, source: usize) -> Vec<Option<Path>> {
        self.paths_with(source, true)
    }

    /// Best paths from `source` for what comes from elsewhere.
    fn paths_through(&self, source: usize) -> Vec<Option<Path>> {
        self.paths_with(source, self.transit[source])
    }

    fn paths_with(&self, source: usize, leaves: bool) -> Vec<Option<Path>> {
        let mut best: Vec<Option<Path>> = vec![None; self.starts.len() - 1];
        let start = Path { cost: 0, hops: 0, first: source as u32 };
        best[source] = Some(start);
        let mut heap = BinaryHeap::from([Reverse(start.pack(source as u32))]);
        while let Some(Reverse(packed)) = heap.pop() {
            let (path, at) = Path::unpack(packed);
            if best[at] != Some(path) || !(if at == source { leaves } else { self.transit[at] }) {
                continue;
            }
            for &(to, cost) in self.of(at) {
                let first = if at == source { to } else { path.first };
                let longer = Path { cost: path.cost.saturating_add(cost), hops: path.hops + 1, first };
                if best[to as usize].is_none_or(|known| longer < known) {
                    best[to as usize] = Some(longer);
                    heap.push(Reverse(longer.pack(to)));
                }
            }
        }
        best
    }
}

/// Finds vertices by their keys: the beginnings of these lie close together, so that the search stays in the cache.
struct Positions<'v> {
    vertices: &'v [Vertex<'v>],
    beginnings: Vec<u64>,
}

impl<'v> Positions<'v> {
    fn new(vertices: &'v [Vertex<'v>]) -> Self {
        Self { vertices, beginnings: vertices.iter().map(|vertex| beginning(vertex.node)).collect() }
    }

    fn find(&self, node: NodeId) -> Option<usize> {
        let begins = beginning(node);
        let first = self.beginnings.partition_point(|known| *known < begins);
        let alike = self.beginnings[first..].iter().take_while(|known| **known == begins).count();
        let found = self.vertices[first..first + alike].binary_search_by_key(&node, |vertex| vertex.node);
        found.ok().map(|nth| first + nth)
    }
}

fn beginning(node: NodeId) -> u64 {
    u64::from_be_bytes(*node.0.first_chunk().expect("a key has 32 bytes"))
}

/// Distances from the neighbours: what decides whether one is a way round (RFC 5286, inequalities 1 and 3).
struct Alternates {
    source: usize,
    /// By neighbour: cost of the link to it, and its own paths.
    neighbors: BTreeMap<usize, (u32, Vec<Option<Path>>)>,
}

impl Alternates {
    fn new(graph: &Graph, source: usize) -> Self {
        let mut cheapest = graph.of(source).to_vec();
        cheapest.sort_unstable_by_key(|&(neighbor, cost)| (cost, neighbor));
        cheapest.truncate(ALTERNATES_MAX);
        let runs = cheapest.into_iter().map(|(n, cost)| (n as usize, (cost, graph.paths_through(n as usize))));
        let neighbors = runs.collect();
        Self { source, neighbors }
    }

    fn choose(&self, to: usize, primary: Path) -> Option<usize> {
        let first = primary.first as usize;
        let cost = |paths: &[Option<Path>], to: usize| paths[to].map(|path| u64::from(path.cost));
        let from_primary = self.neighbors.get(&first).and_then(|(_, paths)| cost(paths, to));
        let usable = self.neighbors.iter().filter(|&(&n, _)| n != first).filter_map(|(&n, (link, paths))| {
            let onward = cost(paths, to)?;
            if onward >= cost(paths, self.source)? + u64::from(primary.cost) {
                return None;
            }
            let avoids_primary =
                from_primary.zip(cost(paths, first)).is_some_and(|(rest, there)| onward < there + rest);
            Some((!avoids_primary, u64::from(*link) + onward, n))
        });
        usable.min().map(|(_, _, n)| n)
    }
}

#[cfg(test)]
mod tests;
