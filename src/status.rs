//! What a node tells about itself: the answer to `lattice status` and `lattice peers`, as data.
//!
//! How it is shown is left to `cli/output.rs`; where it comes from, to `node.rs`.

use serde::{Deserialize, Serialize};

/// A node's view of itself and of the lattice, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The binary's version.
    pub version: String,
    /// The node's name.
    pub name: String,
    /// The node's public key, `N…`.
    pub id: String,
    /// The lattice: hash of its root key, in hex.
    pub lattice: String,
    /// Seconds since the start.
    pub uptime_secs: u64,
    /// Where the data is kept.
    pub data: String,
    /// Where NATS clients connect.
    pub nats: String,
    /// Where other nodes connect.
    pub link: String,
    /// Client connections.
    pub clients: usize,
    /// Subscriptions of local clients.
    pub subscriptions: usize,
    /// The real server above, when one is configured.
    pub upstream: Option<Upstream>,
    /// Every other node that is known.
    pub peers: Vec<Peer>,
    /// What has been counted since the start, by name.
    pub counters: std::collections::BTreeMap<String, u64>,
    /// What is wrong, worst first; empty when all is well.
    pub problems: Vec<String>,
}

/// The real server that this node is a leaf of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// As configured, without credentials.
    pub url: String,
    /// The server's name, once connected.
    pub server: Option<String>,
    /// True while messages flow.
    pub connected: bool,
    /// True when another node of the lattice has been elected to connect: nothing is wrong then.
    #[serde(default)]
    pub standby: bool,
    /// Why not, as the last attempt put it.
    pub error: Option<String>,
}

/// Another node of the lattice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its public key, `N…`.
    pub id: String,
    /// True while a path to it exists.
    pub reachable: bool,
    /// Links on the path; 1 for a neighbour, 0 when it cannot be reached.
    pub hops: u32,
    /// Sum of the costs of the links on the path.
    pub cost: u32,
    /// The neighbour that messages to it pass through, when it is not one itself.
    pub via: Option<String>,
    /// The direct link, when there is one.
    pub link: Option<Link>,
}

/// A link to a neighbour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The neighbour's address as seen from here.
    pub address: String,
    /// True when this node dialled.
    pub dialed: bool,
    /// Round-trip time in milliseconds.
    pub rtt_ms: f64,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Seconds since it came up.
    pub up_secs: u64,
}
