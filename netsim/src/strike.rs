//! The faults that are on while a scenario is played: they begin, they end, and faults that overlap keep each other up.

use crate::link::FaultId;
use crate::scenario::{CutModel, FaultKind, NodeSet};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The faults that are on, by number.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    /// All that the world did for each, in their order.
    of: BTreeMap<usize, Vec<FaultId>>,
    /// Faults that keep a node down, or paused.
    down: BTreeSet<(usize, usize)>,
    paused: BTreeSet<(usize, usize)>,
}

impl Strikes {
    /// Begins fault `number`.
    pub(crate) fn begin(&mut self, world: &mut World, number: usize, what: &FaultKind) {
        let faults = match what {
            FaultKind::Partition(groups) => {
                vec![world.partition(&groups.iter().map(|group| &group[..]).collect::<Vec<_>>())]
            }
            FaultKind::Cut(CutModel { from, to, both_ways }) => vec![world.cut_all(from, to, *both_ways)],
            FaultKind::Isolate(nodes) => nodes.iter().map(|node| world.isolate(*node)).collect(),
            FaultKind::Degrade(model) if model.one_way => {
                vec![world.degrade_one_way(&model.from, &model.to, model.into())]
            }
            FaultKind::Degrade(model) => vec![world.degrade(&model.from, &model.to, model.into())],
            FaultKind::Crash(node) => {
                self.down.insert((*node, number));
                vec![world.kill(*node)]
            }
            FaultKind::Pause(node) => {
                self.paused.insert((*node, number));
                vec![world.pause(*node)]
            }
            FaultKind::Drift(model) => {
                alternating(&model.nodes).map(|(node, sign)| world.drift(node, model.ppm * sign)).collect()
            }
            FaultKind::Step(model) => {
                let by = Duration::from_millis(model.ms.unsigned_abs());
                let forwards = |sign| (model.ms >= 0) == (sign > 0);
                alternating(&model.nodes).map(|(node, sign)| world.step(node, by, forwards(sign))).collect()
            }
            FaultKind::Readdress(node) => vec![world.readdress(*node)],
            FaultKind::Reset(node) => vec![world.reset_streams(*node)],
            // Whoever has the disks begins it: see `Watch::disk`.
            FaultKind::Disk(_) => Vec::new(),
            FaultKind::Flap(_)
            | FaultKind::Swizzle(_)
            | FaultKind::Rolling(_)
            | FaultKind::Churn(_)
            | FaultKind::RandomCuts(_) => {
                unreachable!("stories were taken apart before they are played")
            }
        };
        self.of.insert(number, faults);
    }

    /// Ends fault `number`.
    pub(crate) fn end(&mut self, world: &mut World, number: usize, what: &FaultKind) {
        let held = |set: &BTreeSet<(usize, usize)>, node: usize| set.range((node, 0)..=(node, usize::MAX)).count() > 0;
        match what {
            FaultKind::Crash(node) => {
                self.down.remove(&(*node, number));
                if !held(&self.down, *node) && !world.is_up(*node) {
                    world.boot(*node);
                }
            }
            FaultKind::Pause(node) => {
                self.paused.remove(&(*node, number));
                if !held(&self.paused, *node) {
                    world.resume(*node);
                }
            }
            _ => self.of.get(&number).into_iter().flatten().for_each(|fault| world.lift(*fault)),
        }
    }

    /// How often fault `number` bit, and what it was.
    pub(crate) fn hits(&self, world: &World, number: usize) -> u64 {
        let faults = self.of.get(&number).into_iter().flatten();
        faults.map(|fault| world.bite(*fault).hits).sum()
    }
}

/// Every second one the other way.
fn alternating(nodes: &NodeSet) -> impl Iterator<Item = (usize, i32)> {
    nodes.iter().copied().zip([1, -1].into_iter().cycle())
}
