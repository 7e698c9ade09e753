//! For each bug that can be planted in a node: a swarm of simulated runs finds it, and makes it small.
//!
//! `LATTICE_SIM_BUG` plays one bug alone.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use lattice::planted::{Bug, plant};
use lattice::sim::{Run, Setup, play_in};
use lattice_netsim::{Check, Scenario, Shrunk, Space, Trial, library, shrink};
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Seeds that a bug may hide from.
const SEEDS: u64 = 200;
/// Runs that making a failure small may take.
const SHRINK_RUNS: usize = 400;
/// How small most become.
const NODES_MAX: usize = 6;
const FAULTS_MAX: usize = 3;
const SMALL_MIN: usize = 10;

/// The check that must see `bug`, whatever others see.
fn sign_of(bug: Bug) -> Check {
    match bug {
        Bug::LateReleased => Check::Order,
        Bug::FlowWindowForgotten | Bug::GapDeliveredTwice => Check::Duplicate,
        Bug::AskUnanswered | Bug::CustodyDropped => Check::Lost,
        Bug::NumbersRestarted | Bug::RestartUnnoticed | Bug::IndexCollision => Check::Complete,
        Bug::StaleBootAccepted | Bug::InterestDeltaDropped | Bug::RemovalNeverFlooded => Check::Interest,
        Bug::NeverRedials => Check::Resume,
        Bug::GoneMemberKept | Bug::HalfOpenBelieved | Bug::StaleRouteKept | Bug::InboxExpiredEarly => Check::Request,
        Bug::QueuePickedTwice => Check::Queue,
        Bug::BufferUnbounded => Check::Buffer,
        Bug::RouteLoop => Check::Loop,
        Bug::TaskLeaked | Bug::TimerLeaked => Check::Leak,
    }
}

/// What the swarm draws from: one for all bugs.
fn space() -> Space {
    Space { nodes: 4..=8, ..Space::default() }
}

/// The story that a bug is looked for in, where chance would hardly show it: losses are judged only where none is allowed,
/// and what one part of a node loses another one makes good.
fn story(bug: Bug) -> Option<Scenario> {
    let name = match bug {
        Bug::AskUnanswered => "crash-transit",
        Bug::CustodyDropped => "cut-with-path",
        _ => return None,
    };
    library().find(|scenario| scenario.name == name)
}

/// What `seed` makes of the story of `bug`, or draws.
fn draw(bug: Option<Bug>, seed: u64) -> Scenario {
    bug.and_then(story).map_or_else(|| drawn(seed), |story| story.varied(seed))
}

/// What `seed` draws. Every fourth network has thin buffers, and clients that publish much at once.
fn drawn(seed: u64) -> Scenario {
    let mut scenario = Scenario::random(seed, &space());
    if is_thin(seed) {
        scenario.traffic.burst = 64;
        scenario.traffic.interval_ms = 2_000;
        scenario.traffic.payload_bytes = 1_024;
    }
    scenario
}

fn is_thin(seed: u64) -> bool {
    seed % 4 == 3
}

fn play(bug: Option<Bug>, scenario: &Scenario, seed: u64) -> Option<Run> {
    let thin = is_thin(seed) && bug.and_then(story).is_none();
    let tune = Box::new(move |_: usize, config: &mut lattice::config::Config| {
        if thin {
            config.mesh.link_buffer_max = 16 << 10;
        }
        // Nobody else has what a link leaves behind.
        if bug == Some(Bug::CustodyDropped) {
            config.mesh.ring_max = 0;
        }
    });
    let setup = Setup { tune, ..Setup::default() };
    catch_unwind(AssertUnwindSafe(|| play_in(&mut scenario.world(seed), scenario, setup))).ok()
}

fn fails(bug: Bug, scenario: &Scenario, seed: u64) -> Trial {
    let (run, sign) = (play(Some(bug), scenario, seed), sign_of(bug));
    let fails = run.as_ref().is_some_and(|run| run.played.verdict.violated.contains_key(&sign));
    Trial { fails, fates: run.map(|run| run.fates).unwrap_or_default() }
}

/// The first seed that shows `bug`, and the smallest scenario that does.
fn hunt(bug: Bug) -> Option<(u64, Shrunk)> {
    plant(Some(bug));
    let seed = (0..SEEDS).find(|seed| fails(bug, &draw(Some(bug), *seed), *seed).fails);
    let found = seed.map(|seed| {
        let mut play = |smaller: &Scenario| fails(bug, smaller, seed);
        (seed, shrink(&draw(Some(bug), seed), seed, SHRINK_RUNS, &mut play, &mut |_, _| {}))
    });
    plant(None);
    found
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

/// Goal: the swarm finds each bug within two hundred seeds, and most become a handful of nodes and a fault or two.
#[test]
fn each_bug_is_found_and_made_small() {
    let only: Option<Bug> = std::env::var("LATTICE_SIM_BUG").ok().map(|name| name.parse().unwrap());
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| only.is_none_or(|only| only == *bug)).collect();
    let results = Mutex::new(Vec::new());
    in_parallel(&bugs, |bug| {
        let found = hunt(bug);
        let mut text = format!("     {bug}: ");
        let small = match &found {
            None => {
                write!(text, "hides from {SEEDS} seeds").unwrap();
                None
            }
            Some((seed, Shrunk { scenario, runs, finished })) => {
                let (nodes, faults, packets) = (scenario.nodes(), scenario.faults.len(), scenario.packets.len());
                write!(
                    text,
                    "seed {seed}, by {}; {nodes} nodes, {faults} faults, {packets} packets, {} s after {runs} runs{}",
                    sign_of(bug),
                    scenario.duration_ms / 1_000,
                    if *finished { "" } else { " (unfinished)" }
                )
                .unwrap();
                Some(nodes <= NODES_MAX && faults + packets <= FAULTS_MAX)
            }
        };
        // Nobody reads a closed pipe.
        let _ = writeln!(std::io::stderr(), "{text}");
        results.lock().unwrap().push((bug, small));
    });
    let results = results.into_inner().unwrap();
    let hidden: Vec<_> = results.iter().filter(|(_, small)| small.is_none()).map(|(bug, _)| bug.name()).collect();
    assert!(hidden.is_empty(), "nobody saw {hidden:?}");
    let small = results.iter().filter(|(_, small)| *small == Some(true)).count();
    assert!(only.is_some() || small >= SMALL_MIN, "only {small} became small: {results:?}");
}

/// Goal: what finds the bugs finds nothing where there is none.
#[test]
fn nothing_is_found_without_a_bug() {
    let failed = Mutex::new(String::new());
    let stories = Bug::ALL.iter().copied().filter(|bug| story(*bug).is_some());
    let told = stories.flat_map(|bug| (0..10).map(move |seed| (Some(bug), seed)));
    let runs: Vec<(Option<Bug>, u64)> = (0..60).map(|seed| (None, seed)).chain(told).collect();
    in_parallel(&runs, |(bug, seed)| {
        let verdict = play(bug, &draw(bug, seed), seed).map(|run| run.played.verdict);
        if let Some(verdict) = verdict.as_ref().filter(|verdict| !verdict.passed()) {
            let story = bug.map_or("", Bug::name);
            writeln!(failed.lock().unwrap(), "seed {seed} {story}: {:#?}", verdict.violations.first()).unwrap();
        }
        assert!(verdict.is_some(), "seed {seed} panicked");
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed}");
}
