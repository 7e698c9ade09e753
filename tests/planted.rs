//! For each bug that can be planted: some seed of a scenario shows it, and the same runs show nothing without it.
//!
//! `LATTICE_SIM_BUG` plays one bug alone, `LATTICE_SIM_SEED` one seed.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
#![allow(unreachable_pub, missing_docs, dead_code, reason = "modules of this test and another")]

#[path = "sim/calm.rs"]
mod calm;
#[path = "planted/checks.rs"]
mod checks;
#[path = "planted/crew.rs"]
mod crew;
#[path = "sim/log.rs"]
mod log;
#[path = "planted/play.rs"]
mod play;
#[path = "sim/record.rs"]
mod record;
#[path = "sim/traffic.rs"]
mod traffic;
#[path = "sim/variant.rs"]
mod variant;

use lattice::planted::{Bug, plant};
use lattice_netsim::Scenario;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Seeds that a bug may hide from.
const SEEDS: u64 = 200;
/// Seeds of each scenario that must pass without a bug.
const CLEAN: u64 = 12;

const PARTITION: &str = include_str!("../netsim/scenarios/partition-heal.toml");
const CRASH: &str = include_str!("../netsim/scenarios/crash-restart.toml");
const FOUL: &str = include_str!("../netsim/scenarios/foul-weather.toml");

/// The scenario that a bug shows in.
fn scenario_of(bug: Bug) -> &'static str {
    match bug {
        Bug::RestartUnnoticed | Bug::StaleBootAccepted => CRASH,
        Bug::FlowWindowForgotten | Bug::LateReleased => FOUL,
        _ => PARTITION,
    }
}

/// What of a violation's text tells that the check that is meant to see `bug` has seen it.
fn sign_of(bug: Bug) -> &'static str {
    match bug {
        Bug::FlowWindowForgotten | Bug::LateReleased => "OutOfOrder",
        Bug::GapDeliveredTwice => "Duplicate",
        Bug::NumbersRestarted | Bug::RestartUnnoticed | Bug::LinkBufferDropped => "Missing",
        Bug::StaleBootAccepted | Bug::NeverRedials => "Resumed",
        Bug::InterestDeltaDropped => "interest: ",
        Bug::RemovalNeverFlooded | Bug::GoneMemberKept | Bug::HalfOpenBelieved | Bug::StaleRouteKept => {
            "not said at once"
        }
        Bug::InboxExpiredEarly => "fresh: ",
        Bug::QueuePickedTwice => "crew: ",
        Bug::BufferUnbounded => "buffer: ",
        Bug::RouteLoop | Bug::IndexCollision => "loop: ",
        Bug::TaskLeaked | Bug::TimerLeaked => "leak: ",
    }
}

/// Plays `text` under one seed after the other until one breaks something with `sign`; says which, and what was broken.
fn first_failure(text: &str, bug: Option<Bug>, sign: &str, seeds: std::ops::Range<u64>) -> Option<(u64, Vec<String>)> {
    let base = Scenario::from_toml(text).unwrap();
    plant(bug);
    let mut all = seeds.map(|seed| (seed, play::play(&variant::vary(&base, seed), seed)));
    let failed = all.find(|(_, broken)| broken.iter().any(|text| text.contains(sign)));
    plant(None);
    failed
}

fn in_parallel<T: Copy + Sync>(items: &[T], each: impl Fn(T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&item) = items.get(next.fetch_add(1, Relaxed)) {
                    each(item);
                }
            });
        }
    });
}

/// Goal: the checks see each bug, within a number of seeds that a change is tested with.
#[test]
fn each_bug_is_found() {
    let only: Option<Bug> = std::env::var("LATTICE_SIM_BUG").ok().map(|name| name.parse().unwrap());
    let seed: Option<u64> = std::env::var("LATTICE_SIM_SEED").ok().map(|seed| seed.parse().unwrap());
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| only.is_none_or(|only| only == *bug)).collect();
    let hidden = Mutex::new(Vec::new());
    in_parallel(&bugs, |bug| {
        let seeds = seed.map_or(0..SEEDS, |seed| seed..seed + 1);
        let mut stderr = std::io::stderr();
        match first_failure(scenario_of(bug), Some(bug), sign_of(bug), seeds) {
            Some((seed, broken)) => {
                let kinds = checks::kinds(&broken);
                let shown = broken.iter().find(|text| text.contains(sign_of(bug)));
                let _ = writeln!(stderr, "     {bug}: seed {seed}: {kinds}\n         {}", shown.unwrap());
            }
            None => hidden.lock().unwrap().push(bug.name()),
        }
    });
    let hidden = hidden.into_inner().unwrap();
    assert!(hidden.is_empty(), "nobody saw {hidden:?}");
}

/// Goal: what finds the bugs finds nothing where there is none.
#[test]
fn nothing_is_found_without_a_bug() {
    let failed = Mutex::new(Vec::new());
    in_parallel(&[PARTITION, CRASH, FOUL], |text| {
        if let Some((seed, broken)) = first_failure(text, None, "", 0..CLEAN) {
            failed.lock().unwrap().push(format!("seed {seed} of {}: {broken:#?}", text.lines().next().unwrap()));
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
