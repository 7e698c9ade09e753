//! `lattice netsim run`, `replay` and `show`: one scenario under one seed.

use super::super::output::Output;
use super::super::{CliError, EXIT_FAILED, EXIT_OK};
use super::answer::Report;
use super::random::SpaceArgs;
use super::worker::{Answer, Job, Worker};
use super::{scenario, words};
use lattice_netsim::{Scenario, report};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// A scenario's file, or the name of one that comes with the program.
    #[arg(value_name = "FILE")]
    file: String,
    /// What chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let the seed change who is who, when, and how slow links are, as a swarm does.
    #[arg(long)]
    vary: bool,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// The seed, as the swarm told it.
    seed: u64,
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// A scenario's file, or the name of one that comes with the program; or give --seed.
    #[arg(value_name = "FILE", required_unless_present = "seed")]
    file: Option<String>,
    /// What this seed of a swarm has drawn.
    #[arg(long, conflicts_with = "file")]
    seed: Option<u64>,
    #[command(flatten)]
    space: SpaceArgs,
}

#[derive(Debug, Default, clap::Args)]
pub(super) struct PageArgs {
    /// Write a page to look at: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Play it even if there seems to be too little memory for it.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &RunArgs, output: &Output) -> Result<u8, CliError> {
    let written = scenario(&args.file)?;
    let scenario = if args.vary { written.varied(args.seed) } else { written };
    let replay = replay_of(&args.file, args.seed, args.vary);
    play(&scenario, args.seed, true, replay, &args.page, output)
}

/// What plays a seed of a file again.
pub(super) fn replay_of(file: &str, seed: u64, vary: bool) -> String {
    format!("lattice netsim run {file} --seed {seed}{}", if vary { " --vary" } else { "" })
}

pub(super) fn replay(args: &ReplayArgs, output: &Output) -> Result<u8, CliError> {
    let scenario = args.space.draw(args.seed)?;
    let replay = format!("lattice netsim replay {}{}", args.seed, args.space.typed());
    // Chance may draw a fault that strikes nothing.
    play(&scenario, args.seed, false, replay, &args.page, output)
}

pub(super) fn show(args: &ShowArgs, output: &Output) -> Result<u8, CliError> {
    let scenario = match (&args.file, args.seed) {
        (Some(file), _) => scenario(file)?,
        (None, seed) => args.space.draw(seed.unwrap_or_default())?,
    };
    if output.json {
        output.document(&scenario)?
    } else {
        output.line(scenario.to_toml().trim_end())?
    }
    Ok(EXIT_OK)
}

/// Refuses a scenario that this machine has no memory for, unless told otherwise.
fn fits(scenario: &Scenario, force: bool) -> Result<(), CliError> {
    let needed = crate::sim::memory_needed(scenario.nodes());
    let Some(free) = memory_free().filter(|free| *free < needed && !force) else { return Ok(()) };
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let message = format!(
        "{} has {} nodes, which takes about {:.1} GiB of memory; {:.1} GiB are free",
        scenario.name,
        scenario.nodes(),
        gib(needed),
        gib(free)
    );
    Err(CliError::new(message).next("fewer nodes, or --force"))
}

/// What the system says can be used; nothing where it does not say.
fn memory_free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Plays a scenario once and tells how it went.
pub(super) fn play(
    scenario: &Scenario,
    seed: u64,
    vacuous_fails: bool,
    replay: String,
    page: &PageArgs,
    output: &Output,
) -> Result<u8, CliError> {
    fits(scenario, page.force)?;
    let job = Job { scenario: scenario.clone(), seed, timeline: page.report.is_some(), fates: false };
    let answer = Worker::within(None).play(&job)?;
    let report = Report::new(&answer, vacuous_fails, replay.clone());
    if let Some(path) = &page.report {
        write_page(path, scenario, &answer, &replay)?;
    }
    if output.json {
        output.record(&report)?;
    } else {
        words::tell(output, scenario, &report)?;
        if !report.passed {
            output.line(format!("  again:  {replay}"))?;
        }
        if let Some(path) = &page.report {
            output.line(format!("  page:   {}", path.display()))?;
        }
    }
    Ok(if report.passed { EXIT_OK } else { EXIT_FAILED })
}

/// Writes the page of a run.
pub(super) fn write_page(path: &Path, scenario: &Scenario, answer: &Answer, replay: &str) -> Result<(), CliError> {
    let timeline = answer.timeline.clone().unwrap_or_default();
    let html = report::html(scenario, &answer.verdict, &timeline, replay);
    std::fs::write(path, html).map_err(|error| {
        CliError::new(format!("cannot write the page to {}: {error}", path.display()))
            .next("--report with another file")
    })
}
