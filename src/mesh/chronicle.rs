//! What the driver notes for people: who has come into reach and gone out of it, who was revoked, who serves upstreams.
//!
//! It compares what was with what is; the ring of events is `events.rs`'s.

use super::control::Control;
use super::counters::Counters;
use super::events::What;
use super::shared::Shared;
use super::spf::Routes;
use crate::identity::{NodeId, Roll};
use crate::ports::UpstreamId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Nodes that are told one by one when many come or go at once: a cut must not push out of the ring what has led to it.
const NAMED_MAX: usize = 8;

/// What was noted last.
#[derive(Debug)]
pub(super) struct Chronicle {
    routes: Arc<Routes>,
    revoked: BTreeSet<NodeId>,
    /// Since when routes are due because of this node's own links…
    stale: Option<Instant>,
    /// …and how often they had been computed.
    computed: u64,
}

impl Chronicle {
    /// Nobody is within reach of `me` yet; who is revoked already is no news.
    pub(super) fn new(me: NodeId, roll: &Roll) -> Self {
        let revoked = roll.list().into_iter().filter(|member| member.revoked).map(|member| member.node).collect();
        Self { routes: Arc::new(Routes::alone(me, 0, 0)), revoked, stale: None, computed: 0 }
    }

    /// One of this node's own links has changed.
    pub(super) fn changed(&mut self, now: Instant) {
        self.stale.get_or_insert(now);
    }

    /// What follows from that is in force, if routes were computed since.
    pub(super) fn in_force(&mut self, now: Instant, computed: u64, counters: &Counters) {
        if std::mem::replace(&mut self.computed, computed) == computed {
            return;
        }
        let Some(since) = self.stale.take() else { return };
        counters.rerouted.add(now.saturating_duration_since(since));
    }

    /// Notes who is within reach by `routes` and was not before, and who is not any more.
    pub(super) fn routes(&mut self, shared: &Shared, control: &Control, routes: &Arc<Routes>) {
        let before = std::mem::replace(&mut self.routes, Arc::clone(routes));
        // Names of nodes out of reach are known for an hour.
        let known = || control.announcements().map(|known| known.lsa());
        let without = |has: &Routes, not: &Routes| -> Vec<NodeId> {
            has.reachable.iter().map(|(node, _)| *node).filter(|node| !not.reachable.contains_key(node)).collect()
        };
        let tell = |nodes: Vec<NodeId>, each: What, more: fn(usize) -> What| {
            let (named, rest) = nodes.split_at(nodes.len().min(NAMED_MAX));
            for lsa in known().filter(|lsa| named.contains(&lsa.node)) {
                shared.note(each, Some((lsa.node, &lsa.name)), None);
            }
            if !rest.is_empty() {
                shared.note(more(rest.len()), None, None);
            }
        };
        tell(without(&before, routes), What::NodeLost, What::MoreLost);
        tell(without(routes, &before), What::NodeReached, What::MoreReached);
    }

    /// Notes who has been revoked since this was called last.
    pub(super) fn revoked(&mut self, shared: &Shared) {
        for member in shared.roll.list().into_iter().filter(|member| member.revoked) {
            if self.revoked.insert(member.node) {
                shared.note(What::MemberRevoked, Some((member.node, &member.name)), None);
            }
        }
    }
}

/// Notes that another root key speaks for the lattice.
pub(super) fn root_replaced(shared: &Shared) {
    let new = shared.roll.line().current().to_root_text();
    tracing::warn!(root = new, "the root key of the lattice has been replaced");
    shared.note(What::RootReplaced, None, Some(new));
}

/// Notes that this node has become, or is no longer, the one that serves an upstream.
pub(super) fn upstream(shared: &Shared, id: UpstreamId, active: bool) {
    let what = if active { What::UpstreamElected(id) } else { What::UpstreamLeft(id) };
    shared.note(what, None, None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_time_until_new_routes_counts_from_the_first_change() {
        let (now, counters) = (crate::mesh::start_of_time(), Counters::default());
        let routes = Arc::new(Routes::alone(NodeId([1; 32]), 0, 0));
        let mut chronicle = Chronicle { routes, revoked: BTreeSet::new(), stale: None, computed: 0 };
        let at = |ms| now + Duration::from_millis(ms);
        chronicle.in_force(at(0), 1, &counters);
        chronicle.changed(at(0));
        chronicle.changed(at(40));
        chronicle.in_force(at(45), 1, &counters);
        chronicle.in_force(at(50), 2, &counters);
        chronicle.in_force(at(60), 3, &counters);
        chronicle.changed(at(70));
        chronicle.in_force(at(71), 4, &counters);
        assert_eq!(counters.rerouted.counts(), [1, 1, 0, 0]);
    }
}
