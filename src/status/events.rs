//! The answer to `lattice events`: what has happened of late.

use serde::{Deserialize, Serialize};

/// What has happened since a node was asked last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The oldest first.
    pub events: Vec<Event>,
    /// How many came before these and are forgotten.
    pub lost: u64,
    /// What to ask from next.
    pub next: Place,
}

/// A place in the row of a node's events, right behind one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// In which of the node's lives: a start of the node begins a new row.
    pub life: u64,
    /// The event's number; 0 is the beginning.
    pub number: u64,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, from 1 on since the start of the node.
    pub number: u64,
    /// When, in milliseconds since 1970, by the node's clock.
    pub at_ms: u64,
    /// What: `link_up`, `link_down`, `link_suspected`, `link_cleared`, `link_rejected`, `node_reached`, `node_lost`,
    /// `more_reached`, `more_lost`, `member_admitted`, `member_revoked`, `upstream_elected`, `upstream_left`.
    pub event: String,
    /// Name of the node that it is about.
    pub node: Option<String>,
    /// That node's public key, `N…`.
    pub id: Option<String>,
    /// How many nodes, when many have come or gone at once and the rest is not told one by one.
    pub count: Option<usize>,
    /// Why, or more of what: a link's address, a silence, an upstream.
    pub why: Option<String>,
}
