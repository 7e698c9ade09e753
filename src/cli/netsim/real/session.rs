//! One run: brings fleets up, plays the faults upon them by the clock, and collects what came of it.

use super::fleet::{Fleet, Place, System};
use super::judge::judge;
use super::outcome::Outcome;
use super::plan::{Plan, What};
use crate::cli::CliError;
use crate::cli::output::Output;
use lattice_broker::env::Env;
use lattice_netsim::FaultId;
use lattice_netsim::tier2::{Lateness, NamespaceError, Network, monotonic};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From telling the clients to the beginning.
const LEAD: Duration = Duration::from_millis(500);
/// How often to look whether all processes still run.
const WATCH: Duration = Duration::from_millis(200);
/// How long clients may take to end.
const DONE_WITHIN: Duration = Duration::from_secs(10);
/// A fault that came later than this was not the scenario's.
const STRIKE_LATE_MAX: Duration = Duration::from_millis(100);
/// From so many faults on, it is told how many have come.
const MANY: usize = 20;

/// Plays `plan` on one fleet of each of `systems`, all at once and under the same faults.
pub(super) async fn play(
    env: &Env,
    plan: &Plan,
    systems: &[System],
    seed: u64,
    place: &Place,
    output: &Output,
) -> Result<Vec<Outcome>, CliError> {
    let network = Network::new(seed, plan.nodes * systems.len(), plan.link).map_err(unavailable)?;
    if plan.closed {
        let pairs = (0..systems.len()).flat_map(|fleet| {
            let first = fleet * plan.nodes;
            plan.edges.iter().map(move |(a, b)| (first + a, first + b))
        });
        network.close(&pairs.collect::<Vec<_>>());
    }
    let mut fleets = Vec::new();
    for (number, &system) in systems.iter().enumerate() {
        let first = number * plan.nodes;
        for &((a, b), link) in &plan.links {
            network.set(first + a, first + b, link);
            network.set(first + b, first + a, link);
        }
        fleets.push(Fleet::start(env, &network, plan, system, first, place).await?);
    }
    let mut stage = Stage { network, fleets, active: Active::default(), strikes_late: Duration::ZERO };
    let began = monotonic() + LEAD;
    stage.fleets.iter_mut().try_for_each(|fleet| fleet.begin(began))?;
    stage.network.forget_lateness();
    stage.strike_all(env, plan, began, output).await?;
    stage.watch(env, began + plan.duration).await?;
    let until = began + plan.duration + DONE_WITHIN;
    while !stage.fleets.iter().all(Fleet::is_done) {
        if monotonic() > until {
            return Err(CliError::new("a client did not end in time"));
        }
        stage.watch(env, monotonic() + WATCH).await?;
    }
    stage.outcomes(plan, seed, began)
}

pub(super) fn unavailable(error: NamespaceError) -> CliError {
    CliError::usage(error.to_string()).next(error.remedy())
}

struct Stage {
    // Fleets end before the network on which they are.
    fleets: Vec<Fleet>,
    network: Network,
    active: Active,
    strikes_late: Duration,
}

/// The faults that are on.
#[derive(Default)]
struct Active {
    ids: BTreeMap<usize, FaultId>,
    /// Which fault keeps which node down, or still.
    down: BTreeSet<(usize, usize)>,
    still: BTreeSet<(usize, usize)>,
}

fn held(by: &BTreeSet<(usize, usize)>, node: usize) -> bool {
    by.range((node, 0)..=(node, usize::MAX)).next().is_some()
}

/// How far a run with many faults has come.
struct Progress {
    of: usize,
    begun: usize,
}

impl Progress {
    /// What to say after a fault has begun or ended at `at`: something ten times in all, when there are many.
    fn after(&mut self, begins: bool, at: Duration) -> Option<String> {
        self.begun += usize::from(begins);
        let step = self.of.div_ceil(10);
        let tells = begins && self.of >= MANY && self.begun.is_multiple_of(step);
        tells.then(|| format!("  {} of {} faults after {} s", self.begun, self.of, at.as_secs()))
    }
}

impl Stage {
    async fn strike_all(&mut self, env: &Env, plan: &Plan, began: Duration, output: &Output) -> Result<(), CliError> {
        let turns = plan.faults.iter().enumerate();
        let mut turns: Vec<_> =
            turns.flat_map(|(number, strike)| [(strike.begins, true, number), (strike.ends, false, number)]).collect();
        // At one moment, what ends goes before what begins.
        turns.sort_unstable();
        let mut progress = Progress { of: plan.faults.len(), begun: 0 };
        for (at, begins, number) in turns {
            self.watch(env, began + at).await?;
            let what = &plan.faults[number].what;
            if begins { self.begin(number, what) } else { self.end(number, what) }
                .map_err(|error| CliError::new(format!("fault {number}: {error}")))?;
            if let Some(line) = progress.after(begins, at) {
                output.notice(line);
            }
            self.strikes_late = self.strikes_late.max(monotonic().saturating_sub(began + at));
        }
        Ok(())
    }

    /// Waits until a moment; fails when meanwhile something ends that should not.
    async fn watch(&mut self, env: &Env, until: Duration) -> Result<(), CliError> {
        loop {
            let left = until.saturating_sub(monotonic());
            if left.is_zero() {
                return Ok(());
            }
            env.sleep(left.min(WATCH)).await;
            if !self.network.carries() {
                return Err(CliError::new("the switch has ended: a TUN device failed"));
            }
            self.fleets.iter_mut().try_for_each(Fleet::all_run)?;
        }
    }

    /// The hosts of `nodes` in each fleet.
    fn hosts(&self, nodes: &[usize]) -> Vec<usize> {
        self.fleets.iter().flat_map(|fleet| nodes.iter().map(|node| fleet.host(*node))).collect()
    }

    fn begin(&mut self, number: usize, what: &What) -> std::io::Result<()> {
        let id = match what {
            What::Partition(groups) => {
                let groups: Vec<Vec<usize>> = groups.iter().map(|group| self.hosts(group)).collect();
                self.network.partition(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>())
            }
            What::Cut { from, to, both_ways } => self.network.cut(&self.hosts(from), &self.hosts(to), *both_ways),
            What::Degrade { from, to, both_ways, degrade } => {
                self.network.degrade(&self.hosts(from), &self.hosts(to), *both_ways, *degrade)
            }
            What::Crash(node) => {
                self.active.down.insert((*node, number));
                for server in self.fleets.iter_mut().map(|fleet| &mut fleet.servers[*node]) {
                    server.runs = false;
                    server.process.kill();
                }
                self.befell(format!("crash {node}"))
            }
            What::Pause(node) => {
                self.active.still.insert((*node, number));
                self.running(*node).try_for_each(|server| server.process.pause())?;
                self.befell(format!("pause {node}"))
            }
            What::Readdress(node) => self.readdress(*node)?,
        };
        self.active.ids.insert(number, id);
        Ok(())
    }

    /// The hosts of a node in each fleet get other addresses. What that does is over at once, and shows in the packets
    /// that still go to the old one.
    fn readdress(&self, node: usize) -> std::io::Result<FaultId> {
        let moved = self.hosts(&[node]).into_iter().map(|host| self.network.readdress(host));
        let ids = moved.collect::<Result<Vec<_>, _>>().map_err(std::io::Error::other)?;
        ids.last().copied().ok_or_else(|| std::io::Error::other("there is no fleet"))
    }

    fn befell(&self, what: String) -> FaultId {
        let id = self.network.note(what);
        self.network.bite(id, self.fleets.len() as u64);
        id
    }

    fn running(&mut self, node: usize) -> impl Iterator<Item = &mut super::fleet::Server> {
        self.fleets.iter_mut().map(move |fleet| &mut fleet.servers[node]).filter(|server| server.runs)
    }

    fn end(&mut self, number: usize, what: &What) -> std::io::Result<()> {
        if let Some(id) = self.active.ids.remove(&number) {
            self.network.lift(id);
        }
        match what {
            What::Partition(_) | What::Cut { .. } | What::Degrade { .. } | What::Readdress(_) => Ok(()),
            What::Crash(node) => {
                self.active.down.remove(&(*node, number));
                if held(&self.active.down, *node) {
                    return Ok(());
                }
                self.fleets.iter_mut().map(|fleet| &mut fleet.servers[*node]).try_for_each(|server| {
                    server.runs = true;
                    server.process.start(&server.program)
                })
            }
            What::Pause(node) => {
                self.active.still.remove(&(*node, number));
                if held(&self.active.still, *node) {
                    return Ok(());
                }
                self.running(*node).try_for_each(|server| server.process.resume())
            }
        }
    }

    fn outcomes(&self, plan: &Plan, seed: u64, began: Duration) -> Result<Vec<Outcome>, CliError> {
        let (switch, bites) = (self.network.lateness(), self.network.bites());
        let outcome = |fleet: &Fleet| {
            let figures = judge(plan, began, &fleet.records()?);
            let rejected = unusable("the switch", &switch)
                .or_else(|| unusable("publishing", &figures.lateness))
                .or_else(|| late(self.strikes_late));
            Ok(Outcome::new(plan, fleet.system, seed, figures, &bites, switch, rejected))
        };
        self.fleets.iter().map(outcome).collect()
    }
}

fn unusable(what: &str, lateness: &Lateness) -> Option<String> {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    (!lateness.usable()).then(|| {
        format!("{what} was {:.1} ms late (p99); at most {:.0} is usable", ms(lateness.p99), ms(Lateness::P99_MAX))
    })
}

fn late(strikes: Duration) -> Option<String> {
    (strikes > STRIKE_LATE_MAX).then(|| {
        format!("a fault came {} ms late; at most {} is usable", strikes.as_millis(), STRIKE_LATE_MAX.as_millis())
    })
}
