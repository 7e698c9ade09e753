//! Who can hear whom while a scenario is played: the yardstick that its checks share.
//!
//! Time falls into epochs, at whose borders a fault begins or ends. Within one, nodes between which there is a path of
//! links that nothing is wrong with must hear each other, once the bound for resumption has passed; nodes between which
//! there is no path at all cannot. Of links that are merely worse, and of nodes that stand still, nothing is said.

use crate::scenario::{CutModel, Edge, Fault, FaultKind, Scenario};
use std::collections::BTreeSet;
use std::time::Duration;

/// What holds from one border to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The border at which it begins.
    pub from: Duration,
    /// The border at which it ends.
    pub until: Duration,
    /// By node, the part of the network that it surely can reach; none when nothing is sure of the node itself.
    sure: Vec<Option<usize>>,
    /// By node, the part of the network beyond which it surely can reach nobody.
    possible: Vec<Option<usize>>,
}

impl Epoch {
    /// Whether two epochs are the same one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.from == other.from
    }

    /// Whether there is a path between two nodes with which nothing is wrong.
    #[must_use]
    pub fn joined(&self, a: usize, b: usize) -> bool {
        self.sure[a].is_some() && self.sure[a] == self.sure[b]
    }

    /// Whether there is no path between two nodes, or one of them is down.
    #[must_use]
    pub fn apart(&self, a: usize, b: usize) -> bool {
        self.possible[a].is_none() || self.possible[a] != self.possible[b]
    }
}

/// The epochs of one scenario under one seed.
#[derive(Clone, Debug)]
pub struct Epochs {
    list: Vec<Epoch>,
    resume: Duration,
    deliver: Duration,
    /// Before that, nothing is said: the network was asked for more than it has room for.
    excused_until: Duration,
}

impl Epochs {
    /// The epochs of `scenario`, of which chance has made `faults`.
    #[must_use]
    pub fn new(scenario: &Scenario, faults: &[(usize, Fault)]) -> Self {
        let edges = scenario.edges();
        let matters: Vec<&Fault> = faults.iter().map(|(_, fault)| fault).filter(|fault| matters(&fault.what)).collect();
        let (start, end) = (scenario.traffic_from(), scenario.traffic_until());
        let mut borders: BTreeSet<Duration> =
            matters.iter().flat_map(|fault| [fault.span().0, fault.span().1]).collect();
        borders.extend([start, end]);
        let borders: Vec<Duration> = borders.into_iter().filter(|border| (start..=end).contains(border)).collect();
        let epoch = |two: &[Duration]| {
            let on = matters.iter().filter(|fault| fault.span().0 <= two[0] && two[0] < fault.span().1);
            let on: Vec<&FaultKind> = on.map(|fault| &fault.what).collect();
            Graph::new(scenario.nodes(), &edges, &on).epoch(two[0], two[1])
        };
        let list = borders.windows(2).map(epoch).collect();
        Self {
            list,
            resume: scenario.bounds.resume(),
            deliver: scenario.bounds.deliver(),
            excused_until: Duration::ZERO,
        }
    }

    /// Asks nothing of what happens before `at`, or in an epoch that begins before: something was dropped then because a
    /// buffer was full, and counted.
    pub fn excuse_until(&mut self, at: Duration) {
        self.excused_until = at;
    }

    /// The epochs that last long enough to be judged, in order.
    pub fn judged(&self) -> impl Iterator<Item = &Epoch> {
        let long = |epoch: &&Epoch| epoch.from + self.resume <= epoch.until;
        self.list.iter().filter(long).filter(|epoch| epoch.from >= self.excused_until)
    }

    /// The epoch in which a message that is published at `at` must arrive wherever it can: the bound for resumption has
    /// passed, and nothing else happens before the message has had its time.
    #[must_use]
    pub fn calm(&self, at: Duration) -> Option<&Epoch> {
        self.at(at).filter(|epoch| epoch.from + self.resume <= at && at + self.deliver <= epoch.until)
    }

    /// The last one, at the end of which the network is quiet.
    #[must_use]
    pub fn last(&self) -> Option<&Epoch> {
        self.list.last()
    }

    /// The epoch at `at`, when everybody has had `known` to learn of what began it.
    #[must_use]
    pub fn settled(&self, at: Duration, known: Duration) -> Option<&Epoch> {
        self.at(at).filter(|epoch| epoch.from + known <= at)
    }

    fn at(&self, at: Duration) -> Option<&Epoch> {
        if at < self.excused_until {
            return None;
        }
        let place = self.list.partition_point(|epoch| epoch.from <= at);
        place.checked_sub(1).map(|place| &self.list[place]).filter(|epoch| at < epoch.until)
    }
}

/// Whether a fault may keep a message from its receivers. Clocks and disks must not.
fn matters(what: &FaultKind) -> bool {
    !matches!(what, FaultKind::Drift(_) | FaultKind::Step(_) | FaultKind::Disk(_))
}

/// What the faults of one epoch leave of the network.
struct Graph {
    nodes: usize,
    /// Links that nothing is wrong with …
    sure: Vec<Edge>,
    /// … and all over which something may pass.
    possible: Vec<Edge>,
    down: BTreeSet<usize>,
    unsure: BTreeSet<usize>,
}

impl Graph {
    fn new(nodes: usize, edges: &[Edge], on: &[&FaultKind]) -> Self {
        let (mut down, mut unsure) = (BTreeSet::new(), BTreeSet::new());
        for what in on {
            match what {
                FaultKind::Crash(node) => drop(down.insert(*node)),
                FaultKind::Pause(node) | FaultKind::Readdress(node) | FaultKind::Reset(node) => {
                    unsure.insert(*node);
                }
                _ => {}
            }
        }
        let stopped = Stopped::of(nodes, on);
        let up = |&(a, b): &Edge| !down.contains(&a) && !down.contains(&b);
        let possible: Vec<Edge> = edges.iter().copied().filter(up).filter(|edge| !stopped.cut(*edge)).collect();
        let steady = |&(a, b): &Edge| !unsure.contains(&a) && !unsure.contains(&b);
        let sure = possible.iter().copied().filter(steady).filter(|edge| !stopped.worse(*edge)).collect();
        Self { nodes, sure, possible, down, unsure }
    }

    fn epoch(&self, from: Duration, until: Duration) -> Epoch {
        let parts = |edges: &[Edge], without: &dyn Fn(usize) -> bool| {
            let parts = parts(self.nodes, edges).into_iter().enumerate();
            parts.map(|(node, part)| (!without(node)).then_some(part)).collect()
        };
        let possible = parts(&self.possible, &|node| self.down.contains(&node));
        let sure = parts(&self.sure, &|node| self.down.contains(&node) || self.unsure.contains(&node));
        Epoch { from, until, sure, possible }
    }
}

/// Which directions are stopped or worse, as sets of nodes: pairs would be too many.
struct Stopped {
    groups: Vec<Vec<Option<usize>>>,
    cuts: Vec<(Vec<bool>, Vec<bool>)>,
    alone: Vec<bool>,
    worse: Vec<(Vec<bool>, Vec<bool>)>,
}

impl Stopped {
    fn of(nodes: usize, on: &[&FaultKind]) -> Self {
        let flags = |set: &[usize]| {
            let mut flags = vec![false; nodes];
            set.iter().for_each(|node| flags[*node] = true);
            flags
        };
        let mut all = Self { groups: Vec::new(), cuts: Vec::new(), alone: vec![false; nodes], worse: Vec::new() };
        for what in on {
            match what {
                FaultKind::Partition(groups) => {
                    let mut of = vec![None; nodes];
                    let members =
                        groups.iter().enumerate().flat_map(|(n, group)| group.iter().map(move |node| (n, *node)));
                    members.for_each(|(group, node)| of[node] = Some(group));
                    all.groups.push(of);
                }
                // A link that carries one way only is none.
                FaultKind::Cut(CutModel { from, to, both_ways: _ }) => all.cuts.push((flags(from), flags(to))),
                FaultKind::Isolate(set) => set.iter().for_each(|node| all.alone[*node] = true),
                FaultKind::Degrade(model) => all.worse.push((flags(&model.from), flags(&model.to))),
                _ => {}
            }
        }
        all
    }

    fn cut(&self, (a, b): Edge) -> bool {
        let parted = |of: &Vec<Option<usize>>| of[a].is_some() && of[b].is_some() && of[a] != of[b];
        self.alone[a] || self.alone[b] || self.groups.iter().any(parted) || between(&self.cuts, (a, b))
    }

    fn worse(&self, edge: Edge) -> bool {
        between(&self.worse, edge)
    }
}

fn between(sets: &[(Vec<bool>, Vec<bool>)], (a, b): Edge) -> bool {
    sets.iter().any(|(from, to)| (from[a] && to[b]) || (from[b] && to[a]))
}

/// By node, the smallest number in its part of the graph.
pub(crate) fn parts(nodes: usize, edges: &[Edge]) -> Vec<usize> {
    let mut root: Vec<usize> = (0..nodes).collect();
    fn find(root: &mut [usize], mut node: usize) -> usize {
        while root[node] != node {
            root[node] = root[root[node]];
            node = root[node];
        }
        node
    }
    for &(a, b) in edges {
        let (a, b) = (find(&mut root, a), find(&mut root, b));
        root[a.max(b)] = a.min(b);
    }
    (0..nodes).map(|node| find(&mut root, node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Bounds, DegradeModel, Shape, Topology, Traffic};

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A ring of four from second 3 to second 57, with one fault from second 10 to second 20.
    fn epochs(what: FaultKind) -> Epochs {
        let scenario = Scenario {
            name: "test".to_owned(),
            about: String::new(),
            duration_ms: 60_000,
            topology: Topology::shaped(Shape::Ring, 4),
            link: Default::default(),
            traffic: Traffic::default(),
            bounds: Bounds::default(),
            node: toml::Table::new(),
            shortfalls: Vec::new(),
            faults: vec![Fault { at_ms: 10_000, for_ms: 10_000, what }],
            packets: Vec::new(),
        };
        Epochs::new(&scenario, &scenario.plain_faults(1))
    }

    fn set(nodes: &[usize]) -> crate::scenario::NodeSet {
        nodes.iter().copied().collect()
    }

    #[test]
    fn calm_is_after_resumption_and_before_what_comes_next() {
        let epochs = epochs(FaultKind::Isolate(set(&[0])));
        let calm = |at| epochs.calm(secs(at)).map(|epoch| (epoch.from, epoch.until));
        assert_eq!(calm(6), None);
        assert_eq!(calm(7), Some((secs(3), secs(10))));
        assert_eq!(calm(9), None);
        assert_eq!(calm(14), Some((secs(10), secs(20))));
        assert_eq!(calm(55), Some((secs(20), secs(57))));
        assert_eq!(calm(56), None);
        assert_eq!(epochs.judged().count(), 3);
    }

    /// Goal: a cut ring is a line, through which all still hear each other; a ring cut twice is two parts.
    #[test]
    fn a_path_round_counts() {
        let cut =
            |from: &[usize], to: &[usize]| FaultKind::Cut(CutModel { from: set(from), to: set(to), both_ways: false });
        let once = epochs(cut(&[0], &[1]));
        assert!(once.calm(secs(15)).is_some_and(|epoch| epoch.joined(0, 1) && !epoch.apart(0, 1)));
        let twice = epochs(cut(&[0, 1], &[2, 3]));
        let epoch = twice.calm(secs(15)).unwrap();
        assert!(epoch.joined(0, 1) && epoch.apart(0, 2) && !epoch.joined(1, 3));
        assert!(twice.calm(secs(30)).is_some_and(|epoch| epoch.joined(0, 2)));
    }

    #[test]
    fn what_is_worse_is_neither_joined_nor_apart() {
        let all = set(&[0, 1, 2, 3]);
        let worse = epochs(FaultKind::Degrade(DegradeModel { from: all.clone(), to: all, ..DegradeModel::default() }));
        let paused = epochs(FaultKind::Pause(2));
        for (epochs, a, b) in [(worse, 0, 1), (paused, 2, 1)] {
            let epoch = epochs.calm(secs(15)).unwrap();
            assert!(!epoch.joined(a, b) && !epoch.apart(a, b));
        }
        let crashed = epochs(FaultKind::Crash(2));
        let epoch = crashed.calm(secs(15)).unwrap();
        assert!(epoch.apart(2, 1) && epoch.joined(1, 3));
    }

    #[test]
    fn clocks_and_disks_excuse_nothing() {
        let drift = FaultKind::Drift(crate::scenario::DriftModel { nodes: set(&[0]), ppm: 500 });
        assert_eq!(epochs(drift).judged().count(), 1);
    }
}
