//! Who is linked to whom, and how each link behaves: shapes, sites with bridges, lists and files of edges.

use super::ScenarioError;
use crate::link::Link;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most links of a topology: each costs a connection with two ends.
const LINKS_MAX: usize = 100_000;

/// The link between two nodes; the first dials the second.
pub type Edge = (usize, usize);

/// Who is linked to whom. Give one of `shape`, `site`, `edges` and `edges_file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Nodes, numbered from 0. Sites and a file of edges have a number of their own.
    #[serde(skip_serializing_if = "is_zero")]
    pub nodes: usize,
    /// A shape over all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// How many links a node of a ring has besides, each to one further round.
    #[serde(skip_serializing_if = "is_zero")]
    pub chords: usize,
    /// How wide a grid is; as wide as high when left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub columns: usize,
    /// Places with links of their own; their nodes are numbered one site after the other.
    #[serde(rename = "site", skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<Site>,
    /// Links between sites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bridges: Vec<Edge>,
    /// Pairs of nodes; the first dials the second.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<Edge>,
    /// A file with a line for each link: two names, then delay and jitter in milliseconds, loss from 0 to 1, and rate in
    /// bytes a second, as far as they are known. Looked up beside the scenario's own file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edges_file: Option<PathBuf>,
    /// Links that are not like the others.
    #[serde(rename = "link", skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<OneLink>,
    /// Nothing passes between nodes that are not linked, as between radios out of each other's reach. Else every node can
    /// send to every other, and links are those that are dialled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// What the nodes are called; `node-3` when nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A shape that needs no list of edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// 0–1–2–…
    Line,
    /// A line whose ends are linked.
    Ring,
    /// Rows and columns.
    Grid,
    /// Everybody with everybody.
    Clique,
    /// Everybody with node 0.
    Star,
}

/// A place with links of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// What it is called.
    pub name: String,
    /// How many nodes it has.
    pub nodes: usize,
    /// How they are linked.
    pub shape: Shape,
}

/// How links behave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkModel {
    /// Time on the way.
    pub delay_ms: f64,
    /// Up to this much more.
    pub jitter_ms: f64,
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Bytes a second; no limit when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_bytes: Option<u64>,
    /// Bytes that may wait for the rate; what comes on top is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
}

impl Default for LinkModel {
    fn default() -> Self {
        Self { delay_ms: 10.0, jitter_ms: 2.0, loss: 0.0, rate_bytes: None, queue_bytes: None }
    }
}

impl From<LinkModel> for Link {
    fn from(model: LinkModel) -> Self {
        let plain = Self::default();
        Self {
            delay: millis(model.delay_ms),
            jitter: millis(model.jitter_ms),
            loss: model.loss,
            rate: model.rate_bytes,
            queue_bytes: model.queue_bytes.unwrap_or(plain.queue_bytes),
            ..plain
        }
    }
}

/// A link that is not like the others, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneLink {
    /// The nodes at its ends.
    pub between: Edge,
    /// How it behaves.
    pub is: LinkModel,
}

/// Milliseconds with a fraction; what is no length of time counts as none, and is refused by [`LinkModel::check`].
fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

impl LinkModel {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        for (what, value) in [("delay_ms", self.delay_ms), ("jitter_ms", self.jitter_ms)] {
            if !(0.0..=60_000.0).contains(&value) {
                return Err(ScenarioError::Milliseconds { what, value });
            }
        }
        if self.rate_bytes == Some(0) {
            return Err(ScenarioError::Zero { key: "rate_bytes" });
        }
        super::probability(self.loss)
    }
}

impl Topology {
    /// A shape over `nodes` nodes.
    #[must_use]
    pub fn shaped(shape: Shape, nodes: usize) -> Self {
        Self { nodes, shape: Some(shape), ..Self::default() }
    }

    /// A ring of `nodes` nodes, each with `chords` more links to nodes further round.
    #[must_use]
    pub fn ring_chords(nodes: usize, chords: usize) -> Self {
        Self { chords, ..Self::shaped(Shape::Ring, nodes) }
    }

    /// `nodes` nodes with these links.
    #[must_use]
    pub fn of_edges(nodes: usize, edges: Vec<Edge>) -> Self {
        Self { nodes, edges, ..Self::default() }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.sites.is_empty() {
            return self.nodes;
        }
        self.sites.iter().fold(0, |sum, site| sum.saturating_add(site.nodes))
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What node `i` is called.
    #[must_use]
    pub fn name(&self, i: usize) -> String {
        self.names.get(i).cloned().or_else(|| self.name_in_site(i)).unwrap_or_else(|| format!("node-{i}"))
    }

    fn name_in_site(&self, i: usize) -> Option<String> {
        let mut first = 0;
        for site in &self.sites {
            if i < first + site.nodes {
                return Some(format!("{}-{}", site.name, i - first));
            }
            first += site.nodes;
        }
        None
    }

    /// The links, each once; the first node dials the second.
    #[must_use]
    pub fn edges(&self) -> Vec<Edge> {
        let mut edges = match self.shape {
            Some(shape) => shaped(shape, self.nodes, self.columns),
            None => self.edges.clone(),
        };
        edges.extend(chords(self.nodes, self.chords));
        let mut first = 0;
        for site in &self.sites {
            let within = shaped(site.shape, site.nodes, 0).into_iter();
            edges.extend(within.map(|(a, b)| (first + a, first + b)));
            first += site.nodes;
        }
        edges.extend(&self.bridges);
        let mut seen = BTreeSet::new();
        edges.retain(|&(a, b)| seen.insert((a.min(b), a.max(b))));
        edges
    }

    /// Whether each place in it is like every other.
    pub(super) fn is_same_for_all(&self) -> bool {
        matches!(self.shape, Some(Shape::Ring | Shape::Clique)) && self.links.is_empty() && self.names.is_empty()
    }

    /// The neighbours of each node, in ascending order.
    #[must_use]
    pub fn neighbors(&self) -> Vec<Vec<usize>> {
        let mut neighbors = vec![BTreeSet::new(); self.len()];
        for (a, b) in self.edges() {
            neighbors[a].insert(b);
            neighbors[b].insert(a);
        }
        neighbors.into_iter().map(|of| of.into_iter().collect()).collect()
    }

    /// The same links as a plain list, with what they are like: what remains when nodes are taken away.
    #[must_use]
    pub fn flattened(&self) -> Self {
        let names =
            if self.sites.is_empty() { self.names.clone() } else { (0..self.len()).map(|i| self.name(i)).collect() };
        Self {
            nodes: self.len(),
            edges: self.edges(),
            links: self.links.clone(),
            closed: self.closed,
            names,
            ..Self::default()
        }
    }

    /// The same without node `gone`: its neighbours are linked in its place, and later nodes move up by one.
    #[must_use]
    pub fn without(&self, gone: usize) -> Self {
        let flat = self.flattened();
        let number = |node: usize| (node != gone).then(|| node - usize::from(node > gone));
        let pair = |(a, b): Edge| Some((number(a)?, number(b)?));
        let mut edges: Vec<Edge> = flat.edges.iter().filter_map(|edge| pair(*edge)).collect();
        let around = self.neighbors().swap_remove(gone);
        let closing = around.windows(2).filter_map(|two| pair((two[0], two[1])));
        let known: BTreeSet<Edge> = edges.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
        edges.extend(closing.filter(|&(a, b)| !known.contains(&(a.min(b), a.max(b)))));
        let links = flat.links.iter().filter_map(|link| Some(OneLink { between: pair(link.between)?, ..*link }));
        let mut names = flat.names;
        if gone < names.len() {
            names.remove(gone);
        }
        Self { nodes: flat.nodes - 1, edges, links: links.collect(), closed: flat.closed, names, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let given = [self.shape.is_some(), !self.sites.is_empty(), !self.edges.is_empty(), self.edges_file.is_some()];
        let one_alone = self.len() == 1 && given.iter().all(|given| !given);
        if self.is_empty() || !(one_alone || given.iter().filter(|given| **given).count() == 1) {
            return Err(ScenarioError::Topology);
        }
        if self.nodes > 0 && !self.sites.is_empty() {
            return Err(ScenarioError::Beside { key: "nodes", other: "site" });
        }
        if self.chords > 0 && self.shape != Some(Shape::Ring) {
            return Err(ScenarioError::OnlyFor { key: "chords", of: "ring" });
        }
        if self.columns > 0 && self.shape != Some(Shape::Grid) {
            return Err(ScenarioError::OnlyFor { key: "columns", of: "grid" });
        }
        if self.len() > crate::ports::HOSTS_MAX {
            return Err(ScenarioError::TooManyNodes { nodes: self.len(), max: crate::ports::HOSTS_MAX });
        }
        self.check_links()?;
        let named = self.edges.iter().chain(&self.bridges).chain(self.links.iter().map(|link| &link.between));
        for &(a, b) in named {
            super::node_exists(a, self.len())?;
            super::node_exists(b, self.len())?;
            if a == b {
                return Err(ScenarioError::LinkToSelf { node: a });
            }
        }
        self.check_described()
    }

    /// Refuses what is said of links that there are not.
    fn check_described(&self) -> Result<(), ScenarioError> {
        let linked: BTreeSet<Edge> = self.edges().into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        self.links.iter().try_for_each(|OneLink { between: (a, b), is }| {
            if !linked.contains(&(*a.min(b), *a.max(b))) {
                return Err(ScenarioError::NoLink { a: *a, b: *b });
            }
            is.check()
        })
    }

    /// Refuses more links than can be simulated, before they are listed.
    fn check_links(&self) -> Result<(), ScenarioError> {
        let clique = |shape, nodes: usize| if shape == Shape::Clique { nodes.saturating_mul(nodes) / 2 } else { nodes };
        let whole = self.shape.map_or(0, |shape| clique(shape, self.nodes));
        let sites = self.sites.iter().map(|site| clique(site.shape, site.nodes));
        let links = sites.fold(whole, usize::saturating_add).saturating_add(self.nodes.saturating_mul(self.chords));
        if links > LINKS_MAX {
            let (value, max) = (links as u64, LINKS_MAX as u64);
            return Err(ScenarioError::TooMuch { what: "the number of links", value, max });
        }
        Ok(())
    }

    /// Replaces `edges_file` by what is in it.
    pub(super) fn read_edges(&mut self, folder: &Path) -> Result<(), ScenarioError> {
        let Some(file) = self.edges_file.take() else { return Ok(()) };
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).map_err(|error| ScenarioError::File { path: path.clone(), error })?;
        if self.nodes > 0 || !self.names.is_empty() {
            let key = if self.nodes > 0 { "nodes" } else { "names" };
            return Err(ScenarioError::Beside { key, other: "edges_file" });
        }
        let read = edges_of(&text).map_err(|(line, why)| ScenarioError::EdgesFile { path, line, why })?;
        (self.nodes, self.names, self.edges) = (read.names.len(), read.names, read.edges);
        self.links.splice(0..0, read.links);
        Ok(())
    }
}

fn shaped(shape: Shape, nodes: usize, columns: usize) -> Vec<Edge> {
    let line = (1..nodes).map(|node| (node - 1, node));
    match shape {
        Shape::Line => line.collect(),
        // Two nodes have one link, whichever way round.
        Shape::Ring => line.chain((nodes > 2).then(|| (nodes - 1, 0))).collect(),
        Shape::Clique => (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))).collect(),
        Shape::Star => (1..nodes).map(|node| (node, 0)).collect(),
        Shape::Grid => {
            let columns = if columns > 0 { columns } else { nodes.isqrt().max(1) };
            let right = (0..nodes).filter(|node| node % columns + 1 < columns).map(|node| (node, node + 1));
            let down = (0..nodes).map(|node| (node, node + columns));
            right.chain(down).filter(|(_, to)| *to < nodes).collect()
        }
    }
}

/// Links across a ring, of lengths that grow evenly as powers: few hops between any two.
fn chords(nodes: usize, chords: usize) -> Vec<Edge> {
    let length = |chord: usize| (nodes as f64).powf(chord as f64 / (chords + 1) as f64).round() as usize;
    let lengths: BTreeSet<usize> =
        (1..=chords).map(length).filter(|length| (2..nodes.max(2) - 1).contains(length)).collect();
    lengths.into_iter().flat_map(|length| (0..nodes).map(move |node| (node, (node + length) % nodes))).collect()
}

#[derive(Default)]
struct EdgesFile {
    names: Vec<String>,
    edges: Vec<Edge>,
    links: Vec<OneLink>,
}

/// Reads lines of `name name [delay_ms [jitter_ms [loss [rate_bytes]]]]`; `#` begins a comment.
fn edges_of(text: &str) -> Result<EdgesFile, (usize, String)> {
    let (mut file, mut numbers) = (EdgesFile::default(), BTreeMap::new());
    for (line, content) in (1..).zip(text.lines()) {
        let words: Vec<&str> = content.split('#').next().unwrap_or_default().split_whitespace().collect();
        let [a, b, figures @ ..] = &words[..] else {
            if words.is_empty() {
                continue;
            }
            return Err((line, format!("{:?} is one name; a link has two", words[0])));
        };
        let mut number = |name: &str| {
            *numbers.entry(name.to_owned()).or_insert_with(|| {
                file.names.push(name.to_owned());
                file.names.len() - 1
            })
        };
        let between = (number(a), number(b));
        file.edges.push(between);
        if let Some(is) = figures_of(figures).map_err(|why| (line, why))? {
            file.links.push(OneLink { between, is });
        }
    }
    Ok(file)
}

fn figures_of(words: &[&str]) -> Result<Option<LinkModel>, String> {
    const NAMES: [&str; 4] = ["delay_ms", "jitter_ms", "loss", "rate_bytes"];
    if words.len() > NAMES.len() {
        return Err(format!("{:?} is too much: after the names come {}", words[NAMES.len()], NAMES.join(", ")));
    }
    let mut figures = [None; NAMES.len()];
    for ((figure, word), name) in figures.iter_mut().zip(words).zip(NAMES) {
        let value = word.parse::<f64>().ok().filter(|value| *value >= 0.0);
        *figure = Some(value.ok_or_else(|| format!("{name} = {word:?} is no number from 0 on"))?);
    }
    let [Some(delay_ms), jitter_ms, loss, rate] = figures else { return Ok(None) };
    let rate_bytes = rate.map(|rate| rate as u64);
    let (jitter_ms, loss) = (jitter_ms.unwrap_or_default(), loss.unwrap_or_default());
    Ok(Some(LinkModel { delay_ms, jitter_ms, loss, rate_bytes, queue_bytes: None }))
}

#[cfg(test)]
mod tests;
