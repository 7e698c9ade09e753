//! `lattice netsim shrink`: the smallest scenario that still fails in the same way.

use super::super::output::Output;
use super::super::{CliError, EXIT_OK};
use super::random::SpaceArgs;
use super::scenario;
use super::swarm::counted;
use super::worker::{Answer, Job, Worker};
use crate::config::units::Period;
use lattice_netsim::{Check, Scenario, Trial, shrink};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct ShrinkArgs {
    /// A scenario's file, or the name of one that comes with the program; without one, what the seed draws in a swarm.
    #[arg(value_name = "FILE", conflicts_with_all = ["nodes", "time", "faults", "resume"])]
    file: Option<String>,
    /// The seed under which it fails.
    #[arg(long)]
    seed: u64,
    /// Let the seed change who is who, when, and how slow links are, as in a swarm.
    #[arg(long, requires = "file")]
    vary: bool,
    #[command(flatten)]
    space: SpaceArgs,
    /// How many runs to spend.
    #[arg(long, default_value_t = 500)]
    runs: usize,
    /// How long one run may take in real time; one that takes longer has failed.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    limit: Period,
    /// Where to write the scenario; printed when left out.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A scenario that fails, and how.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) scenario: Scenario,
    /// What it breaks that says most: of several things, the one that smaller scenarios must break, too.
    check: Option<Check>,
}

impl Found {
    pub(super) fn new(scenario: &Scenario, answer: &Answer) -> Self {
        Self { scenario: scenario.clone(), check: answer.verdict.violated.keys().next().copied() }
    }

    /// Whether a smaller one fails as this one does.
    fn like(&self, answer: &Answer) -> bool {
        self.check.is_some_and(|check| answer.verdict.violated.contains_key(&check))
    }
}

pub(super) fn run(args: &ShrinkArgs, output: &Output) -> Result<u8, CliError> {
    let scenario = match &args.file {
        Some(file) if args.vary => scenario(file)?.varied(args.seed),
        Some(file) => scenario(file)?,
        None => args.space.draw(args.seed)?,
    };
    let Period(limit) = args.limit;
    let job = Job { scenario: scenario.clone(), seed: args.seed, timeline: false, fates: false };
    let answer = Worker::within(Some(limit)).play(&job)?;
    if answer.verdict.passed() {
        return Err(CliError::new(format!(
            "{} passes under seed {}: there is nothing to make small",
            scenario.name, args.seed
        ))
        .next("lattice netsim swarm, which tells seeds that fail"));
    }
    let small = smallest(&Found::new(&scenario, &answer), args.seed, args.runs, limit, output)?;
    let text = small.to_toml();
    match &args.output {
        Some(path) => {
            std::fs::write(path, &text).map_err(|error| {
                CliError::new(format!("cannot write {}: {error}", path.display())).next("--output with another file")
            })?;
            let command = format!("lattice netsim run {} --seed {}", path.display(), args.seed);
            output.notice(format!("{}; again:  {command}", counted(&small)));
        }
        None => output.line(text.trim_end())?,
    }
    if output.json {
        let job = Job { scenario: small, seed: args.seed, timeline: false, fates: false };
        let answer = Worker::within(Some(limit)).play(&job)?;
        output.record(&super::answer::Report::new(&answer, false, String::new()))?;
    }
    Ok(EXIT_OK)
}

/// The smallest scenario that fails as `found` does under `seed`, in at most `runs` runs, each within `limit`.
pub(super) fn smallest(
    found: &Found,
    seed: u64,
    runs: usize,
    limit: Duration,
    output: &Output,
) -> Result<Scenario, CliError> {
    let mut worker = Worker::within(Some(limit));
    let mut broken = None;
    let mut play = |scenario: &Scenario| {
        let job = Job { scenario: scenario.clone(), seed, timeline: false, fates: true };
        match worker.play(&job) {
            Ok(answer) => Trial { fails: found.like(&answer), fates: answer.fates },
            Err(error) => {
                broken.get_or_insert(error);
                Trial::default()
            }
        }
    };
    let mut tell = |smaller: &Scenario, runs: usize| {
        output.notice(format!("  run {runs}: {}, {} s, fails as well", counted(smaller), smaller.duration_ms / 1_000));
    };
    let shrunk = shrink(&found.scenario, seed, runs, &mut play, &mut tell);
    if let Some(error) = broken {
        return Err(error);
    }
    let ended = if shrunk.finished { "nothing smaller fails" } else { "the runs are used up" };
    output.notice(format!("{ended}: {} after {} runs", counted(&shrunk.scenario), shrunk.runs));
    Ok(shrunk.scenario)
}
