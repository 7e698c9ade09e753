//! Nothing that runs in a simulation asks the system for time, chance or a thread: what it does must come from its seed.
//!
//! The wire lies at the C library's functions, so it also catches what dependencies do inside. What it cannot see are
//! instructions that need no function (`rdrand`, `rdtsc`) and system calls that code makes by itself.
#![cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
#![allow(unreachable_pub, missing_docs, reason = "modules of this test alone")]

#[path = "tripwire/wire.rs"]
mod wire;

use lattice::sim::{Setup, play_in};
use lattice_netsim::{Host, Scenario, Verdict};
use ring::rand::SecureRandom as _;
use std::collections::{BTreeSet, HashMap};

/// Every kind of fault: what is done at a restart, for a lost packet or after a pause is done here too.
const SCENARIO: &str = include_str!("../netsim/scenarios/foul-weather.toml");

/// Plays one seed, and `beside` on each host; returns what was caught from the making of the nodes' keys to the verdict.
fn trips_of(beside: impl Fn(&Host) + Send + Sync + 'static) -> (Verdict, Vec<wire::Trip>) {
    let scenario = Scenario::from_toml(SCENARIO).unwrap();
    // A thread's first map draws the keys of all its maps; they are only looked up, so those keys decide nothing.
    drop(HashMap::<u8, u8>::new());
    // A world takes a moment of the real clock as the origin of its own.
    let mut world = scenario.world(1);
    let setup = Setup { beside: Box::new(beside), ..Setup::default() };
    let (run, trips) = wire::armed(|| play_in(&mut world, &scenario, setup));
    (run.played.verdict, trips)
}

/// Goal: whole nodes and their clients, from the making of their keys to the last message, touch nothing of the system.
#[test]
fn a_simulated_run_touches_neither_clock_nor_chance() {
    let (verdict, trips) = trips_of(|_| ());
    assert!(verdict.passed(), "{verdict:?}");
    let kinds: BTreeSet<&str> = trips.iter().map(|trip| trip.call).collect();
    if let Some(first) = trips.first() {
        panic!("{} trips of {kinds:?}; the first, {}, came from\n{}", trips.len(), first.call, first.from);
    }
}

/// Goal: the wire is live there too: a task of a simulated node that looks at the clock is caught, and named.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is disallowed is what must be caught")]
fn a_task_that_looks_at_the_clock_is_caught() {
    let looks = |host: &Host| host.env().spawn(async { _ = std::time::Instant::now() });
    let (_, trips) = trips_of(looks);
    assert!(trips.len() >= 5 && trips.iter().all(|trip| trip.call == "clock_gettime"), "{trips:?}");
    assert!(trips[0].from.contains("a_task_that_looks_at_the_clock_is_caught"), "{}", trips[0].from);
}

/// What is caught when a fresh thread does `what`, each function once: some are tried before they are used.
fn caught(what: impl FnOnce() + Send) -> Vec<&'static str> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| wire::armed(what).1);
        let mut calls: Vec<_> = thread.join().unwrap().into_iter().map(|trip| trip.call).collect();
        calls.dedup();
        calls
    })
}

/// Goal: the wire is live. Each way to time and chance that a program has is caught, by the name of the function.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is disallowed is what must be caught")]
fn each_way_to_the_system_is_caught() {
    assert_eq!(caught(|| _ = std::time::Instant::now()), ["clock_gettime"]);
    assert_eq!(caught(|| _ = std::time::SystemTime::now()), ["clock_gettime"]);
    assert_eq!(caught(|| getrandom::fill(&mut [0; 8]).unwrap()), ["getrandom"]);
    assert_eq!(caught(|| drop(HashMap::<u8, u8>::new())), ["getrandom"]);
    let ring = caught(|| ring::rand::SystemRandom::new().fill(&mut [0; 8]).unwrap());
    assert!(ring.iter().all(|call| ["getrandom", "syscall"].contains(call)) && !ring.is_empty(), "{ring:?}");
    let spawned = caught(|| std::thread::spawn(|| ()).join().unwrap());
    assert!(spawned.contains(&"pthread_create"), "{spawned:?}");
    assert_eq!(caught(wire::ask_for_the_time), ["time", "gettimeofday"]);
}

/// Goal: where nobody has armed it the wire is not there: the functions do what they always do, and nothing is noted.
#[test]
#[expect(clippy::disallowed_methods, reason = "what is disallowed is what must go on working")]
fn unarmed_it_lets_all_pass() {
    let (before, mut bytes) = (std::time::Instant::now(), [0; 32]);
    getrandom::fill(&mut bytes).unwrap();
    assert!(bytes != [0; 32] && std::time::Instant::now() >= before);
    assert!(std::time::SystemTime::now() > std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000));
    assert!(wire::armed(|| ()).1.is_empty());
}
