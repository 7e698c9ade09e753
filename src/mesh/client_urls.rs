//! Where NATS clients can connect: how much a node may announce of itself, and what it tells its clients of all that it knows.
//!
//! Which addresses a node has is left to `mod.rs`, and how clients hear of them to the broker.

use super::announcement::Announcement;
use super::spf::Routes;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Most addresses that a node announces.
pub const OWN_MAX: usize = 8;
/// Most addresses that clients are told: they try one after the other when a node is gone.
pub const TOLD_MAX: usize = 32;

/// What clients of this node are told: its own addresses and those of nodes within reach, the nearest first. Nodes that were
/// told of `before` come before others, so that what clients know changes no more often than it must. Nothing as long as
/// there is nowhere else to go.
#[must_use]
pub fn choose(routes: &Routes, announcements: &[Arc<Announcement>], before: &[String]) -> Vec<String> {
    let before: HashSet<&str> = before.iter().map(String::as_str).collect();
    let rank = |known: &Arc<Announcement>| {
        let lsa = known.lsa();
        let is_me = lsa.node == routes.me;
        let way = routes.by_index.get(&lsa.index).filter(|route| route.node == lsa.node);
        let cost = if is_me { 0 } else { way?.cost };
        let is_new = !lsa.clients.iter().any(|url| before.contains(url.as_str()));
        (!lsa.clients.is_empty()).then_some((!is_me, is_new, cost, lsa.node, Arc::clone(known)))
    };
    let mut nodes: Vec<_> = announcements.iter().filter_map(rank).collect();
    if nodes.iter().all(|(is_other, ..)| !is_other) {
        return Vec::new();
    }
    nodes.sort_unstable_by_key(|(is_other, is_new, cost, node, _)| (*is_other, *is_new, *cost, *node));
    let mut told = BTreeSet::new();
    let urls = nodes.iter().flat_map(|(.., known)| &known.lsa().clients);
    urls.filter(|url| told.insert(url.as_str())).take(TOLD_MAX).cloned().collect()
}

#[cfg(test)]
mod tests;
