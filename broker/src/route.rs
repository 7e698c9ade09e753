//! Routes: who takes the messages of one subject, worked out once and kept while interest stays the same.
//!
//! A route holds takers of every kind; which of them a message may go to depends on where it comes from, and is
//! left to the delivery.

use crate::account::Account;
use crate::crossing::Crossing;
use crate::generation::{Shards, hash};
use crate::message::UpstreamId;
use crate::neighbor::{Candidate, Neighbor, NeighborKind};
use crate::sublist::{Entries, NeighborId};
use crate::subscription::{Subscription, Taker};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Routes that one publisher keeps, beside its last one.
const SLOTS: usize = 256;
/// Routes with more takers are only kept as the last one: 256 of them would be too much memory.
pub(crate) const TARGETS_KEPT_MAX: usize = 1024;

/// A neighbour as the broker keeps it.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) id: NeighborId,
    pub(crate) kind: NeighborKind,
    pub(crate) neighbor: Arc<dyn Neighbor>,
}

#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) subject: Box<[u8]>,
    pub(crate) plain: Vec<Target>,
    /// In the order of their names.
    pub(crate) groups: Vec<Group>,
    pub(crate) hops: Vec<Hop>,
    /// Ways into other accounts.
    pub(crate) crossings: Vec<Crossing>,
    shards: Shards,
    stamp: u64,
}

/// A subscription, and what a message to it starts with.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) subscription: Arc<Subscription>,
    /// `HMSG subject sid `; without its first byte it is what `MSG` needs. Empty for in-process clients.
    pub(crate) prefix: Box<[u8]>,
    /// What the subject is called for this subscription, when it is one of another account.
    pub(crate) renamed: Option<Box<[u8]>>,
}

/// A queue group: all members of that name, whatever filter they came with.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Box<[u8]>,
    pub(crate) local: Vec<Target>,
    /// Members behind the mesh that are clients of their node.
    pub(crate) mesh: Vec<Candidate>,
    /// Members behind the mesh that are upstream servers.
    pub(crate) mesh_upstream: Vec<Candidate>,
    /// Own leaf links: index of the hop, and whose it is.
    pub(crate) leaves: Vec<(usize, UpstreamId)>,
    /// Leaf nodes of this server: index of the hop, and how many members.
    pub(crate) spokes: Vec<(usize, u32)>,
}

/// A neighbour with plain interest, or with queue members.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) attached: Arc<Attached>,
    /// Members with plain interest, each once.
    pub(crate) members: Vec<u32>,
    /// Those of them whose interest is not only that of an upstream server.
    pub(crate) direct: Vec<u32>,
}

impl Route {
    /// True while the route is what a new one would be.
    #[inline]
    pub(crate) fn is_current(&self, account: &Account) -> bool {
        self.stamp == account.generations().stamp(self.shards)
    }

    /// True when nobody takes the message.
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty() && self.hops.is_empty() && self.crossings.is_empty()
    }

    /// The hop to the mesh.
    pub(crate) fn mesh_hop(&self) -> Option<usize> {
        self.hops.iter().position(|hop| hop.attached.kind == NeighborKind::Mesh)
    }

    /// The queue group of that name.
    pub(crate) fn group(&self, name: &[u8]) -> Option<&Group> {
        let at = self.groups.binary_search_by(|group| (*group.name).cmp(name)).ok()?;
        self.groups.get(at)
    }

    pub(crate) fn targets(&self) -> usize {
        self.plain.len() + self.groups.iter().map(|group| group.local.len()).sum::<usize>()
    }
}

/// Collects what matches a subject.
#[derive(Debug)]
pub(crate) struct RouteBuilder<'a> {
    subject: &'a [u8],
    shards: Shards,
    stamp: u64,
    plain: Vec<Target>,
    groups: BTreeMap<&'a [u8], GroupBuilder>,
    hops: BTreeMap<NeighborId, BTreeMap<(u32, Option<UpstreamId>), ()>>,
}

#[derive(Debug, Default)]
struct GroupBuilder {
    local: Vec<Target>,
    members: BTreeMap<(NeighborId, u32, Option<UpstreamId>), u32>,
}

impl<'a> RouteBuilder<'a> {
    /// Begins a route; to be called before the interest is looked at, so that a change meanwhile makes it stale.
    pub(crate) fn new(account: &Account, subject: &'a [u8]) -> Self {
        let shards = Shards::of(subject);
        let stamp = account.generations().stamp(shards);
        Self { subject, shards, stamp, plain: Vec::new(), groups: BTreeMap::new(), hops: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, entries: &'a Entries<Arc<Subscription>>) {
        self.plain.extend(entries.plain().iter().filter_map(|(_, entry)| Target::new(self.subject, entry)));
        for (name, members) in entries.groups() {
            let group = self.groups.entry(name).or_default();
            group.local.extend(members.iter().filter_map(|(_, entry)| Target::new(self.subject, entry)));
        }
        for (key, weight) in entries.members.iter() {
            let via = key.detail.via();
            match key.detail.queue() {
                None => {
                    self.hops.entry(key.neighbor).or_default().insert((key.member, via), ());
                }
                Some(name) => {
                    let group = self.groups.entry(name).or_default();
                    let total = group.members.entry((key.neighbor, key.member, via)).or_default();
                    *total = total.saturating_add(*weight);
                    self.hops.entry(key.neighbor).or_default();
                }
            }
        }
    }

    /// Ends the collection; `neighbors` are those attached when it was made.
    pub(crate) fn finish(mut self, neighbors: &[Arc<Attached>]) -> RouteDraft {
        let hops: Vec<Hop> = neighbors
            .iter()
            .filter_map(|attached| Some(Hop::new(attached, &self.hops.remove(&attached.id)?)))
            .collect();
        let groups = self.groups.into_iter().map(|(name, group)| group.finish(name, &hops)).collect();
        let route = Route {
            subject: self.subject.into(),
            plain: self.plain,
            groups,
            hops,
            crossings: Vec::new(),
            shards: self.shards,
            stamp: self.stamp,
        };
        RouteDraft { route, neighbors: neighbors.to_vec() }
    }
}

/// A route that the neighbours have not been asked about yet.
#[derive(Debug)]
pub(crate) struct RouteDraft {
    route: Route,
    neighbors: Vec<Arc<Attached>>,
}

impl RouteDraft {
    /// Adds the members that the neighbours have learnt of. Calls them, so no lock may be held.
    pub(crate) fn ask(mut self, account: &[u8]) -> Route {
        for attached in &self.neighbors {
            let Some(member) = attached.neighbor.learnt(account, &self.route.subject) else {
                continue;
            };
            let hops = &mut self.route.hops;
            let at = hops.iter().position(|hop| hop.attached.id == attached.id).unwrap_or_else(|| {
                hops.push(Hop { attached: attached.clone(), members: Vec::new(), direct: Vec::new() });
                hops.len() - 1
            });
            let hop = &mut hops[at];
            for list in [&mut hop.members, &mut hop.direct] {
                if !list.contains(&member) {
                    list.push(member);
                }
            }
        }
        self.route
    }
}

impl Target {
    /// `None` when the subscriber's permissions keep these messages from it.
    fn new(subject: &[u8], subscription: &Arc<Subscription>) -> Option<Self> {
        if let Some(shadow) = &subscription.shadow {
            let here = shadow.mapping.to_here(subject)?;
            return Some(Self { renamed: Some(here.as_slice().into()), ..Self::new(&here, &shadow.of)? });
        }
        let prefix = match &subscription.taker {
            Taker::Client(client) if client.is_hidden(subject, subscription.queue.as_deref()) => return None,
            Taker::Client(_) => [b"HMSG ", subject, b" ", &subscription.sid, b" "].concat().into(),
            Taker::Local(_) => Box::default(),
        };
        Some(Self { subscription: subscription.clone(), prefix, renamed: None })
    }
}

impl GroupBuilder {
    fn finish(self, name: &[u8], hops: &[Hop]) -> Group {
        let mut group = Group {
            name: name.into(),
            local: self.local,
            mesh: Vec::new(),
            mesh_upstream: Vec::new(),
            leaves: Vec::new(),
            spokes: Vec::new(),
        };
        for ((neighbor, member, via), weight) in self.members {
            let Some(hop) = hops.iter().position(|hop| hop.attached.id == neighbor) else {
                continue;
            };
            match hops[hop].attached.kind {
                NeighborKind::Leaf(upstream) => group.leaves.push((hop, upstream)),
                NeighborKind::Spoke(_) => group.spokes.push((hop, weight)),
                NeighborKind::Mesh if via.is_none() => group.mesh.push(Candidate { member, weight, via }),
                NeighborKind::Mesh => group.mesh_upstream.push(Candidate { member, weight, via }),
            }
        }
        group
    }
}

impl Hop {
    fn new(attached: &Arc<Attached>, interest: &BTreeMap<(u32, Option<UpstreamId>), ()>) -> Self {
        let mut members: Vec<u32> = interest.keys().map(|(member, _)| *member).collect();
        // Keys are in the order of the member, so repeats are neighbours.
        members.dedup();
        let direct = interest.keys().filter(|(_, via)| via.is_none()).map(|(member, _)| *member).collect();
        Self { attached: attached.clone(), members, direct }
    }
}

/// The routes that a publisher has used of late. Bounded: a new one takes the place of an old one.
#[derive(Debug, Default)]
pub(crate) struct RouteCache {
    last: Option<Arc<Route>>,
    /// Empty until a second subject is published to.
    slots: Vec<Option<Arc<Route>>>,
}

impl RouteCache {
    /// The current route of `subject`.
    #[inline]
    pub(crate) fn find(&mut self, account: &Account, subject: &[u8]) -> &Arc<Route> {
        let hit = self.last.as_ref().is_some_and(|route| *route.subject == *subject && route.is_current(account));
        if !hit {
            self.change(account, subject);
        }
        self.last.as_ref().expect("set just above when it was not there")
    }

    fn change(&mut self, account: &Account, subject: &[u8]) {
        let slot = (hash(subject) >> 32) as usize % SLOTS;
        if self.slots.is_empty() {
            if self.last.is_none() {
                self.last = Some(account.route(subject));
                return;
            }
            self.slots.resize(SLOTS, None);
        }
        let kept = self.slots[slot].take().filter(|route| *route.subject == *subject && route.is_current(account));
        let route = kept.unwrap_or_else(|| account.route(subject));
        self.slots[slot] = (route.targets() <= TARGETS_KEPT_MAX).then(|| route.clone());
        self.last = Some(route);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
