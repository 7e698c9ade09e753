//! Faults that are stories of their own, taken apart into those that the world knows.

use super::fault::{ChurnModel, CutModel, Each, Fault, FaultKind, FlapModel, RandomCutsModel, RollingModel};
use super::nodes::NodeSet;
use super::topology::Edge;
use crate::epochs::parts;
use crate::rng::Dice;

/// Faults that one story may come to.
pub(super) const PARTS_MAX: usize = 20_000;

impl Fault {
    /// This fault as plain ones, which are all over when it is, on `nodes` nodes that are linked by `edges`. What chance
    /// decides comes from `seed` and from its place among the faults.
    pub(super) fn expanded(&self, seed: u64, place: usize, nodes: usize, edges: &[Edge]) -> Vec<Self> {
        let mut dice = Dice::new(seed, "expand", place as u64);
        let mut parts = match &self.what {
            FaultKind::Flap(model) => self.flap(model),
            FaultKind::Swizzle(nodes) => self.swizzle(nodes, &mut dice),
            FaultKind::Rolling(model) => self.rolling(model),
            FaultKind::Churn(model) => self.churn(model, &mut dice),
            FaultKind::RandomCuts(model) => self.random_cuts(model, nodes, edges, &mut dice),
            FaultKind::Partition(_)
            | FaultKind::Cut(_)
            | FaultKind::Isolate(_)
            | FaultKind::Degrade(_)
            | FaultKind::Crash(_)
            | FaultKind::Pause(_)
            | FaultKind::Drift(_)
            | FaultKind::Step(_)
            | FaultKind::Readdress(_)
            | FaultKind::Reset(_)
            | FaultKind::Disk(_) => vec![self.clone()],
        };
        parts.retain(|part| part.for_ms > 0 || part.what.takes_no_time());
        parts
    }

    /// About how many parts it comes to.
    pub(super) fn parts(&self) -> u64 {
        match &self.what {
            FaultKind::Flap(model) => self.for_ms / model.period_ms.max(1),
            FaultKind::Churn(model) => (self.for_ms as f64 / 1e3 * model.per_s) as u64,
            FaultKind::Swizzle(nodes) => nodes.len() as u64,
            FaultKind::RandomCuts(model) => self.for_ms / model.every_ms.max(1),
            FaultKind::Rolling(model) => model.nodes.len() as u64,
            _ => 1,
        }
    }

    fn end_ms(&self) -> u64 {
        self.at_ms.saturating_add(self.for_ms)
    }

    fn part(&self, at_ms: u64, for_ms: u64, what: FaultKind) -> Self {
        Self { at_ms, for_ms: for_ms.min(self.end_ms().saturating_sub(at_ms)), what }
    }

    fn flap(&self, model: &FlapModel) -> Vec<Self> {
        let FlapModel { from, to, period_ms } = model;
        let cut = CutModel { from: from.clone(), to: to.clone(), both_ways: true };
        let begins = (self.at_ms..self.end_ms()).step_by(usize::try_from(*period_ms).unwrap_or(usize::MAX).max(1));
        begins.take(PARTS_MAX).map(|at| self.part(at, period_ms / 2, FaultKind::Cut(cut.clone()))).collect()
    }

    /// In the first third of its time one after the other is cut off, in the last they come back.
    fn swizzle(&self, nodes: &NodeSet, dice: &mut Dice) -> Vec<Self> {
        let third = self.for_ms / 3;
        let slot = third / (nodes.len().max(1) as u64);
        let mut back: Vec<u64> = (0..nodes.len() as u64).collect();
        for last in (1..back.len()).rev() {
            back.swap(last, dice.below(last as u64 + 1) as usize);
        }
        let part = |(place, (node, back)): (u64, (&usize, u64))| {
            let (at, until) = (self.at_ms + place * slot, self.at_ms + 2 * third + (back + 1) * slot);
            self.part(at, until - at, FaultKind::Isolate([*node].into_iter().collect()))
        };
        (0..).zip(nodes.iter().zip(back)).map(part).collect()
    }

    fn rolling(&self, model: &RollingModel) -> Vec<Self> {
        let turns = model.nodes.len().div_ceil(model.at_once.max(1));
        let begins = (0..turns).map(|turn| (turn, self.at_ms + turn as u64 * model.every_ms));
        let begins = begins.take_while(|(_, at)| *at < self.end_ms());
        let whose = |turn: usize| model.nodes.iter().skip(turn).step_by(turns.max(1));
        begins
            .flat_map(|(turn, at)| whose(turn).map(move |node| self.part(at, model.each_ms, each(model.what, *node))))
            .collect()
    }

    /// No node is hit again before it is back.
    fn churn(&self, model: &ChurnModel, dice: &mut Dice) -> Vec<Self> {
        let mut free_at = vec![self.at_ms; model.nodes.len()];
        let mut parts = Vec::new();
        let mean_ms = 1_000.0 / model.per_s;
        let mut at = self.at_ms as f64;
        while parts.len() < PARTS_MAX && !model.nodes.is_empty() {
            // Between one and the next: from nothing to twice the mean.
            at += mean_ms * 2.0 * (dice.below(1_000_000) as f64 / 1e6);
            let now = at as u64;
            if now.saturating_add(model.down_ms) > self.end_ms() {
                break;
            }
            let pick = dice.below(model.nodes.len() as u64) as usize;
            if free_at[pick] <= now {
                // Long enough for its next life to be one.
                free_at[pick] = now + model.down_ms + model.down_ms / 2 + 1;
                parts.push(self.part(now, model.down_ms, FaultKind::Crash(model.nodes[pick])));
            }
        }
        parts
    }

    /// A third of them in one direction only. One that would leave somebody without a way is not made.
    fn random_cuts(&self, model: &RandomCutsModel, nodes: usize, edges: &[Edge], dice: &mut Dice) -> Vec<Self> {
        let mut cut: Vec<(u64, Edge)> = Vec::new();
        let mut parts = Vec::new();
        let begins = (self.at_ms..self.end_ms()).step_by(usize::try_from(model.every_ms).unwrap_or(usize::MAX).max(1));
        for at in begins.take(PARTS_MAX) {
            let for_ms = model.down_ms / 2 + dice.below(model.down_ms / 2 + 1);
            let one_way = dice.below(3) == 0;
            cut.retain(|(ends, _)| *ends > at);
            let sound = |edge: &&Edge| cut.iter().all(|(_, gone)| gone != *edge);
            let sound: Vec<Edge> = edges.iter().filter(sound).copied().collect();
            let spare: Vec<Edge> = sound.iter().copied().filter(|edge| is_spare(nodes, &sound, *edge)).collect();
            let Some(&(a, b)) = spare.get(dice.below(spare.len().max(1) as u64) as usize) else { continue };
            cut.push((at + for_ms, (a, b)));
            let (from, to) = if one_way && dice.below(2) == 0 { (b, a) } else { (a, b) };
            let set = |node: usize| [node].into_iter().collect();
            let what = CutModel { from: set(from), to: set(to), both_ways: !one_way };
            parts.push(self.part(at, for_ms, FaultKind::Cut(what)));
        }
        parts
    }
}

/// Whether all nodes still reach each other by `sound` links without this one.
fn is_spare(nodes: usize, sound: &[Edge], edge: Edge) -> bool {
    let left: Vec<Edge> = sound.iter().copied().filter(|other| *other != edge).collect();
    parts(nodes, &left).into_iter().all(|part| part == 0)
}

fn each(what: Each, node: usize) -> FaultKind {
    match what {
        Each::Crash => FaultKind::Crash(node),
        Each::Pause => FaultKind::Pause(node),
        Each::Readdress => FaultKind::Readdress(node),
        Each::Isolate => FaultKind::Isolate([node].into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(what: FaultKind) -> Vec<(u64, u64, FaultKind)> {
        let fault = Fault { at_ms: 1_000, for_ms: 3_000, what };
        fault
            .expanded(7, 0, 4, &[(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)])
            .into_iter()
            .map(|part| (part.at_ms, part.for_ms, part.what))
            .collect()
    }

    fn set(nodes: &[usize]) -> NodeSet {
        nodes.iter().copied().collect()
    }

    #[test]
    fn a_flapping_link_is_down_half_of_the_time() {
        let parts = parts(FaultKind::Flap(FlapModel { from: set(&[0]), to: set(&[1]), period_ms: 1_000 }));
        let times: Vec<_> = parts.iter().map(|(at, length, _)| (*at, *length)).collect();
        assert_eq!(times, [(1_000, 500), (2_000, 500), (3_000, 500)]);
    }

    /// Goal: at some moment all are cut off, and at the end all are back.
    #[test]
    fn a_swizzle_takes_all_and_gives_them_back() {
        let parts = parts(FaultKind::Swizzle(set(&[3, 4, 5, 6])));
        let (last_begin, first_end) =
            (parts.iter().map(|part| part.0).max().unwrap(), parts.iter().map(|part| part.0 + part.1).min().unwrap());
        assert!(last_begin < first_end && parts.len() == 4, "{parts:?}");
        assert!(parts.iter().all(|part| part.0 + part.1 <= 4_000), "{parts:?}");
        let ends: Vec<u64> = parts.iter().map(|part| part.0 + part.1).collect();
        assert!(!ends.is_sorted(), "they come back in another order: {ends:?}");
    }

    #[test]
    fn rolling_takes_one_after_the_other() {
        let model =
            RollingModel { nodes: set(&[2, 0, 1, 5]), what: Each::Pause, every_ms: 1_000, each_ms: 400, at_once: 1 };
        let parts = parts(FaultKind::Rolling(model));
        let expected =
            [(1_000, 400, FaultKind::Pause(2)), (2_000, 400, FaultKind::Pause(0)), (3_000, 400, FaultKind::Pause(1))];
        assert_eq!(parts, expected);
    }

    /// Goal: those that have their turn together are not beside each other.
    #[test]
    fn several_at_once_are_spread() {
        let nodes = (0..6).collect();
        let model = RollingModel { nodes, what: Each::Crash, every_ms: 1_000, each_ms: 1_000, at_once: 2 };
        let parts = parts(FaultKind::Rolling(model));
        let turns: Vec<_> = parts.iter().map(|(at, _, what)| (*at, what.nodes()[0])).collect();
        assert_eq!(turns, [(1_000, 0), (1_000, 3), (2_000, 1), (2_000, 4), (3_000, 2), (3_000, 5)]);
    }

    #[test]
    fn churn_hits_about_as_many_as_it_says_and_none_that_is_away() {
        let model = ChurnModel { nodes: (0..50).collect(), per_s: 20.0, down_ms: 500 };
        let parts = parts(FaultKind::Churn(model));
        assert!((30..=70).contains(&parts.len()), "{} in 2.5 s", parts.len());
        for (number, (at, length, what)) in parts.iter().enumerate() {
            assert!(parts[number + 1..].iter().all(|next| next.2 != *what || next.0 > at + length), "{what:?}");
        }
    }

    /// Goal: whatever chance takes, everybody reaches everybody by what is left.
    #[test]
    fn random_cuts_leave_a_way() {
        let parts = parts(FaultKind::RandomCuts(RandomCutsModel { every_ms: 100, down_ms: 400 }));
        // Of the thirty moments those at which a link can be spared.
        assert!(parts.len() >= 15, "{} in 3 s", parts.len());
        let edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)];
        let mut one_way = 0;
        for (at, length, what) in &parts {
            let FaultKind::Cut(cut) = what else { panic!("{what:?} is no cut") };
            one_way += usize::from(!cut.both_ways);
            assert!((200..=400).contains(length) || at + length == 4_000, "{length} ms");
            let gone = |(a, b): &Edge| {
                parts.iter().any(|(from, length, what)| {
                    let ends = what.nodes();
                    from <= at && *at < from + length && ends.contains(a) && ends.contains(b)
                })
            };
            let left: Vec<Edge> = edges.iter().copied().filter(|edge| !gone(edge)).collect();
            assert!(super::parts(4, &left).iter().all(|part| *part == 0), "at {at} ms {left:?} is left");
        }
        assert!((1..parts.len()).contains(&one_way), "{one_way} of {}", parts.len());
    }
}
