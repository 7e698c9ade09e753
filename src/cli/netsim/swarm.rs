//! `lattice netsim swarm`: many seeds, on all cores; what fails is made small and told with the command that plays it.

use super::super::output::Output;
use super::super::{CliError, EXIT_FAILED, EXIT_OK};
use super::answer::Report;
use super::random::SpaceArgs;
use super::run::replay_of;
use super::shrink::{Found, smallest};
use super::worker::{Answer, Job, Worker};
use super::{scenario, words};
use crate::config::units::Period;
use lattice_netsim::{Check, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Failing seeds that are told in full; the numbers of all are listed at the end.
const TOLD_MAX: usize = 5;
/// How often progress is told where it cannot be overwritten.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SwarmArgs {
    /// A scenario's file, or the name of one that comes with the program; without one each seed draws its own.
    #[arg(value_name = "FILE", conflicts_with_all = ["nodes", "time", "faults", "resume"])]
    file: Option<String>,
    /// How many seeds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    runs: u64,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    first: u64,
    #[command(flatten)]
    space: SpaceArgs,
    /// Let each seed change who is who, when, and how slow links are.
    #[arg(long, requires = "file")]
    vary: bool,
    /// How many at a time [default: one for each core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=512))]
    jobs: Option<u16>,
    /// How long one seed may take in real time; one that takes longer has failed.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    limit: Period,
    /// How many runs to spend on making the first failure small; 0 for none.
    #[arg(long, value_name = "RUNS", default_value_t = 300)]
    shrink: usize,
    /// A folder for the smallest failing scenario, and for pages of the first failing seeds.
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
}

/// What all seeds came to.
#[derive(Debug, Default)]
struct Sum {
    report: Report,
    runs: u64,
    failed: BTreeSet<u64>,
    hashes: BTreeMap<u64, String>,
    slowest: Option<(f64, u64)>,
}

pub(super) fn run(args: &SwarmArgs, output: &Output) -> Result<u8, CliError> {
    let swarm = Swarm::new(args)?;
    let mut told = Telling {
        swarm: &swarm,
        output,
        sum: Sum::default(),
        first: None,
        told: 0,
        progress: Progress::new(args.runs),
    };
    std::thread::scope(|scope| {
        let results = swarm.start(scope);
        results.into_iter().try_for_each(|played| told.take(played?))
    })?;
    let Telling { sum, first, progress, .. } = told;
    progress.clear();
    let first = first.filter(|_| args.shrink > 0);
    let shrunk = first.map(|(seed, found)| swarm.shrink(seed, &found, output)).transpose()?;
    swarm.finish(sum, shrunk, output)
}

/// What is told as results come in.
struct Telling<'a> {
    swarm: &'a Swarm,
    output: &'a Output,
    sum: Sum,
    /// The failure of the smallest seed: the same whatever the order in which the workers finish.
    first: Option<(u64, Found)>,
    told: usize,
    progress: Progress,
}

impl Telling<'_> {
    fn take(&mut self, Played { scenario, answer }: Played) -> Result<(), CliError> {
        let seed = answer.verdict.seed;
        let report = Report::new(&answer, self.swarm.written.is_some(), self.swarm.replay(seed));
        self.sum.add(&report, &answer);
        self.progress.tell(&self.sum);
        if self.output.json {
            self.output.record(&report)?;
        } else if !report.passed && self.told < TOLD_MAX {
            self.told += 1;
            self.progress.clear();
            words::tell(self.output, &scenario, &report)?;
            self.output.line(format!("  again:  {}", self.swarm.replay(seed)))?;
        }
        let earlier = self.first.as_ref().is_none_or(|(known, _)| seed < *known);
        if !answer.verdict.passed() && earlier {
            self.first = Some((seed, Found::new(&scenario, &answer)));
        }
        Ok(())
    }
}

struct Played {
    scenario: Scenario,
    answer: Answer,
}

struct Swarm {
    args: SwarmArgs,
    written: Option<Scenario>,
    /// Pages of failing seeds that were written, or would have been.
    pages: AtomicUsize,
}

impl Swarm {
    fn new(args: &SwarmArgs) -> Result<Self, CliError> {
        let written = args.file.as_deref().map(scenario).transpose()?;
        if written.is_none() {
            // Whether the flags make sense shows with any seed.
            args.space.draw(args.first)?;
        }
        if let Some(folder) = &args.save {
            std::fs::create_dir_all(folder).map_err(|error| {
                CliError::usage(format!("cannot make the folder {}: {error}", folder.display()))
                    .next("--save with another")
            })?;
        }
        Ok(Self { args: args.clone(), written, pages: AtomicUsize::new(0) })
    }

    fn scenario(&self, seed: u64) -> Result<Scenario, CliError> {
        match &self.written {
            Some(written) if self.args.vary => Ok(written.varied(seed)),
            Some(written) => Ok(written.clone()),
            None => self.args.space.draw(seed),
        }
    }

    fn replay(&self, seed: u64) -> String {
        match &self.args.file {
            Some(file) => replay_of(file, seed, self.args.vary),
            None => format!("lattice netsim replay {seed}{}", self.args.space.typed()),
        }
    }

    /// Starts the workers. They end when all seeds are played, or when nobody listens any more.
    fn start<'scope>(
        &'scope self,
        scope: &'scope std::thread::Scope<'scope, '_>,
    ) -> mpsc::Receiver<Result<Played, CliError>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.args.jobs.map_or(cores, usize::from).min(usize::try_from(self.args.runs).unwrap_or(usize::MAX));
        let (results, receiver) = mpsc::sync_channel(jobs);
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..jobs {
            let (results, next) = (results.clone(), Arc::clone(&next));
            scope.spawn(move || {
                let mut worker = Worker::within(Some(self.args.limit.0));
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                for number in numbers.take_while(|number| *number < self.args.runs) {
                    let played = self.one(&mut worker, self.args.first.wrapping_add(number));
                    let broken = played.is_err();
                    if results.send(played).is_err() || broken {
                        return;
                    }
                }
            });
        }
        receiver
    }

    fn one(&self, worker: &mut Worker, seed: u64) -> Result<Played, CliError> {
        let scenario = self.scenario(seed)?;
        let job = Job { scenario: scenario.clone(), seed, timeline: self.args.save.is_some(), fates: false };
        let answer = worker.play(&job)?;
        let fails = !answer.verdict.passed();
        if let Some(folder) =
            self.args.save.as_ref().filter(|_| fails && self.pages.fetch_add(1, Ordering::Relaxed) < TOLD_MAX)
        {
            let path = folder.join(format!("{}-{seed}.html", scenario.name));
            super::run::write_page(&path, &scenario, &answer, &self.replay(seed))?;
        }
        Ok(Played { scenario, answer })
    }

    fn shrink(&self, seed: u64, found: &Found, output: &Output) -> Result<Scenario, CliError> {
        output.notice(format!("making seed {seed} small: at most {} runs", self.args.shrink));
        let shrunk = smallest(found, seed, self.args.shrink, self.args.limit.0, output)?;
        if let Some(folder) = &self.args.save {
            let path = folder.join(format!("{}-{seed}-small.toml", found.scenario.name));
            std::fs::write(&path, shrunk.to_toml())
                .map_err(|error| CliError::new(format!("cannot write {}: {error}", path.display())))?;
            output.notice(format!("kept; again:  lattice netsim run {} --seed {seed}", path.display()));
        }
        Ok(shrunk)
    }

    fn finish(&self, mut sum: Sum, shrunk: Option<Scenario>, output: &Output) -> Result<u8, CliError> {
        let cleared = self.cleared(&sum);
        let passed = sum.failed.is_empty() && cleared.is_empty();
        if output.json {
            sum.report.scenario = self.written.as_ref().map_or("swarm", |scenario| &scenario.name).to_owned();
            sum.report.passed = passed;
            sum.report.trace_hash = sum.hash();
            sum.report.runs = Some(sum.runs);
            sum.report.seed = sum.failed.first().copied().unwrap_or(self.args.first);
            sum.report.replay = sum.failed.first().map(|seed| self.replay(*seed));
            sum.report.failed = Some(sum.failed.iter().copied().collect());
            sum.report.shrunk = shrunk.map(|scenario| scenario.to_toml());
            output.record(&sum.report)?;
        } else {
            self.say(&sum, shrunk.as_ref(), output)?;
        }
        for check in cleared {
            output
                .notice(format!("FAILED: the known shortfall \"{check}\" never showed: strike it out of the scenario"));
        }
        Ok(if passed { EXIT_OK } else { EXIT_FAILED })
    }

    fn say(&self, sum: &Sum, shrunk: Option<&Scenario>, output: &Output) -> Result<(), CliError> {
        if let Some(scenario) = shrunk {
            output.line(format!("the smallest that fails as well, with {}:", counted(scenario)))?;
            scenario.to_toml().trim_end().lines().try_for_each(|line| output.line(format!("    {line}")))?;
        }
        let Report { published, delivered, lost, requests, cpu_ms, .. } = &sum.report;
        output.line(format!(
            "{} seeds, {} failed; {published} messages, {delivered} deliveries, {lost} lost in faults, {requests} requests; {} of CPU",
            sum.runs,
            sum.failed.len(),
            words::seconds(*cpu_ms)
        ))?;
        if let Some((ms, seed)) = sum.slowest {
            output.line(format!("slowest return of traffic: {} (seed {seed})", words::seconds(ms)))?;
        }
        for name in &sum.report.vacuous {
            output.line(format!("fault {name} never made a difference in any run"))?;
        }
        if !sum.failed.is_empty() {
            let seeds: Vec<String> = sum.failed.iter().take(50).map(ToString::to_string).collect();
            output.line(format!(
                "failed seeds: {}{}",
                seeds.join(" "),
                if sum.failed.len() > 50 { " …" } else { "" }
            ))?;
        }
        output.line(format!("trace {}", sum.hash()))?;
        Ok(())
    }

    /// The scenario's shortfalls, when no seed has shown any of them: they are no more.
    fn cleared(&self, sum: &Sum) -> Vec<Check> {
        let known: Vec<Check> =
            self.written.iter().flat_map(|scenario| &scenario.shortfalls).map(|known| known.check).collect();
        let gone = sum.failed.is_empty() && !known.iter().any(|check| sum.report.shortfalls.contains_key(check));
        if gone { known } else { Vec::new() }
    }
}

/// `3 nodes and 1 fault`.
pub(super) fn counted(scenario: &Scenario) -> String {
    use super::super::output::count;
    let faults = count(scenario.faults.len(), "fault");
    let packets = match scenario.packets.len() {
        0 => String::new(),
        packets => format!(" and {}", count(packets, "packet")),
    };
    format!("{}, {faults}{packets}", count(scenario.nodes(), "node"))
}

impl Sum {
    fn add(&mut self, report: &Report, answer: &Answer) {
        self.runs += 1;
        let all = &mut self.report;
        all.published += report.published;
        all.delivered += report.delivered;
        all.lost += report.lost;
        all.requests += report.requests;
        all.cpu_ms += report.cpu_ms;
        all.violations_total += report.violations_total;
        let room = 1_000_usize.saturating_sub(all.violations.len());
        all.violations.extend(report.violations.iter().take(room.min(10)).cloned());
        for bite in &answer.verdict.faults {
            *all.bites.entry(bite.kind.clone()).or_default() += bite.hits;
        }
        all.vacuous = all.bites.iter().filter(|(_, hits)| **hits == 0).map(|(kind, _)| kind.clone()).collect();
        for (check, figure) in &report.shortfalls {
            let worst = all.shortfalls.entry(*check).or_default();
            *worst = worst.max(*figure);
        }
        for (check, count) in &report.violated {
            all.violated.entry(*check).or_default().add(*count);
        }
        if let Some(ms) = report.resume_ms.filter(|ms| self.slowest.is_none_or(|(slowest, _)| *ms > slowest)) {
            self.slowest = Some((ms, report.seed));
            all.resume_ms = Some(ms);
        }
        self.hashes.insert(report.seed, report.trace_hash.clone());
        if !report.passed {
            self.failed.insert(report.seed);
        }
    }

    /// One hash for all seeds, whatever the order in which they were played.
    fn hash(&self) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        self.hashes.values().for_each(|hash| context.update(hash.as_bytes()));
        data_encoding::HEXLOWER.encode(&context.finish().as_ref()[..16])
    }
}

/// What is told while a swarm is played: on a terminal a line that changes, elsewhere a line now and then.
struct Progress {
    runs: u64,
    began: Instant,
    told: Instant,
    terminal: bool,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "a person waits in real time")]
    fn new(runs: u64) -> Self {
        let now = Instant::now();
        Self { runs, began: now, told: now, terminal: std::io::stderr().is_terminal() }
    }

    #[expect(clippy::disallowed_methods, reason = "a person waits in real time")]
    fn tell(&mut self, sum: &Sum) {
        let now = Instant::now();
        let every = if self.terminal { Duration::from_millis(200) } else { TELL_EVERY };
        if now - self.told < every {
            return;
        }
        self.told = now;
        let left = (now - self.began).mul_f64(self.runs.saturating_sub(sum.runs) as f64 / sum.runs.max(1) as f64);
        let text =
            format!("{} of {} seeds, {} failed, {} s left", sum.runs, self.runs, sum.failed.len(), left.as_secs());
        let (before, after) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // Whoever closed stderr does not want to know.
        let _ = write!(std::io::stderr().lock(), "{before}{text}{after}");
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
