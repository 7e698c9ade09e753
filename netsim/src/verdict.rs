//! How a run went: what was broken, what the faults hit, what is known to fall short.

use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Violations of each check that are kept; the rest is only counted.
const KEPT_OF_EACH_MAX: u64 = 100;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Nobody gets a message twice.
    Duplicate,
    /// Each publisher's messages come in order.
    Order,
    /// Nobody gets what nobody published.
    Unknown,
    /// Whenever the network is calm, every message arrives.
    Complete,
    /// After each fault, traffic is back within the bound.
    Resume,
    /// Faults cost no more deliveries than the bound.
    Lost,
    /// Each piece of work is taken by one member of the queue group in each part, and never by two.
    Queue,
    /// A request is answered if it is served, and refused at once if it is not.
    Request,
    /// At the end, every node knows what every other node's clients want, and no more.
    Interest,
    /// At the end, the way from every node to every other is no circle.
    Loop,
    /// At the end there are no more tasks, timers and connections than at the beginning.
    Leak,
    /// No buffer holds more than its bound.
    Buffer,
    /// Links go down no more often than the bound.
    Links,
    /// No more connections are tried than the bound.
    Dials,
    /// No task panics.
    Panic,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Duplicate => "duplicate",
            Self::Order => "order",
            Self::Unknown => "unknown",
            Self::Complete => "complete",
            Self::Resume => "resume",
            Self::Lost => "lost",
            Self::Queue => "queue",
            Self::Request => "request",
            Self::Interest => "interest",
            Self::Loop => "loop",
            Self::Leak => "leak",
            Self::Buffer => "buffer",
            Self::Links => "links",
            Self::Dials => "dials",
            Self::Panic => "panic",
        };
        f.pad(name)
    }
}

/// One thing that must not be, and was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// When it was seen, in virtual time.
    pub at_ms: f64,
    /// What it breaks.
    pub check: Check,
    /// At which node, when it is at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<usize>,
    /// What happened.
    pub what: String,
    /// By how much, where that can be said: milliseconds of [`Check::Resume`], else a number of things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<f64>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} s  {:<9} ", self.at_ms / 1e3, self.check)?;
        if let Some(node) = self.node {
            write!(f, "node {node}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Something that a scenario asks for and the lattice does not do yet. As long as it is no worse than `at_most`, a run
/// passes in spite of it; a swarm in which it never shows says that it can be struck out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortfall {
    /// What is broken.
    pub check: Check,
    /// How badly at most: milliseconds for `resume`, else the number of violations, or of things where they are counted.
    pub at_most: f64,
    /// Why, and what will end it.
    pub why: String,
}

/// How often a fault of the scenario made a difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultBite {
    /// Its place in the scenario, from 0.
    pub fault: usize,
    /// Its kind.
    pub kind: String,
    /// Packets, segments, tasks, timers or hosts that it hit. A fault with none proves nothing.
    pub hits: u64,
}

/// Violations as they are found: all are counted, some are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The first of each check.
    pub kept: Vec<Violation>,
    /// How many there were, and the worst figure.
    pub by_check: BTreeMap<Check, Count>,
}

/// How often, and how badly, a check failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Violations.
    pub times: u64,
    /// The greatest [`Violation::figure`], when any had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<f64>,
}

impl Count {
    /// Adds another count of the same check.
    pub fn add(&mut self, other: Self) {
        self.times += other.times;
        self.worst = self.worst.into_iter().chain(other.worst).reduce(f64::max);
    }

    /// How badly, in the terms of [`Shortfall::at_most`].
    #[must_use]
    pub fn figure(&self) -> f64 {
        self.worst.unwrap_or(self.times as f64)
    }
}

impl Tally {
    /// Takes a violation in.
    pub fn add(&mut self, violation: Violation) {
        let count = self.by_check.entry(violation.check).or_default();
        count.add(Count { times: 1, worst: violation.figure });
        if count.times <= KEPT_OF_EACH_MAX {
            self.kept.push(violation);
        }
    }

    /// Takes all of another in.
    pub fn merge(&mut self, other: Self) {
        for (check, count) in other.by_check {
            self.by_check.entry(check).or_default().add(count);
        }
        self.kept.extend(other.kept);
    }

    /// How many violations there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_check.values().map(|count| count.times).sum()
    }

    /// Takes out what is known to fall short, and is no worse than known. Returns it.
    fn excuse(&mut self, known: &[Shortfall]) -> BTreeMap<Check, f64> {
        let mut excused = BTreeMap::new();
        for Shortfall { check, at_most, why: _ } in known {
            let figure = self.by_check.get(check).map(Count::figure).filter(|figure| figure <= at_most);
            if let Some(figure) = figure {
                self.by_check.remove(check);
                self.kept.retain(|violation| violation.check != *check);
                excused.insert(*check, figure);
            }
        }
        excused
    }
}

/// How a scenario went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The scenario's name.
    pub scenario: String,
    /// The seed that it was played with.
    pub seed: u64,
    /// The hash of all that happened.
    pub trace_hash: String,
    /// What was broken, but for what is known to be: in the order of time, the first of each check.
    pub violations: Vec<Violation>,
    /// How much of it was broken, by check.
    pub violated: BTreeMap<Check, Count>,
    /// What was broken and is known to be: how badly.
    pub shortfalls: BTreeMap<Check, f64>,
    /// The faults, and how often each bit.
    pub faults: Vec<FaultBite>,
    /// The longest that anybody took to hear somebody again after a fault began or ended; nothing when nobody did.
    pub resume_ms: Option<f64>,
    /// Messages that clients published.
    pub published: u64,
    /// Messages that clients received.
    pub delivered: u64,
    /// Deliveries that faults cost.
    pub lost: u64,
    /// When something was last dropped, and counted, because a buffer was full: nothing before that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overfilled_ms: Option<f64>,
}

impl Verdict {
    /// The verdict of a run that came to no end.
    #[must_use]
    pub fn broken(scenario: &Scenario, seed: u64, found: Tally) -> Self {
        let mut verdict = Self { scenario: scenario.name.clone(), seed, ..Self::default() };
        verdict.judge(found, &[]);
        verdict
    }

    /// Faults that never made a difference: the run proves nothing about them.
    pub fn vacuous(&self) -> impl Iterator<Item = &FaultBite> {
        self.faults.iter().filter(|fault| fault.hits == 0)
    }

    /// True when nothing was broken but what is known to be.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violated.is_empty()
    }

    /// How much was broken, but for what is known to be.
    #[must_use]
    pub fn violations_total(&self) -> u64 {
        self.violated.values().map(|count| count.times).sum()
    }

    /// Hits by fault, under names like `partition#0`.
    #[must_use]
    pub fn bites(&self) -> BTreeMap<String, u64> {
        self.faults.iter().map(|fault| (format!("{}#{}", fault.kind, fault.fault), fault.hits)).collect()
    }

    /// Takes in what was found, but for what `known` excuses.
    pub(crate) fn judge(&mut self, mut found: Tally, known: &[Shortfall]) {
        self.shortfalls = found.excuse(known);
        self.violations = found.kept;
        self.violations.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        self.violated = found.by_check;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(check: Check, figure: Option<f64>) -> Violation {
        Violation { at_ms: 1.0, check, node: None, what: "x".to_owned(), figure }
    }

    fn judged(violations: Vec<Violation>, check: Check, at_most: f64) -> Verdict {
        let (mut verdict, mut tally) = (Verdict::default(), Tally::default());
        violations.into_iter().for_each(|violation| tally.add(violation));
        verdict.judge(tally, &[Shortfall { check, at_most, why: String::new() }]);
        verdict
    }

    #[test]
    fn a_known_shortfall_excuses_what_is_no_worse() {
        let resume = |ms| violation(Check::Resume, Some(ms));
        let verdict = judged(vec![resume(4_100.0), resume(5_000.0)], Check::Resume, 5_000.0);
        assert!(verdict.passed() && verdict.shortfalls[&Check::Resume] == 5_000.0);
        let verdict = judged(vec![resume(4_100.0), resume(5_001.0)], Check::Resume, 5_000.0);
        assert!(!verdict.passed() && verdict.violations_total() == 2 && verdict.shortfalls.is_empty());
        let verdict = judged(vec![resume(4_100.0), violation(Check::Order, None)], Check::Resume, 5_000.0);
        assert!(!verdict.passed() && verdict.violations_total() == 1);
    }

    #[test]
    fn what_has_no_figure_is_counted() {
        let many = |n| (0..n).map(|_| violation(Check::Complete, None)).collect();
        assert!(judged(many(500), Check::Complete, 500.0).passed());
        let verdict = judged(many(501), Check::Complete, 500.0);
        assert_eq!((verdict.violations_total(), verdict.violations.len()), (501, 100));
    }
}
