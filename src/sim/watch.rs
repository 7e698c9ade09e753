//! Looks into the nodes of a run: which links are up, how full buffers are, and at the end what each knows of all.

use super::Nodes;
use super::clients::Clients;
use crate::identity::NodeId;
use crate::mesh::interest::Key;
use crate::node::Node;
use lattice_netsim::{
    Check, Disk, DiskConfig, DiskFault, DiskModel, Edge, Epoch, Epochs, Scenario, Seen, Tally, Violation, Watch, World,
    ms,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the nodes may take to say what interest they hold.
const SHOW_WITHIN: Duration = Duration::from_secs(1);

/// How long a slow disk takes to make writes durable.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// The eyes of one run.
#[derive(Debug)]
pub(super) struct Eyes<'a> {
    scenario: &'a Scenario,
    nodes: Nodes,
    clients: Clients,
    found: Tally,
    /// Nodes whose buffers have been found too full: said once.
    too_full: BTreeSet<usize>,
    /// When a link's buffer was last seen to have been full, and something was dropped and counted.
    overfilled: Option<Duration>,
    /// By node, how much had been dropped then.
    dropped: BTreeMap<usize, u64>,
    /// By node, what its disk does wrong at present.
    disks: BTreeMap<usize, Vec<DiskFault>>,
    numbers: BTreeMap<NodeId, usize>,
}

/// By node, a digest of the interest that is in force there under that node's name.
type Held = BTreeMap<NodeId, u64>;

/// By number: a digest of each node's own interest, and what it holds of the others.
#[derive(Debug, Default)]
struct Told {
    own: BTreeMap<usize, u64>,
    held: BTreeMap<usize, Held>,
    /// What each node tells the others that its clients want, but for inboxes, with the queue group after a blank.
    wants: BTreeMap<usize, BTreeSet<String>>,
}

impl<'a> Eyes<'a> {
    pub(super) fn new(scenario: &'a Scenario, nodes: Nodes, clients: Clients) -> Self {
        let numbers = nodes.ids().into_iter().zip(0..).collect();
        Self {
            scenario,
            nodes,
            clients,
            found: Tally::default(),
            too_full: BTreeSet::new(),
            overfilled: None,
            dropped: BTreeMap::new(),
            disks: BTreeMap::new(),
            numbers,
        }
    }

    /// The nodes that run, by number.
    fn running<'w>(&self, world: &'w World) -> impl Iterator<Item = (usize, Arc<Node>)> + use<'w> {
        let nodes = self.nodes.clone();
        let up = (0..self.scenario.nodes()).filter(|node| world.is_up(*node));
        up.filter_map(move |node| Some((node, nodes.node(node)?)))
    }

    fn look_at_buffers(&mut self, at: Duration, number: usize, node: &Node) {
        let dropped = node.mesh().dropped_full();
        let before = self.dropped.insert(number, dropped).unwrap_or_default();
        // A node that was started again counts from 0.
        if dropped > if dropped < before { 0 } else { before } {
            self.overfilled = Some(at);
        }
        let over = node.mesh().backlogs().into_iter().find(|backlog| backlog.bytes_most > backlog.bytes_max);
        if let Some(over) = over.filter(|_| self.too_full.insert(number)) {
            let what = format!("{} bytes waited for one link, the bound is {}", over.bytes_most, over.bytes_max);
            self.found.add(violation(at, Check::Buffer, number, what));
        }
    }

    /// Follows the next hops from everywhere to everywhere.
    fn judge_loops(&mut self, world: &World, epoch: &Epoch) {
        let mut next: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
        for (number, node) in self.running(world) {
            for other in node.mesh().view().nodes.iter() {
                let (to, via) = (self.numbers.get(&other.id), other.way.and_then(|way| self.numbers.get(&way.next)));
                if let (Some(to), Some(via)) = (to, via) {
                    next.entry(*to).or_default().insert(number, *via);
                }
            }
        }
        for (to, via) in &next {
            for from in via.keys().filter(|from| epoch.joined(**from, *to)) {
                if let Some(circle) = circle(via, *from, *to) {
                    let what = format!("the way to node {to} goes in a circle: {circle:?}");
                    self.found.add(violation(world.now(), Check::Loop, *from, what));
                }
            }
        }
    }

    /// Compares what each node holds of the others with what those say themselves.
    fn judge_interest(&mut self, world: &mut World, epoch: &Epoch) {
        let Told { own, held, wants } = self.ask_for_interest(world);
        let ids = self.nodes.ids();
        let at = world.now();
        for (number, told) in wants {
            let wants = self.clients.wants(number);
            if told != wants {
                let (more, less): (Vec<_>, Vec<_>) =
                    (told.difference(&wants).collect(), wants.difference(&told).collect());
                let what =
                    format!("its clients want {less:?}, of which it tells nobody, and not {more:?}, which it tells");
                self.found.add(violation(at, Check::Interest, number, what));
            }
        }
        for (number, node) in self.running(world) {
            let Some(held) = held.get(&number) else {
                self.found.add(violation(at, Check::Interest, number, "it does not say what it knows".to_owned()));
                continue;
            };
            for (other, id) in ids.iter().enumerate().filter(|(_, id)| **id != node.id()) {
                let wanted = own.get(&other);
                if epoch.joined(number, other) && wanted.is_some() && held.get(id) != wanted {
                    let what = format!("what it knows of node {other}'s interest is not what node {other} has");
                    self.found.add(violation(at, Check::Interest, number, what));
                }
            }
        }
    }

    fn ask_for_interest(&self, world: &mut World) -> Told {
        let answers: Arc<Mutex<Told>> = Arc::default();
        let running: Vec<_> = self.running(world).collect();
        let count = running.len();
        for (number, node) in running {
            let answers = Arc::clone(&answers);
            world.spawn_on(number, async move {
                let (mut own, mut held, mut wants) = (0, Held::new(), BTreeSet::new());
                for view in node.mesh().interest().await.into_iter().filter(|view| view.in_force) {
                    let mut digest = DefaultHasher::new();
                    view.entries.hash(&mut digest);
                    let digest = digest.finish();
                    if view.node == node.id() {
                        own = digest;
                        wants = view.entries.iter().filter_map(|(key, _)| want(key)).collect();
                    } else {
                        held.insert(view.node, digest);
                    }
                }
                let mut answers = answers.lock().expect("no holder of this lock panics");
                answers.own.insert(number, own);
                answers.wants.insert(number, wants);
                answers.held.insert(number, held);
            });
        }
        let all = || answers.lock().expect("no holder of this lock panics").held.len() == count;
        // Who has not answered by then is found missing.
        let _ = world.run_until(all, SHOW_WITHIN);
        std::mem::take(&mut *answers.lock().expect("no holder of this lock panics"))
    }
}

impl Watch for Eyes<'_> {
    fn look(&mut self, world: &World) -> Seen {
        let mut seen = Seen { links: BTreeSet::new(), reached: vec![0; self.scenario.nodes()] };
        let mut ends: BTreeSet<Edge> = BTreeSet::new();
        for (number, node) in self.running(world) {
            self.look_at_buffers(world.now(), number, &node);
            seen.reached[number] = u32::try_from(node.reachable()).unwrap_or(u32::MAX);
            for peer in node.mesh().peers().iter().filter_map(|peer| self.numbers.get(peer)) {
                if !ends.insert((number, *peer)) {
                    continue;
                }
                if ends.contains(&(*peer, number)) {
                    seen.links.insert((number.min(*peer), number.max(*peer)));
                }
            }
        }
        seen
    }

    fn disk(&mut self, model: &DiskModel, begin: bool) -> u64 {
        let disk = self.nodes.disk(model.node);
        let before = hits(disk, model.does);
        if begin && model.does == DiskFault::FlipBits {
            // Nothing is kept there when there is nothing to flip.
            let _ = disk.flip_bit();
        }
        let on = self.disks.entry(model.node).or_default();
        if begin {
            on.push(model.does);
        } else if let Some(place) = on.iter().position(|does| *does == model.does) {
            on.remove(place);
        }
        disk.configure(on.iter().fold(DiskConfig::default(), |config, does| worse(config, *does, disk)));
        if begin { before } else { hits(disk, model.does) }
    }

    fn dials(&self) -> u64 {
        let nodes = (0..self.scenario.nodes()).filter_map(|node| self.nodes.node(node));
        let dialled = |node: Arc<Node>| node.mesh().transport_counters().get("quic_dials").copied().unwrap_or_default();
        nodes.map(dialled).sum()
    }

    fn overfilled(&self) -> Option<Duration> {
        self.overfilled
    }

    fn judge(&mut self, world: &mut World, epochs: &Epochs) -> Tally {
        let known = self.scenario.bounds.resume();
        let mut found = self.clients.record.judge(epochs, &self.scenario.workers(), known);
        for number in 0..self.scenario.nodes() {
            if !world.is_up(number) || self.nodes.node(number).is_none() {
                found.add(violation(world.now(), Check::Resume, number, "it does not run at the end".to_owned()));
            }
        }
        if let Some(epoch) = epochs.last() {
            self.judge_loops(world, epoch);
            self.judge_interest(world, epoch);
        }
        found.merge(std::mem::take(&mut self.found));
        found
    }
}

/// An entry as a client's subscription, unless it is an inbox for answers.
fn want(key: &Key) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let subject = text(&key.subject);
    let queue = key.queue.as_deref().map(|queue| format!(" {}", text(queue))).unwrap_or_default();
    (!subject.starts_with("_INBOX.")).then(|| subject + &queue)
}

/// What a fault makes of a disk.
fn worse(config: DiskConfig, does: DiskFault, disk: &Disk) -> DiskConfig {
    match does {
        DiskFault::FlipBits => config,
        DiskFault::Full => DiskConfig { quota_bytes: disk.bytes(), ..config },
        DiskFault::Fail => DiskConfig { read_fails: 1.0, write_fails: 1.0, sync_fails: 1.0, ..config },
        DiskFault::SlowSync => DiskConfig { sync: SLOW_SYNC, ..config },
        DiskFault::LieAboutSync => DiskConfig { sync_lies: 1.0, ..config },
    }
}

/// How often a disk has done so.
fn hits(disk: &Disk, does: DiskFault) -> u64 {
    let counters = disk.counters();
    match does {
        DiskFault::FlipBits => counters.flipped,
        DiskFault::Full => counters.full,
        DiskFault::Fail => counters.failed,
        DiskFault::SlowSync => counters.syncs,
        DiskFault::LieAboutSync => counters.lied,
    }
}

/// The nodes on the way, when it does not lead to `to`.
fn circle(via: &BTreeMap<usize, usize>, from: usize, to: usize) -> Option<Vec<usize>> {
    let (mut at, mut way) = (from, vec![from]);
    while at != to {
        at = *via.get(&at)?;
        if way.contains(&at) {
            way.push(at);
            return Some(way);
        }
        way.push(at);
    }
    None
}

fn violation(at: Duration, check: Check, node: usize, what: String) -> Violation {
    Violation { at_ms: ms(at), check, node: Some(node), what, figure: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_and_a_way_is_none() {
        let via = BTreeMap::from([(0, 1), (1, 2), (2, 3), (4, 5), (5, 4)]);
        assert_eq!(circle(&via, 0, 3), None);
        assert_eq!(circle(&via, 4, 3), Some(vec![4, 5, 4]));
        assert_eq!(circle(&via, 0, 9), None, "a way that ends is no circle");
    }
}
