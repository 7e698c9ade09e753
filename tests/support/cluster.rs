//! Nodes of ours as processes: one alone, a line by invites, a triangle of which one side can be cut.

use super::process::{Finished, Process, run};
use super::relay::Link;
use super::{LIMIT, ports, wait_for};
use lattice::status::Status;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use tempfile::TempDir;

/// The binary that was built with these tests.
pub fn lattice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lattice"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LATTICE_")) {
        command.env_remove(name);
    }
    command
}

/// A node with a data folder and ports of its own, running or not.
#[derive(Debug)]
pub struct Node {
    name: String,
    folder: TempDir,
    nats_port: u16,
    link_port: u16,
    args: Vec<String>,
    id: String,
    process: Option<Process>,
}

impl Node {
    /// A node that is not started yet; `config` is its configuration file, to which the ports come as flags. It dials
    /// nobody but whom it is told to, unless the file says otherwise.
    pub fn new(name: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let forming = if config.contains("[forming]") { "" } else { "\n[forming]\nauto = false\n" };
        std::fs::write(folder.path().join("lattice.toml"), format!("{config}{forming}")).unwrap();
        let (nats_port, link_port) = (ports::free(), ports::free());
        Self { name: name.to_owned(), folder, nats_port, link_port, args: Vec::new(), id: String::new(), process: None }
    }

    /// A node without peers, started.
    pub fn alone(config: &str) -> Self {
        let mut node = Self::new("alone", config);
        node.start(&[]);
        node
    }

    /// Adds flags to each later start.
    #[must_use]
    pub fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// A relay in front of this node, of which alone its invites tell. Only for a node without a configuration.
    pub fn behind_relay(&self) -> Link {
        let link = Link::to(self.link_address());
        std::fs::write(
            self.config(),
            format!("[link]\nadvertise = [\"{}\"]\n[forming]\nauto = false\n", link.address()),
        )
        .unwrap();
        link
    }

    /// Has clients of other nodes told of this one. Only for a node without a configuration.
    #[must_use]
    pub fn advertised(self) -> Self {
        let config = format!("[client]\nadvertise = [\"{}\"]\n[forming]\nauto = false\n", self.address());
        std::fs::write(self.config(), config).unwrap();
        self
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("lattice.toml")
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.nats_port))
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where other nodes connect.
    pub fn link_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.link_port))
    }

    /// `lattice up` with the flags of this node, not started.
    pub fn up(&self, extra: &[&str]) -> Command {
        let mut command = lattice();
        command.arg("up").arg("--name").arg(&self.name);
        command.arg("--config").arg(self.config()).arg("--data").arg(self.data());
        command.arg("--listen").arg(self.address().to_string());
        command.arg("--link-listen").arg(self.link_address().to_string());
        command.args(&self.args).args(extra);
        command
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self, extra: &[&str]) {
        let command = &mut self.up(extra);
        let mut process = Process::start(&format!("node {}", self.name), command);
        let status = wait_for(&format!("node {} answers", self.name), LIMIT, || {
            assert!(process.exited().is_none(), "node {} ended: {:#?}", self.name, process.log());
            status(&self.data())
        });
        self.id = status.id;
        self.process = Some(process);
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the node runs")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("the node runs").kill();
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("the node runs").signal("TERM")
    }

    /// Runs `lattice up` where it cannot start, to its end.
    pub fn fails_to_start(&self, extra: &[&str]) -> Finished {
        run(&mut self.up(extra), LIMIT)
    }

    /// What it says of itself.
    pub fn status(&self) -> Status {
        wait_for(&format!("status of node {}", self.name), LIMIT, || status(&self.data()))
    }

    /// How many other nodes it can reach.
    pub fn reaches(&self) -> usize {
        self.status().peers.iter().filter(|peer| peer.reachable).count()
    }

    /// A new invite.
    pub fn invite(&self) -> String {
        self.invite_of(&[])
    }

    /// A new invite, asked for with further flags.
    pub fn invite_of(&self, flags: &[&str]) -> String {
        let invited = command(&[&["invite"], flags].concat(), &self.data());
        assert_eq!(invited.code, Some(0), "lattice invite: {invited:#?}");
        invited.stdout.lines().last().expect("an invite").to_owned()
    }
}

impl Node {
    /// A new invite, in a file.
    pub fn invite_file(&self, file: &str) {
        let invited = command(&["invite", "--file", file], &self.data());
        assert_eq!(invited.code, Some(0), "lattice invite --file: {invited:#?}");
    }

    /// The members as it knows them: names and states, in the order of the names.
    pub fn members(&self) -> Vec<(String, lattice::status::MemberState)> {
        let listed = command(&["members", "--json"], &self.data());
        assert_eq!(listed.code, Some(0), "lattice members: {listed:#?}");
        let members: Vec<lattice::status::Member> = serde_json::from_str(&listed.stdout).unwrap();
        let mut members: Vec<_> = members.into_iter().map(|member| (member.name, member.state)).collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members
    }
}

impl Drop for Node {
    /// No test passes while a node of it has panicked, whatever the node did then.
    fn drop(&mut self) {
        if let Some(process) = &self.process
            && !std::thread::panicking()
        {
            assert!(!process.said("panicked at"), "node {} has panicked:\n{:#?}", self.name, process.log());
        }
    }
}

/// Runs `lattice ARGS --data FOLDER` to its end.
pub fn command(args: &[&str], data: &Path) -> Finished {
    run(lattice().args(args).arg("--data").arg(data), LIMIT)
}

fn status(data: &Path) -> Option<Status> {
    serde_json::from_str(&command(&["status", "--json"], data).stdout).ok()
}

/// Some nodes that make one lattice.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// A–B–C–…: each node joins by an invite of the one before it.
    pub fn line(count: usize) -> Self {
        let names = ["a", "b", "c", "d", "e", "f"];
        Self::chain(names[..count].iter().map(|name| Node::new(name, "")).collect())
    }

    /// As [`Cluster::line`], of nodes that are not started yet.
    pub fn chain(nodes: Vec<Node>) -> Self {
        let mut cluster = Self { nodes };
        for index in 0..cluster.nodes.len() {
            match index.checked_sub(1).map(|before| cluster.nodes[before].invite()) {
                None => cluster.nodes[index].start(&[]),
                Some(invite) => cluster.nodes[index].start(&["--join", &invite]),
            }
        }
        cluster.wait_formed();
        cluster
    }

    /// A–B–C–A: a line whose ends are linked through the relay that is returned.
    pub fn triangle() -> (Self, Link) {
        let a = Node::new("a", "");
        let link = Link::to(a.link_address());
        let c = Node::new("c", "").with(&["--peer", &link.address().to_string()]);
        let cluster = Self::chain(vec![a, Node::new("b", ""), c]);
        cluster.wait_linked(0, 2);
        (cluster, link)
    }

    /// Waits until every node reaches every other.
    pub fn wait_formed(&self) {
        let others = self.nodes.len() - 1;
        for node in &self.nodes {
            wait_for(&format!("node {} reaches {others} others", node.name), LIMIT, || {
                (node.reaches() == others).then_some(())
            });
        }
    }

    /// Waits until two nodes have a link of their own.
    pub fn wait_linked(&self, one: usize, other: usize) {
        wait_for("a direct link", LIMIT, || (self.linked(one, other)).then_some(()));
    }

    /// Waits until two nodes have no link of their own any more; the other one may be dead.
    pub fn wait_unlinked(&self, one: usize, other: usize) {
        wait_for("the direct link is gone", LIMIT, || (!self.linked(one, other)).then_some(()));
    }

    fn linked(&self, one: usize, other: usize) -> bool {
        let peers = self.nodes[one].status().peers;
        peers.iter().any(|peer| peer.id == self.nodes[other].id && peer.link.is_some())
    }
}
