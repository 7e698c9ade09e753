//! A nats-server as a process, ours or the real one: what both can answer is asked of both.

use super::cluster::lattice;
use super::process::{Finished, Process, run};
use super::{LIMIT, tool};
use std::net::SocketAddr;
use std::process::Command;

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// `lattice nats-server`.
    Ours,
    /// The real one.
    Real,
}

/// Both.
pub const BOTH: [Whose; 2] = [Whose::Ours, Whose::Real];

impl Whose {
    /// It with these arguments.
    pub fn command(self, args: &[&str]) -> Command {
        let mut command = match self {
            Self::Ours => lattice(),
            Self::Real => Command::new(tool("nats-server")),
        };
        if self == Self::Ours {
            command.arg("nats-server");
        }
        command.args(args);
        command
    }

    /// Runs it to its end.
    pub fn run(self, args: &[&str]) -> Finished {
        run(&mut self.command(args), LIMIT)
    }

    /// Starts a server and waits until it is ready; returns where it listens.
    pub fn start(self, args: &[&str]) -> (Process, SocketAddr) {
        let mut process = Process::start(&format!("{self:?} nats-server"), &mut self.command(args));
        let port = process.wait_line("where it listens", listening);
        process.wait_line("Server is ready", |line| line.contains("Server is ready").then_some(()));
        (process, SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// The port in the line that client libraries' suites wait for.
fn listening(line: &str) -> Option<u16> {
    let (_, at) = line.split_once("[INF] Listening for client connections on ")?;
    at.rsplit_once(':')?.1.trim().parse().ok()
}
