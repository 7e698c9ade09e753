//! Scenarios: a topology, traffic, faults over time and bounds, as one model that TOML files and Rust share.
//!
//! It plays the faults and judges the outcome. What runs on the nodes, and how the traffic gets in and out, is left to
//! whoever installs the processes.

use crate::check::{Checker, Violation};
use crate::link::{Bite, Degrade, FaultId, Link};
use crate::world::{World, WorldConfig};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One story about a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: that of its file.
    pub name: String,
    /// What it is about, for people.
    #[serde(default)]
    pub about: String,
    /// How long it lasts.
    pub duration_ms: u64,
    /// Who is linked to whom.
    pub topology: Topology,
    /// How links behave while nothing is wrong with them.
    #[serde(default)]
    pub link: LinkModel,
    /// What clients do.
    #[serde(default)]
    pub traffic: Traffic,
    /// What must hold.
    #[serde(default)]
    pub bounds: Bounds,
    /// What goes wrong, and when.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// Who is linked to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Nodes, numbered from 0.
    pub nodes: usize,
    /// A shape over all nodes; or give `edges`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Pairs of nodes; the first dials the second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<(usize, usize)>,
}

/// A shape that needs no list of edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// 0–1–2–…
    Line,
    /// A line whose ends are linked.
    Ring,
    /// Everybody with everybody.
    Clique,
}

/// How links behave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkModel {
    /// Time on the way.
    pub delay_ms: u64,
    /// Up to this much more.
    pub jitter_ms: u64,
    /// Probability that a packet is lost.
    pub loss: f64,
}

impl Default for LinkModel {
    fn default() -> Self {
        Self { delay_ms: 10, jitter_ms: 2, loss: 0.0 }
    }
}

/// What clients do: one publishes at each publishing node, one subscribes at each node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traffic {
    /// Nodes at which a client publishes; all when empty.
    pub publishers: Vec<usize>,
    /// When publishing begins: links should stand by then.
    pub start_ms: u64,
    /// Between two messages of one publisher.
    pub interval_ms: u64,
    /// Payload of each message.
    pub payload_bytes: usize,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { publishers: Vec::new(), start_ms: 3_000, interval_ms: 100, payload_bytes: 128 }
    }
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Within what everybody hears everybody again after the last fault has ended.
    pub resume_ms: u64,
    /// How long a message may take in the quiet tail, in which every one must arrive.
    pub deliver_ms: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { resume_ms: 3_000, deliver_ms: 2_000 }
    }
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    pub what: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing passes between these groups of nodes.
    Partition(Vec<Vec<usize>>),
    /// Nothing passes from some nodes to others.
    Cut(CutModel),
    /// Links get worse.
    Degrade(DegradeModel),
    /// The node dies, and is started again at the end.
    Crash(usize),
    /// The node's tasks stop, and go on at the end.
    Pause(usize),
}

/// What a cut stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutModel {
    /// From these nodes …
    pub from: Vec<usize>,
    /// … to these.
    pub to: Vec<usize>,
    /// The other way too.
    #[serde(default)]
    pub both_ways: bool,
}

/// By how much links get worse, both ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DegradeModel {
    /// Between these nodes …
    pub from: Vec<usize>,
    /// … and these.
    pub to: Vec<usize>,
    /// Added to the delay.
    #[serde(default)]
    pub delay_ms: u64,
    /// The least jitter.
    #[serde(default)]
    pub jitter_ms: u64,
    /// The least probability of loss.
    #[serde(default)]
    pub loss: f64,
    /// The least probability of duplication.
    #[serde(default)]
    pub duplicate: f64,
    /// The least probability of reordering.
    #[serde(default)]
    pub reorder: f64,
    /// The most bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bytes: Option<u64>,
}

impl From<&DegradeModel> for Degrade {
    fn from(model: &DegradeModel) -> Self {
        Self {
            delay: Duration::from_millis(model.delay_ms),
            jitter: Duration::from_millis(model.jitter_ms),
            loss: model.loss,
            duplicate: model.duplicate,
            reorder: model.reorder,
            rate: model.rate_bytes,
            ..Self::default()
        }
    }
}

/// A scenario cannot be played as it is written.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is no TOML, has a key that means nothing, or lacks one. The text names line and column.
    #[error("{0}")]
    Text(#[from] toml::de::Error),
    /// A node that is not there.
    #[error("node {node} does not exist: nodes are 0 to {last}")]
    NoSuchNode {
        /// As written.
        node: usize,
        /// The last that exists.
        last: usize,
    },
    /// A topology needs `nodes` above 0, and either a shape or edges.
    #[error("topology: give at least one node, and either `shape` or `edges`")]
    Topology,
    /// A fault that has not ended when the scenario does.
    #[error("fault {fault} ends at {ends_ms} ms, the scenario at {duration_ms} ms")]
    FaultTooLong {
        /// Its place in the list, from 0.
        fault: usize,
        /// When it ends.
        ends_ms: u64,
        /// When the scenario does.
        duration_ms: u64,
    },
    /// A probability that is none.
    #[error("{value} is no probability: 0 to 1")]
    Probability {
        /// As written.
        value: f64,
    },
}

impl Scenario {
    /// Reads a scenario and checks that it can be played.
    ///
    /// # Errors
    /// [`ScenarioError`], which says what to change.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks that it can be played; what was read from a file has been checked.
    ///
    /// # Errors
    /// [`ScenarioError`], which says what to change.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let Topology { nodes, shape, edges } = &self.topology;
        let last = nodes.checked_sub(1).ok_or(ScenarioError::Topology)?;
        if shape.is_some() != edges.is_empty() {
            return Err(ScenarioError::Topology);
        }
        let mut named: Vec<usize> = edges.iter().flat_map(|(a, b)| [*a, *b]).collect();
        named.extend(&self.traffic.publishers);
        let mut probabilities = vec![self.link.loss];
        for (number, fault) in self.faults.iter().enumerate() {
            let ends_ms = fault.at_ms.saturating_add(fault.for_ms);
            if ends_ms > self.duration_ms {
                return Err(ScenarioError::FaultTooLong { fault: number, ends_ms, duration_ms: self.duration_ms });
            }
            named.extend(fault.what.nodes());
            probabilities.extend(fault.what.probabilities());
        }
        if let Some(&node) = named.iter().find(|node| **node > last) {
            return Err(ScenarioError::NoSuchNode { node, last });
        }
        match probabilities.into_iter().find(|value| !(0.0..=1.0).contains(value)) {
            Some(value) => Err(ScenarioError::Probability { value }),
            None => Ok(()),
        }
    }

    /// The pairs of nodes that are linked; the first dials the second.
    #[must_use]
    pub fn edges(&self) -> Vec<(usize, usize)> {
        let nodes = self.topology.nodes;
        let line = (1..nodes).map(|node| (node - 1, node));
        match self.topology.shape {
            None => self.topology.edges.clone(),
            Some(Shape::Line) => line.collect(),
            // Two nodes have one link, whichever way round.
            Some(Shape::Ring) => line.chain((nodes > 2).then(|| (nodes - 1, 0))).collect(),
            Some(Shape::Clique) => (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))).collect(),
        }
    }

    /// The nodes at which a client publishes.
    #[must_use]
    pub fn publishers(&self) -> Vec<usize> {
        if self.traffic.publishers.is_empty() {
            return (0..self.topology.nodes).collect();
        }
        self.traffic.publishers.clone()
    }

    /// A world with this scenario's nodes and links, and `others` more hosts behind them in number.
    #[must_use]
    pub fn world(&self, seed: u64, others: usize) -> World {
        let link = Link {
            delay: Duration::from_millis(self.link.delay_ms),
            jitter: Duration::from_millis(self.link.jitter_ms),
            loss: self.link.loss,
            ..Link::default()
        };
        World::new(seed, WorldConfig { link, ..WorldConfig::hosts(self.topology.nodes + others) })
    }

    /// When the last fault ends; the beginning, when there is none.
    #[must_use]
    pub fn healed_at(&self) -> Duration {
        let ends = self.faults.iter().map(|fault| fault.at_ms + fault.for_ms);
        Duration::from_millis(ends.max().unwrap_or(self.traffic.start_ms))
    }

    /// Boots the nodes, plays the faults, and judges what `checker` has seen by then.
    ///
    /// The processes must be installed, and report to `checker` under their host's number.
    ///
    /// # Panics
    /// When the scenario was built in Rust and names a node that is not there: see [`Scenario::check`].
    pub fn play(&self, world: &mut World, checker: &Checker) -> Verdict {
        (0..self.topology.nodes).for_each(|node| world.boot(node));
        let healed = self.healed_at();
        let mut turns: Vec<_> =
            self.faults.iter().enumerate().flat_map(|(number, fault)| fault.turns(number)).collect();
        turns.sort_unstable();
        let mut active = Active::default();
        for (at_ms, begins, number) in turns {
            world.run_for(Duration::from_millis(at_ms).saturating_sub(world.now()));
            let what = &self.faults[number].what;
            if begins { active.begin(world, number, what) } else { active.end(world, number, what) }
        }
        world.run_for(healed.saturating_sub(world.now()));
        checker.watch(healed);
        world.run_for(Duration::from_millis(self.duration_ms).saturating_sub(world.now()));
        self.judge(world, checker)
    }

    fn judge(&self, world: &World, checker: &Checker) -> Verdict {
        let numbers = |nodes: &mut dyn Iterator<Item = usize>| nodes.map(|node| node as u32).collect::<Vec<_>>();
        let receivers = numbers(&mut (0..self.topology.nodes));
        let publishers = numbers(&mut self.publishers().into_iter());
        let healed = self.healed_at();
        let resume = Duration::from_millis(self.bounds.resume_ms);
        checker.resume_within(healed, resume, &receivers, &publishers);
        let tail = world.now().saturating_sub(Duration::from_millis(self.bounds.deliver_ms));
        checker.complete(healed + resume, tail, &receivers);
        Verdict {
            scenario: self.name.clone(),
            seed: world.seed(),
            trace_hash: world.trace_hash(),
            violations: checker.violations(),
            violations_total: checker.violations_total(),
            bites: world.bites(),
            resume: checker.resumed(healed).into_values().max(),
        }
    }
}

impl FaultKind {
    fn nodes(&self) -> Vec<usize> {
        match self {
            Self::Partition(groups) => groups.concat(),
            Self::Cut(CutModel { from, to, both_ways: _ }) => [&from[..], to].concat(),
            Self::Degrade(degrade) => [&degrade.from[..], &degrade.to].concat(),
            Self::Crash(node) | Self::Pause(node) => vec![*node],
        }
    }

    fn probabilities(&self) -> Vec<f64> {
        match self {
            Self::Degrade(degrade) => vec![degrade.loss, degrade.duplicate, degrade.reorder],
            Self::Partition(_) | Self::Cut(_) | Self::Crash(_) | Self::Pause(_) => Vec::new(),
        }
    }
}

impl Fault {
    /// Its beginning and its end. At one moment, what ends goes before what begins.
    fn turns(&self, number: usize) -> [(u64, bool, usize); 2] {
        [(self.at_ms, true, number), (self.at_ms + self.for_ms, false, number)]
    }
}

/// The faults that are on, while a scenario is played.
#[derive(Debug, Default)]
struct Active {
    network: BTreeMap<usize, FaultId>,
    /// Faults that keep a node down, or paused.
    down: BTreeSet<(usize, usize)>,
    paused: BTreeSet<(usize, usize)>,
}

impl Active {
    fn begin(&mut self, world: &mut World, number: usize, what: &FaultKind) {
        let fault = match what {
            FaultKind::Partition(groups) => world.partition(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            FaultKind::Cut(CutModel { from, to, both_ways }) => world.cut_all(from, to, *both_ways),
            FaultKind::Degrade(degrade) => world.degrade(&degrade.from, &degrade.to, degrade.into()),
            FaultKind::Crash(node) => {
                self.down.insert((*node, number));
                world.kill(*node)
            }
            FaultKind::Pause(node) => {
                self.paused.insert((*node, number));
                world.pause(*node)
            }
        };
        self.network.insert(number, fault);
    }

    fn end(&mut self, world: &mut World, number: usize, what: &FaultKind) {
        let held = |set: &BTreeSet<(usize, usize)>, node: usize| set.range((node, 0)..=(node, usize::MAX)).count() > 0;
        match what {
            FaultKind::Partition(_) | FaultKind::Cut(_) | FaultKind::Degrade(_) => {
                if let Some(fault) = self.network.remove(&number) {
                    world.lift(fault);
                }
            }
            FaultKind::Crash(node) => {
                self.down.remove(&(*node, number));
                if !held(&self.down, *node) {
                    world.boot(*node);
                }
            }
            FaultKind::Pause(node) => {
                self.paused.remove(&(*node, number));
                if !held(&self.paused, *node) {
                    world.resume(*node);
                }
            }
        }
    }
}

/// How a scenario went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The scenario's name.
    pub scenario: String,
    /// The seed that it was played with.
    pub seed: u64,
    /// The hash of all that happened.
    pub trace_hash: String,
    /// What was broken; the first 10,000.
    pub violations: Vec<Violation>,
    /// How much was broken.
    pub violations_total: u64,
    /// The faults, and how often each bit.
    pub bites: Vec<Bite>,
    /// The longest that anybody took to hear somebody again after the last fault; `None` when nobody did.
    pub resume: Option<Duration>,
}

impl Verdict {
    /// Faults that never made a difference: the run proves nothing about them.
    #[must_use]
    pub fn vacuous(&self) -> Vec<&Bite> {
        self.bites.iter().filter(|bite| bite.hits == 0).collect()
    }

    /// True when nothing was broken and every fault bit.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations_total == 0 && self.vacuous().is_empty()
    }
}

#[cfg(test)]
mod tests;
