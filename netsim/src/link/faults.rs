//! The faults of a world: which are on, whom they concern, and how often each made a difference.

use super::model::Degrade;
use crate::clock::Nanos;
use crate::exec::HostId;
use std::time::Duration;

/// Names a fault of a world, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub(crate) usize);

/// How often a fault made a difference. A fault with no hits proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bite {
    /// Which fault.
    pub fault: FaultId,
    /// What it was, for people.
    pub what: String,
    /// When it began.
    pub since: Duration,
    /// When it ended, if it has.
    pub until: Option<Duration>,
    /// Packets, segments, streams, timers, tasks or hosts that it hit. A packet that was duplicated and came late counts
    /// twice.
    pub hits: u64,
}

#[derive(Debug)]
enum Scope {
    /// Hosts of different groups; 0 is in none.
    Groups(Vec<u16>),
    /// From one set of hosts to another.
    Between { from: Vec<bool>, to: Vec<bool>, both_ways: bool },
}

impl Scope {
    fn holds(&self, from: HostId, to: HostId) -> bool {
        match self {
            Self::Groups(groups) => groups[from] != 0 && groups[to] != 0 && groups[from] != groups[to],
            Self::Between { from: a, to: b, both_ways } => (a[from] && b[to]) || (*both_ways && b[from] && a[to]),
        }
    }
}

#[derive(Debug)]
struct Rule {
    fault: FaultId,
    scope: Scope,
    /// How much worse; `None` stops everything.
    degrade: Option<Degrade>,
}

/// What is wrong, and what was.
#[derive(Debug)]
pub(crate) struct Faults {
    hosts: usize,
    rules: Vec<Rule>,
    cuts: usize,
    bites: Vec<Bite>,
    /// Another number whenever the rules are others: what was concluded from them holds as long as it stays.
    version: u64,
}

impl Faults {
    pub(super) fn new(hosts: usize) -> Self {
        Self { hosts, rules: Vec::new(), cuts: 0, bites: Vec::new(), version: 0 }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// False when no cut can be in anybody's way.
    pub(super) fn any_cut(&self) -> bool {
        self.cuts > 0
    }

    /// Notes a fault that is not about links, or not yet.
    pub(crate) fn note(&mut self, now: Nanos, what: String) -> FaultId {
        let fault = FaultId(self.bites.len());
        self.bites.push(Bite { fault, what, since: Duration::from_nanos(now), until: None, hits: 0 });
        fault
    }

    pub(crate) fn bite(&mut self, fault: FaultId, hits: u64) {
        self.bites[fault.0].hits += hits;
    }

    /// Each of `faults` made a difference.
    pub(crate) fn bite_all(&mut self, faults: impl IntoIterator<Item = FaultId>) {
        faults.into_iter().for_each(|fault| self.bite(fault, 1));
    }

    pub(crate) fn bites(&self) -> &[Bite] {
        &self.bites
    }

    /// What a fault is, for people.
    pub(crate) fn what(&self, fault: FaultId) -> &str {
        &self.bites[fault.0].what
    }

    pub(crate) fn partition(&mut self, now: Nanos, groups: &[&[HostId]]) -> FaultId {
        let mut of = vec![0; self.hosts];
        for (number, group) in (1u16..).zip(groups) {
            group.iter().for_each(|&host| of[host] = number);
        }
        let fault = self.note(now, format!("partition {groups:?}"));
        self.add(Rule { fault, scope: Scope::Groups(of), degrade: None });
        fault
    }

    pub(crate) fn cut(&mut self, now: Nanos, from: &[HostId], to: &[HostId], both_ways: bool) -> FaultId {
        let fault = self.note(now, format!("cut {from:?}{}{to:?}", arrow(both_ways)));
        let scope = self.between(from, to, both_ways);
        self.add(Rule { fault, scope, degrade: None });
        fault
    }

    pub(crate) fn degrade(
        &mut self,
        now: Nanos,
        from: &[HostId],
        to: &[HostId],
        both_ways: bool,
        degrade: Degrade,
    ) -> FaultId {
        let fault = self.note(now, format!("degrade {from:?}{}{to:?} {degrade}", arrow(both_ways)));
        let scope = self.between(from, to, both_ways);
        self.add(Rule { fault, scope, degrade: Some(degrade) });
        fault
    }

    fn between(&self, from: &[HostId], to: &[HostId], both_ways: bool) -> Scope {
        let mask = |hosts: &[HostId]| {
            let mut mask = vec![false; self.hosts];
            hosts.iter().for_each(|&host| mask[host] = true);
            mask
        };
        Scope::Between { from: mask(from), to: mask(to), both_ways }
    }

    fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
        self.changed();
    }

    fn changed(&mut self) {
        self.version += 1;
        self.cuts = self.rules.iter().filter(|rule| rule.degrade.is_none()).count();
    }

    /// Marks one fault as ended, and ends it if it is upon links.
    pub(crate) fn lift(&mut self, now: Nanos, fault: FaultId) {
        self.rules.retain(|rule| rule.fault != fault);
        self.changed();
        self.bites[fault.0].until.get_or_insert(Duration::from_nanos(now));
    }

    /// Ends all faults upon links.
    pub(crate) fn heal(&mut self, now: Nanos) {
        for rule in std::mem::take(&mut self.rules) {
            self.bites[rule.fault.0].until.get_or_insert(Duration::from_nanos(now));
        }
        self.changed();
    }

    /// The first fault that lets nothing through from one host to another.
    pub(super) fn cut_between(&self, from: HostId, to: HostId) -> Option<FaultId> {
        let mut cuts = self.rules.iter().filter(|rule| rule.degrade.is_none());
        cuts.find(|rule| rule.scope.holds(from, to)).map(|rule| rule.fault)
    }

    /// All faults that worsen the link from one host to another.
    pub(super) fn worse_between(&self, from: HostId, to: HostId) -> impl Iterator<Item = (FaultId, Degrade)> {
        let holding = self.rules.iter().filter(move |rule| rule.scope.holds(from, to));
        holding.filter_map(|rule| Some((rule.fault, rule.degrade?)))
    }
}

fn arrow(both_ways: bool) -> &'static str {
    if both_ways { "<->" } else { "->" }
}
