//! What a scenario means for real processes: the one place that reads the model.

use crate::cli::CliError;
use lattice_netsim::{CutModel, Degrade, Epochs, FaultKind, Link, Scenario};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// A scenario, as it is played.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) nodes: usize,
    /// The first dials the second.
    pub(super) edges: Vec<(usize, usize)>,
    /// Whether nothing passes between nodes that are not linked.
    pub(super) closed: bool,
    pub(super) publishers: Vec<usize>,
    /// Nodes at which a client hears what is published.
    pub(super) listeners: Vec<usize>,
    pub(super) link: Link,
    /// Links that are not like the others, with the nodes at their ends.
    pub(super) links: Vec<((usize, usize), Link)>,
    pub(super) start: Duration,
    pub(super) interval: Duration,
    /// Messages that a publisher sends each time.
    pub(super) burst: u64,
    pub(super) payload_bytes: usize,
    pub(super) duration: Duration,
    /// Within what everybody hears everybody, once the last fault has ended; and how long a message may take then.
    pub(super) resume: Duration,
    pub(super) deliver: Duration,
    /// Deliveries that the faults may cost, but for those from and to nodes that are killed.
    pub(super) lost_max: Option<u64>,
    /// When the last fault ends.
    pub(super) healed: Duration,
    pub(super) faults: Vec<Strike>,
    /// Who must hear whom, and when.
    pub(super) epochs: Epochs,
    /// By publisher, who subscribes to it.
    pub(super) hearers: Vec<Vec<usize>>,
    /// What goes into the config file of each node of ours.
    pub(super) settings: toml::Table,
}

/// One fault, by its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Strike {
    pub(super) begins: Duration,
    pub(super) ends: Duration,
    pub(super) what: What,
}

/// What can be done to real processes and to the network between them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Partition(Vec<Vec<usize>>),
    Cut { from: Vec<usize>, to: Vec<usize>, both_ways: bool },
    Degrade { from: Vec<usize>, to: Vec<usize>, both_ways: bool, degrade: Degrade },
    Crash(usize),
    Pause(usize),
    Readdress(usize),
}

impl Plan {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Result<Self, CliError> {
        let plain = scenario.plain_faults(seed);
        let faults: Vec<Strike> = plain
            .iter()
            .map(|(_, fault)| {
                let (begins, ends) = fault.span();
                Ok(Strike { begins, ends, what: what(&fault.what, scenario.nodes())? })
            })
            .collect::<Result<_, CliError>>()?;
        let plan = Self {
            name: scenario.name.clone(),
            nodes: scenario.nodes(),
            edges: scenario.edges(),
            closed: scenario.topology.closed,
            publishers: scenario.publishers(),
            listeners: (0..scenario.nodes()).filter(|node| scenario.hears(*node)).collect(),
            link: scenario.link.into(),
            links: scenario.topology.links.iter().map(|link| (link.between, link.is.into())).collect(),
            start: Duration::from_millis(scenario.traffic.start_ms),
            interval: Duration::from_millis(scenario.traffic.interval_ms.max(1)),
            burst: scenario.traffic.burst,
            payload_bytes: scenario.traffic.payload_bytes,
            duration: Duration::from_millis(scenario.duration_ms),
            resume: Duration::from_millis(scenario.bounds.resume_ms),
            deliver: Duration::from_millis(scenario.bounds.deliver_ms),
            lost_max: scenario.bounds.lost_max,
            healed: faults.iter().map(|strike| strike.ends).max().unwrap_or_else(|| scenario.healed_at()),
            faults,
            epochs: Epochs::new(scenario, &plain),
            hearers: scenario.hearers(),
            settings: settings(scenario),
        };
        if plan.joining().len() != plan.nodes {
            let message = format!("{}: not every node is linked to node 0, by which they join", plan.name);
            return Err(CliError::usage(message).next("a topology whose nodes are all connected"));
        }
        Ok(plan)
    }

    /// Nodes that a fault kills.
    pub(super) fn killed(&self) -> BTreeSet<usize> {
        let killed = |strike: &Strike| if let What::Crash(node) = strike.what { Some(node) } else { None };
        self.faults.iter().filter_map(killed).collect()
    }

    /// Each node with the neighbour by whose invite it joins: node 0 first, which needs none.
    pub(super) fn joining(&self) -> Vec<(usize, Option<usize>)> {
        let (mut order, mut waiting) = (Vec::new(), VecDeque::from([(0, None)]));
        let mut seen = BTreeSet::from([0]);
        while let Some((node, by)) = waiting.pop_front() {
            order.push((node, by));
            let neighbors = self.edges.iter().filter_map(|&(a, b)| match node {
                _ if a == node => Some(b),
                _ if b == node => Some(a),
                _ => None,
            });
            waiting.extend(neighbors.filter(|neighbor| seen.insert(*neighbor)).map(|neighbor| (neighbor, Some(node))));
        }
        order
    }

    /// How many links a node has.
    pub(super) fn degree(&self, node: usize) -> usize {
        self.edges.iter().filter(|(a, b)| *a == node || *b == node).count()
    }

    /// True when what is healed last stood between two nodes: it stopped what goes from one to the other or back, or
    /// befell one of them.
    pub(super) fn parts(&self, one: usize, other: usize) -> bool {
        self.faults.iter().any(|strike| strike.ends == self.healed && strike.what.parts(one, other))
    }
}

impl What {
    fn parts(&self, one: usize, other: usize) -> bool {
        match self {
            Self::Partition(groups) => {
                let group = |node| groups.iter().position(|group| group.contains(&node));
                group(one).is_some() && group(other).is_some() && group(one) != group(other)
            }
            Self::Cut { from, to, .. } | Self::Degrade { from, to, .. } => {
                from.contains(&one) && to.contains(&other) || from.contains(&other) && to.contains(&one)
            }
            Self::Crash(node) | Self::Pause(node) | Self::Readdress(node) => [one, other].contains(node),
        }
    }
}

/// The settings of each node of ours: as the scenario has them, and who is linked to whom is said by it alone unless it
/// says otherwise.
fn settings(scenario: &Scenario) -> toml::Table {
    let mut settings = scenario.node.clone();
    let forming = settings.entry("forming").or_insert_with(|| toml::Table::new().into());
    if let Some(forming) = forming.as_table_mut() {
        forming.entry("auto").or_insert_with(|| false.into());
    }
    settings
}

/// What a kind of fault is for real processes; an error for one that cannot be done to them.
fn what(kind: &FaultKind, nodes: usize) -> Result<What, CliError> {
    Ok(match kind {
        FaultKind::Partition(groups) => What::Partition(groups.iter().map(|group| group.to_vec()).collect()),
        FaultKind::Cut(CutModel { from, to, both_ways }) => {
            What::Cut { from: from.to_vec(), to: to.to_vec(), both_ways: *both_ways }
        }
        FaultKind::Isolate(alone) => {
            let others = (0..nodes).filter(|node| !alone.contains(node)).collect();
            What::Cut { from: alone.to_vec(), to: others, both_ways: true }
        }
        FaultKind::Degrade(model) => {
            let (from, to) = (model.from.to_vec(), model.to.to_vec());
            What::Degrade { from, to, both_ways: !model.one_way, degrade: model.into() }
        }
        FaultKind::Crash(node) => What::Crash(*node),
        FaultKind::Pause(node) => What::Pause(*node),
        FaultKind::Readdress(node) => What::Readdress(*node),
        other => {
            let message = format!("a fault of the kind {:?} cannot be played on real processes", other.name());
            let done = "partition, cut, isolate, degrade, crash, pause, readdress, flap, swizzle, rolling, churn and \
                random-cuts";
            return Err(CliError::usage(message)
                .likely(format!("what can be: {done}"))
                .next("lattice netsim run, which simulates it"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, CliError> {
        let head = "name = \"x\"\nduration_ms = 20000\n";
        Plan::new(&Scenario::from_toml(&format!("{head}{text}")).unwrap(), 1)
    }

    #[test]
    fn every_node_joins_by_a_neighbor() {
        let ring = plan("topology = { nodes = 5, shape = \"ring\" }").unwrap();
        assert_eq!(ring.joining(), [(0, None), (1, Some(0)), (4, Some(0)), (2, Some(1)), (3, Some(4))]);
        assert_eq!((ring.degree(0), ring.edges.len()), (2, 5));
        let apart = plan("topology = { nodes = 4, edges = [[0, 1], [2, 3]] }").unwrap_err();
        assert!(apart.to_string().contains("linked to node 0") && apart.exit() == 2, "{apart}");
    }

    #[test]
    fn what_cannot_be_done_to_processes_is_refused_by_name() {
        let fault = "[[fault]]\nat_ms = 4000\nfor_ms = 1000\nwhat = { drift = { nodes = [1], ppm = 500 } }\n";
        let error = plan(&format!("topology = {{ nodes = 2, shape = \"line\" }}\n{fault}")).unwrap_err();
        assert!(error.to_string().contains("\"drift\" cannot be played") && error.exit() == 2, "{error}");
    }

    #[test]
    fn faults_stand_between_nodes() {
        let cut = What::Cut { from: vec![0], to: vec![1, 2], both_ways: false };
        assert!(cut.parts(0, 1) && cut.parts(2, 0) && !cut.parts(1, 2));
        let partition = What::Partition(vec![vec![0], vec![1]]);
        assert!(partition.parts(0, 1) && !partition.parts(0, 2) && !partition.parts(2, 3));
        assert!(What::Crash(1).parts(1, 4) && !What::Pause(1).parts(0, 4));
    }
}
