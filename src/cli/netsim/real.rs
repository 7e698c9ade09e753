//! `lattice netsim real`: the simulator's scenarios on real processes of this binary, in network namespaces, and on
//! real nats-servers beside them.
//!
//! `plan` says what a scenario means here, `fleet` what runs, `session` plays, `judge` and `outcome` say how it went.
//! The network between the namespaces is [`lattice_netsim::tier2`]'s.

mod agent;
mod fleet;
mod judge;
mod lattice;
mod nats;
mod outcome;
mod plan;
mod record;
mod session;

pub(in crate::cli) use agent::{AgentArgs, run as agent};

use super::super::output::{Output, Table};
use super::super::{CliError, EXIT_FAILED, EXIT_OK};
use fleet::{Place, System};
use lattice_broker::env::Env;
use lattice_netsim::Scenario;
use lattice_netsim::tier2::{EmulatorReport, check_emulator};
use outcome::Outcome;
use plan::Plan;
use session::{play, unavailable};
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// The machine was too busy for the figures to mean anything.
pub(in crate::cli) const EXIT_UNUSABLE: u8 = 3;

/// What `--table` plays: each by its text, and on which systems, one after the other or beside each other.
const TABLE: &[(&str, &[&[System]])] = &[
    (include_str!("../../../netsim/scenarios/real/split-half.toml"), IN_TURN),
    (include_str!("../../../netsim/scenarios/real/one-way.toml"), IN_TURN),
    (include_str!("../../../netsim/scenarios/real/crash-and-restart.toml"), IN_TURN),
    (include_str!("../../../netsim/scenarios/real/nats-mixed.toml"), BESIDE),
    (include_str!("../../../netsim/scenarios/real/nats-mixed-short.toml"), BESIDE),
];
const IN_TURN: &[&[System]] = &[&[System::Lattice], &[System::NatsServer]];
const BESIDE: &[&[System]] = &[&[System::Lattice, System::NatsServer]];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Scenarios: files, those that `--table` plays by their names, or others of `lattice netsim list`.
    #[arg(value_name = "FILE", required_unless_present_any = ["table", "check_emulator"])]
    files: Vec<PathBuf>,
    /// What runs on the nodes; with `--table`, each by itself unless this is given.
    #[arg(long, value_enum, value_name = "SYSTEM")]
    with: Option<With>,
    /// Print a Markdown table over lattice and nats-server at the end; of built-in scenarios when no FILE is given.
    #[arg(long)]
    table: bool,
    /// Measure the network between the namespaces against what is asked of it, first.
    #[arg(long)]
    check_emulator: bool,
    /// Decides which packets are lost, doubled or delayed. Real runs differ all the same.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The nats-server to run [default: the one in PATH, else .work/nats-server].
    #[arg(long, value_name = "PATH")]
    nats_server: Option<PathBuf>,
    /// Keep here what all processes write, a folder for each run.
    #[arg(long, value_name = "FOLDER")]
    keep_logs: Option<PathBuf>,
}

/// What runs on the nodes of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum With {
    /// This binary.
    Lattice,
    /// A cluster of real nats-servers.
    NatsServer,
    /// Both, on nodes of their own under the same faults.
    Both,
}

impl With {
    fn runs(self) -> &'static [&'static [System]] {
        match self {
            Self::Lattice => &[&[System::Lattice]],
            Self::NatsServer => &[&[System::NatsServer]],
            Self::Both => BESIDE,
        }
    }
}

/// A scenario and the systems that play it at once.
struct Run {
    plan: Plan,
    systems: &'static [System],
}

pub(in crate::cli) async fn run(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    until_interrupted(all(env, args, output)).await
}

/// Plays a storm on nodes of ours.
pub(in crate::cli) async fn storm(env: &Env, args: &super::storm::Args, output: &Output) -> Result<u8, CliError> {
    until_interrupted(async {
        let run = Run { plan: Plan::new(&args.scenario(), args.seed)?, systems: &[System::Lattice] };
        output.notice(run.announcement(0, 1));
        let place = Work::new(args.keep_logs.as_deref(), 0, &run, PathBuf::new())?;
        let outcomes = play(env, &run.plan, run.systems, args.seed, &place.place, output).await?;
        outcomes.iter().try_for_each(|outcome| outcome.show(output))?;
        Ok(verdict(&outcomes, false))
    })
    .await
}

async fn until_interrupted(work: impl Future<Output = Result<u8, CliError>>) -> Result<u8, CliError> {
    let handler = |kind| signal(kind).map_err(|error| CliError::new(format!("cannot wait for signals: {error}")));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    // What is dropped here is removed: processes, namespaces, folders.
    tokio::select! {
        biased;
        _ = interrupt.recv() => Err(CliError::new("interrupted; nothing is left behind")),
        _ = terminate.recv() => Err(CliError::new("ended by a signal; nothing is left behind")),
        done = work => done,
    }
}

async fn all(env: &Env, args: &Args, output: &Output) -> Result<u8, CliError> {
    let runs = args.runs()?;
    let wants_nats = runs.iter().any(|run| run.systems.contains(&System::NatsServer));
    let nats_server = nats::find(args.nats_server.as_deref());
    if wants_nats && nats_server.is_none() {
        let asked = args.nats_server.as_deref().unwrap_or(Path::new("nats-server"));
        return Err(CliError::usage(format!("there is no {}", asked.display()))
            .next("--nats-server PATH; releases are at https://github.com/nats-io/nats-server"));
    }
    let mut exit = if args.check_emulator { check(args.seed, output)? } else { EXIT_OK };
    let mut outcomes = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        if exit != EXIT_OK && args.check_emulator {
            return Ok(exit);
        }
        output.notice(run.announcement(number, runs.len()));
        let place = Work::new(args.keep_logs.as_deref(), number, run, nats_server.clone().unwrap_or_default())?;
        for outcome in play(env, &run.plan, run.systems, args.seed, &place.place, output).await? {
            outcome.show(output)?;
            outcomes.push(outcome);
        }
    }
    if args.table && !output.json {
        outcome::table(&outcomes).iter().try_for_each(|line| output.line(line))?;
    }
    exit = exit.max(verdict(&outcomes, args.table));
    Ok(exit)
}

/// In a table, what nats-servers do is there to compare with, not to fail on.
fn verdict(outcomes: &[Outcome], compares: bool) -> u8 {
    let judged = |outcome: &&Outcome| !(compares && outcome.system == System::NatsServer.name());
    if outcomes.iter().filter(judged).any(|outcome| outcome.rejected.is_none() && !outcome.passed) {
        EXIT_FAILED
    } else if outcomes.iter().any(|outcome| outcome.rejected.is_some()) {
        EXIT_UNUSABLE
    } else {
        EXIT_OK
    }
}

impl Args {
    fn runs(&self) -> Result<Vec<Run>, CliError> {
        let mut runs = Vec::new();
        let mut add = |scenario: &Scenario, systems: &'static [&'static [System]]| {
            let plan = Plan::new(scenario, self.seed)?;
            runs.extend(systems.iter().map(|systems| Run { plan: plan.clone(), systems }));
            Ok::<_, CliError>(())
        };
        for path in &self.files {
            let scenario = scenario(path)?;
            let systems = match self.with {
                Some(with) => with.runs(),
                None if self.table => IN_TURN,
                None => With::Lattice.runs(),
            };
            add(&scenario, systems)?;
        }
        if self.table && self.files.is_empty() {
            for (text, systems) in TABLE {
                add(&built_in(text)?, self.with.map_or(systems, With::runs))?;
            }
        }
        Ok(runs)
    }
}

/// The scenario that a name means here: a file, else one made for real processes, else one of the simulator's. The
/// second are smaller than their namesakes of the third.
fn scenario(path: &Path) -> Result<Scenario, CliError> {
    if !path.exists() {
        for (text, _) in TABLE {
            let own = built_in(text)?;
            if path == Path::new(&own.name) {
                return Ok(own);
            }
        }
    }
    super::scenario(&path.to_string_lossy())
}

fn built_in(text: &str) -> Result<Scenario, CliError> {
    Scenario::from_toml(text).map_err(|error| CliError::new(error.to_string()))
}

impl Run {
    fn systems(&self) -> String {
        self.systems.iter().map(|system| system.name()).collect::<Vec<_>>().join("+")
    }

    fn announcement(&self, number: usize, of: usize) -> String {
        let Plan { name, nodes, duration, .. } = &self.plan;
        format!("[{}/{of}] {name} on {nodes} × {}, {} s", number + 1, self.systems(), duration.as_secs())
    }
}

/// The folders of a run. Dropping it removes what is not to be kept.
struct Work {
    place: Place,
    _removed: tempfile::TempDir,
}

impl Work {
    fn new(keep_logs: Option<&Path>, number: usize, run: &Run, nats_server: PathBuf) -> Result<Self, CliError> {
        let cannot = |error: std::io::Error| CliError::new(format!("no folder to work in: {error}"));
        let folder = tempfile::Builder::new().prefix("lattice-netsim-").tempdir().map_err(cannot)?;
        let logs = match keep_logs {
            Some(keep) => keep.join(format!("{}-{}-{}", number + 1, run.plan.name, run.systems())),
            None => folder.path().join("logs"),
        };
        // What an earlier run left there would be read as this one's.
        match std::fs::remove_dir_all(&logs) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
            _ => std::fs::create_dir_all(&logs).map_err(cannot)?,
        }
        // This very binary, also after a new one has been put in its place.
        let lattice = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        let nats_server = std::path::absolute(nats_server).unwrap_or_default();
        let place = Place { lattice, nats_server, work: folder.path().to_owned(), logs };
        Ok(Self { place, _removed: folder })
    }
}

/// Measures the emulator, and shows each figure.
fn check(seed: u64, output: &Output) -> Result<u8, CliError> {
    let report = check_emulator(seed).map_err(unavailable)?;
    let wrong = report.checks.iter().filter(|check| !check.passed()).count();
    if output.json {
        output.record(&report)?;
    } else {
        measured(&report).lines().try_for_each(|line| output.line(line))?;
        for (what, late) in [("switch", report.lateness), ("probes", report.probes_late)] {
            let [p50, p99, max] = [late.p50, late.p99, late.max].map(|time| time.as_micros());
            output.line(format!("{what} late by (p50, p99, max): {p50}, {p99}, {max} µs"))?;
        }
        output.line(format!("{} figures, {wrong} wrong", report.checks.len()))?;
    }
    if !report.usable() {
        output.notice("the machine is too busy: these figures say nothing");
        return Ok(EXIT_UNUSABLE);
    }
    Ok(if wrong == 0 { EXIT_OK } else { EXIT_FAILED })
}

fn measured(report: &EmulatorReport) -> Table {
    let mut table = Table::new(&["PAIR", "WHAT", "CONFIGURED", "MEASURED", "ACCEPTED", ""]);
    for check in &report.checks {
        table.row(vec![
            format!("{}->{}", check.pair.0, check.pair.1),
            check.what.to_owned(),
            format!("{:.2}", check.configured),
            format!("{:.2}", check.measured),
            format!("{:.2} to {:.2}", check.accepted.0, check.accepted.1),
            if check.passed() { String::new() } else { "WRONG".to_owned() },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(files: &[&str]) -> Args {
        Args {
            files: files.iter().map(PathBuf::from).collect(),
            with: None,
            table: files.is_empty(),
            check_emulator: false,
            seed: 1,
            nats_server: None,
            keep_logs: None,
        }
    }

    /// Goal: what is built in can be played, and nobody finds out otherwise after an hour.
    #[test]
    fn the_table_is_playable() {
        let runs = args(&[]).runs().unwrap();
        let names: Vec<_> = runs.iter().map(|run| (run.plan.name.as_str(), run.plan.nodes, run.systems())).collect();
        assert_eq!(names.len(), 8);
        assert_eq!(names[1], ("split-half", 5, "nats-server".to_owned()));
        assert_eq!(names[6], ("nats-mixed", 3, "lattice+nats-server".to_owned()));
    }

    /// Goal: each row of the table can be played by its name, and what is not in it is looked for among the simulator's.
    #[test]
    fn names_mean_what_is_made_for_real_processes_first() {
        let runs = args(&["split-half", "nats-mixed-short", "partition-heal"]).runs().unwrap();
        let nodes: Vec<_> = runs.iter().map(|run| (run.plan.name.as_str(), run.plan.nodes)).collect();
        assert_eq!(nodes[..2], [("split-half", 5), ("nats-mixed-short", 3)]);
        assert_eq!(nodes[2].0, "partition-heal");
        assert!(args(&["no-such-thing"]).runs().is_err());
    }
}
