//! An account: its sublist, the feed of interest to the neighbours, and the routes that were worked out.
//!
//! The state's lock is held while neighbours are told of a change, so that they hear changes in order and a new
//! one gets the present state first. A neighbour must therefore not call the broker while it holds a lock that
//! its [`interest`](crate::Neighbor::interest) takes.

use crate::few::Few;
use crate::generation::Generations;
use crate::lock::{lock, read, write};
use crate::message::UpstreamId;
use crate::neighbor::{InterestChange, InterestSource, NeighborKind};
use crate::route::{Attached, Route, RouteBuilder, TARGETS_KEPT_MAX};
use crate::sublist::{Entries, MemberKey, NeighborId, Sublist};
use crate::subscription::Subscription;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};

/// Routes kept for all publishers of the account.
const ROUTES_MAX: usize = 1024;
/// Takers in all kept routes together.
const ROUTE_TARGETS_MAX: usize = 128 * TARGETS_KEPT_MAX;

#[derive(Debug)]
pub(crate) struct Account {
    name: Box<[u8]>,
    generations: Generations,
    state: RwLock<State>,
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct State {
    sublist: Sublist<Arc<Subscription>>,
    neighbors: Vec<Arc<Attached>>,
    /// What each member of each neighbour holds, to withdraw it at once.
    held: BTreeMap<(NeighborId, u32), Few<Held, ()>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    filter: Box<[u8]>,
    queue: Option<Box<[u8]>>,
    via: Option<UpstreamId>,
}

#[derive(Debug, Default)]
struct Routes {
    by_subject: HashMap<Box<[u8]>, Arc<Route>>,
    targets: usize,
}

impl Account {
    pub(crate) fn new(name: &[u8]) -> Self {
        Self {
            name: name.into(),
            generations: Generations::default(),
            state: RwLock::default(),
            routes: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(crate) fn generations(&self) -> &Generations {
        &self.generations
    }

    pub(crate) fn subscribe(&self, subscription: &Arc<Subscription>) {
        let (filter, queue) = (&*subscription.filter, subscription.queue.as_deref());
        let mut state = write(&self.state);
        let count = state.sublist.insert(filter, queue, subscription.id, subscription.clone());
        self.generations.bump(filter);
        if queue.is_some() || count == 1 {
            self.announce(&state, None, InterestSource::Clients, filter, queue, count);
        }
    }

    /// Removes a subscription; false when it was not there.
    pub(crate) fn unsubscribe(&self, subscription: &Subscription) -> bool {
        let (filter, queue) = (&*subscription.filter, subscription.queue.as_deref());
        let mut state = write(&self.state);
        let Some(left) = state.sublist.remove(filter, queue, subscription.id) else {
            return false;
        };
        self.generations.bump(filter);
        if queue.is_some() || left == 0 {
            self.announce(&state, None, InterestSource::Clients, filter, queue, left);
        }
        true
    }

    /// Adds a neighbour, and tells it of all interest that there is.
    pub(crate) fn attach(&self, attached: &Arc<Attached>) {
        let mut state = write(&self.state);
        let sources: BTreeMap<NeighborId, NeighborKind> = state.neighbors.iter().map(|n| (n.id, n.kind)).collect();
        state.sublist.walk(&mut |filter, entries| self.replay(attached, &sources, filter, entries));
        state.neighbors.push(attached.clone());
        self.generations.bump_all();
    }

    /// Removes a neighbour with all its interest.
    pub(crate) fn detach(&self, id: NeighborId) {
        let mut state = write(&self.state);
        let members: Vec<u32> = state.held.range((id, 0)..=(id, u32::MAX)).map(|((_, member), _)| *member).collect();
        for member in members {
            self.withdraw(&mut state, id, member);
        }
        state.neighbors.retain(|attached| attached.id != id);
        self.generations.bump_all();
        // Stale routes would keep the neighbour alive.
        *lock(&self.routes) = Routes::default();
    }

    /// Sets the weight of a member's interest in a filter, which must be a valid one.
    pub(crate) fn set_interest(&self, filter: &[u8], key: &MemberKey, weight: u32) {
        let mut state = write(&self.state);
        let Some(kind) = state.neighbors.iter().find(|attached| attached.id == key.neighbor).map(|a| a.kind) else {
            return;
        };
        if state.sublist.set_member(filter, key, weight) == weight {
            return;
        }
        let held = Held { filter: filter.into(), queue: key.queue.clone(), via: key.via };
        let owner = (key.neighbor, key.member);
        if weight > 0 {
            state.held.entry(owner).or_default().insert(held, ());
        } else if let Some(all) = state.held.get_mut(&owner) {
            all.remove(&held);
            if all.is_empty() {
                state.held.remove(&owner);
            }
        }
        self.generations.bump(filter);
        let source = source(kind, key.member, key.via);
        self.announce(&state, Some(key.neighbor), source, filter, key.queue.as_deref(), weight as usize);
    }

    /// Withdraws all interest of a member.
    pub(crate) fn remove_member(&self, id: NeighborId, member: u32) {
        self.withdraw(&mut write(&self.state), id, member);
    }

    /// What neighbours have learnt has changed.
    pub(crate) fn invalidate(&self) {
        self.generations.bump_all();
    }

    /// The route of `subject`, perhaps one that was worked out before.
    pub(crate) fn route(&self, subject: &[u8]) -> Arc<Route> {
        if let Some(route) = lock(&self.routes).by_subject.get(subject).filter(|route| route.is_current(self)) {
            return route.clone();
        }
        let route = Arc::new(self.make_route(subject));
        lock(&self.routes).keep(&route);
        route
    }

    /// Visits plain subscriptions that match `subject`, until one is wanted.
    pub(crate) fn find_plain(
        &self,
        subject: &[u8],
        wanted: impl Fn(&Subscription) -> bool,
    ) -> Option<Arc<Subscription>> {
        let mut found = None;
        read(&self.state).sublist.matching(subject, &mut |entries| {
            if found.is_none() {
                found = entries.plain.iter().map(|(_, s)| s).find(|subscription| wanted(subscription)).cloned();
            }
        });
        found
    }

    fn make_route(&self, subject: &[u8]) -> Route {
        let mut builder = RouteBuilder::new(self, subject);
        let draft = {
            let state = read(&self.state);
            state.sublist.matching(subject, &mut |entries| builder.add(entries));
            builder.finish(&state.neighbors)
        };
        draft.ask(&self.name)
    }

    fn withdraw(&self, state: &mut State, id: NeighborId, member: u32) {
        let Some(kind) = state.neighbors.iter().find(|attached| attached.id == id).map(|attached| attached.kind) else {
            return;
        };
        for (held, ()) in state.held.remove(&(id, member)).unwrap_or_default() {
            let key = MemberKey { neighbor: id, member, via: held.via, queue: held.queue };
            state.sublist.set_member(&held.filter, &key, 0);
            self.generations.bump(&held.filter);
            let source = source(kind, member, held.via);
            self.announce(state, Some(id), source, &held.filter, key.queue.as_deref(), 0);
        }
    }

    fn announce(
        &self,
        state: &State,
        but: Option<NeighborId>,
        source: InterestSource,
        subject: &[u8],
        queue: Option<&[u8]>,
        count: usize,
    ) {
        let weight = u32::try_from(count).unwrap_or(u32::MAX);
        let change = InterestChange { source, account: &self.name, subject, queue, weight };
        for attached in state.neighbors.iter().filter(|attached| Some(attached.id) != but) {
            attached.neighbor.interest(&change);
        }
    }

    fn replay(
        &self,
        to: &Attached,
        sources: &BTreeMap<NeighborId, NeighborKind>,
        subject: &[u8],
        entries: &Entries<Arc<Subscription>>,
    ) {
        let tell = |source, queue, weight| {
            to.neighbor.interest(&InterestChange { source, account: &self.name, subject, queue, weight });
        };
        if !entries.plain.is_empty() {
            tell(InterestSource::Clients, None, 1);
        }
        for (group, members) in &entries.groups {
            tell(InterestSource::Clients, Some(group), u32::try_from(members.len()).unwrap_or(u32::MAX));
        }
        for (key, weight) in entries.members.iter() {
            if let Some(kind) = sources.get(&key.neighbor) {
                tell(source(*kind, key.member, key.via), key.queue.as_deref(), *weight);
            }
        }
    }
}

impl Routes {
    fn keep(&mut self, route: &Arc<Route>) {
        if route.targets() > ROUTE_TARGETS_MAX {
            return;
        }
        if self.by_subject.len() >= ROUTES_MAX || self.targets + route.targets() > ROUTE_TARGETS_MAX {
            *self = Self::default();
        }
        self.targets += route.targets();
        if let Some(old) = self.by_subject.insert(route.subject.clone(), route.clone()) {
            self.targets -= old.targets();
        }
    }
}

fn source(kind: NeighborKind, member: u32, via: Option<UpstreamId>) -> InterestSource {
    match kind {
        NeighborKind::Mesh => InterestSource::Mesh { member, via },
        NeighborKind::Leaf(upstream) => InterestSource::Leaf(upstream),
    }
}
