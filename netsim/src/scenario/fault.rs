//! What can go wrong, as it is written in a scenario.
//!
//! Most kinds are done by the world as they stand; those that are stories of their own (flapping, one after the other,
//! chance) are taken apart by `expand.rs` first.

use super::nodes::NodeSet;
use super::{ScenarioError, probability};
use crate::link::{Burst, Degrade};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

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

impl Fault {
    /// When it begins, and when it ends.
    #[must_use]
    pub fn span(&self) -> (Duration, Duration) {
        (Duration::from_millis(self.at_ms), Duration::from_millis(self.at_ms.saturating_add(self.for_ms)))
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing passes between these groups of nodes.
    Partition(Vec<NodeSet>),
    /// Nothing passes from some nodes to others.
    Cut(CutModel),
    /// Nothing passes between each of these nodes and any other.
    Isolate(NodeSet),
    /// Links get worse.
    Degrade(DegradeModel),
    /// The node dies, and is started again at the end.
    Crash(usize),
    /// The node's tasks stop, and go on at the end.
    Pause(usize),
    /// The clocks of nodes run too fast or, below zero, too slow.
    Drift(DriftModel),
    /// The wall clocks of nodes jump, and jump back at the end.
    Step(StepModel),
    /// The node gets another address, and keeps it.
    Readdress(usize),
    /// All streams of the node are reset, those of its clients too. It takes no time.
    Reset(usize),
    /// The node's disk misbehaves.
    Disk(DiskModel),
    /// Nothing passes between two sets of nodes in the first half of each period.
    Flap(FlapModel),
    /// Each node is cut off from all, one after the other; then they come back in another order.
    Swizzle(NodeSet),
    /// The same happens to each node, one after the other.
    Rolling(RollingModel),
    /// Nodes chosen by chance die and return, as many each second as `per_s` says.
    Churn(ChurnModel),
    /// Links chosen by chance are cut, one after the other, of those that leave a way between any two nodes.
    RandomCuts(RandomCutsModel),
}

/// What a cut stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutModel {
    /// From these nodes …
    pub from: NodeSet,
    /// … to these.
    pub to: NodeSet,
    /// The other way too.
    #[serde(default)]
    pub both_ways: bool,
}

/// By how much links get worse.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DegradeModel {
    /// Between these nodes …
    pub from: NodeSet,
    /// … and these.
    pub to: NodeSet,
    /// Only on the way from `from` to `to`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// Added to the delay.
    pub delay_ms: u64,
    /// The least jitter.
    pub jitter_ms: u64,
    /// The least probability of loss.
    pub loss: f64,
    /// The least probability of duplication.
    pub duplicate: f64,
    /// The least probability of reordering.
    pub reorder: f64,
    /// The least probability that a packet arrives with a bit changed.
    pub corrupt: f64,
    /// Loss that comes in bursts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<BurstModel>,
    /// The most bytes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_bytes: Option<u64>,
    /// The most bytes that wait for the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    /// The largest packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu_bytes: Option<usize>,
}

/// Loss in bursts: a link is good or bad, and each packet may change that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurstModel {
    /// Probability that a packet finds a good link turned bad.
    pub enter: f64,
    /// Probability that a packet finds a bad link turned good.
    pub leave: f64,
    /// Probability that a bad link loses a packet.
    #[serde(default = "one")]
    pub loss: f64,
}

fn one() -> f64 {
    1.0
}

/// Whose clocks run how fast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftModel {
    /// Whose.
    pub nodes: NodeSet,
    /// Parts per million; every second one of the nodes strays the other way.
    pub ppm: i32,
}

/// Whose wall clocks jump by how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepModel {
    /// Whose.
    pub nodes: NodeSet,
    /// Forwards, or back when below zero; every second one of the nodes jumps the other way.
    pub ms: i64,
}

/// Whose disk does what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskModel {
    /// Whose.
    pub node: usize,
    /// What it does.
    pub does: DiskFault,
}

/// How a disk misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFault {
    /// A bit of a record that is kept changes.
    FlipBits,
    /// Nothing more can be written.
    Full,
    /// Reading and writing fail.
    Fail,
    /// Making writes durable takes a second.
    SlowSync,
    /// What is said to be durable is not: a loss of power takes it.
    LieAboutSync,
}

/// A link that comes and goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlapModel {
    /// Between these nodes …
    pub from: NodeSet,
    /// … and these.
    pub to: NodeSet,
    /// From one cut to the next.
    pub period_ms: u64,
}

/// The same for each node, or for some of them together, in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingModel {
    /// Whose turn it is, in this order.
    pub nodes: NodeSet,
    /// What happens.
    pub what: Each,
    /// From one node's beginning to the next one's.
    pub every_ms: u64,
    /// How long it takes for each.
    pub each_ms: u64,
    /// How many have their turn together; they are spread evenly over the list.
    #[serde(default = "one_node", skip_serializing_if = "is_one")]
    pub at_once: usize,
}

fn one_node() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(number: &usize) -> bool {
    *number == 1
}

/// What happens to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// It dies and returns.
    Crash,
    /// It is cut off from all others.
    Isolate,
    /// Its tasks stop and go on.
    Pause,
    /// It gets another address.
    Readdress,
}

/// Nodes that come and go by chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChurnModel {
    /// Who may be hit.
    pub nodes: NodeSet,
    /// How many each second.
    pub per_s: f64,
    /// How long each is away.
    pub down_ms: u64,
}

/// Links that come and go by chance, while a way is always left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCutsModel {
    /// From one cut to the next.
    pub every_ms: u64,
    /// How long each lasts at most; at least half of that.
    pub down_ms: u64,
}

impl fmt::Display for FaultKind {
    /// For people: as in a file, with long lists cut short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LEN_MAX: usize = 160;
        let value = toml::Value::try_from(self).map_err(|_| fmt::Error)?;
        let text = value.to_string();
        let inner = text.strip_prefix("{ ").and_then(|text| text.strip_suffix(" }")).unwrap_or(&text);
        match inner.char_indices().nth(LEN_MAX) {
            Some((end, _)) => write!(f, "{}…", &inner[..end]),
            None => f.write_str(inner),
        }
    }
}

impl From<&DegradeModel> for Degrade {
    fn from(model: &DegradeModel) -> Self {
        Self {
            delay: Duration::from_millis(model.delay_ms),
            jitter: Duration::from_millis(model.jitter_ms),
            loss: model.loss,
            duplicate: model.duplicate,
            reorder: model.reorder,
            corrupt: model.corrupt,
            burst: model.burst.map(|BurstModel { enter, leave, loss }| Burst { enter, leave, loss }),
            rate: model.rate_bytes,
            queue_bytes: model.queue_bytes,
            mtu_bytes: model.mtu_bytes,
        }
    }
}

impl FaultKind {
    /// Its name, as in a file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition(_) => "partition",
            Self::Cut(_) => "cut",
            Self::Isolate(_) => "isolate",
            Self::Degrade(_) => "degrade",
            Self::Crash(_) => "crash",
            Self::Pause(_) => "pause",
            Self::Drift(_) => "drift",
            Self::Step(_) => "step",
            Self::Readdress(_) => "readdress",
            Self::Reset(_) => "reset",
            Self::Disk(_) => "disk",
            Self::Flap(_) => "flap",
            Self::Swizzle(_) => "swizzle",
            Self::Rolling(_) => "rolling",
            Self::Churn(_) => "churn",
            Self::RandomCuts(_) => "random-cuts",
        }
    }

    /// All nodes that it names.
    #[must_use]
    pub fn nodes(&self) -> Vec<usize> {
        match self {
            Self::Partition(groups) => groups.iter().flat_map(|group| group.iter().copied()).collect(),
            Self::Cut(CutModel { from, to, .. })
            | Self::Degrade(DegradeModel { from, to, .. })
            | Self::Flap(FlapModel { from, to, .. }) => [&from[..], to].concat(),
            Self::Isolate(nodes)
            | Self::Swizzle(nodes)
            | Self::Drift(DriftModel { nodes, .. })
            | Self::Step(StepModel { nodes, .. })
            | Self::Rolling(RollingModel { nodes, .. })
            | Self::Churn(ChurnModel { nodes, .. }) => nodes.to_vec(),
            Self::Crash(node)
            | Self::Pause(node)
            | Self::Readdress(node)
            | Self::Reset(node)
            | Self::Disk(DiskModel { node, .. }) => vec![*node],
            Self::RandomCuts(_) => Vec::new(),
        }
    }

    /// The same for nodes with other numbers; nothing when those that are left are too few for it.
    #[must_use]
    pub fn renumbered(&self, number: &impl Fn(usize) -> Option<usize>) -> Option<Self> {
        let set = |nodes: &NodeSet| Some(nodes.renumbered(number)).filter(|nodes| !nodes.is_empty());
        Some(match self {
            Self::Partition(groups) => {
                let groups: Vec<_> = groups.iter().filter_map(set).collect();
                if groups.len() < 2 {
                    return None;
                }
                Self::Partition(groups)
            }
            Self::Cut(cut) => Self::Cut(CutModel { from: set(&cut.from)?, to: set(&cut.to)?, ..*cut }),
            Self::Isolate(nodes) => Self::Isolate(set(nodes)?),
            Self::Degrade(model) => {
                Self::Degrade(DegradeModel { from: set(&model.from)?, to: set(&model.to)?, ..model.clone() })
            }
            Self::Crash(node) => Self::Crash(number(*node)?),
            Self::Pause(node) => Self::Pause(number(*node)?),
            Self::Drift(model) => Self::Drift(DriftModel { nodes: set(&model.nodes)?, ..*model }),
            Self::Step(model) => Self::Step(StepModel { nodes: set(&model.nodes)?, ..*model }),
            Self::Readdress(node) => Self::Readdress(number(*node)?),
            Self::Reset(node) => Self::Reset(number(*node)?),
            Self::Disk(model) => Self::Disk(DiskModel { node: number(model.node)?, ..*model }),
            Self::Flap(flap) => Self::Flap(FlapModel { from: set(&flap.from)?, to: set(&flap.to)?, ..*flap }),
            Self::Swizzle(nodes) => Self::Swizzle(set(nodes)?),
            Self::Rolling(model) => Self::Rolling(RollingModel { nodes: set(&model.nodes)?, ..*model }),
            Self::Churn(model) => Self::Churn(ChurnModel { nodes: set(&model.nodes)?, ..*model }),
            Self::RandomCuts(model) => Self::RandomCuts(model.clone()),
        })
    }

    /// Whether it happens at one moment.
    #[must_use]
    pub fn takes_no_time(&self) -> bool {
        matches!(self, Self::Reset(_) | Self::Readdress(_))
    }

    /// Refuses sets of nodes that make no sense.
    fn check_sets(&self) -> Result<(), ScenarioError> {
        let kind = self.name();
        let some = |key, nodes: &NodeSet| {
            if nodes.is_empty() { Err(ScenarioError::NoNodes { kind, key }) } else { Ok(()) }
        };
        match self {
            Self::Partition(groups) => {
                groups.iter().try_for_each(|group| some("a group", group))?;
                let mut seen = std::collections::BTreeSet::new();
                let twice = groups.iter().flatten().find(|node| !seen.insert(**node));
                twice.map_or(Ok(()), |node| Err(ScenarioError::TwoSides { kind, node: *node }))
            }
            Self::Cut(CutModel { from, to, .. }) | Self::Flap(FlapModel { from, to, .. }) => {
                some("from", from).and(some("to", to))?;
                let both = from.iter().find(|node| to.contains(node));
                both.map_or(Ok(()), |node| Err(ScenarioError::TwoSides { kind, node: *node }))
            }
            Self::Degrade(DegradeModel { from, to, .. }) => some("from", from).and(some("to", to)),
            Self::Isolate(nodes) | Self::Swizzle(nodes) => some("the list", nodes),
            Self::Drift(DriftModel { nodes, .. })
            | Self::Step(StepModel { nodes, .. })
            | Self::Rolling(RollingModel { nodes, .. })
            | Self::Churn(ChurnModel { nodes, .. }) => some("nodes", nodes),
            Self::Crash(_)
            | Self::Pause(_)
            | Self::Readdress(_)
            | Self::Reset(_)
            | Self::Disk(_)
            | Self::RandomCuts(_) => Ok(()),
        }
    }

    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.check_sets()?;
        let positive = |key, value| if value == 0 { Err(ScenarioError::Zero { key }) } else { Ok(()) };
        match self {
            Self::Degrade(model) => {
                let burst = model.burst.map_or([0.0; 3], |burst| [burst.enter, burst.leave, burst.loss]);
                let all = [model.loss, model.duplicate, model.reorder, model.corrupt].into_iter().chain(burst);
                all.into_iter().try_for_each(probability)?;
                for (what, value) in [("delay_ms", model.delay_ms), ("jitter_ms", model.jitter_ms)] {
                    if value > 60_000 {
                        return Err(ScenarioError::Milliseconds { what, value: value as f64 });
                    }
                }
                positive("rate_bytes", model.rate_bytes.unwrap_or(1))
            }
            Self::Flap(model) => positive("period_ms", model.period_ms / 2),
            Self::Rolling(model) => {
                positive("each_ms", if model.what == Each::Readdress { 1 } else { model.each_ms })?;
                positive("every_ms", model.every_ms).and(positive("at_once", model.at_once as u64))
            }
            Self::Churn(model) if !(model.per_s > 0.0 && model.per_s <= 1_000.0) => {
                Err(ScenarioError::PerSecond { value: model.per_s })
            }
            Self::Churn(model) => positive("down_ms", model.down_ms),
            Self::RandomCuts(model) => positive("every_ms", model.every_ms).and(positive("down_ms", model.down_ms / 2)),
            Self::Partition(groups) if groups.len() < 2 => Err(ScenarioError::Groups { groups: groups.len() }),
            Self::Drift(model) if !(-100_000..=100_000).contains(&model.ppm) => {
                Err(ScenarioError::Ppm { value: model.ppm })
            }
            Self::Partition(_)
            | Self::Cut(_)
            | Self::Isolate(_)
            | Self::Crash(_)
            | Self::Pause(_)
            | Self::Drift(_)
            | Self::Step(_)
            | Self::Readdress(_)
            | Self::Reset(_)
            | Self::Disk(_)
            | Self::Swizzle(_) => Ok(()),
        }
    }
}
