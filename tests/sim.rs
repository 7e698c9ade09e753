//! Whole nodes in the simulator: broker, links, routing and identity over a simulated network, in virtual time.
//!
//! Each scenario of `netsim/scenarios` is played under many seeds, and each seed makes another network and other faults
//! of it. `LATTICE_SIM_SEED` plays one alone, and then `RUST_LOG` shows what the nodes log; `LATTICE_SIM_SEEDS` plays more.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
#![allow(unreachable_pub, missing_docs, reason = "modules of this test alone")]

#[path = "sim/calm.rs"]
mod calm;
#[path = "sim/log.rs"]
mod log;
#[path = "sim/record.rs"]
mod record;
#[path = "sim/run.rs"]
mod run;
#[path = "sim/swarm.rs"]
mod swarm;
#[path = "sim/traffic.rs"]
mod traffic;
#[path = "sim/variant.rs"]
mod variant;

use std::process::Command;
use swarm::{SEED, swarm};

/// Goal: a lattice that falls into parts works on in each, and is one again within three seconds of the heal.
#[test]
fn partitions_heal() {
    swarm("partitions_heal", include_str!("../netsim/scenarios/partition-heal.toml"), 100);
}

/// Goal: a link that carries one way only is no link, and is one again when it carries both ways.
#[test]
fn one_way_cuts_heal() {
    swarm("one_way_cuts_heal", include_str!("../netsim/scenarios/one-way-cut.toml"), 25);
}

/// Goal: a node that dies is missed, and its next life is not taken for the last one.
#[test]
fn crashed_nodes_return() {
    swarm("crashed_nodes_return", include_str!("../netsim/scenarios/crash-restart.toml"), 25);
}

/// Goal: all that can happen, one on top of the other, leaves nothing that does not pass.
#[test]
fn foul_weather_passes() {
    swarm("foul_weather_passes", include_str!("../netsim/scenarios/foul-weather.toml"), 25);
}

/// Goal: what a seed shows once it shows again, in another process as well.
#[test]
fn a_seed_is_the_same_run_in_every_process() {
    for (test, seed) in
        [("partitions_heal", 0), ("partitions_heal", 1), ("one_way_cuts_heal", 2), ("crashed_nodes_return", 3)]
    {
        let hashes: Vec<String> = (0..2).map(|_| trace_of(test, seed)).collect();
        assert_eq!(hashes[0], hashes[1], "seed {seed} of {test}");
    }
}

fn trace_of(test: &str, seed: u64) -> String {
    let exe = std::env::current_exe().unwrap();
    let output = Command::new(exe).args([test, "--exact", "--nocapture"]).env(SEED, seed.to_string()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = text.split("trace ").nth(1).and_then(|rest| rest.split_whitespace().next());
    hash.unwrap_or_else(|| panic!("no trace in {text}\n{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}
