//! The answers to `lattice routes`: which way messages go, and who takes those on one subject.

use serde::{Deserialize, Serialize};

/// The ways to all nodes within reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// In the order of their names.
    pub nodes: Vec<Route>,
    /// Further ones that the answer has no room for.
    pub left_out: usize,
}

/// The way to one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Its public key, `N…`.
    pub id: String,
    /// Links on the way.
    pub hops: u32,
    /// Sum of their costs.
    pub cost: u32,
    /// Name of the neighbour that messages go to at this moment; none while its link is down and no other way is known yet.
    pub next: Option<String>,
    /// The neighbour's public key.
    pub next_id: Option<String>,
    /// True when that is not the neighbour of the best way, whose link is suspected.
    pub detour: bool,
    /// Name of the neighbour that they would go to if the link to that one became suspect, when there is one.
    pub alternate: Option<String>,
}

/// Who takes the messages on a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takers {
    /// The subject.
    pub subject: String,
    /// The account.
    pub account: String,
    /// This node first, then in the order of the names.
    pub nodes: Vec<Taker>,
    /// Further ones that the answer has no room for.
    pub left_out: usize,
}

/// A node where somebody takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taker {
    /// Its name.
    pub name: String,
    /// Its public key, `N…`.
    pub id: String,
    /// True for the node that was asked.
    pub here: bool,
    /// Plain subscriptions there; of another node it is only known whether there are any, which is 1.
    pub plain: usize,
    /// True when its upstream server takes them, too.
    pub upstream: bool,
    /// Queue groups with members there.
    pub groups: Vec<Members>,
    /// The way there, from another node.
    pub route: Option<Route>,
}

/// Members of a queue group on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The group's name.
    pub group: String,
    /// How many there are.
    pub weight: u32,
    /// True when they are not the node's clients but its upstream's.
    pub upstream: bool,
}
