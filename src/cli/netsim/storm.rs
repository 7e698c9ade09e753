//! `lattice netsim storm`: link cuts or kills by the hundred while messages flow, on real processes or in virtual time.
//!
//! Here is the scenario that this means; it is played as others are, by `real/` or by `run.rs`.

use super::run::{PageArgs, play};
use crate::cli::CliError;
use crate::cli::output::Output;
use lattice_netsim::{
    Bounds, Dice, Fault, FaultKind, LinkModel, NodeSet, RandomCutsModel, Scenario, Shape, Topology, Traffic,
};
use std::path::PathBuf;

/// Messages a second, of all publishers together: bursts of so many from each, so often.
const BURST: u64 = 5;
const INTERVAL_MS: u64 = 2;
const PUBLISHERS: [usize; 2] = [0, 5];
const HEARERS: [usize; 2] = [2, 7];
/// Those through which the others' messages pass.
const TRANSIT: [usize; 4] = [1, 3, 4, 6];
const START_MS: u64 = 1_000;
/// The first fault comes when messages have flowed for a while.
const FAULTS_FROM_MS: u64 = 3_000;
/// Of what passes through a node that is killed, so much may be lost.
const LOST_OF: u64 = 2_000;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct Args {
    /// So many links are cut one after the other, by chance among those that leave a way.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=5_000))]
    #[arg(required_unless_present = "kills", conflicts_with = "kills")]
    cuts: Option<u64>,
    /// So many times a node on the way of others is killed (SIGKILL) and started again.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=5_000))]
    kills: Option<u64>,
    /// From one fault to the next [default: 1500 for cuts and 2000 for kills, twice that with --wan].
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1_500..=600_000))]
    every_ms: Option<u64>,
    /// Links as across a country, 40 ms and up to 10 ms more with 0.5 % lost, instead of 1 ms as on a LAN.
    #[arg(long)]
    wan: bool,
    /// In virtual time, instead of on real processes.
    #[arg(long)]
    pub(super) simulated: bool,
    /// Decides what is struck when, and which packets are lost.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) seed: u64,
    /// Keep here what all processes write.
    #[arg(long, value_name = "FOLDER", conflicts_with = "simulated")]
    pub(super) keep_logs: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Eight nodes in a ring with one link across; two clients publish 5,000 messages a second together, two others hear all.
Exit codes: 0 all held, 1 something was lost, doubled or out of order, 2 wrong use, 3 the machine was too busy.
  lattice netsim storm --cuts 200              five minutes, as root
  lattice netsim storm --kills 200 --wan       seven minutes
  lattice netsim storm --cuts 20 --simulated   the same story in virtual time";

impl Args {
    /// The scenario that is meant.
    pub(super) fn scenario(&self) -> Scenario {
        let (every_ms, down_ms) = self.pace();
        let count = self.cuts.or(self.kills).unwrap_or_default();
        let for_ms = count * every_ms;
        let ends_ms = FAULTS_FROM_MS + for_ms;
        let bounds = Bounds { deliver_ms: 2_000, quiet_ms: 1_000, ..Bounds::default() };
        let (name, faults, lost_max) = match self.kills {
            None => {
                let cuts = FaultKind::RandomCuts(RandomCutsModel { every_ms, down_ms });
                ("cuts", vec![Fault { at_ms: FAULTS_FROM_MS, for_ms, what: cuts }], 0)
            }
            Some(kills) => {
                let deliveries = (ends_ms - START_MS) / INTERVAL_MS * BURST * (PUBLISHERS.len() * HEARERS.len()) as u64;
                ("kills", self.kills(kills, every_ms, down_ms), deliveries / LOST_OF)
            }
        };
        Scenario {
            name: format!("storm-{name}{}", if self.wan { "-wan" } else { "" }),
            about: format!("{count} {name} while 5,000 messages a second flow and a way is left."),
            duration_ms: ends_ms + bounds.resume_ms + bounds.deliver_ms + bounds.quiet_ms,
            topology: topology(),
            link: self.link(),
            traffic: traffic(),
            bounds: Bounds { lost_max: Some(lost_max), ..bounds },
            node: toml::Table::new(),
            shortfalls: Vec::new(),
            faults,
            packets: Vec::new(),
        }
    }

    /// From one fault to the next, and how long each lasts at most: it is over before the next one begins.
    fn pace(&self) -> (u64, u64) {
        let (every_ms, down_ms) = match (self.kills, self.wan) {
            (None, false) => (1_500, 1_000),
            (None, true) => (3_000, 2_000),
            (Some(_), false) => (2_000, 500),
            (Some(_), true) => (4_000, 1_000),
        };
        let every_ms = self.every_ms.unwrap_or(every_ms);
        (every_ms, down_ms.min(every_ms * 2 / 3))
    }

    fn link(&self) -> LinkModel {
        if self.wan {
            LinkModel { delay_ms: 40.0, jitter_ms: 10.0, loss: 0.005, ..LinkModel::default() }
        } else {
            LinkModel { delay_ms: 1.0, jitter_ms: 0.5, ..LinkModel::default() }
        }
    }

    fn kills(&self, kills: u64, every_ms: u64, for_ms: u64) -> Vec<Fault> {
        let mut dice = Dice::new(self.seed, "kills", 0);
        let kill = |number: u64| {
            let node = TRANSIT[dice.below(TRANSIT.len() as u64) as usize];
            Fault { at_ms: FAULTS_FROM_MS + number * every_ms, for_ms, what: FaultKind::Crash(node) }
        };
        (0..kills).map(kill).collect()
    }
}

/// A ring of eight with one link across: any link, or any node of those in between, can be spared.
fn topology() -> Topology {
    let ring = Topology::shaped(Shape::Ring, 8);
    let edges = ring.edges().into_iter().chain([(0, 4)]).collect();
    Topology::of_edges(8, edges)
}

fn traffic() -> Traffic {
    Traffic {
        publishers: PUBLISHERS.into_iter().collect::<NodeSet>(),
        hearers: HEARERS.into_iter().collect::<NodeSet>(),
        start_ms: START_MS,
        interval_ms: INTERVAL_MS,
        burst: BURST,
        work: false,
        ask_every: 0,
        shift_ms: 0,
        ..Traffic::default()
    }
}

/// Plays it in virtual time.
pub(super) fn simulate(args: &Args, output: &Output) -> Result<u8, CliError> {
    let count = match (args.cuts, args.kills) {
        (Some(cuts), _) => format!("--cuts {cuts}"),
        (None, kills) => format!("--kills {}", kills.unwrap_or_default()),
    };
    let wan = if args.wan { " --wan" } else { "" };
    let every = args.every_ms.map(|every| format!(" --every-ms {every}")).unwrap_or_default();
    let replay = format!("lattice netsim storm {count}{wan}{every} --simulated --seed {}", args.seed);
    play(&args.scenario(), args.seed, true, replay, &PageArgs::default(), output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(cuts: Option<u64>, kills: Option<u64>, wan: bool) -> Args {
        Args { cuts, kills, wan, every_ms: None, simulated: false, seed: 1, keep_logs: None }
    }

    /// Goal: whatever is asked for can be played, and is as many faults as were asked for, one at a time.
    #[test]
    fn each_storm_is_a_scenario_with_as_many_faults() {
        for wan in [false, true] {
            for storm in [args(Some(200), None, wan), args(None, Some(200), wan)] {
                let scenario = storm.scenario();
                scenario.check().unwrap();
                assert_eq!(Scenario::from_toml(&scenario.to_toml()).unwrap(), scenario);
                let faults = scenario.plain_faults(7);
                assert_eq!(faults.len(), 200, "{}", scenario.name);
                let apart = faults.windows(2).all(|two| two[0].1.span().1 < two[1].1.span().0);
                assert!(apart, "{}", scenario.name);
            }
        }
    }

    /// Goal: a node that is killed neither publishes nor hears: what is lost was inside it, or on the way to it.
    #[test]
    fn kills_are_of_others() {
        let scenario = args(None, Some(50), false).scenario();
        let killed: std::collections::BTreeSet<usize> =
            scenario.faults.iter().flat_map(|fault| fault.what.nodes()).collect();
        assert_eq!(killed.into_iter().collect::<Vec<_>>(), TRANSIT);
        assert!(TRANSIT.iter().all(|node| !PUBLISHERS.contains(node) && !HEARERS.contains(node)));
        // Half a thousandth of 20,000 a second for 102 s.
        assert_eq!(scenario.bounds.lost_max, Some(510));
    }
}
