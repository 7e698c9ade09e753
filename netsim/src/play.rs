//! Plays a scenario: boots the nodes, lets faults begin and end, looks at the nodes now and then, and judges.
//!
//! What runs on the nodes is installed before; whoever did that looks into them as a [`Watch`].

use crate::check::Checker;
use crate::epochs::Epochs;
use crate::scenario::{DiskModel, Edge, Fault, FaultKind, Scenario};
use crate::strike::Strikes;
use crate::timeline::{Band, Spans, Timeline, ms};
use crate::verdict::{Check, FaultBite, Tally, Verdict, Violation};
use crate::world::{Usage, World};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From so many nodes on they are looked at less often: it takes longer.
const MANY_NODES: usize = 200;
/// The least time between two looks, and between two at many nodes.
const LOOK_MIN: Duration = Duration::from_millis(100);
const LOOK_AT_MANY: Duration = Duration::from_secs(2);

/// What was seen of the nodes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Links that both ends hold up, the smaller number first.
    pub links: BTreeSet<Edge>,
    /// By node, how many others it can reach, as it sees it.
    pub reached: Vec<u32>,
}

/// Looks into the nodes while a scenario is played.
pub trait Watch {
    /// What there is to see now.
    fn look(&mut self, world: &World) -> Seen;

    /// Begins a fault of a node's disk, or ends it. Returns how often it has bitten until now.
    fn disk(&mut self, model: &DiskModel, begin: bool) -> u64;

    /// How many connections the nodes have tried to make since the beginning.
    fn dials(&self) -> u64;

    /// When something was last dropped because a buffer was full, and counted. Of a network that is asked for more than
    /// it has room for, nobody can ask that everything arrives.
    fn overfilled(&self) -> Option<Duration>;

    /// What is broken now that traffic has ended and the network has been quiet for a while. It may let time pass.
    fn judge(&mut self, world: &mut World, epochs: &Epochs) -> Tally;
}

/// Sees nothing.
impl Watch for () {
    fn look(&mut self, _: &World) -> Seen {
        Seen::default()
    }

    fn disk(&mut self, _: &DiskModel, _: bool) -> u64 {
        0
    }

    fn dials(&self) -> u64 {
        0
    }

    fn overfilled(&self) -> Option<Duration> {
        None
    }

    fn judge(&mut self, _: &mut World, _: &Epochs) -> Tally {
        Tally::default()
    }
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// How it went.
    pub verdict: Verdict,
    /// What happened when.
    pub timeline: Timeline,
}

impl Scenario {
    /// Boots the nodes of `world`, plays the faults, and judges what `checker` and `watch` have seen.
    ///
    /// The processes must be installed, and report to `checker` under their host's number.
    ///
    /// # Panics
    /// When the scenario was built in Rust and cannot be played: see [`Scenario::check`].
    pub fn play(&self, world: &mut World, checker: &Checker, watch: &mut dyn Watch) -> Played {
        let faults = self.plain_faults(world.seed());
        let names = (0..self.nodes()).map(|node| self.topology.name(node)).collect();
        let timeline = Timeline::new(Duration::from_millis(self.duration_ms), names);
        let look_every = if self.nodes() < MANY_NODES { LOOK_MIN } else { LOOK_AT_MANY };
        let run = Run {
            scenario: self,
            epochs: Epochs::new(self, &faults),
            faults,
            world,
            checker,
            watch,
            strikes: Strikes::default(),
            disk_hits: BTreeMap::new(),
            look_every: look_every.max(Duration::from_millis(timeline.bin_ms)),
            timeline,
            links: Spans::default(),
            down: Spans::default(),
            before: None,
        };
        run.play()
    }
}

/// Something to do at a moment. At one moment, what ends goes before what begins, and a border before both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Baseline,
    Border,
    End(usize),
    Begin(usize),
}

/// What exists at a quiet moment.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    usage: Usage,
    links: usize,
    dials: u64,
}

struct Run<'a> {
    scenario: &'a Scenario,
    epochs: Epochs,
    faults: Vec<(usize, Fault)>,
    world: &'a mut World,
    checker: &'a Checker,
    watch: &'a mut dyn Watch,
    strikes: Strikes,
    disk_hits: BTreeMap<usize, u64>,
    look_every: Duration,
    timeline: Timeline,
    links: Spans<Edge>,
    down: Spans<usize>,
    before: Option<Quiet>,
}

impl Run<'_> {
    fn play(mut self) -> Played {
        let turns = self.turns();
        let absent: BTreeSet<usize> = turns.iter().filter_map(|turn| self.absent(*turn)).collect();
        (0..self.scenario.nodes()).filter(|node| !absent.contains(node)).for_each(|node| self.world.boot(node));
        for (at, turn) in turns {
            self.run_until(at);
            match turn {
                Turn::Baseline => self.before = Some(self.quiet()),
                Turn::Border => self.checker.watch(at),
                Turn::Begin(number) => self.begin(number),
                Turn::End(number) => self.end(number),
            }
        }
        self.run_until(Duration::from_millis(self.scenario.duration_ms));
        self.judge()
    }

    fn turns(&self) -> Vec<(Duration, Turn)> {
        let faults = self.faults.iter().enumerate();
        let spans = faults.flat_map(|(number, (_, fault))| {
            let (from, until) = fault.span();
            [(from, Turn::Begin(number)), (until, Turn::End(number))]
        });
        let borders = self.epochs.judged().map(|epoch| (epoch.from, Turn::Border));
        // Everything stands by then, and no traffic has begun; with a fault before that there is nothing to compare with.
        let first = self.faults.iter().map(|(_, fault)| fault.span().0).min().unwrap_or(Duration::MAX);
        let start = self.scenario.traffic_from();
        let baseline = (first >= start).then_some((start, Turn::Baseline));
        let mut turns: Vec<_> = spans.chain(borders).chain(baseline).collect();
        turns.sort_unstable();
        turns
    }

    /// The node that is not there at the beginning: one whose crash begins with the scenario.
    fn absent(&self, (at, turn): (Duration, Turn)) -> Option<usize> {
        let Turn::Begin(number) = turn else { return None };
        match self.faults[number].1.what {
            FaultKind::Crash(node) if at.is_zero() => Some(node),
            _ => None,
        }
    }

    /// Lets time pass, and looks at the nodes meanwhile.
    fn run_until(&mut self, at: Duration) {
        let step = self.look_every.as_nanos().max(1);
        while self.world.now() < at {
            let next = (self.world.now().as_nanos() / step + 1) * step;
            let next = Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
            self.world.run_for(next.min(at) - self.world.now());
            if next <= at {
                self.look();
            }
        }
    }

    fn look(&mut self) {
        let at = self.world.now();
        let seen = self.watch.look(self.world);
        self.links.look(at, seen.links);
        let bin = self.timeline.bin(at);
        for (node, reached) in self.timeline.nodes.iter_mut().zip(seen.reached) {
            node.reached[bin] = reached;
        }
    }

    fn begin(&mut self, number: usize) {
        let what = self.faults[number].1.what.clone();
        self.strikes.begin(self.world, number, &what);
        if let FaultKind::Disk(model) = &what {
            self.disk_hits.insert(number, self.watch.disk(model, true));
        }
        self.look_down();
    }

    fn end(&mut self, number: usize) {
        let what = self.faults[number].1.what.clone();
        self.strikes.end(self.world, number, &what);
        if let FaultKind::Disk(model) = &what {
            let before = self.disk_hits.get(&number).copied().unwrap_or_default();
            let hits = self.watch.disk(model, false) - before;
            self.disk_hits.insert(number, hits);
        }
        self.look_down();
    }

    fn look_down(&mut self) {
        let down: Vec<usize> = (0..self.scenario.nodes()).filter(|node| !self.world.is_up(*node)).collect();
        self.down.look(self.world.now(), down);
    }

    fn quiet(&mut self) -> Quiet {
        let links = self.watch.look(self.world).links.len();
        Quiet { usage: self.world.usage(), links, dials: self.watch.dials() }
    }

    fn judge(mut self) -> Played {
        let after = self.quiet();
        let hearers = self.scenario.hearers();
        let bound = self.scenario.bounds.resume();
        let overfilled = self.watch.overfilled();
        if let Some(at) = overfilled {
            self.epochs.excuse_until(at + bound);
        }
        let publishers = self.scenario.publishers();
        let (mut found, resumptions) = self.checker.judge(&self.epochs, bound, &publishers, &hearers);
        found.merge(self.watch.judge(self.world, &self.epochs));
        self.judge_leaks(after, &mut found);
        self.judge_bounds(after, &mut found);
        let mut verdict = Verdict {
            scenario: self.scenario.name.clone(),
            seed: self.world.seed(),
            trace_hash: self.world.trace_hash(),
            faults: self.bites(),
            resume_ms: resumptions.iter().filter_map(|resumption| resumption.after_ms).reduce(f64::max),
            published: self.checker.published(),
            delivered: self.checker.delivered(),
            lost: self.checker.gaps(),
            overfilled_ms: overfilled.map(ms),
            ..Verdict::default()
        };
        verdict.judge(found, &self.scenario.shortfalls);
        self.timeline.resumptions = resumptions;
        Played { verdict, timeline: self.draw() }
    }

    /// The nodes are as they were before anything happened, so what exists must be as much as it was then.
    fn judge_leaks(&self, after: Quiet, found: &mut Tally) {
        let Some(before) = self.before else { return };
        let at_ms = ms(self.world.now());
        if after.links < before.links {
            let what = format!("{} links at the end, {} before the first fault", after.links, before.links);
            let figure = Some((before.links - after.links) as f64);
            found.add(Violation { at_ms, check: Check::Links, node: None, what, figure });
        }
        let counts = |quiet: Quiet| {
            let Usage { tasks, timers, sockets, streams } = quiet.usage;
            [("links", quiet.links), ("tasks", tasks), ("timers", timers), ("sockets", sockets), ("streams", streams)]
        };
        for ((name, was), (_, is)) in counts(before).into_iter().zip(counts(after)) {
            if is > was {
                let what = format!("{is} {name} at the end, {was} before the first fault");
                let figure = Some((is - was) as f64);
                found.add(Violation { at_ms, check: Check::Leak, node: None, what, figure });
            }
        }
    }

    fn judge_bounds(&self, after: Quiet, found: &mut Tally) {
        let bounds = &self.scenario.bounds;
        // What is for a node that dies, or was said by one, may die with it.
        let dead = self.faults.iter().filter_map(|(_, fault)| match fault.what {
            FaultKind::Crash(node) => Some(node),
            _ => None,
        });
        let lost = self.checker.gaps_without(&dead.collect());
        let dials = after.dials - self.before.map_or(0, |before| before.dials);
        let judged = [
            (Check::Lost, "deliveries were lost", lost, bounds.lost_max),
            (Check::Links, "times a link went down", self.links.gone() as u64, bounds.link_downs_max),
            (Check::Dials, "connections were tried", dials, bounds.dials_max),
        ];
        for (check, what, count, bound) in judged {
            if let Some(bound) = bound.filter(|bound| count > *bound) {
                let what = format!("{count} {what}, the bound is {bound}");
                let at_ms = ms(self.world.now());
                found.add(Violation { at_ms, check, node: None, what, figure: Some(count as f64) });
            }
        }
    }

    fn hits(&self, number: usize) -> u64 {
        self.strikes.hits(self.world, number) + self.disk_hits.get(&number).copied().unwrap_or_default()
    }

    fn bites(&self) -> Vec<FaultBite> {
        let bite = |(fault, written): (usize, &Fault)| {
            let parts = self.faults.iter().enumerate().filter(|(_, (place, _))| *place == fault);
            let hits = parts.map(|(number, _)| self.hits(number)).sum();
            FaultBite { fault, kind: written.what.name().to_owned(), hits }
        };
        self.scenario.faults.iter().enumerate().map(bite).collect()
    }

    fn draw(self) -> Timeline {
        let faults = self.faults.iter().enumerate().map(|(number, (fault, plain))| Band {
            fault: *fault,
            kind: plain.what.name().to_owned(),
            what: plain.what.to_string(),
            nodes: plain.what.nodes(),
            from_ms: plain.at_ms as f64,
            until_ms: (plain.at_ms + plain.for_ms) as f64,
            hits: self.hits(number),
        });
        let faults = faults.collect();
        let now = self.world.now();
        let mut timeline = Timeline { faults, ..self.timeline };
        for ((a, b), up) in self.links.close(now) {
            timeline.links.push(crate::timeline::LinkLine { a, b, up });
        }
        for (node, down) in self.down.close(now) {
            timeline.nodes[node].down = down;
        }
        self.checker.draw(&mut timeline);
        timeline
    }
}
