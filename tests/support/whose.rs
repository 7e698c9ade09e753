//! Our server and the real one side by side: started with the same flags, and spoken to by hand.

use super::cluster::lattice;
use super::process::{Finished, Process, run};
use super::{LIMIT, tool};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use tempfile::TempDir;

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Ours,
    Real,
}

pub const BOTH: [Whose; 2] = [Whose::Ours, Whose::Real];

impl Whose {
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

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

pub fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = path(folder, name);
    fs::write(&path, text).unwrap();
    path
}

/// A client by hand.
pub struct Client(TcpStream, String);

impl Client {
    pub fn new(address: SocketAddr, connect: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut client = Self(stream, String::new());
        client.send(&format!("CONNECT {connect}\r\nPING\r\n"));
        client
    }

    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` has come, or the server closes; returns all that has come since the last time.
    pub fn hear(&mut self, text: &str) -> String {
        while !self.1.contains(text) {
            let mut chunk = [0; 4096];
            let len = match self.0.read(&mut chunk) {
                // A signal, as when a child of another test ends, is no end of what comes.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap_or_else(|error| panic!("{text:?} has not come: {error}")),
            };
            if len == 0 {
                break;
            }
            self.1.push_str(&String::from_utf8_lossy(&chunk[..len]));
        }
        std::mem::take(&mut self.1)
    }
}

pub const OPEN: &str = "{\"verbose\":false,\"protocol\":1}";
