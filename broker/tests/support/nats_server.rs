//! A real nats-server of the pinned version, with a configuration that can be changed while it runs.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// How long it may take to say that it has done something.
const LIMIT: Duration = Duration::from_secs(30);
const LISTENS: &str = "Listening for client connections on ";

pub struct NatsServer {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
    lines: Receiver<String>,
}

impl NatsServer {
    /// Starts one; `config` is what its file has besides where it listens.
    pub fn start(config: &str) -> Self {
        let tool = super::root().join("../.work/nats-server");
        assert!(tool.exists(), "{} is missing: .ci/fetch-tools brings it", tool.display());
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(tool);
        command.arg("-c").arg(folder.path().join("server.conf")).stderr(Stdio::piped()).stdin(Stdio::null());
        std::fs::write(folder.path().join("server.conf"), text(config)).unwrap();
        let mut child = command.spawn().unwrap();
        let (told, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut server = Self { folder, address: SocketAddr::from(([127, 0, 0, 1], 0)), child, lines };
        let line = server.wait_line(LISTENS);
        server.address = line.rsplit(' ').next().unwrap().parse().unwrap();
        server.wait_line("Server is ready");
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the file, and waits until the server goes by it.
    pub fn reload(&self, config: &str) {
        std::fs::write(self.folder.path().join("server.conf"), text(config)).unwrap();
        let status = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.wait_line("Reloaded server configuration");
    }

    fn wait_line(&self, wanted: &str) -> String {
        let mut heard = String::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("never {wanted:?}, but:\n{heard}"));
            if line.contains(wanted) {
                return line;
            }
            heard += &line;
            heard.push('\n');
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It picks a port itself, and keeps it over a reload.
fn text(config: &str) -> String {
    format!("listen: \"127.0.0.1:-1\"\n{config}\n")
}
