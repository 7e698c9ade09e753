//! One scenario under one seed, with whole nodes and clients on each: from the first boot to the verdict.

use super::clients::Clients;
use super::record::Counts;
use super::watch::Eyes;
use super::{BadSettings, Nodes, Tune, log};
use lattice_netsim::{
    Check, Checker, Fate, Host, Played, Process as _, Scenario, Tally, Timeline, Verdict, Violation, World,
};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it went, and what happened when.
    pub played: Played,
    /// What the clients did besides.
    pub counts: Counts,
    /// What chance and cuts did to single packets, as far as it was kept.
    pub fates: Vec<Fate>,
}

/// What a run may have beside its scenario.
pub struct Setup {
    /// Changes the settings of each node before it starts.
    pub tune: Tune,
    /// Runs on each host as it boots, beside the node and the clients.
    pub beside: Box<dyn Fn(&Host) + Send + Sync>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Setup")
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self { tune: Box::new(|_, _| {}), beside: Box::new(|_| {}) }
    }
}

/// Whether the settings that `scenario` gives its nodes are such.
///
/// # Errors
/// What is wrong with them.
pub fn check(scenario: &Scenario) -> Result<(), BadSettings> {
    super::settings(scenario).map(drop)
}

/// Plays `scenario` under `seed` on this thread. A minute of some tens of nodes takes about a second.
///
/// # Panics
/// When a task of a node does, or the scenario cannot be played: [`Scenario::check`] and [`check`] say so before.
#[must_use]
pub fn play(scenario: &Scenario, seed: u64) -> Run {
    play_in(&mut scenario.world(seed), scenario, Setup::default())
}

/// Plays `scenario` in the `world` that was made for it, where nothing has happened yet.
///
/// # Panics
/// As [`play`].
#[must_use]
pub fn play_in(world: &mut World, scenario: &Scenario, setup: Setup) -> Run {
    log::follow(world.host(0));
    let (nodes, checker) = (scenario.nodes(), Checker::new());
    let lattice = Nodes::of(world, scenario).expect("the settings were checked").tuned(setup.tune);
    let clients = Clients::new(scenario, checker.clone(), lattice.clone());
    let process = {
        let (lattice, clients) = (lattice.clone(), clients.clone());
        move |host: Host| {
            lattice.start(host.clone());
            clients.start(&host);
            (setup.beside)(&host);
        }
    };
    world.install(0..nodes, Arc::new(process));
    let mut eyes = Eyes::new(scenario, lattice, clients.clone());
    let played = scenario.play(world, &checker, &mut eyes);
    Run { played, counts: clients.record.counts(), fates: world.fates() }
}

/// Like [`play`]; a panic is a violation like others, and ends the run.
#[must_use]
pub fn play_caught(scenario: &Scenario, seed: u64) -> Run {
    catch_unwind(AssertUnwindSafe(|| play(scenario, seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        let mut found = Tally::default();
        found.add(Violation { at_ms: 0.0, check: Check::Panic, node: None, what: text, figure: None });
        let verdict = Verdict::broken(scenario, seed, found);
        let played = Played { verdict, timeline: Timeline::default() };
        Run { played, counts: Counts::default(), fates: Vec::new() }
    })
}

/// About how many bytes a run with so many nodes takes, as measured from 16 to 1,000: each keeps something of each other.
#[must_use]
pub fn memory_needed(nodes: usize) -> u64 {
    const OF_EACH: u64 = 400_000;
    const OF_EACH_PAIR: u64 = 2_600;
    let nodes = nodes as u64;
    nodes.saturating_mul(OF_EACH).saturating_add(nodes.saturating_mul(nodes).saturating_mul(OF_EACH_PAIR))
}

/// What the environment of a process that plays runs should have: huge pages for its heap. Nodes are many and each is
/// touched a little at a time, so that a sixth of the time goes into finding the pages otherwise. C libraries other than
/// glibc do not look at it.
pub const HUGE_PAGES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// What this thread has used so far; nothing where the system does not tell.
#[must_use]
pub fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
