//! One system under test: a server on each of its hosts, and a client beside each.

use super::agent::begin_line;
use super::plan::Plan;
use super::record::{self, Record};
use super::{lattice, nats};
use crate::cli::CliError;
use lattice_broker::env::Env;
use lattice_netsim::tier2::{Network, Process, Program};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long servers may take to find each other.
const FORMED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// What runs on the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Lattice,
    NatsServer,
}

impl System {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lattice => "lattice",
            Self::NatsServer => "nats-server",
        }
    }
}

/// Programs and folders of a run.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) lattice: PathBuf,
    pub(super) nats_server: PathBuf,
    /// For data and configurations.
    pub(super) work: PathBuf,
    /// For what the processes write.
    pub(super) logs: PathBuf,
}

/// A server that can die and be started again.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Process,
    /// As it is started from its second life on.
    pub(super) program: Program,
    pub(super) runs: bool,
}

/// The servers and clients of one system, on hosts of their own.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) system: System,
    /// The host of its node 0.
    offset: usize,
    pub(super) servers: Vec<Server>,
    agents: Vec<Process>,
}

impl Fleet {
    /// Starts servers on the hosts from `offset` on, and returns when they are linked as `plan` has it and every client
    /// hears every other.
    pub(super) async fn start(
        env: &Env,
        network: &Network,
        plan: &Plan,
        system: System,
        offset: usize,
        place: &Place,
    ) -> Result<Self, CliError> {
        let mut fleet = Self { system, offset, servers: Vec::new(), agents: Vec::new() };
        let hosts = Hosts { network, offset, place, system };
        match system {
            System::Lattice => lattice::start(env, &hosts, plan, &mut fleet.servers).await?,
            System::NatsServer => nats::start(&hosts, plan, &mut fleet.servers)?,
        }
        for node in 0..plan.nodes {
            let mut agent = hosts.process(node, "client");
            let program = Program::new(&place.lattice).args(agent_args(plan, node));
            agent.start(&program).map_err(|error| cannot_start(&agent, &error))?;
            fleet.agents.push(agent);
        }
        fleet.wait_formed(env).await?;
        Ok(fleet)
    }

    async fn wait_formed(&mut self, env: &Env) -> Result<(), CliError> {
        let until = env.now() + FORMED_WITHIN;
        loop {
            self.all_run()?;
            let deaf = self.agents.iter().position(|agent| {
                let records = record::read(&agent.written("out")).unwrap_or_default();
                !records.iter().any(|record| matches!(record, Record::Ready { .. }))
            });
            let Some(deaf) = deaf else { return Ok(()) };
            if env.now() > until {
                let message = format!(
                    "{}: the client of node {deaf} does not hear all others after {} s",
                    self.system.name(),
                    FORMED_WITHIN.as_secs()
                );
                return Err(CliError::new(message).next("the same command with --keep-logs FOLDER, and a look at them"));
            }
            env.sleep(POLL).await;
        }
    }

    /// Tells the clients when the scenario begins.
    pub(super) fn begin(&mut self, at: Duration) -> Result<(), CliError> {
        self.agents.iter_mut().try_for_each(|agent| {
            agent.tell(&begin_line(at)).map_err(|error| CliError::new(format!("{}: {error}", agent.name())))
        })
    }

    /// The host of a node.
    pub(super) fn host(&self, node: usize) -> usize {
        self.offset + node
    }

    /// Fails when a process has ended that nobody has killed.
    pub(super) fn all_run(&mut self) -> Result<(), CliError> {
        let servers = self.servers.iter_mut().filter(|server| server.runs).map(|server| &mut server.process);
        for process in servers.chain(&mut self.agents) {
            if let Some(status) = process.exited()
                && !done(process)
            {
                let message = format!("{} has ended by itself ({status}): {}", process.name(), process.last_words());
                return Err(CliError::new(message));
            }
        }
        Ok(())
    }

    /// True when all clients have played to the end.
    pub(super) fn is_done(&self) -> bool {
        self.agents.iter().all(done)
    }

    /// What each client wrote.
    pub(super) fn records(&self) -> Result<Vec<Vec<Record>>, CliError> {
        let read = |agent: &Process| {
            let path = agent.written("out");
            record::read(&path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))
        };
        self.agents.iter().map(read).collect()
    }
}

fn done(agent: &Process) -> bool {
    matches!(record::last(&agent.written("out")), Ok(Some(Record::Done { .. })))
}

/// The hosts of one system.
#[derive(Debug)]
pub(super) struct Hosts<'a> {
    network: &'a Network,
    offset: usize,
    pub(super) place: &'a Place,
    system: System,
}

impl Hosts<'_> {
    pub(super) fn address(&self, node: usize) -> std::net::Ipv4Addr {
        self.network.address(self.offset + node)
    }

    pub(super) fn name(&self, node: usize) -> String {
        format!("{}-{node}", self.system.name())
    }

    /// A process on the host of a node.
    pub(super) fn process(&self, node: usize, what: &str) -> Process {
        let name = format!("{}-{what}", self.name(node));
        Process::new(&name, self.network.namespace(self.offset + node), &self.place.logs)
    }

    /// A folder of a node.
    pub(super) fn folder(&self, node: usize) -> Result<PathBuf, CliError> {
        let folder = self.place.work.join(self.name(node));
        std::fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        Ok(folder)
    }
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("{}: {error}", path.display()))
}

pub(super) fn cannot_start(process: &Process, error: &io::Error) -> CliError {
    CliError::new(format!("cannot start {}: {error}", process.name()))
}

fn agent_args(plan: &Plan, node: usize) -> Vec<String> {
    let ms = |time: Duration| time.as_millis().to_string();
    let mut args: Vec<String> =
        ["netsim", "client-agent", "--server", "nats://127.0.0.1:4222"].map(str::to_owned).into();
    let figures = [
        ("--me", node.to_string()),
        ("--of", plan.nodes.to_string()),
        ("--interval-ms", ms(plan.interval)),
        ("--burst", plan.burst.to_string()),
        ("--payload-bytes", plan.payload_bytes.to_string()),
        ("--duration-ms", ms(plan.duration)),
    ];
    args.extend(figures.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
    if plan.listeners.contains(&node) {
        args.push("--hears".to_owned());
    }
    if plan.publishers.contains(&node) {
        // Not all at the same moment.
        let first =
            plan.start + plan.interval * u32::try_from(node).unwrap_or(0) / u32::try_from(plan.nodes).unwrap_or(1);
        args.extend(["--first-ms".to_owned(), ms(first)]);
    }
    args
}
