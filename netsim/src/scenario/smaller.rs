//! Smaller scenarios out of a scenario: the steps that `shrink.rs` tries.
//!
//! Each function returns what it makes of the whole, ready to be played, or nothing where there is nothing to make.

use super::fault::{CutModel, DegradeModel, Fault, FaultKind};
use super::nodes::NodeSet;
use super::{Hear, Scenario};
use crate::link::{Fate, FateKind};

/// The least time that is worth making shorter.
const MS_MIN: u64 = 10;

impl Scenario {
    /// The same, with faults that are stories taken apart into plain ones as `seed` has them.
    #[must_use]
    pub fn flattened(&self, seed: u64) -> Self {
        let faults = self.plain_faults(seed).into_iter().map(|(_, fault)| fault).collect();
        Self { faults, topology: self.topology.flattened(), ..self.clone() }
    }

    /// The same with those of its faults that `keep` wants, by place; it ends as soon after them as it did.
    #[must_use]
    pub fn with_faults(&self, keep: impl Fn(usize) -> bool) -> Self {
        let faults = self.faults.iter().enumerate().filter(|(place, _)| keep(*place)).map(|(_, fault)| fault.clone());
        Self { faults: faults.collect(), ..self.clone() }.cut_short(self)
    }

    /// The same without node `gone`. Faults that are about it alone go as well.
    #[must_use]
    pub fn without_node(&self, gone: usize) -> Option<Self> {
        if self.nodes() < 3 {
            return None;
        }
        let number = |node: usize| (node != gone).then(|| node - usize::from(node > gone));
        let mut smaller = self.clone();
        smaller.topology = self.topology.without(gone);
        let renumbered = |fault: &Fault| Some(Fault { what: fault.what.renumbered(&number)?, ..*fault });
        smaller.faults = self.faults.iter().filter_map(renumbered).collect();
        let packet = |event: &Fate| Some(Fate { from: number(event.from)?, to: number(event.to)?, ..*event });
        smaller.packets = self.packets.iter().filter_map(packet).collect();
        let traffic = &mut smaller.traffic;
        for set in [&mut traffic.publishers, &mut traffic.hearers, &mut traffic.workers] {
            let all = set.is_empty();
            *set = set.renumbered(number);
            if !all && set.is_empty() {
                return None;
            }
        }
        Some(smaller.cut_short(self))
    }

    /// The same with a simpler fault `place`, in each way that there is.
    #[must_use]
    pub fn with_simpler_fault(&self, place: usize) -> Vec<Self> {
        let fault = &self.faults[place];
        let mut simpler: Vec<Fault> = Vec::new();
        if fault.for_ms >= 2 * MS_MIN {
            simpler.push(Fault { for_ms: fault.for_ms / 2, ..fault.clone() });
            simpler.push(Fault { for_ms: fault.for_ms * 3 / 4, ..fault.clone() });
        }
        simpler.extend(narrower(&fault.what).into_iter().map(|what| Fault { what, ..fault.clone() }));
        let with = |fault: Fault| {
            let mut faults = self.faults.clone();
            faults[place] = fault;
            Self { faults, ..self.clone() }.cut_short(self)
        };
        simpler.into_iter().map(with).collect()
    }

    /// The same with less going on beside the faults, in each way that there is.
    #[must_use]
    pub fn with_less_traffic(&self) -> Vec<Self> {
        let mut less = Vec::new();
        let mut push = |change: &dyn Fn(&mut Self)| {
            let mut scenario = self.clone();
            change(&mut scenario);
            if scenario != *self {
                less.push(scenario);
            }
        };
        push(&|s| s.traffic.shift_ms = 0);
        push(&|s| s.traffic.ask_every = 0);
        push(&|s| s.traffic.work = false);
        if self.traffic.interval_ms < 1_000 {
            push(&|s| s.traffic.interval_ms = (s.traffic.interval_ms * 2).min(1_000));
        }
        push(&|s| s.traffic.hear = Hear::Neighbors);
        push(&|s| s.link.jitter_ms = 0.0);
        push(&|s| s.link.loss = 0.0);
        let publishers = self.publishers();
        for half in publishers.chunks(publishers.len().div_ceil(2).max(1)).filter(|_| publishers.len() > 1) {
            push(&|s| s.traffic.publishers = half.to_vec().into());
        }
        less
    }

    /// The same with packets that meet their fate one by one, in the place of what chance did to `fates`.
    #[must_use]
    pub fn with_packets(&self, fates: &[Fate]) -> Self {
        let mut scenario = self.clone();
        scenario.link.loss = 0.0;
        scenario.faults.retain_mut(|fault| {
            let FaultKind::Degrade(model) = &mut fault.what else { return true };
            let plain =
                DegradeModel { loss: 0.0, duplicate: 0.0, reorder: 0.0, corrupt: 0.0, burst: None, ..model.clone() };
            *model = plain;
            *model
                != DegradeModel {
                    from: model.from.clone(),
                    to: model.to.clone(),
                    one_way: model.one_way,
                    ..DegradeModel::default()
                }
        });
        // Cuts are faults that stay, and stop their packets by themselves.
        let by_chance = |fate: &&Fate| !matches!(fate.what, FateKind::Cut | FateKind::CutUnderWay);
        scenario.packets = fates.iter().filter(by_chance).copied().collect();
        scenario
    }

    /// Ends as soon after the last fault as `before` did.
    fn cut_short(mut self, before: &Self) -> Self {
        let tail = before.duration_ms.saturating_sub(before.healed_at().as_millis() as u64);
        self.duration_ms = (self.healed_at().as_millis() as u64).saturating_add(tail);
        self
    }
}

/// The same kind of fault for fewer nodes.
fn narrower(what: &FaultKind) -> Vec<FaultKind> {
    let fewer = |nodes: &NodeSet| -> Vec<NodeSet> {
        let one_less = |gone: &usize| nodes.filtered(|node| node != *gone);
        if nodes.len() > 1 { nodes.iter().map(one_less).collect() } else { Vec::new() }
    };
    match what {
        FaultKind::Isolate(nodes) => fewer(nodes).into_iter().map(FaultKind::Isolate).collect(),
        FaultKind::Cut(cut) => {
            let from = fewer(&cut.from).into_iter().map(|from| CutModel { from, ..cut.clone() });
            let to = fewer(&cut.to).into_iter().map(|to| CutModel { to, ..cut.clone() });
            from.chain(to).map(FaultKind::Cut).collect()
        }
        FaultKind::Degrade(model) => {
            let from = fewer(&model.from).into_iter().map(|from| DegradeModel { from, ..model.clone() });
            let to = fewer(&model.to).into_iter().map(|to| DegradeModel { to, ..model.clone() });
            let milder = [
                DegradeModel { duplicate: 0.0, ..model.clone() },
                DegradeModel { reorder: 0.0, ..model.clone() },
                DegradeModel { loss: 0.0, ..model.clone() },
                DegradeModel { corrupt: 0.0, ..model.clone() },
                DegradeModel { burst: None, ..model.clone() },
                DegradeModel { delay_ms: 0, ..model.clone() },
                DegradeModel { jitter_ms: 0, ..model.clone() },
                DegradeModel { rate_bytes: None, ..model.clone() },
            ];
            let milder = milder.into_iter().filter(|milder| milder != model);
            milder.chain(from).chain(to).map(FaultKind::Degrade).collect()
        }
        FaultKind::Partition(_)
        | FaultKind::Crash(_)
        | FaultKind::Pause(_)
        | FaultKind::Drift(_)
        | FaultKind::Step(_)
        | FaultKind::Readdress(_)
        | FaultKind::Reset(_)
        | FaultKind::Disk(_)
        | FaultKind::Flap(_)
        | FaultKind::Swizzle(_)
        | FaultKind::Rolling(_)
        | FaultKind::Churn(_)
        | FaultKind::RandomCuts(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Space;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Goal: whatever is made smaller can be played, and is smaller.
        #[test]
        fn what_is_smaller_can_be_played(seed: u64, place: prop::sample::Index) {
            let scenario = Scenario::random(seed, &Space::default()).flattened(seed);
            prop_assert!(scenario.check().is_ok());
            let mut all = scenario.with_less_traffic();
            all.extend(scenario.without_node(place.index(scenario.nodes())));
            if !scenario.faults.is_empty() {
                let place = place.index(scenario.faults.len());
                all.extend(scenario.with_simpler_fault(place));
                let fewer = scenario.with_faults(|other| other != place);
                prop_assert_eq!(fewer.faults.len() + 1, scenario.faults.len());
                all.push(fewer);
            }
            for smaller in all {
                prop_assert!(smaller.check().is_ok(), "{:?}\n{}", smaller.check(), smaller.to_toml());
                prop_assert!(smaller.duration_ms <= scenario.duration_ms);
                prop_assert_ne!(&smaller, &scenario);
            }
        }
    }
}
