//! An account: its sublist, the feed of interest to the neighbours, and the routes that were worked out.
//!
//! The state's lock is held while neighbours are told of a change, so that they hear changes in order and a new
//! one gets the present state first. A neighbour must therefore not call the broker while it holds a lock that
//! its [`interest`](crate::Neighbor::interest) takes.

use crate::auth::{AccountLimits, Auth, Import, SubjectMapping};
use crate::crossing::Crossing;
use crate::env::{Env, Rng};
use crate::few::Few;
use crate::generation::Generations;
use crate::imports::Imports;
use crate::lock::{lock, read, write};
use crate::mappings::Mappings;
use crate::monitor::Record;
use crate::neighbor::{InterestChange, InterestSource, NeighborKind};
use crate::responses::{self, Responses};
use crate::route::{Attached, Route, RouteBuilder, TARGETS_KEPT_MAX};
use crate::stats::Traffic;
use crate::sublist::{Entries, FilterId, MemberKey, NeighborId, Sublist};
use crate::subscription::Subscription;
use rand_core::Rng as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, RwLock, Weak};

/// Routes kept for all publishers of the account.
const ROUTES_MAX: usize = 1024;
/// Takers in all kept routes together.
const ROUTE_TARGETS_MAX: usize = 128 * TARGETS_KEPT_MAX;

/// What all accounts of a broker share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) env: Env,
    next_id: AtomicU64,
    /// Of reply subjects of services: what this server's begin with, and chance for the rest.
    reply_prefix: Box<[u8]>,
    replies: Mutex<Rng>,
}

#[derive(Debug)]
pub(crate) struct Account {
    /// Itself, for those who outlive it.
    me: Weak<Self>,
    common: Arc<Common>,
    imports: Mutex<Imports>,
    has_imports: AtomicBool,
    mappings: RwLock<Option<Arc<Mappings>>>,
    has_mappings: AtomicBool,
    /// Requests of other accounts to services of this one.
    responses: Responses,
    name: Box<[u8]>,
    generations: Generations,
    state: RwLock<State>,
    routes: Mutex<Routes>,
    /// Client connections, and how many there may be.
    connections: AtomicUsize,
    connections_max: AtomicUsize,
    /// Of clients that have gone.
    past: Mutex<Past>,
}

/// What clients have moved that have gone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
    pub(crate) slow_consumers: u64,
}

#[derive(Debug, Default)]
struct State {
    sublist: Sublist<Arc<Subscription>>,
    neighbors: Vec<Arc<Attached>>,
    /// Those of them that are leaf nodes of this server.
    spokes: BTreeSet<NeighborId>,
    /// What each member of each neighbour holds, to withdraw it at once.
    held: BTreeMap<(NeighborId, u32), Few<FilterId, ()>>,
    /// Subscriptions made and removed so far.
    inserts: u64,
    removes: u64,
}

#[derive(Debug, Default)]
struct Routes {
    by_subject: HashMap<Box<[u8]>, Arc<Route>>,
    targets: usize,
    /// Subjects looked up so far, and those of them that were there.
    lookups: u64,
    hits: u64,
}

/// How the account is searched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Searched {
    pub(crate) inserts: u64,
    pub(crate) removes: u64,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
    /// Routes that are kept.
    pub(crate) kept: usize,
    /// Takers in all of them, and in the one with most.
    pub(crate) fanout: usize,
    pub(crate) fanout_max: usize,
}

impl Common {
    pub(crate) fn new(env: Env) -> Self {
        let mut rng = env.rng("replies");
        let mut reply_prefix = responses::PREFIX.to_vec();
        push_letters(&mut reply_prefix, rng.next_u64());
        reply_prefix.push(b'.');
        Self { env, next_id: AtomicU64::new(1), reply_prefix: reply_prefix.into(), replies: Mutex::new(rng) }
    }

    /// Numbers clients and subscriptions.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// What one event is told apart by from all others: 22 letters and digits.
    pub(crate) fn event_id(&self) -> String {
        let mut id = Vec::with_capacity(24);
        for _ in 0..3 {
            push_letters(&mut id, lock(&self.replies).next_u64());
        }
        id.truncate(22);
        String::from_utf8_lossy(&id).into_owned()
    }

    /// All subjects that answers of services may have.
    pub(crate) fn replies(&self) -> String {
        format!("{}>", String::from_utf8_lossy(&self.reply_prefix))
    }

    /// A subject for answers that nobody can foresee.
    pub(crate) fn reply_subject(&self) -> Vec<u8> {
        let mut subject = self.reply_prefix.to_vec();
        push_letters(&mut subject, lock(&self.replies).next_u64());
        subject
    }
}

/// Appends eight letters and digits of `random`.
fn push_letters(out: &mut Vec<u8>, mut random: u64) {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..8 {
        out.push(LETTERS[(random % 62) as usize]);
        random /= 62;
    }
}

impl Account {
    pub(crate) fn new(name: &[u8], common: &Arc<Common>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            common: common.clone(),
            imports: Mutex::default(),
            has_imports: AtomicBool::new(false),
            mappings: RwLock::default(),
            has_mappings: AtomicBool::new(false),
            responses: Responses::default(),
            name: name.into(),
            generations: Generations::default(),
            state: RwLock::default(),
            routes: Mutex::default(),
            connections: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(usize::MAX),
            past: Mutex::default(),
        })
    }

    pub(crate) fn common(&self) -> &Common {
        &self.common
    }

    /// Numbers subscriptions.
    pub(crate) fn next_id(&self) -> u64 {
        self.common.next_id()
    }

    pub(crate) fn responses(&self) -> &Responses {
        &self.responses
    }

    /// Sets what the account has from others, which has been validated; `accounts` are all that there are. Nothing is
    /// disturbed when it has that already.
    pub(crate) fn set_imports(&self, auth: &Auth, configured: &[Import], accounts: &BTreeMap<Box<[u8]>, Arc<Self>>) {
        let mut imports = lock(&self.imports);
        if !imports.replace(auth, &String::from_utf8_lossy(&self.name), configured, accounts) {
            return;
        }
        // Who subscribes after this sees it; who did before is found here.
        self.has_imports.store(!configured.is_empty(), Release);
        for subscription in self.subscriptions() {
            imports.subscribed(&subscription);
        }
        self.generations.bump_all();
    }

    /// Sets what messages are sent to instead, which has been validated, in a server of `cluster`. Clients that are there
    /// have to be told to look.
    pub(crate) fn set_mappings(&self, configured: &[SubjectMapping], cluster: &str) {
        let mappings = Mappings::new(configured, cluster).map(Arc::new);
        let mut place = write(&self.mappings);
        self.has_mappings.store(mappings.is_some(), Relaxed);
        *place = mappings;
    }

    /// What messages are sent to instead, if to anything else at all.
    pub(crate) fn mappings(&self) -> Option<Arc<Mappings>> {
        self.has_mappings.load(Relaxed).then(|| read(&self.mappings).clone())?
    }

    /// Those of this account's own clients.
    pub(crate) fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        let mut found = Vec::new();
        read(&self.state).sublist.walk(&mut |_, entries| {
            let members = entries.groups().flat_map(|(_, members)| members);
            let all = entries.plain().iter().chain(members).map(|(_, subscription)| subscription);
            found.extend(all.filter(|subscription| subscription.shadow.is_none()).cloned());
        });
        found
    }

    /// The ways of `subject` into other accounts.
    fn crossings(&self, subject: &[u8]) -> Vec<Crossing> {
        let answer = subject.starts_with(responses::PREFIX).then(|| Crossing::Answer { of: self.me.clone() });
        if !self.has_imports.load(Acquire) {
            return answer.into_iter().collect();
        }
        let imports = lock(&self.imports);
        let requests = imports.services.iter().filter_map(|import| {
            let subject = import.mapping.to_there(subject)?.into();
            let (from, to) = (self.me.clone(), import.from.clone());
            Some(Crossing::Request { from, to, subject, response: import.response })
        });
        requests.chain(answer).collect()
    }

    /// Sets what the clients of the account may use, as far as that is looked at here.
    pub(crate) fn limit(&self, limits: AccountLimits) {
        self.connections_max.store(limits.connections_max.unwrap_or(usize::MAX), Relaxed);
    }

    /// A client comes in; false when there are enough.
    pub(crate) fn enter(&self) -> bool {
        let max = self.connections_max.load(Relaxed);
        self.connections.try_update(Relaxed, Relaxed, |now| (now < max).then_some(now + 1)).is_ok()
    }

    /// A client that came in has gone.
    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// True when anybody, here or elsewhere, wants anything of the account.
    pub(crate) fn has_interest(&self) -> bool {
        !read(&self.state).sublist.is_empty()
    }

    /// A client has gone that came in before; adds what it has moved.
    pub(crate) fn take_leave(&self, record: &Record) {
        let mut past = lock(&self.past);
        past.received += record.received;
        past.sent += record.sent;
        past.slow_consumers += u64::from(record.is_slow_consumer());
    }

    pub(crate) fn past(&self) -> Past {
        *lock(&self.past)
    }

    /// Client connections that there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(crate) fn generations(&self) -> &Generations {
        &self.generations
    }

    pub(crate) fn subscribe(&self, subscription: &Arc<Subscription>) {
        self.add(subscription);
        if self.has_imports.load(Acquire) && subscription.shadow.is_none() {
            lock(&self.imports).subscribed(subscription);
        }
    }

    fn add(&self, subscription: &Arc<Subscription>) {
        let (filter, queue) = (&*subscription.filter, subscription.queue.as_deref());
        let mut state = write(&self.state);
        let count = state.sublist.insert(filter, queue, subscription.id, subscription.clone());
        state.inserts += 1;
        self.generations.bump(filter);
        if queue.is_some() || count == 1 {
            self.announce(&state, None, InterestSource::Clients, filter, queue, count);
        }
    }

    /// Removes a subscription; false when it was not there.
    pub(crate) fn unsubscribe(&self, subscription: &Subscription) -> bool {
        let was_there = self.take_out(subscription);
        if was_there && self.has_imports.load(Acquire) && subscription.shadow.is_none() {
            lock(&self.imports).unsubscribed(subscription.id);
        }
        was_there
    }

    fn take_out(&self, subscription: &Subscription) -> bool {
        let (filter, queue) = (&*subscription.filter, subscription.queue.as_deref());
        let mut state = write(&self.state);
        let Some(left) = state.sublist.remove(filter, queue, subscription.id) else {
            return false;
        };
        state.removes += 1;
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
        state.sublist.walk(&mut |filter, entries| self.replay(&state, attached, &sources, filter, entries));
        state.neighbors.push(attached.clone());
        if matches!(attached.kind, NeighborKind::Spoke(_)) {
            state.spokes.insert(attached.id);
        }
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
        state.spokes.remove(&id);
        self.generations.bump_all();
        // Stale routes would keep the neighbour alive.
        lock(&self.routes).clear();
    }

    /// Sets the weight of a member's interest in a filter, which must be a valid one.
    pub(crate) fn set_interest(&self, filter: &[u8], key: &MemberKey, weight: u32) {
        let mut state = write(&self.state);
        let Some(kind) = state.neighbors.iter().find(|attached| attached.id == key.neighbor).map(|a| a.kind) else {
            return;
        };
        if !state.set(filter, key, weight) {
            return;
        }
        self.generations.bump(filter);
        let source = source(kind, key);
        self.announce(&state, Some(key.neighbor), source, filter, key.detail.queue(), weight as usize);
    }

    /// Withdraws all interest of a member.
    pub(crate) fn remove_member(&self, id: NeighborId, member: u32) {
        self.withdraw(&mut write(&self.state), id, member);
    }

    /// What neighbours have learnt has changed.
    pub(crate) fn invalidate(&self) {
        self.generations.bump_all();
    }

    pub(crate) fn searched(&self) -> Searched {
        let routes = lock(&self.routes);
        let fanouts = routes.by_subject.values().map(|route| route.targets());
        let mut searched = Searched {
            lookups: routes.lookups,
            hits: routes.hits,
            kept: routes.by_subject.len(),
            fanout: fanouts.clone().sum(),
            fanout_max: fanouts.max().unwrap_or_default(),
            ..Searched::default()
        };
        drop(routes);
        let state = read(&self.state);
        (searched.inserts, searched.removes) = (state.inserts, state.removes);
        searched
    }

    /// The route of `subject`, perhaps one that was worked out before.
    pub(crate) fn route(&self, subject: &[u8]) -> Arc<Route> {
        if let Some(route) = lock(&self.routes).find(subject, self) {
            return route;
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
                found = entries.plain().iter().map(|(_, s)| s).find(|subscription| wanted(subscription)).cloned();
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
        let mut route = draft.ask(&self.name);
        route.crossings = self.crossings(subject);
        route
    }

    fn withdraw(&self, state: &mut State, id: NeighborId, member: u32) {
        let Some(kind) = state.neighbors.iter().find(|attached| attached.id == id).map(|attached| attached.kind) else {
            return;
        };
        let owner = (id, member);
        let held = state.held.remove(&owner).unwrap_or_default().into_iter();
        let mut held: Vec<_> = held.filter_map(|(filter, ())| state.sublist.member(filter, owner)).collect();
        held.sort_unstable();
        for (filter, keys) in held {
            for key in keys {
                state.sublist.remove_member(&filter, &key);
                self.generations.bump(&filter);
                self.announce(state, Some(id), source(kind, &key), &filter, key.detail.queue(), 0);
            }
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
        let is_below = matches!(source, InterestSource::Clients | InterestSource::Spoke { .. });
        let together = (is_below && !state.spokes.is_empty()).then(|| InterestChange {
            source: InterestSource::Clients,
            weight: state.sublist.find(subject).map_or(0, |entries| state.below(entries, queue)),
            ..change
        });
        for attached in state.neighbors.iter().filter(|attached| Some(attached.id) != but) {
            match (&together, attached.kind) {
                (Some(together), NeighborKind::Mesh | NeighborKind::Leaf(_)) => attached.neighbor.interest(together),
                (Some(_) | None, _) => attached.neighbor.interest(&change),
            }
        }
    }

    fn replay(
        &self,
        state: &State,
        to: &Attached,
        sources: &BTreeMap<NeighborId, NeighborKind>,
        subject: &[u8],
        entries: &Entries<Arc<Subscription>>,
    ) {
        let tell = |source, queue, weight| {
            to.neighbor.interest(&InterestChange { source, account: &self.name, subject, queue, weight });
        };
        // Spokes are told of each other; to all others they count among the clients.
        let is_spoke = matches!(to.kind, NeighborKind::Spoke(_));
        let spokes = entries.members.iter().filter(|(key, _)| !is_spoke && state.spokes.contains(&key.neighbor));
        let local = entries.groups().map(|(group, _)| Some(group));
        let queues: BTreeSet<Option<&[u8]>> =
            spokes.map(|(key, _)| key.detail.queue()).chain(local).chain([None]).collect();
        for queue in queues {
            let weight = if is_spoke { own(entries, queue) } else { state.below(entries, queue) };
            if weight > 0 {
                tell(InterestSource::Clients, queue, weight);
            }
        }
        for (key, weight) in entries.members.iter() {
            match sources.get(&key.neighbor) {
                Some(NeighborKind::Spoke(_)) if !is_spoke => {}
                Some(kind) => tell(source(*kind, key), key.detail.queue(), *weight),
                None => {}
            }
        }
    }
}

/// How much interest clients have of a kind: 1 for any number of plain subscriptions.
fn own(entries: &Entries<Arc<Subscription>>, queue: Option<&[u8]>) -> u32 {
    match queue {
        None => u32::from(!entries.plain().is_empty()),
        Some(queue) => u32::try_from(entries.group(queue).len()).unwrap_or(u32::MAX),
    }
}

impl State {
    /// As [`own`], with that of the leaf nodes of this server.
    fn below(&self, entries: &Entries<Arc<Subscription>>, queue: Option<&[u8]>) -> u32 {
        let of_spokes = entries.members.iter();
        let of_spokes = of_spokes.filter(|(key, _)| key.detail.queue() == queue && self.spokes.contains(&key.neighbor));
        let sum = of_spokes.fold(own(entries, queue), |sum, (_, weight)| sum.saturating_add(*weight));
        if queue.is_some() { sum } else { sum.min(1) }
    }

    /// Sets the weight of a member's interest; false when it had that.
    fn set(&mut self, filter: &[u8], key: &MemberKey, weight: u32) -> bool {
        let owner = (key.neighbor, key.member);
        if weight > 0 {
            let (before, filter) = self.sublist.set_member(filter, key, weight);
            if before == 0 {
                self.held.entry(owner).or_default().insert(filter, ());
            }
            return before != weight;
        }
        let Some(removed) = self.sublist.remove_member(filter, key) else { return false };
        if removed.is_last
            && let Some(all) = self.held.get_mut(&owner)
        {
            all.remove(&removed.filter);
            if all.is_empty() {
                self.held.remove(&owner);
            }
        }
        true
    }
}

impl Routes {
    fn find(&mut self, subject: &[u8], account: &Account) -> Option<Arc<Route>> {
        self.lookups += 1;
        let found = self.by_subject.get(subject).filter(|route| route.is_current(account)).cloned();
        self.hits += u64::from(found.is_some());
        found
    }

    fn clear(&mut self) {
        (self.by_subject, self.targets) = (HashMap::default(), 0);
    }

    fn keep(&mut self, route: &Arc<Route>) {
        if route.targets() > ROUTE_TARGETS_MAX {
            return;
        }
        if self.by_subject.len() >= ROUTES_MAX || self.targets + route.targets() > ROUTE_TARGETS_MAX {
            self.clear();
        }
        self.targets += route.targets();
        if let Some(old) = self.by_subject.insert(route.subject.clone(), route.clone()) {
            self.targets -= old.targets();
        }
    }
}

fn source(kind: NeighborKind, key: &MemberKey) -> InterestSource {
    match kind {
        NeighborKind::Mesh => InterestSource::Mesh { member: key.member, via: key.detail.via() },
        NeighborKind::Leaf(upstream) => InterestSource::Leaf(upstream),
        NeighborKind::Spoke(cluster) => InterestSource::Spoke { id: key.neighbor.0, cluster },
    }
}
