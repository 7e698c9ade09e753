//! `/leafz`: links to other servers as leaf nodes.
//!
//! What a link has moved is the neighbour's affair, and told by the node that made it; here it is one of a kind.

use super::text::serialize_time;
use crate::hub::Hub;
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

/// One leaf link of this server to another: what the broker itself knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaf {
    /// Its number.
    pub id: u32,
    /// This server has asked for it.
    pub is_spoke: bool,
}

pub(super) fn leafz(hub: &Hub) -> Leafz {
    let leafs: Vec<Leaf> = hub.leaf_links().into_iter().map(|id| Leaf { id: id.0, is_spoke: true }).collect();
    Leafz { server_id: hub.info.server_id.clone(), now: hub.env.wall(), leafnodes: leafs.len(), leafs }
}

pub(super) fn count(hub: &Hub) -> u64 {
    hub.leaf_links().len() as u64
}
