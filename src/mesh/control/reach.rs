//! What follows from the database: routes, whose interest is in force, and who serves which upstream.

use super::{Action, Control};
use crate::mesh::forming::Standing;
use crate::mesh::id::{NodeId, life};
use crate::mesh::interest::Key;
use crate::mesh::sorted::Sorted;
use crate::mesh::spf::{Routes, Vertex, alternates, is_way_round};
use crate::planted::{self, Bug};
use crate::ports::UpstreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

impl Control {
    /// The graph has changed: compute the routes, at once when it was calm before, else a little later. As long as it
    /// goes on changing the computations get rarer: a lattice that forms would keep every node busy with them.
    pub(super) fn routes_changed(&mut self, now: Instant) {
        let due = self.routes_last.map_or(now, |last| now.max(last + self.routes_wait));
        self.routes_due.get_or_insert(due);
    }

    /// There is news of a node out of reach, to which there may be a way now. The computation waits until such news pause,
    /// and no longer than for others: the last of those who come need not wait for as long as the first have made it.
    pub(super) fn routes_grow(&mut self, now: Instant) {
        let latest = self.routes_last.map_or(now, |last| now.max(last + self.routes_wait));
        self.routes_due = Some(latest.min(now + self.config.routes_pause));
    }

    fn pace_routes(&mut self, now: Instant) {
        let (min, max) = (self.config.routes_interval, self.config.routes_interval_max);
        let calm = self.routes_last.is_none_or(|last| last + max * 2 <= now);
        self.routes_wait = if calm { min } else { (self.routes_wait * 2).min(max) };
        self.routes_last = Some(now);
    }

    /// For each node within reach the neighbour to turn to when the link that leads there is in doubt.
    #[must_use]
    pub fn alternates(&self) -> BTreeMap<NodeId, NodeId> {
        alternates(self.me.node, &self.vertices())
    }

    /// Whether a neighbour could be reached without the link to it.
    #[must_use]
    pub fn has_way_round(&self, neighbor: NodeId) -> bool {
        is_way_round(self.me.node, neighbor, &self.vertices())
    }

    /// How `node` stands to this one, if it can be reached.
    #[must_use]
    pub fn standing(&self, node: NodeId) -> Option<Standing> {
        let index = self.routes.reachable.get(&node)?;
        // Whoever lost its index to another will have a route soon.
        let cost = self.routes.by_index.get(index).map_or(u32::MAX, |route| route.cost);
        let links = self.lsdb.get(node)?.lsa().adjacency.len();
        Some(Standing { cost, links, transit: self.membership.may_transit(node) })
    }

    fn vertices(&self) -> Vec<Vertex<'_>> {
        let announced = self.lsdb.iter().map(|(node, entry)| (node, entry.lsa()));
        let vertex = announced.map(|(node, lsa)| Vertex {
            node,
            index: lsa.index,
            life: life(node, lsa.boot),
            transit: self.membership.may_transit(node),
            adjacency: &lsa.adjacency,
        });
        vertex.collect()
    }

    /// Forgets the nodes that have been out of reach for too long.
    pub(super) fn forget(&mut self, now: Instant) {
        let Some(limit) = now.checked_sub(self.config.forget) else { return };
        if self.lsdb.oldest_unreachable().is_some_and(|since| since <= limit) {
            self.digest = None;
            for node in self.lsdb.forget(limit) {
                self.drop_interest(node);
            }
        }
    }

    /// Computes the routes when that is due, and puts into force what follows from them.
    pub(super) fn update_routes(&mut self, now: Instant) {
        if self.routes_due.is_none_or(|due| due > now) {
            return;
        }
        (self.routes_due, self.digest) = (None, None);
        self.pace_routes(now);
        self.counters.routes_computed += 1;
        let routes = Routes::compute(self.me.node, self.me.boot, &self.vertices());
        self.lsdb.set_reachable(now, |node| routes.reachable.contains_key(&node));
        let wanted = self.to_be_in_force(&routes);
        self.withdraw_others(&wanted);
        if routes != *self.routes {
            self.routes = Arc::new(routes);
            self.actions.push_back(Action::Routes(self.routes.clone()));
        }
        self.enforce(wanted);
        self.elect();
    }

    /// The nodes whose interest should count, with the index and boot epoch that it counts under.
    fn to_be_in_force(&self, routes: &Routes) -> Sorted<NodeId, (u32, u64)> {
        let boot = |node| Some(self.lsdb.get(node)?.lsa().boot);
        let reachable = routes.by_index.iter();
        reachable.filter_map(|(index, route)| Some((route.node, (*index, boot(route.node)?)))).collect()
    }

    /// Withdraws the interest of all nodes that are in force otherwise than `wanted`. All of this comes before any
    /// interest is set: an index may have passed from one node to another.
    fn withdraw_others(&mut self, wanted: &Sorted<NodeId, (u32, u64)>) {
        // Planted: who is out of reach stays in force.
        let kept = |node: &NodeId| !wanted.contains_key(node) && planted::is(Bug::GoneMemberKept);
        let others = self.in_force.iter().filter(|(node, under)| wanted.get(node) != Some(under) && !kept(node));
        self.actions.extend(others.map(|(_, under)| Action::MemberGone { member: under.0 }));
    }

    fn enforce(&mut self, wanted: Sorted<NodeId, (u32, u64)>) {
        for (node, under) in wanted.iter().filter(|(node, under)| self.in_force.get(node) != Some(under)) {
            let &(member, boot) = under;
            let held = self.interest.get(*node).filter(|held| held.boot() == boot);
            let served = |key: &Key| self.membership.allows_account(*node, &key.account);
            let entries = held.into_iter().flat_map(|held| held.entries()).filter(|(key, _)| served(key));
            self.actions.extend(entries.map(|(key, weight)| Action::SetInterest { member, key: key.clone(), weight }));
        }
        self.in_force = wanted;
    }

    /// Withdraws a node's interest and forgets it.
    pub(super) fn drop_interest(&mut self, node: NodeId) {
        self.interest.remove(node);
        self.pulls.cancel(node);
        if let Some((member, _)) = self.in_force.remove(&node) {
            self.actions.push_back(Action::MemberGone { member });
        }
    }

    /// Each upstream is served by the smallest key among the nodes within reach that can.
    fn elect(&mut self) {
        let mut first: BTreeMap<u64, NodeId> = BTreeMap::new();
        for (node, entry) in self.lsdb.iter().filter(|(node, _)| self.routes.reachable.contains_key(node)) {
            for &upstream in &entry.lsa().upstreams {
                first.entry(upstream).or_insert(node);
            }
        }
        let mine = first.into_iter().filter(|(_, node)| *node == self.me.node);
        let serving: BTreeSet<u64> = mine.map(|(upstream, _)| upstream).collect();
        for (ids, active) in [(&self.serving - &serving, false), (&serving - &self.serving, true)] {
            self.actions.extend(ids.into_iter().map(|id| Action::Upstream { id: UpstreamId(id), active }));
        }
        self.serving = serving;
    }
}
