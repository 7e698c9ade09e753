//! The answer to `lattice trace`: the ways that a message on a subject takes, and how long they take.

use serde::{Deserialize, Serialize};

/// Where a message on a subject goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The subject.
    pub subject: String,
    /// Plain subscriptions on this node, which need no way.
    pub plain_here: usize,
    /// Queue groups whose member would have been chosen on this node.
    pub groups_here: Vec<String>,
    /// True when this node's own upstream server would get the message.
    pub upstream_here: bool,
    /// The ways to the other nodes that would get it, in the order of their names.
    pub ways: Vec<Way>,
    /// Further ones, to which no probe was sent.
    pub left_out: usize,
}

/// The way to one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// Its name.
    pub name: String,
    /// Its public key, `N…`.
    pub id: String,
    /// Queue groups for which a member there was chosen; another message may go to another member.
    pub groups: Vec<String>,
    /// The nodes that the probe is known to have passed, this one first.
    pub hops: Vec<Hop>,
    /// What became of it.
    pub end: End,
}

/// A node on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// Its name.
    pub name: String,
    /// Its public key, `N…`; none of a node that is not known any more.
    pub id: Option<String>,
    /// How long it took to this node and back, by the clock of the node that was asked, in milliseconds. None of that node
    /// itself, and of a node whose answer was lost.
    pub round_trip_ms: Option<f64>,
    /// From the moment in which the node had read the probe until it passed it on, in microseconds.
    pub took_us: u32,
    /// Bytes that had to be written to the next link before it.
    pub waiting_bytes: u32,
    /// Round-trip time of the next link as this node measures it all the time, in milliseconds; none at the end.
    pub link_rtt_ms: Option<f64>,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It has arrived.
    Arrived,
    /// Nobody behind the last hop has answered in time.
    Silent,
    /// The last hop knows no way on.
    NoWay,
    /// The buffer of the next link was full.
    Full,
    /// The node behind the last hop is of a release that cannot be traced through.
    Unknown,
    /// It has passed as many links as a message may.
    TooFar,
}
