//! The files by which other programs find a running server: the pid file and the ports file.

use lattice_broker::env::Env;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Writes the process id, in digits alone.
///
/// # Errors
/// As the system has them.
pub fn write_pid(path: &Path, pid: u32) -> io::Result<()> {
    std::fs::write(path, pid.to_string())
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// For clients.
    pub clients: SocketAddr,
    /// For the other servers of its cluster.
    pub cluster: Option<SocketAddr>,
    /// For those who watch it, with `http` or `https`.
    pub monitoring: Option<(&'static str, SocketAddr)>,
    /// For browsers, with `ws` or `wss`.
    pub websocket: Option<(&'static str, SocketAddr)>,
}

/// The ports file. It is removed when this is dropped.
#[derive(Debug)]
pub struct PortsFile(PathBuf);

impl PortsFile {
    /// Writes the addresses at which a server is reached that listens at `ports`.
    ///
    /// # Errors
    /// As the system has them.
    pub fn write(folder: &Path, pid: u32, env: &Env, ports: &Ports) -> io::Result<Self> {
        let path = folder.join(format!("{}_{pid}.ports", super::PROGRAM));
        let urls = |scheme: &str, at: SocketAddr| -> Vec<String> {
            let all = reached_at(env, at.ip()).into_iter();
            all.map(|ip| format!("{scheme}://{}", SocketAddr::new(ip, at.port()))).collect()
        };
        let mut text = serde_json::json!({ "nats": urls("nats", ports.clients) });
        let cluster = ports.cluster.map(|at| ("nats", at));
        for (key, there) in [("cluster", cluster), ("monitoring", ports.monitoring), ("websocket", ports.websocket)] {
            if let Some((scheme, at)) = there {
                text[key] = urls(scheme, at).into();
            }
        }
        // Whoever waits for the file shall not read half of it.
        let partial = folder.join(format!("{}_{pid}.partial", super::PROGRAM));
        std::fs::write(&partial, text.to_string())?;
        std::fs::rename(&partial, &path)?;
        Ok(Self(path))
    }
}

impl Drop for PortsFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn reached_at(env: &Env, ip: IpAddr) -> Vec<IpAddr> {
    if !ip.is_unspecified() {
        return vec![ip];
    }
    let mut all: Vec<IpAddr> = env.interfaces().into_iter().map(|interface| interface.ip).collect();
    all.sort_by_key(|ip| (!ip.is_loopback(), *ip));
    all.dedup();
    all
}
