//! What a seed makes of a scenario: another shape, other links, other moments, other victims.

use lattice_netsim::{CutModel, DegradeModel, Dice, FaultKind, LinkModel, Scenario, Shape};

/// From one heal on, all that is judged: resumption, then a quiet tail.
const AFTER_HEAL_MS: u64 = 8_000;

/// `base` as `seed` has it. What a file gives as moments and lengths is what they
/// are on the average; cuts last longer than a silent link is given, so that links die of them.
pub fn vary(base: &Scenario, seed: u64) -> Scenario {
    let mut dice = Dice::new(seed, "variant", 0);
    let mut scenario = base.clone();
    let shapes = [Shape::Ring, Shape::Line, Shape::Clique];
    scenario.topology.shape = Some(shapes[dice.below(3) as usize]);
    scenario.link = LinkModel {
        delay_ms: 1 + dice.below(30),
        jitter_ms: dice.below(10),
        loss: if dice.below(4) == 0 { 0.01 } else { 0.0 },
    };
    for fault in &mut scenario.faults {
        fault.at_ms = fault.at_ms - 1_000 + dice.below(2_000);
        fault.for_ms = fault.for_ms / 2 + dice.below(fault.for_ms);
        if let FaultKind::Crash(_) = fault.what
            && dice.chance(0.3)
        {
            // Back before anybody has missed it.
            fault.for_ms = 1 + dice.below(1_500);
        }
        fault.what = victims(&fault.what, scenario.topology.nodes, &mut dice);
    }
    scenario.duration_ms = scenario.healed_at().as_millis() as u64 + AFTER_HEAL_MS;
    scenario.check().unwrap();
    scenario
}

/// The same kind of fault for other nodes.
fn victims(what: &FaultKind, nodes: usize, dice: &mut Dice) -> FaultKind {
    match what {
        FaultKind::Partition(_) => FaultKind::Partition(parts(nodes, dice)),
        FaultKind::Cut(_) => {
            let mut parts = parts(nodes, dice).into_iter();
            let (from, to) = (parts.next().unwrap(), parts.flatten().collect());
            FaultKind::Cut(CutModel { from, to, both_ways: false })
        }
        FaultKind::Degrade(model) => {
            let all: Vec<usize> = (0..nodes).collect();
            FaultKind::Degrade(DegradeModel { from: all.clone(), to: all, ..model.clone() })
        }
        FaultKind::Crash(_) => FaultKind::Crash(dice.below(nodes as u64) as usize),
        FaultKind::Pause(_) => FaultKind::Pause(dice.below(nodes as u64) as usize),
    }
}

/// All nodes, in two or three parts of any sizes.
fn parts(nodes: usize, dice: &mut Dice) -> Vec<Vec<usize>> {
    let count = 2 + dice.below(2);
    loop {
        let mut parts = vec![Vec::new(); count as usize];
        (0..nodes).for_each(|node| parts[dice.below(count) as usize].push(node));
        parts.retain(|part| !part.is_empty());
        if parts.len() > 1 {
            return parts;
        }
    }
}
