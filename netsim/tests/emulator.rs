//! Tier 2 measured against itself: real packets through namespaces and the switch. Needs root, and says so without.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
#![allow(clippy::disallowed_methods, reason = "real processes take real time")]

use lattice_netsim::Link;
use lattice_netsim::tier2::{Check, NamespaceError, Network, Process, Program, check_emulator};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

fn needed<T>(result: Result<T, NamespaceError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}\n  try: {}", error.remedy()))
}

/// Runs that may be made until each figure was seen right: what else a machine does only adds to delays and losses, and
/// never in the same place, so a figure that is wrong in each usable run is the emulator's own.
const RUNS: u64 = 6;

/// Goal: each figure of the emulator is what was asked for, per directed pair. A run that the machine was too busy for
/// says nothing.
#[test]
fn every_figure_is_what_was_asked_for() {
    let mut late = Vec::new();
    let mut wrong: Option<BTreeMap<_, Check>> = None;
    for seed in 1..=RUNS {
        let report = needed(check_emulator(seed));
        if !report.usable() {
            late.push((report.lateness, report.probes_late));
            continue;
        }
        assert!(report.checks.len() > 30, "{}", report.checks.len());
        let key = |check: &Check| (check.pair, check.what);
        let was_wrong = |check: &Check| wrong.as_ref().is_none_or(|wrong| wrong.contains_key(&key(check)));
        let still = report.checks.iter().filter(|check| !check.passed() && was_wrong(check));
        let still: BTreeMap<_, _> = still.map(|check| (key(check), check.clone())).collect();
        if still.is_empty() {
            return;
        }
        wrong = Some(still);
    }
    panic!("wrong in each run that was not too late: {wrong:#?}\ntoo late, by the switch and by the probes: {late:?}");
}

/// Goal: processes live in their namespace, stop, go on and die as they are told, and nothing is left behind.
#[test]
fn processes_and_namespaces_leave_nothing_behind() {
    let network = needed(Network::new(1, 2, Link::default()));
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (network.namespace(0), network.namespace(0));
    let mut process = Process::new("shell", path, folder.path());
    let script = "ip -o address show dev mesh; while read line; do echo \"got $line\"; done";
    process.start(&Program::new("sh").args(["-c", script])).unwrap();
    let says = |process: &Process, text: &str| std::fs::read_to_string(process.written("out")).unwrap().contains(text);
    wait("its own address", || says(&process, "10.99.0.1/16"));
    process.pause().unwrap();
    process.tell("one").unwrap();
    wait("it stands still", || status(&process).contains("State:\tT"));
    assert!(!says(&process, "got one"));
    process.resume().unwrap();
    wait("it goes on", || says(&process, "got one"));
    process.kill();
    assert!(process.tell("two").is_err() && process.pause().is_err());
    process.start(&Program::new("sh").args(["-c", "echo inside; read line"])).unwrap();
    // Until then it is on its way into the namespace, and belongs to nobody but its parent.
    wait("it is inside", || says(&process, "inside"));
    assert!(network.carries() && file.exists());
    drop(network);
    wait("the network took its process along", || process.exited().is_some());
    assert!(!file.exists());
}

fn status(process: &Process) -> String {
    std::fs::read_to_string(Path::new("/proc").join(process.id().unwrap().to_string()).join("status")).unwrap()
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
