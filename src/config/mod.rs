//! What a node is told: flags over `LATTICE_*` over the file over the defaults, checked once and then only read.
//!
//! [`Config`] has one field for each layer, in plain values; `node.rs` turns them into the layers' own configs. How the
//! file is written is left to [`mod@file`], whether an invite or a name on the network is any good to those who use them.

mod check;
pub mod file;
pub mod interfaces;
mod place;
pub mod units;

pub use place::{Origin, Source};

use crate::gateway::{self, UpstreamUrl};
use crate::host;
use crate::mesh::beacon;
use crate::mesh::forming;
use crate::mesh::heartbeat::Pace;
use check::Check;
use file::{File, FileError, Secret};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The port of links between nodes.
pub const LINK_PORT: u16 = 7443;

/// The usual port for those who watch.
const HTTP_PORT: u16 = 8222;

/// All settings of a node, each in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The folder that identity, invites and state are kept in.
    pub data: PathBuf,
    /// What other nodes and `lattice status` call this one.
    pub name: String,
    /// Where NATS clients connect.
    pub listen: SocketAddr,
    /// The invite to join with at the start, when the data folder is no member yet.
    pub join: Option<Secret>,
    /// What to log: a level, or directives as `info,lattice::mesh=debug`.
    pub log: String,
    /// Links to other nodes.
    pub link: Link,
    /// Whom to dial besides.
    pub forming: forming::Config,
    /// How members in the local network find each other.
    pub beacon: beacon::Config,
    /// The real server to be a leaf of.
    pub upstream: Option<Upstream>,
    /// What clients may do.
    pub client: Client,
    /// Where those who watch are answered by HTTP; nowhere unless it is given.
    pub http: Option<SocketAddr>,
    /// Whether components run here.
    pub host: host::Config,
    /// Bounds of the mesh.
    pub mesh: Mesh,
}

/// Settings of links between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The UDP address to listen on. An unspecified IPv6 one is meant to take IPv4 as well.
    pub listen: SocketAddr,
    /// Nodes to dial besides those that are known, as `host:port`.
    pub peers: Vec<String>,
    /// The `host:port`s to write into invites; when empty, [`interfaces::advertise`] says which.
    pub advertise: Vec<String>,
    /// How often a link shows that it is alive.
    pub heartbeat: Pace,
    /// Silence after which a link counts as dead, unless its heartbeats are too far apart to tell.
    pub dead_after: Duration,
    /// The first wait before a peer is dialled again.
    pub redial_min: Duration,
    /// The longest such wait.
    pub redial_max: Duration,
}

impl Link {
    /// Where to listen on a system without IPv6, when [`Link::listen`] is the unspecified IPv6 address.
    #[must_use]
    pub fn listen_without_ipv6(&self) -> Option<SocketAddr> {
        let everywhere = self.listen.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        everywhere.then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.listen.port()))
    }
}

/// A real server above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its leaf node listener, with the credentials to show there.
    pub url: UpstreamUrl,
    /// A file of credentials in place of those of the URL.
    pub credentials_file: Option<PathBuf>,
    /// Whom to trust, where it is encrypted.
    pub tls: gateway::Encryption,
    /// How often to check that it answers.
    pub ping_interval: Duration,
}

/// Limits of client connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Bytes of a message, headers included.
    pub max_payload: usize,
    /// Bytes of one protocol line.
    pub max_control_line: usize,
    /// Bytes that wait for a slow client before it is closed.
    pub max_pending: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Subscriptions of one connection.
    pub max_subscriptions: usize,
    /// How often a client is asked for a sign of life.
    pub ping_interval: Duration,
    /// How many of those may stay unanswered.
    pub ping_max: u32,
    /// How long a client may take to say who it is.
    pub auth_timeout: Duration,
    /// How long one write to a client may be stuck.
    pub write_deadline: Duration,
    /// The `host:port`s, with port 0 for the one that was picked, at which clients of other nodes are told to find this one. When not given, it follows from where the
    /// node listens; when empty, they are not told, and its own clients are not told of others.
    pub advertise: Option<Vec<String>>,
    /// Who may connect.
    pub auth: Auth,
}

/// Who may connect as a client.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Everyone who can reach the port.
    Open,
    /// Those who know the token.
    Token(String),
    /// These users; at least one, no name twice.
    Users(Vec<User>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Token(_) => f.write_str("Token(_)"),
            Self::Users(users) => f.debug_list().entries(users.iter().map(|user| &user.name)).finish(),
        }
    }
}

/// A client's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Bounds of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Nodes to keep in mind; announcements of more are refused.
    pub nodes_max: usize,
    /// Bytes of one frame on a link; room for a message with its destinations.
    pub frame_max: usize,
    /// Bytes that wait for one link, and, up to 8 MiB, bytes that its peer has yet to say it has taken.
    pub link_buffer_max: usize,
    /// Bytes of messages that came before their time, from all nodes…
    pub hold_max: usize,
    /// …and from one in one of its rows.
    pub hold_origin_max: usize,
    /// How long what is missing before them is waited for.
    pub hold_time: Duration,
    /// Bytes of messages that lead nowhere at present.
    pub parked_max: usize,
    /// How long they wait for a way.
    pub parked_time: Duration,
    /// Bytes of what was sent lately, for nodes that ask for what they miss.
    pub ring_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        let link = Link {
            listen: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), LINK_PORT),
            peers: Vec::new(),
            advertise: Vec::new(),
            heartbeat: Pace::Automatic,
            dead_after: Duration::from_millis(2_500),
            redial_min: Duration::from_millis(100),
            redial_max: Duration::from_secs(1),
        };
        let client = Client {
            max_payload: 1 << 20,
            max_control_line: 4 << 10,
            max_pending: 64 << 20,
            max_connections: 65_536,
            max_subscriptions: 1_000_000,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            auth_timeout: Duration::from_secs(2),
            write_deadline: Duration::from_secs(10),
            advertise: None,
            auth: Auth::Open,
        };
        Self {
            data: data_folder().unwrap_or_else(|| PathBuf::from("lattice-data")),
            name: host_name(),
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 4222),
            join: None,
            log: "info".to_owned(),
            link,
            forming: forming::Config::default(),
            beacon: beacon::Config::default(),
            upstream: None,
            client,
            http: None,
            host: host::Config::default(),
            mesh: Mesh {
                nodes_max: 2048,
                frame_max: 2 << 20,
                link_buffer_max: 32 << 20,
                hold_max: 32 << 20,
                hold_origin_max: 8 << 20,
                hold_time: Duration::from_secs(5),
                parked_max: 32 << 20,
                parked_time: Duration::from_secs(30),
                ring_max: 4 << 20,
            },
        }
    }
}

/// How often an upstream is checked when the file does not say.
pub const UPSTREAM_PING_INTERVAL: Duration = Duration::from_secs(15);

/// A value that a flag or the environment gives for a key of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The key that it stands for.
    pub key: OverrideKey,
    /// The values; one, except for keys that are lists.
    pub values: Vec<String>,
    /// Where they were given.
    pub origin: Origin,
}

/// The keys that flags exist for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub enum OverrideKey {
    Data,
    Name,
    Listen,
    Join,
    Log,
    LinkListen,
    LinkPeers,
    BeaconEnabled,
    UpstreamUrl,
    HttpListen,
    HostLabels,
}

impl OverrideKey {
    /// The key as the file writes it, with its table.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Name => "name",
            Self::Listen => "listen",
            Self::Join => "join",
            Self::Log => "log",
            Self::LinkListen => "link.listen",
            Self::LinkPeers => "link.peers",
            Self::BeaconEnabled => "beacon.enabled",
            Self::UpstreamUrl => "upstream.url",
            Self::HttpListen => "http.listen",
            Self::HostLabels => "host.labels",
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not to be had, or not as it must be.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value is not what its key accepts.
    #[error("{key} = {value} cannot be used: expected {expected}{place}")]
    Invalid {
        /// The key with its tables.
        key: &'static str,
        /// The value as given; secrets are left out.
        value: String,
        /// What would be accepted.
        expected: String,
        /// Where it was given: empty for a default, else a clause or lines to append.
        place: String,
    },
}

impl Config {
    /// Reads the file at `path`, when there is one, and puts `overrides` over it.
    ///
    /// # Errors
    /// [`ConfigError`], which names the key, the value, what is accepted and where it was said.
    pub fn load(path: Option<&Path>, overrides: &[Override]) -> Result<Self, ConfigError> {
        let (file, source) = match path {
            Some(path) => File::read(path).map(|(file, source)| (file, Some(source)))?,
            None => (File::default(), None),
        };
        Self::resolve(file, source, overrides)
    }

    /// Checks `file` with `overrides` put over it; `source` is what errors point into.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn resolve(mut file: File, source: Option<Source>, overrides: &[Override]) -> Result<Self, ConfigError> {
        for one in overrides {
            file.put(one.key, &one.values);
        }
        Check::new(source, overrides).config(file)
    }
}

impl File {
    fn put(&mut self, key: OverrideKey, values: &[String]) {
        let first = values.first().cloned();
        match key {
            OverrideKey::Data => self.data = first.map(PathBuf::from),
            OverrideKey::Name => self.name = first,
            OverrideKey::Listen => self.listen = first,
            OverrideKey::Join => self.join = first.map(Secret),
            OverrideKey::Log => self.log = first,
            OverrideKey::LinkListen => self.link.listen = first,
            OverrideKey::LinkPeers => self.link.peers = Some(values.to_vec()),
            OverrideKey::BeaconEnabled => self.beacon.enabled = first.map(|value| value == "true"),
            OverrideKey::UpstreamUrl => self.upstream.url = first.map(Secret),
            OverrideKey::HttpListen => self.http.listen = first,
            // What has no value has an empty one.
            OverrideKey::HostLabels => self.host.labels.get_or_insert_default().extend(values.iter().map(|label| {
                let (key, value) = label.split_once('=').unwrap_or((label, ""));
                (key.to_owned(), value.to_owned())
            })),
        }
    }
}

/// The user's folder for data, or none when the system knows no home.
#[must_use]
pub fn data_folder() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "lattice").map(|dirs| dirs.data_dir().to_owned())
}

/// The machine's name, as far as it can serve as a node's.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let first = name.split('.').next().unwrap_or_default();
    if check::is_name(first) { first.to_owned() } else { "node".to_owned() }
}

#[cfg(test)]
mod tests;
