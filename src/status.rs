//! What a node tells about itself: the answers to `lattice status`, `lattice peers` and `lattice members`, as data; those
//! to `lattice routes`, `lattice events` and `lattice trace` are in files of their own.
//!
//! How it is shown is left to `cli/output.rs`; where it comes from, to `node.rs`.

pub mod events;
pub mod routes;
pub mod trace;

use crate::identity::Grant;
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
    /// Where those who watch are answered by HTTP, if they are.
    #[serde(default)]
    pub http: Option<String>,
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
    /// Share of the heartbeats that were lost of late, in either direction, as the end that dialled has measured it: 0 to 1.
    pub loss: f64,
    /// True when it was silent for too long and traffic goes round it where it can.
    #[serde(default)]
    pub suspected: bool,
    /// What routes count it with at present.
    #[serde(default)]
    pub cost: u32,
    /// Seconds since it came up.
    pub up_secs: u64,
    /// Datagrams sent over it.
    #[serde(default)]
    pub packets_sent: u64,
    /// Of these, those that were taken for lost, and whose content was sent again.
    #[serde(default)]
    pub packets_lost: u64,
}

/// A member of the lattice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What it called itself when it was admitted.
    pub name: String,
    /// Its public key, `N…`.
    pub id: String,
    /// The name of the member that has admitted it; none for those that the root has certified.
    pub admitted_by: Option<String>,
    /// When, in seconds since 1970, by that member's clock.
    pub admitted_secs: Option<u64>,
    /// How long ago that is, by this node's clock.
    pub ago_secs: Option<u64>,
    /// What it may do.
    pub grant: Grant,
    /// True when it came by an invite that was used up by then, which two parts of the lattice could not know of each other.
    pub excess: bool,
    /// How it stands.
    pub state: MemberState,
}

/// How a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It is the node that was asked.
    Here,
    /// There is a path to it.
    Reachable,
    /// It was within reach, and is not now.
    Lost,
    /// Nothing has been heard of it since the node that was asked has started.
    Unseen,
    /// It is a member no more.
    Revoked,
}

/// What came of a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Who is a member no more by it: names and ids.
    pub nodes: Vec<String>,
    /// The same for `lattice revoke --import`, where no link leads.
    pub file: String,
}

/// The root keys of the lattice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// From the one that has made the lattice to the one that speaks for it.
    pub keys: Vec<RootKey>,
    /// True when this node holds the last one.
    pub here: bool,
    /// One that was named by an old key as well, and is refused: somebody else may have that key.
    pub rival: Option<String>,
    /// Members that are not within reach, and may not have heard of the last one yet.
    pub away: Vec<String>,
    /// The same for `lattice root follow`, where no link leads. Nothing while this node has heard the keys alone, and not who
    /// stays revoked: from the invite that it has joined by.
    pub file: Option<String>,
}

/// A root key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    /// The key, `O…`.
    pub key: String,
    /// Since when it speaks for the lattice, in seconds since 1970, by the clock of the node where it took over.
    pub since_secs: Option<u64>,
    /// How many certificates of the keys before it go on; nothing for the first key.
    pub kept: Option<usize>,
}
