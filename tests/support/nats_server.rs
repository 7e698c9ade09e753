//! A real nats-server of the pinned version, on ports of its own.

use super::process::Process;
use super::{ports, tool};
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// A nats-server with a listener for clients and one for leaf nodes.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    name: String,
    client_port: u16,
    leaf_port: u16,
    process: Option<Process>,
}

impl NatsServer {
    /// Starts a server; `config` is what its configuration file has besides the ports and its name.
    pub fn start(name: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (client_port, leaf_port) = (ports::free(), ports::free());
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{client_port}\"\n\
             leafnodes {{ listen: \"127.0.0.1:{leaf_port}\" }}\n{config}\n",
        );
        Self::with_file(folder, name, &text, client_port, leaf_port)
    }

    /// Starts a server that is itself a leaf of `hub`.
    pub fn leaf_of(hub: &Self, name: &str) -> Self {
        Self::start_remote(name, &hub.leaf_url(), "")
    }

    /// Starts a server that is a leaf node of `url`, without a port for leaf nodes to be told of.
    pub fn start_remote(name: &str, url: &str, config: &str) -> Self {
        Self::start_remotes(name, &format!("{{ url: \"{url}\" }}"), config)
    }

    /// Starts a server with these entries of `remotes`; `config` is what its file has besides.
    pub fn start_remotes(name: &str, remotes: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (client_port, leaf_port) = (ports::free(), ports::free());
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{client_port}\"\nleafnodes {{\n  listen: \"127.0.0.1:{leaf_port}\"\n  \
             reconnect: \"200ms\"\n  remotes [ {remotes} ]\n}}\n{config}\n",
        );
        Self::with_file(folder, name, &text, client_port, leaf_port)
    }

    fn with_file(folder: TempDir, name: &str, text: &str, client_port: u16, leaf_port: u16) -> Self {
        std::fs::write(folder.path().join("server.conf"), text).unwrap();
        let mut server = Self { folder, name: name.to_owned(), client_port, leaf_port, process: None };
        server.restart();
        server
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.client_port))
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where leaf nodes connect.
    pub fn leaf_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.leaf_port)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts it again, on the same ports, and waits until it is ready.
    pub fn restart(&mut self) {
        let mut command = Command::new(tool("nats-server"));
        command.arg("-c").arg(self.folder.path().join("server.conf"));
        let mut process = Process::start(&format!("nats-server {}", self.name), &mut command);
        process.wait_line("Server is ready", |line| line.contains("Server is ready").then_some(()));
        self.process = Some(process);
    }
}
