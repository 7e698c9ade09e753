//! Everything that can be set, with nats-server's defaults: what flags and file come down to.

use super::cluster::Cluster;
use super::leafnodes::LeafNodes;
use super::remotes::Remote;
use super::tls::Encryption;
use super::users::Auth;
use super::websocket::WebSocket;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Where clients connect: a name or an address. `0.0.0.0` is all addresses, of both families.
    pub host: String,
    /// The port for clients; 0 picks a free one.
    pub port: u16,
    /// The server's name; empty means its id.
    pub server_name: String,
    /// Limits of clients.
    pub limits: Limits,
    /// How long a lame duck takes to close its clients, in all.
    pub lame_duck_duration: Duration,
    /// How long a lame duck waits before it closes the first one.
    pub lame_duck_grace_period: Duration,
    /// How clients' connections are encrypted.
    pub tls: Option<Encryption>,
    /// Clients may go on in the clear all the same.
    pub allow_non_tls: bool,
    /// Where browsers connect.
    pub websocket: Option<WebSocket>,
    /// Where leaf nodes connect.
    pub leafnodes: Option<LeafNodes>,
    /// The servers of which this one is a leaf node.
    pub remotes: Vec<Remote>,
    /// Who may connect.
    pub auth: Auth,
    /// The other servers of the same service.
    pub cluster: Option<Cluster>,
    /// What is logged, and where.
    pub log: LogOptions,
    /// The file that the process id is written to.
    pub pid_file: Option<PathBuf>,
    /// The folder for the ports file.
    pub ports_file_dir: Option<PathBuf>,
    /// What those who watch are told, and where.
    pub monitoring: Monitoring,
}

/// What those who watch are told, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// Where HTTP is answered; none means where clients connect.
    pub host: Option<String>,
    /// The port for that: none means that it is not, 0 any free one.
    pub port: Option<u16>,
    /// It is HTTPS, with the certificates that clients see.
    pub is_secure: bool,
    /// What the paths begin with.
    pub base_path: String,
    /// Connections that have ended and are remembered.
    pub closed_max: usize,
    /// Words by which operators find the server.
    pub tags: Vec<String>,
    /// What operators have noted of it.
    pub metadata: BTreeMap<String, String>,
}

/// Limits of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message in bytes.
    pub max_payload: usize,
    /// Longest control line in bytes.
    pub max_control_line: usize,
    /// Bytes that may wait for a client.
    pub max_pending: usize,
    /// Connections; `usize::MAX` means no limit.
    pub max_connections: usize,
    /// Subscriptions of a connection; `usize::MAX` means no limit.
    pub max_subscriptions: usize,
    /// Time between PINGs.
    pub ping_interval: Duration,
    /// PINGs without an answer.
    pub ping_max: u32,
    /// Time without progress after which a client that does not read is closed.
    pub write_deadline: Duration,
}

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The file; none means the standard error output.
    pub file: Option<PathBuf>,
    /// Bytes after which the file is moved aside and begun anew; 0 means never.
    pub size_limit: u64,
    /// Debugging output.
    pub debug: bool,
    /// The protocol, as it is spoken.
    pub trace: bool,
    /// Bytes of a message that are shown of that; 0 is all.
    pub traced_max: usize,
    /// Lines have a time.
    pub time: bool,
    /// That time is in UTC.
    pub utc: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: 4222,
            server_name: String::new(),
            limits: Limits::default(),
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
            tls: None,
            allow_non_tls: false,
            websocket: None,
            leafnodes: None,
            remotes: Vec::new(),
            auth: Auth::default(),
            cluster: None,
            log: LogOptions {
                file: None,
                size_limit: 0,
                debug: false,
                trace: false,
                traced_max: 0,
                time: true,
                utc: false,
            },
            pid_file: None,
            ports_file_dir: None,
            monitoring: Monitoring::default(),
        }
    }
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            is_secure: false,
            base_path: String::new(),
            closed_max: 10_000,
            tags: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_payload: 1 << 20,
            max_control_line: 4096,
            max_pending: 64 << 20,
            max_connections: 65_536,
            max_subscriptions: usize::MAX,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            write_deadline: Duration::from_secs(10),
        }
    }
}
