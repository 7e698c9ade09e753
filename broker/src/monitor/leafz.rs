//! `/leafz`: links to other servers as leaf nodes, and leaf nodes of this server.
//!
//! What a link has moved that was dialled is the neighbour's affair, and told by the node that made it; here it is one of a
//! kind.

use super::text::{duration, serialize_time};
use crate::hub::Hub;
use crate::server::{Bound, Spoke};
use serde::Serialize;
use std::time::SystemTime;

/// Leaf links.
#[derive(Clone, Debug, Serialize)]
pub struct Leafz {
    /// Who answers.
    pub server_id: String,
    /// When.
    #[serde(serialize_with = "serialize_time")]
    pub now: SystemTime,
    /// How many there are.
    pub leafnodes: usize,
    /// In the order in which they came up.
    pub leafs: Vec<Leaf>,
}

/// One leaf link, either way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaf {
    /// Its number.
    pub id: u64,
    /// This server has asked for it.
    pub is_spoke: bool,
    /// Of a leaf node of this server.
    #[serde(flatten)]
    pub node: Option<LeafNode>,
}

/// A leaf node of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeafNode {
    /// What it calls itself.
    pub name: String,
    /// It is not told what others are interested in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_isolated: bool,
    /// Its account.
    pub account: String,
    /// Where it comes from.
    pub ip: String,
    /// As above.
    pub port: u16,
    /// When it came.
    #[serde(serialize_with = "serialize_time")]
    pub start: SystemTime,
    /// The round-trip time as last measured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rtt: String,
    /// Messages that have come from it.
    pub in_msgs: u64,
    /// Messages that have gone to it.
    pub out_msgs: u64,
    /// Bytes of those that have come.
    pub in_bytes: u64,
    /// Bytes of those that have gone.
    pub out_bytes: u64,
    /// Messages that were kept from it, by a limit, its permissions, or because too much waited already.
    pub dropped_msgs: u64,
    /// Subjects and groups in which it is interested.
    pub subscriptions: usize,
}

impl Default for Leaf {
    fn default() -> Self {
        Self { id: 0, is_spoke: true, node: None }
    }
}

pub(super) fn leafz(hub: &Hub) -> Leafz {
    let dialled = hub.leaf_links().into_iter().map(|id| Leaf { id: u64::from(id.0), ..Leaf::default() });
    let accepted = hub.leafs.all().into_iter().filter_map(|spoke| {
        Some(Leaf { id: spoke.id, is_spoke: false, node: Some(LeafNode::of(hub, &spoke, spoke.bound()?)) })
    });
    let leafs: Vec<Leaf> = dialled.chain(accepted).collect();
    Leafz { server_id: hub.info.server_id.clone(), now: hub.env.wall(), leafnodes: leafs.len(), leafs }
}

pub(super) fn count(hub: &Hub) -> u64 {
    (hub.leaf_links().len() + hub.leafs.count(None)) as u64
}

impl LeafNode {
    fn of(hub: &Hub, spoke: &Spoke, bound: &Bound) -> Self {
        let [received, sent] = spoke.traffic();
        let (subscriptions, rtt) = spoke.interest_and_rtt();
        Self {
            name: bound.name.clone(),
            is_isolated: bound.is_isolated,
            account: String::from_utf8_lossy(&bound.account).into_owned(),
            ip: spoke.peer.ip().to_string(),
            port: spoke.peer.port(),
            start: hub.clock.wall(spoke.began),
            rtt: rtt.map(duration).unwrap_or_default(),
            in_msgs: received.msgs,
            out_msgs: sent.msgs,
            in_bytes: received.bytes,
            out_bytes: sent.bytes,
            dropped_msgs: spoke.dropped(),
            subscriptions,
        }
    }
}
