//! A scenario under many seeds, two at a time; a seed that fails is named with the command that plays it alone.

use super::log;
use super::run::{Outcome, run};
use super::variant::vary;
use lattice_netsim::Scenario;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The variable that holds the one seed to play.
pub const SEED: &str = "LATTICE_SIM_SEED";
/// The variable that holds how many seeds to play instead of the usual number.
const SEEDS: &str = "LATTICE_SIM_SEEDS";
const THREADS: usize = 2;

/// Plays `text` under the seeds 0 to `seeds` - 1, or the one that [`SEED`] names.
///
/// # Panics
/// When a run fails: with its seed, what was broken, and how to see it again. `test` is the name of the caller.
pub fn swarm(test: &str, text: &str, seeds: u64) {
    let base = Scenario::from_toml(text).unwrap();
    if let Ok(seed) = std::env::var(SEED) {
        log::start();
        let seed = seed.parse().expect("a seed is a number");
        let outcome = run(&vary(&base, seed), seed);
        std::io::stdout().write_all(format!("seed {seed}: {outcome}\n").as_bytes()).unwrap();
        assert!(outcome.passed(), "seed {seed} fails");
        return;
    }
    let seeds = std::env::var(SEEDS).map_or(seeds, |seeds| seeds.parse().expect("a number of seeds"));
    let results = play_all(&base, seeds);
    let mut failed = String::new();
    for (seed, result) in &results {
        let text = match result {
            Ok(outcome) if outcome.passed() => continue,
            Ok(outcome) => outcome.to_string(),
            Err(panic) => panic.clone(),
        };
        let replay = format!("{SEED}={seed} cargo test --profile fast --test sim {test} -- --exact --nocapture");
        writeln!(failed, "seed {seed}: {text}\n  again: {replay}\n").unwrap();
    }
    let outcomes: Vec<&Outcome> = results.values().filter_map(|result| result.as_ref().ok()).collect();
    tell(&base.name, &outcomes);
    assert!(failed.is_empty(), "\n{failed}");
}

fn play_all(base: &Scenario, seeds: u64) -> BTreeMap<u64, Result<Outcome, String>> {
    let (next, results) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let result = catch_unwind(AssertUnwindSafe(|| run(&vary(base, seed), seed)));
                    let result = result.map_err(|panic| format!("panicked: {}", text_of(&*panic)));
                    results.lock().unwrap().insert(seed, result);
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Says what the faults cost, also when all is well.
fn tell(name: &str, outcomes: &[&Outcome]) {
    let sum = |what: fn(&Outcome) -> u64| outcomes.iter().map(|outcome| what(outcome)).sum::<u64>();
    let cpu: Duration = outcomes.iter().map(|outcome| outcome.cpu).sum();
    let resume = outcomes.iter().filter_map(|outcome| Some((outcome.verdict.resume?, outcome.verdict.seed))).max();
    let resume = resume.map_or("never".to_owned(), |(after, seed)| format!("within {after:?} (seed {seed})"));
    // The harness shows what is printed to nobody; nobody reads a closed pipe.
    let _ = writeln!(
        std::io::stderr(),
        "     {name}: {} seeds, {} messages, {} deliveries, {} lost in faults, {} of {} pieces of work lost, \
         {} of {} requests unanswered and {} refused, resumed {resume}, {:?} of CPU per seed",
        outcomes.len(),
        sum(|o| o.published),
        sum(|o| o.delivered),
        sum(|o| o.lost),
        sum(|o| o.counts.work_lost),
        sum(|o| o.counts.work),
        sum(|o| o.counts.unanswered),
        sum(|o| o.counts.questions),
        sum(|o| o.counts.refused),
        cpu / outcomes.len().max(1) as u32,
    );
}
