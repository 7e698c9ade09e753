//! Scenarios: a topology, clients, faults over time and bounds, as one model that TOML files and Rust share.
//!
//! Here is what a scenario says and whether it can be played. Playing it is `play.rs`, who should hear whom while it is
//! played is `epochs.rs`; what runs on the nodes, and how the traffic gets in and out, is left to whoever installs the
//! processes.

mod expand;
mod fault;
mod nodes;
mod random;
mod smaller;
mod topology;
mod vary;

pub use fault::{
    BurstModel, ChurnModel, CutModel, DegradeModel, DiskFault, DiskModel, DriftModel, Each, Fault, FaultKind,
    FlapModel, RandomCutsModel, RollingModel, StepModel,
};
pub use nodes::NodeSet;
pub use random::{Kind, Space, UnknownKind};
pub use topology::{Edge, LinkModel, OneLink, Shape, Site, Topology};

use crate::link::Fate;
use crate::verdict::{Check, Shortfall};
use crate::world::{World, WorldConfig};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Messages that a client may publish at once.
const BURST_MAX: u64 = 100_000;
/// The largest payload: what a node takes by default.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;
/// The longest scenario: a day.
const DURATION_MS_MAX: u64 = 86_400_000;

/// One story about a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: that of its file.
    pub name: String,
    /// What it is about, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// Settings of all nodes, as in their own config file; whoever runs the nodes reads it.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub node: toml::Table,
    /// What is known not to hold yet, and by how much.
    #[serde(default, rename = "shortfall", skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<Shortfall>,
    /// What goes wrong, and when.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What befalls single packets, in the place of chance: what shrinking leaves of it.
    #[serde(default, rename = "packet", skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<Fate>,
}

/// What clients do. At each node one subscribes, works and serves; at each publishing node it publishes and asks, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traffic {
    /// Nodes at which a client publishes; all when empty.
    pub publishers: NodeSet,
    /// Nodes at which a client hears what is published; all when empty.
    pub hearers: NodeSet,
    /// When publishing begins: links should stand by then.
    pub start_ms: u64,
    /// Between two messages of one publisher.
    pub interval_ms: u64,
    /// How many messages it publishes each time, one right after the other.
    pub burst: u64,
    /// Payload of each message.
    pub payload_bytes: usize,
    /// Whose messages a client subscribes to.
    pub hear: Hear,
    /// Whether each message is accompanied by a piece of work for a queue group.
    pub work: bool,
    /// Nodes with a member of that group; all when empty.
    pub workers: NodeSet,
    /// A client asks after so many messages; 0 for never.
    pub ask_every: u64,
    /// How often somebody asks each node for an invite; 0 for never. Of all that nodes do, this looks at the wall clock.
    pub invite_every_ms: u64,
    /// How long a client serves before it stops for as long, again and again; 0 for never.
    pub shift_ms: u64,
}

/// Whose messages a client subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hear {
    /// Everybody's, by one wildcard.
    All,
    /// Those of the nodes that are linked to its own.
    Neighbors,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            publishers: NodeSet::default(),
            hearers: NodeSet::default(),
            start_ms: 3_000,
            interval_ms: 100,
            burst: 1,
            payload_bytes: 128,
            hear: Hear::All,
            work: true,
            workers: NodeSet::default(),
            ask_every: 3,
            invite_every_ms: 0,
            shift_ms: 2_600,
        }
    }
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Within what everybody hears everybody again to whom there is a path, whenever a fault begins or ends.
    pub resume_ms: u64,
    /// How long a message may take after that, until something else happens; every one must arrive.
    pub deliver_ms: u64,
    /// The quiet at the end: no traffic, nothing is left over from it when it is over.
    pub quiet_ms: u64,
    /// How many deliveries all faults together may cost, but for those from and to nodes that crash; no limit when left
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_max: Option<u64>,
    /// How often links may go down; no limit when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_downs_max: Option<u64>,
    /// How many connections may be tried from the first fault on; no limit when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dials_max: Option<u64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            resume_ms: 4_000,
            deliver_ms: 2_000,
            quiet_ms: 3_000,
            lost_max: None,
            link_downs_max: None,
            dials_max: None,
        }
    }
}

impl Bounds {
    /// Within what traffic must be back.
    #[must_use]
    pub fn resume(&self) -> Duration {
        Duration::from_millis(self.resume_ms)
    }

    /// How long a message may take.
    #[must_use]
    pub fn deliver(&self) -> Duration {
        Duration::from_millis(self.deliver_ms)
    }
}

/// A scenario cannot be played as it is written.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file that cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no TOML, has a key that means nothing, or lacks one. The text names line and column.
    #[error("{0}")]
    Text(#[from] toml::de::Error),
    /// A line of a file of edges.
    #[error("{}, line {line}: {why}", path.display())]
    EdgesFile {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A node that is not there.
    #[error("node {node} does not exist: nodes are 0 to {last}")]
    NoSuchNode {
        /// As written.
        node: usize,
        /// The last that exists.
        last: usize,
    },
    /// A topology that does not say who is linked to whom, or says it twice.
    #[error("topology: give at least one node, and one of `shape`, `site`, `edges` and `edges_file`")]
    Topology,
    /// A key that means something for one shape only.
    #[error("topology: `{key}` is for the shape {of:?} only")]
    OnlyFor {
        /// The key.
        key: &'static str,
        /// The shape.
        of: &'static str,
    },
    /// A key that says what another key says already.
    #[error("topology: leave `{key}` out beside `{other}`, which says it")]
    Beside {
        /// The key.
        key: &'static str,
        /// The other one.
        other: &'static str,
    },
    /// More nodes than there are addresses for.
    #[error("{nodes} nodes: at most {max} can be simulated")]
    TooManyNodes {
        /// As written.
        nodes: usize,
        /// How many can be.
        max: usize,
    },
    /// A link from a node to itself.
    #[error("node {node} is linked to itself")]
    LinkToSelf {
        /// Which.
        node: usize,
    },
    /// A description of a link that there is not.
    #[error("nodes {a} and {b} are not linked: a [[topology.link]] says what a link is like, and makes none")]
    NoLink {
        /// One end.
        a: usize,
        /// The other.
        b: usize,
    },
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
    /// A scenario that ends before anything can be judged.
    #[error(
        "duration_ms = {duration_ms}: what happens until {until_ms} ms can be judged from {needed_ms} ms on only (resume, deliver and quiet after it)"
    )]
    TooShort {
        /// As written.
        duration_ms: u64,
        /// When the last fault ends, or the traffic begins.
        until_ms: u64,
        /// What it takes at least.
        needed_ms: u64,
    },
    /// A scenario that nobody would wait for.
    #[error("duration_ms = {duration_ms}: at most {DURATION_MS_MAX}, a day")]
    TooLong {
        /// As written.
        duration_ms: u64,
    },
    /// A probability that is none.
    #[error("{value} is no probability: 0 to 1")]
    Probability {
        /// As written.
        value: f64,
    },
    /// A time that is none.
    #[error("{what} = {value}: 0 to 60000 milliseconds")]
    Milliseconds {
        /// The key.
        what: &'static str,
        /// As written.
        value: f64,
    },
    /// A rate of churn that is none.
    #[error("per_s = {value}: more than 0, and at most 1000")]
    PerSecond {
        /// As written.
        value: f64,
    },
    /// A clock that strays too far.
    #[error("ppm = {value}: -100000 to 100000")]
    Ppm {
        /// As written.
        value: i32,
    },
    /// A number that must not be nothing.
    #[error("{key} = 0: it must be more")]
    Zero {
        /// The key.
        key: &'static str,
    },
    /// A fault that lasts no time.
    #[error("fault {fault} ({kind}) has for_ms = 0: it must be more")]
    NoTime {
        /// Its place in the list, from 0.
        fault: usize,
        /// Its kind.
        kind: &'static str,
    },
    /// A fault that is a story of too many parts.
    #[error("fault {fault} ({kind}) comes to about {parts} parts: at most {}", expand::PARTS_MAX)]
    TooManyParts {
        /// Its place in the list, from 0.
        fault: usize,
        /// Its kind.
        kind: &'static str,
        /// How many there would be.
        parts: u64,
    },
    /// More than anybody can wait for, or a machine can hold.
    #[error("{what} = {value}: at most {max}")]
    TooMuch {
        /// The key.
        what: &'static str,
        /// As written, or what follows from it.
        value: u64,
        /// How much there may be.
        max: u64,
    },
    /// A figure of a shortfall that is none.
    #[error("shortfall {check}: at_most = {value}: a number from 0 on")]
    AtMost {
        /// Of which check.
        check: Check,
        /// As written.
        value: f64,
    },
    /// A name that could not be a file's.
    #[error("name = {name:?}: letters, digits, '-', '_' and '.', and no '.' in front")]
    Name {
        /// As written.
        name: String,
    },
    /// A set of nodes that must not be empty.
    #[error("{kind}: {key} names no node")]
    NoNodes {
        /// The kind of fault.
        kind: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A node that would be on both sides.
    #[error("{kind}: node {node} is on two sides at once")]
    TwoSides {
        /// The kind of fault.
        kind: &'static str,
        /// Which node.
        node: usize,
    },
    /// A partition that parts nobody.
    #[error("a partition of {groups} groups parts nobody: give at least two")]
    Groups {
        /// As written.
        groups: usize,
    },
}

/// What a scenario may be called: it becomes part of file names.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 100 && !text.starts_with('.') && text.bytes().all(allowed)
}

fn probability(value: f64) -> Result<(), ScenarioError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(ScenarioError::Probability { value }) }
}

fn node_exists(node: usize, nodes: usize) -> Result<(), ScenarioError> {
    if node < nodes { Ok(()) } else { Err(ScenarioError::NoSuchNode { node, last: nodes.saturating_sub(1) }) }
}

impl Scenario {
    /// Reads a scenario and checks that it can be played.
    ///
    /// # Errors
    /// [`ScenarioError`], which says what to change.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        Self::from_toml_in(text, Path::new("."))
    }

    /// Reads a scenario from a file; a file of edges that it names is looked up beside it.
    ///
    /// # Errors
    /// [`ScenarioError`], which says what to change.
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::File { path: path.into(), error })?;
        Self::from_toml_in(&text, path.parent().unwrap_or(Path::new(".")))
    }

    fn from_toml_in(text: &str, folder: &Path) -> Result<Self, ScenarioError> {
        let mut scenario: Self = toml::from_str(text)?;
        scenario.topology.read_edges(folder)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The scenario as a file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("the model has no value that TOML cannot write")
    }

    /// Checks that it can be played; what was read from a file has been checked.
    ///
    /// # Errors
    /// [`ScenarioError`], which says what to change.
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.topology.check()?;
        self.link.check()?;
        let nodes = self.topology.len();
        let packets = self.packets.iter().flat_map(|packet| [packet.from, packet.to]);
        let Traffic { publishers, hearers, workers, .. } = &self.traffic;
        let named = publishers.iter().chain(hearers).chain(workers).copied().chain(packets);
        named
            .chain(self.faults.iter().flat_map(|fault| fault.what.nodes()))
            .try_for_each(|node| node_exists(node, nodes))?;
        self.faults.iter().try_for_each(|fault| fault.what.check())?;
        if !is_name(&self.name) {
            return Err(ScenarioError::Name { name: self.name.clone() });
        }
        for (what, value, max) in [
            ("traffic.burst", self.traffic.burst, BURST_MAX),
            ("traffic.payload_bytes", self.traffic.payload_bytes as u64, PAYLOAD_BYTES_MAX),
        ] {
            if value > max {
                return Err(ScenarioError::TooMuch { what, value, max });
            }
        }
        for shortfall in &self.shortfalls {
            if !(shortfall.at_most >= 0.0 && shortfall.at_most.is_finite()) {
                return Err(ScenarioError::AtMost { check: shortfall.check, value: shortfall.at_most });
            }
        }
        for (key, value) in [
            ("interval_ms", self.traffic.interval_ms),
            ("burst", self.traffic.burst),
            ("resume_ms", self.bounds.resume_ms),
        ] {
            if value == 0 {
                return Err(ScenarioError::Zero { key });
            }
        }
        self.check_times()
    }

    fn check_times(&self) -> Result<(), ScenarioError> {
        let Self { duration_ms, bounds, .. } = *self;
        if duration_ms > DURATION_MS_MAX {
            return Err(ScenarioError::TooLong { duration_ms });
        }
        for (number, fault) in self.faults.iter().enumerate() {
            if fault.for_ms == 0 && !fault.what.takes_no_time() {
                return Err(ScenarioError::NoTime { fault: number, kind: fault.what.name() });
            }
            let parts = fault.parts();
            if parts > expand::PARTS_MAX as u64 {
                return Err(ScenarioError::TooManyParts { fault: number, kind: fault.what.name(), parts });
            }
            let ends_ms = fault.at_ms.saturating_add(fault.for_ms);
            if ends_ms > duration_ms {
                return Err(ScenarioError::FaultTooLong { fault: number, ends_ms, duration_ms });
            }
        }
        let until_ms = self.healed_at().as_millis() as u64;
        let after = [bounds.resume_ms, bounds.deliver_ms, bounds.quiet_ms];
        let needed_ms = after.into_iter().fold(until_ms, u64::saturating_add);
        if duration_ms < needed_ms {
            return Err(ScenarioError::TooShort { duration_ms, until_ms, needed_ms });
        }
        Ok(())
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.topology.len()
    }

    /// The pairs of nodes that are linked; the first dials the second.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        self.topology.edges()
    }

    /// The nodes at which a client publishes.
    #[must_use]
    pub fn publishers(&self) -> Vec<usize> {
        or_all(&self.traffic.publishers, self.nodes())
    }

    /// The nodes with a member of the queue group.
    #[must_use]
    pub fn workers(&self) -> Vec<usize> {
        if self.traffic.work { or_all(&self.traffic.workers, self.nodes()) } else { Vec::new() }
    }

    /// By publisher, who subscribes to what it publishes; nobody hears itself.
    #[must_use]
    pub fn hearers(&self) -> Vec<Vec<usize>> {
        let nodes = self.nodes();
        let mut hearers = match self.traffic.hear {
            Hear::Neighbors => self.topology.neighbors(),
            Hear::All => (0..nodes).map(|own| (0..nodes).filter(|node| *node != own).collect()).collect(),
        };
        hearers.iter_mut().for_each(|of| of.retain(|node| self.hears(*node)));
        hearers
    }

    /// Whether a client at `node` subscribes to what is published.
    #[must_use]
    pub fn hears(&self, node: usize) -> bool {
        self.traffic.hearers.is_empty() || self.traffic.hearers.contains(&node)
    }

    /// A world with this scenario's nodes and links.
    #[must_use]
    pub fn world(&self, seed: u64) -> World {
        let config = WorldConfig { link: self.link.into(), ..WorldConfig::hosts(self.nodes()) };
        let mut world = World::new(seed, config);
        for OneLink { between: (a, b), is } in &self.topology.links {
            world.link(*a, *b, (*is).into());
            world.link(*b, *a, (*is).into());
        }
        if self.topology.closed {
            world.close(&self.edges());
        }
        if !self.packets.is_empty() {
            world.force(&self.packets);
        }
        world
    }

    /// When the last fault ends; when the traffic begins, if there is none.
    #[must_use]
    pub fn healed_at(&self) -> Duration {
        let ends = self.faults.iter().map(|fault| fault.span().1);
        ends.max().unwrap_or_default().max(Duration::from_millis(self.traffic.start_ms))
    }

    /// When publishing begins.
    #[must_use]
    pub fn traffic_from(&self) -> Duration {
        Duration::from_millis(self.traffic.start_ms)
    }

    /// When it ends, and with it all that clients do but for holding their subscriptions.
    #[must_use]
    pub fn traffic_until(&self) -> Duration {
        Duration::from_millis(self.duration_ms - self.bounds.quiet_ms.min(self.duration_ms))
    }

    /// The plain faults that its faults consist of, each with its place in the list.
    #[must_use]
    pub fn plain_faults(&self, seed: u64) -> Vec<(usize, Fault)> {
        let (nodes, edges) = (self.nodes(), self.edges());
        let of = |(place, fault): (usize, &Fault)| {
            fault.expanded(seed, place, nodes, &edges).into_iter().map(move |part| (place, part))
        };
        self.faults.iter().enumerate().flat_map(of).collect()
    }
}

fn or_all(nodes: &NodeSet, count: usize) -> Vec<usize> {
    if nodes.is_empty() { (0..count).collect() } else { nodes.to_vec() }
}

#[cfg(test)]
mod tests;
