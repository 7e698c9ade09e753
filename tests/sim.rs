//! Whole nodes in the simulator: broker, links, routing and identity over a simulated network, in virtual time.
//!
//! Every scenario that comes with the program is played under several seeds, and so are networks and faults that seeds
//! draw. A failure prints the command that plays it again. `LATTICE_SIM_SEEDS` plays so many seeds of each instead.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use lattice::sim::play_caught;
use lattice_netsim::{Bounds, Check, Kind, Scenario, Space, Verdict, library};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const THREADS: usize = 2;
/// Scenarios of that many nodes and more take minutes: one seed each, and in a test of their own.
const LARGE: usize = 500;

fn seeds(usual: u64) -> u64 {
    std::env::var("LATTICE_SIM_SEEDS").map_or(usual, |seeds| seeds.parse().expect("a number of seeds"))
}

/// Plays the seeds from `first` on; the verdicts, by seed.
fn play_all(seeds: std::ops::Range<u64>, scenario: impl Fn(u64) -> Scenario + Sync) -> BTreeMap<u64, Verdict> {
    let (next, verdicts) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds.end) {
                    let verdict = play_caught(&scenario(seed), seed).played.verdict;
                    verdicts.lock().unwrap().insert(seed, verdict);
                }
            });
        }
    });
    verdicts.into_inner().unwrap()
}

/// What failed, with the command that plays it again; empty when nothing did.
fn failures(verdicts: &BTreeMap<u64, Verdict>, vacuous_fails: bool, again: &str) -> String {
    let mut failed = String::new();
    for (seed, verdict) in verdicts {
        let vacuous: Vec<usize> = verdict.vacuous().map(|bite| bite.fault).collect();
        if verdict.passed() && (vacuous.is_empty() || !vacuous_fails) {
            continue;
        }
        writeln!(failed, "\nseed {seed}: {} violations, faults {vacuous:?} never bit", verdict.violations_total())
            .unwrap();
        for violation in verdict.violations.iter().take(8) {
            writeln!(failed, "{violation}").unwrap();
        }
        writeln!(failed, "  again: {}", again.replace("SEED", &seed.to_string())).unwrap();
    }
    failed
}

/// Says what it came to, also when all is well.
fn tell(name: &str, verdicts: &BTreeMap<u64, Verdict>) {
    let sum = |what: fn(&Verdict) -> u64| verdicts.values().map(what).sum::<u64>();
    let slowest = verdicts.values().filter_map(|verdict| verdict.resume_ms).reduce(f64::max).unwrap_or_default();
    let known: BTreeSet<String> =
        verdicts.values().flat_map(|verdict| &verdict.shortfalls).map(|(check, at)| format!("{check} {at}")).collect();
    // The harness shows what is printed to nobody; nobody reads a closed pipe.
    let _ = writeln!(
        std::io::stderr(),
        "     {name}: {} seeds, {} messages, {} deliveries, {} lost in faults, traffic back within {slowest:.0} ms, known shortfalls {known:?}",
        verdicts.len(),
        sum(|verdict| verdict.published),
        sum(|verdict| verdict.delivered),
        sum(|verdict| verdict.lost),
    );
}

/// Seed 1 is as the scenario is written, the others are variations.
fn varied(scenario: &Scenario, seed: u64) -> Scenario {
    if seed == 1 { scenario.clone() } else { scenario.varied(seed) }
}

/// Goal: every scenario that comes with the program holds, but for shortfalls that are known and shown; every fault bites.
fn holds(scenario: &Scenario, seeds: u64) -> String {
    let verdicts = play_all(1..seeds + 1, |seed| varied(scenario, seed));
    tell(&scenario.name, &verdicts);
    let mut failed = failures(&verdicts, true, &format!("lattice netsim run {} --seed SEED --vary", scenario.name));
    let known: BTreeSet<Check> = scenario.shortfalls.iter().map(|shortfall| shortfall.check).collect();
    let shown = verdicts.values().any(|verdict| !verdict.shortfalls.is_empty());
    if failed.is_empty() && !known.is_empty() && !shown {
        writeln!(failed, "\nnone of the shortfalls {known:?} shows any more: strike them out").unwrap();
    }
    if failed.is_empty() { failed } else { format!("\n== {}{failed}", scenario.name) }
}

#[test]
fn the_scenarios_hold() {
    let small = library().filter(|scenario| scenario.nodes() < LARGE);
    let failed: String = small
        .map(|scenario| {
            // Ten minutes of two dozen nodes take as long as all the others.
            let usual = if scenario.duration_ms > 300_000 { 1 } else { 3 };
            holds(&scenario, seeds(usual))
        })
        .collect();
    assert!(failed.is_empty(), "{failed}");
}

fn swarm(name: &str, usual: u64, resume_ms: u64) {
    let bounds = Bounds { resume_ms, ..Bounds::default() };
    let kinds = vec![name.parse::<Kind>().unwrap()];
    let space = Space { nodes: 3..=6, duration_ms: 30_000, kinds, bounds };
    let verdicts = play_all(0..seeds(usual), |seed| Scenario::random(seed, &space));
    tell(name, &verdicts);
    let again = format!("lattice netsim replay SEED --nodes 3..=6 --time 30s --faults {name} --resume {resume_ms}ms");
    let failed = failures(&verdicts, false, &again);
    assert!(failed.is_empty(), "{failed}");
}

/// Goal: a lattice that falls into parts works on in each, and is one again within three seconds of the heal.
#[test]
fn partitions_heal() {
    swarm("partition", 100, 3_000);
}

/// Goal: a link that carries one way only is no link, and is one again when it carries both ways.
#[test]
fn one_way_cuts_heal() {
    // Traffic is back within 1.1 s; that nobody answers any more is known everywhere a little after 4 s at worst.
    swarm("one-way", 25, 4_500);
}

/// Goal: a node that dies is missed, and its next life is not taken for the last one.
#[test]
fn crashed_nodes_return() {
    swarm("crash", 25, 3_000);
}

/// A swarm in a process of its own: the hash of each seed, and whether all passed.
fn swarm_process(runs: u64) -> (BTreeMap<u64, String>, bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .args(["netsim", "swarm", "--json", "--shrink", "0", "--runs", &runs.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut hashes = BTreeMap::new();
    let mut last = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        let run: serde_json::Value = serde_json::from_str(&last).unwrap();
        if run.get("runs").is_none() {
            hashes.insert(run["seed"].as_u64().unwrap(), run["trace_hash"].as_str().unwrap().to_owned());
        }
    }
    (hashes, child.wait().unwrap().success(), last)
}

/// Goal: two hundred networks and their faults pass, and what a seed shows once it shows again, in another process,
/// while the machine is busy with the first.
#[test]
fn two_hundred_seeds_pass_and_are_the_same_in_every_process() {
    let runs = seeds(200);
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| swarm_process(runs));
        let two = scope.spawn(|| swarm_process(runs));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one.0.len() as u64, runs);
    let differ: Vec<_> = one.0.iter().filter(|(seed, hash)| two.0.get(seed) != Some(hash)).collect();
    assert!(differ.is_empty(), "seeds with two hashes: {differ:?}");
    for (_, passed, last) in [one, two] {
        let sum: serde_json::Value = serde_json::from_str(&last).unwrap();
        let failed: Vec<u64> = sum["failed"].as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).collect();
        assert!(failed.is_empty() && passed, "{last}");
    }
}

/// Goal: a seed that does not come to an end is ended, and is a failure that says so.
#[test]
fn a_seed_that_takes_too_long_fails() {
    let swarm = Command::new(env!("CARGO_BIN_EXE_lattice"))
        .args(["netsim", "swarm", "long-cut", "--runs", "1", "--shrink", "0", "--limit", "1ms"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&swarm.stdout);
    assert_eq!(swarm.status.code(), Some(1), "{text}");
    assert!(text.contains("was ended: --limit"), "{text}");
}
