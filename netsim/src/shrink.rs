//! Makes a scenario that fails as small as it can be and still fail: fewer faults, fewer nodes, shorter, plainer, and in
//! the end single packets in the place of chance.
//!
//! It knows no nodes: whether a scenario fails is asked of whoever plays it. Greedy, after delta debugging (Zeller and
//! Hildebrandt, 2002): the same order of attempts every time, so the same failure shrinks to the same scenario.

use crate::link::Fate;
use crate::scenario::Scenario;

/// Packets with a fate of their own beyond which it is not tried to name them one by one.
const PACKETS_MAX: usize = 5_000;

/// What playing a scenario told.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// It fails as the first one did.
    pub fails: bool,
    /// What chance did to packets.
    pub fates: Vec<Fate>,
}

/// The end of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario that was found to fail.
    pub scenario: Scenario,
    /// How many were played.
    pub runs: usize,
    /// False when the runs were used up before nothing smaller failed.
    pub finished: bool,
}

/// Shrinks `scenario`, which fails under `seed`, in at most `runs_max` runs. `play` plays a scenario under that seed;
/// `tell` hears of each smaller one that fails.
pub fn shrink(
    scenario: &Scenario,
    seed: u64,
    runs_max: usize,
    play: &mut dyn FnMut(&Scenario) -> Trial,
    tell: &mut dyn FnMut(&Scenario, usize),
) -> Shrunk {
    let mut search = Search { best: scenario.clone(), fates: Vec::new(), runs: 0, runs_max, play, tell };
    search.attempt(scenario.flattened(seed));
    search.settle();
    search.name_packets();
    search.settle();
    let finished = search.runs < runs_max;
    Shrunk { scenario: search.best, runs: search.runs, finished }
}

struct Search<'a> {
    best: Scenario,
    /// What chance did to packets in the best.
    fates: Vec<Fate>,
    runs: usize,
    runs_max: usize,
    play: &'a mut dyn FnMut(&Scenario) -> Trial,
    tell: &'a mut dyn FnMut(&Scenario, usize),
}

impl Search<'_> {
    /// Keeps `smaller` if it fails.
    fn attempt(&mut self, smaller: Scenario) -> bool {
        if self.runs >= self.runs_max || smaller.check().is_err() {
            return false;
        }
        self.runs += 1;
        let trial = (self.play)(&smaller);
        if trial.fails {
            (self.tell)(&smaller, self.runs);
            self.best = smaller;
            self.fates = trial.fates;
        }
        trial.fails
    }

    /// Repeats all steps until none makes it smaller.
    fn settle(&mut self) {
        loop {
            let before = self.best.clone();
            self.fewer_faults();
            self.fewer_nodes();
            self.fewer_packets();
            self.simpler_faults();
            self.less_traffic();
            if self.best == before || self.runs >= self.runs_max {
                return;
            }
        }
    }

    fn fewer_faults(&mut self) {
        let mut chunk = self.best.faults.len().div_ceil(2);
        while chunk > 0 {
            let mut from = 0;
            while from < self.best.faults.len() {
                let gone = from..from + chunk;
                let smaller = self.best.with_faults(|place| !gone.contains(&place));
                if !self.attempt(smaller) {
                    from += chunk;
                }
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
    }

    fn fewer_nodes(&mut self) {
        let mut chunk = (self.best.nodes() / 2).max(1);
        loop {
            let mut last = self.best.nodes();
            while last > 0 {
                let first = last.saturating_sub(chunk);
                let without = (first..last).rev().try_fold(self.best.clone(), |s, node| s.without_node(node));
                if let Some(smaller) = without {
                    self.attempt(smaller);
                }
                last = first;
            }
            if chunk == 1 {
                return;
            }
            chunk /= 2;
        }
    }

    fn simpler_faults(&mut self) {
        for place in (0..self.best.faults.len()).rev() {
            // Each success has simpler ones of its own.
            while self.best.with_simpler_fault(place).into_iter().any(|simpler| self.attempt(simpler)) {}
        }
    }

    fn less_traffic(&mut self) {
        while self.best.with_less_traffic().into_iter().any(|less| self.attempt(less)) {}
    }

    /// Puts the packets that chance hit in the place of chance.
    fn name_packets(&mut self) {
        if self.fates.is_empty() || self.fates.len() > PACKETS_MAX || !self.best.packets.is_empty() {
            return;
        }
        let named = self.best.with_packets(&self.fates);
        self.attempt(named);
    }

    fn fewer_packets(&mut self) {
        let mut chunk = self.best.packets.len().div_ceil(2);
        while chunk > 0 {
            let mut from = 0;
            while from < self.best.packets.len() {
                let mut smaller = self.best.clone();
                smaller.packets.drain(from..(from + chunk).min(smaller.packets.len()));
                if !self.attempt(smaller) {
                    from += chunk;
                }
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::FateKind;
    use crate::scenario::{FaultKind, Space};

    fn lost(nth: u64) -> Fate {
        Fate { from: 0, to: 1, nth, what: FateKind::Lost, late_ns: 0 }
    }

    fn shrunk(seed: u64, fails: impl Fn(&Scenario) -> bool) -> Shrunk {
        let scenario = Scenario::random(seed, &Space { nodes: 8..=8, ..Space::default() });
        assert!(fails(&scenario), "seed {seed} has it");
        let mut play = |scenario: &Scenario| Trial { fails: fails(scenario), fates: Vec::new() };
        shrink(&scenario, seed, 2_000, &mut play, &mut |_, _| {})
    }

    fn has(scenario: &Scenario, wanted: impl Fn(&FaultKind) -> bool) -> bool {
        scenario.faults.iter().any(|fault| wanted(&fault.what))
    }

    /// Goal: what does not matter goes, and what does stays.
    #[test]
    fn the_one_fault_that_matters_is_left() {
        let crash = |scenario: &Scenario| has(scenario, |what| matches!(what, FaultKind::Crash(_)));
        let seed = (0..).find(|seed| crash(&Scenario::random(*seed, &Space { nodes: 8..=8, ..Space::default() })));
        let shrunk = shrunk(seed.unwrap(), crash);
        assert!(shrunk.finished);
        assert_eq!((shrunk.scenario.faults.len(), shrunk.scenario.nodes()), (1, 2), "{}", shrunk.scenario.to_toml());
        assert!(shrunk.scenario.faults[0].for_ms < 20);
    }

    #[test]
    fn the_runs_are_bounded() {
        let scenario = Scenario::random(3, &Space::default());
        let mut play = |_: &Scenario| Trial { fails: true, fates: Vec::new() };
        let shrunk = shrink(&scenario, 3, 5, &mut play, &mut |_, _| {});
        assert!(shrunk.runs == 5 && !shrunk.finished);
    }

    /// Goal: of many packets that chance lost, the one that matters is found.
    #[test]
    fn single_packets_take_the_place_of_chance() {
        let lossy = |scenario: &Scenario| scenario.link.loss > 0.0;
        let seed = (0..).find(|seed| lossy(&Scenario::random(*seed, &Space::default()))).unwrap();
        let scenario = Scenario::random(seed, &Space::default());
        let fates: Vec<Fate> = (0..100).map(lost).collect();
        let mut play = |s: &Scenario| Trial {
            fails: lossy(s) || s.packets.iter().any(|packet| packet.nth == 37),
            fates: if lossy(s) { fates.clone() } else { Vec::new() },
        };
        let shrunk = shrink(&scenario, seed, 2_000, &mut play, &mut |_, _| {});
        assert_eq!(shrunk.scenario.packets, [lost(37)]);
        assert_eq!(shrunk.scenario.link.loss, 0.0);
    }
}
