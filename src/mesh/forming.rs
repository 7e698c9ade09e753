//! Whom to dial, so that the lattice forms and stays whole: bridges to nodes out of reach, and a few links besides. No
//! IO: time and chance come in, what to dial comes out.
//!
//! Each node decides for itself, by these rules:
//! - A known member that cannot be reached, and that is not linked, is dialled for ever: at first soon, then ever more
//!   rarely. This is how a lattice forms, and how parts that lived apart become one.
//! - As long as the node has fewer than `links_min` links, whoever has dialled them, it dials one that can be reached
//!   already: one to which the way is cheap, of those that have few links themselves; the last one any at random.
//! - One link that it has itself dialled at random it wants in any case, up to `links_max` links: neighbours that are all
//!   near each other would make a lattice of islands.
//!
//! Links are only added, never ended: each node stops at `links_max` of its own accord, and no node's doing undoes
//! another's, so that this comes to rest. One more than that comes about where others dial this node, and where it was a
//! bridge. Links to configured peers are `dialer.rs`'s; they count, like all others.
//!
//! Contract: after each call drain [`Forming::poll`] and [`Forming::poll_record`] to `None`, then arm [`Forming::due`].

use super::allowance::{Allowance, Limit};
use super::candidates::{Candidate, Candidates, Kept, is_dialable};
use super::id::NodeId;
use lattice_broker::env::Rng;
use rand_core::Rng as _;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// After so many failures a node is dialled with leisure…
const QUICK_FAILURES_MAX: u32 = 6;
/// …which is: no two such attempts closer together than this. A handshake that nobody answers is some 6 kB.
const LEISURE: Duration = Duration::from_secs(3);
/// A node is dialled no sooner after the last attempt, whatever it announces: it could name a victim's address.
const ANNOUNCED_PAUSE: Duration = Duration::from_secs(10);
/// Of so many nodes that are drawn the nearest is dialled.
const DRAWS: usize = 4;
/// A node that beacons tell of is dialled no sooner after the last attempt.
const HEARD_PAUSE: Duration = Duration::from_secs(2);
/// So many are dialled for a beacon at once, and eight a second: anybody can make up beacons who knows the root.
const HEARD: Limit = Limit { at_once: 32, every: Duration::from_millis(125) };
/// For each node in reach a node waits up to so much longer before it dials a newcomer: all have heard it, and a few will do.
const HEARD_WAIT: Duration = Duration::from_millis(20);
const HEARD_WAIT_MAX: Duration = Duration::from_secs(3);
/// A link that ends sooner than this after it came up is no good one…
const BRIEF: Duration = Duration::from_secs(10);
/// …and the more of them there were in a row, the longer it is until its node is dialled again, up to this.
const BRIEF_WAIT_MAX: Duration = Duration::from_secs(10);
/// After a node has refused a bridge it is dialled again so much later: news of the way that it has is likely under way.
const REFUSED_WAIT: Duration = Duration::from_secs(10);
/// How often something may be written down: a disk is worn by it, and a member can say every second that it has moved.
const SAVES: Limit = Limit { at_once: 20, every: Duration::from_secs(30) };
/// When to look again, when it may not.
const SAVE_AGAIN: Duration = Duration::from_secs(10);
/// How long after a change of the routes the links are looked at: more changes follow.
const SETTLING: Duration = Duration::from_millis(200);

/// Bounds and delays of forming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether this node dials whom nobody has configured.
    pub auto: bool,
    /// A node with fewer links dials more.
    pub links_min: usize,
    /// A node with as many dials no more, but for bridges.
    pub links_max: usize,
    /// A node with as many links takes no more from those that it can reach otherwise.
    pub accept_max: usize,
    /// The first wait before a node out of reach is dialled again.
    pub redial_min: Duration,
    /// The longest.
    pub redial_max: Duration,
    /// Least time between the beginnings of two attempts.
    pub stagger: Duration,
    /// Attempts under way at once, at most.
    pub dials_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auto: true,
            links_min: 4,
            links_max: 6,
            accept_max: 128,
            redial_min: Duration::from_millis(500),
            redial_max: Duration::from_secs(600),
            stagger: Duration::from_millis(25),
            dials_max: 8,
        }
    }
}

/// A node that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it costs.
    pub cost: u32,
    /// How many links it has.
    pub links: usize,
    /// Whether messages of others go through it.
    pub transit: bool,
}

/// Why a node is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It cannot be reached.
    Bridge,
    /// It is near.
    Near,
    /// By chance.
    Far,
}

/// Whom to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The node.
    pub node: NodeId,
    /// Where, the best first.
    pub addresses: Vec<SocketAddr>,
    /// What for.
    pub why: Why,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node did not answer, or no link came of it.
    Failed,
    /// It answered, and can be reached otherwise by now.
    Needless,
    /// It answered, and has links enough to those that reach it otherwise, as it says.
    Refused,
    /// It is a member no more.
    Revoked,
    /// It was linked for a while.
    WasLinked,
}

/// What is to be written down of a node; nothing when it is to be forgotten.
pub type Record = (NodeId, Option<(Vec<SocketAddr>, u64)>);

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Attempts at nodes out of reach…
    pub dials_bridge: u64,
    /// …at nodes that are near…
    pub dials_near: u64,
    /// …and at nodes by chance.
    pub dials_far: u64,
    /// Attempts that came to nothing.
    pub failures: u64,
    /// Beacons that were not followed up, since there were too many.
    pub beacons_late: u64,
    /// Nodes that could be dialled, at present.
    pub candidates: u64,
    /// Nodes that were not kept, since too many were known.
    pub candidates_refused: u64,
    /// Nodes that were forgotten for others.
    pub candidates_evicted: u64,
    /// Addresses that were not kept.
    pub addresses_dropped: u64,
}

impl Counters {
    /// All counts by name.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, u64); 9] {
        [
            ("dials_bridge", self.dials_bridge),
            ("dials_near", self.dials_near),
            ("dials_far", self.dials_far),
            ("failures", self.failures),
            ("beacons_late", self.beacons_late),
            ("candidates", self.candidates),
            ("candidates_refused", self.candidates_refused),
            ("candidates_evicted", self.candidates_evicted),
            ("addresses_dropped", self.addresses_dropped),
        ]
    }
}

/// Decides whom one node dials.
#[derive(Debug)]
pub struct Forming {
    config: Config,
    /// This node's boot epoch.
    boot: u64,
    rng: Rng,
    candidates: Candidates,
    own: Vec<SocketAddr>,
    /// The neighbours, and since when.
    links: BTreeMap<NodeId, Instant>,
    dialling: BTreeMap<NodeId, Why>,
    /// The neighbour that was chosen by chance.
    far: Option<NodeId>,
    /// When to look next, if anything is to be done.
    look: Option<Instant>,
    /// No attempt begins before.
    next: Instant,
    /// No attempt with leisure begins before.
    leisure: Instant,
    heard: Allowance,
    unsaved: BTreeSet<NodeId>,
    saves: Allowance,
    /// What is to be written down may be, all of it.
    saving: bool,
    /// The kind of bridges that is first in turn.
    turn: usize,
    counters: Counters,
}

impl Forming {
    /// For a node in its life `boot`, which knows nobody yet.
    #[must_use]
    pub fn new(config: Config, boot: u64, rng: Rng, now: Instant) -> Self {
        Self {
            config,
            boot,
            rng,
            candidates: Candidates::default(),
            own: Vec::new(),
            links: BTreeMap::new(),
            dialling: BTreeMap::new(),
            far: None,
            look: None,
            next: now,
            leisure: now,
            heard: Allowance::default(),
            unsaved: BTreeSet::new(),
            saves: Allowance::default(),
            saving: false,
            turn: 0,
            counters: Counters::default(),
        }
    }

    /// Takes in what was written down before a restart: where `node` was, and in which life the two were last linked.
    pub fn remember(&mut self, now: Instant, node: NodeId, addresses: Vec<SocketAddr>, linked: u64) {
        if self.config.auto {
            self.candidates.insert(node, Candidate { linked, ..Candidate::new(now, addresses) });
            self.wake(now);
        }
    }

    /// Where this node is dialled: it does not dial itself.
    pub fn set_own(&mut self, own: &[SocketAddr]) {
        self.own = own.to_vec();
    }

    /// A member has said where it is dialled.
    pub fn announced(&mut self, now: Instant, node: NodeId, addresses: &[SocketAddr]) {
        if !self.config.auto {
            return;
        }
        if let Kept::New { evicted } = self.candidates.note(now, self.boot, node, addresses) {
            self.unsaved.insert(node);
            self.unsaved.extend(evicted);
            // Whoever can be reached by then needs no bridge.
            let soon = now + SETTLING + self.jitter(self.config.stagger);
            let Some(known) = self.candidates.get_mut(&node) else { return };
            known.due = known.tried.map_or(soon, |tried| known.due.min(soon.max(tried + ANNOUNCED_PAUSE)));
            let due = known.due;
            self.wake(due);
        }
    }

    /// A beacon says that `node` is at `at`. There are `others` in reach.
    pub fn heard(&mut self, now: Instant, node: NodeId, at: SocketAddr, others: usize) {
        if !self.config.auto || self.links.contains_key(&node) || self.dialling.contains_key(&node) {
            return;
        }
        let most = HEARD_WAIT.saturating_mul(u32::try_from(others).unwrap_or(u32::MAX)).min(HEARD_WAIT_MAX);
        let soon = now + most.mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX));
        let before = self.candidates.get(&node);
        let due = before.and_then(|known| known.tried).map_or(soon, |tried| soon.max(tried + HEARD_PAUSE));
        // Where nothing is due any sooner for it, a beacon costs nothing.
        if before.is_none_or(|known| known.due > due) && !self.heard.take(now, HEARD) {
            self.counters.beacons_late += 1;
            return;
        }
        let fresh = before.is_none();
        if let Kept::New { evicted } = self.candidates.hint(now, node, at) {
            self.unsaved.extend(evicted);
        }
        let Some(known) = self.candidates.get_mut(&node) else { return };
        known.due = if fresh { due } else { known.due.min(due) };
        known.failures = known.failures.min(QUICK_FAILURES_MAX - 1);
        let due = known.due;
        self.wake(due);
    }

    /// A link to `node` is up; this node has dialled it at `found`, unless that is nothing.
    pub fn linked(&mut self, now: Instant, node: NodeId, found: Option<SocketAddr>) {
        self.links.insert(node, now);
        if self.dialling.remove(&node) == Some(Why::Far) {
            self.far = Some(node);
        }
        if self.config.auto && self.candidates.get(&node).is_none() && found.is_some() {
            self.announced(now, node, &[]);
        }
        if let Some(known) = self.candidates.get_mut(&node) {
            known.failures = 0;
            known.hinted = false;
            if known.linked != self.boot || found.is_some_and(|found| Some(found) != known.found) {
                known.linked = self.boot;
                known.found = found.or(known.found);
                self.unsaved.insert(node);
            }
        }
        self.wake(now + self.config.stagger);
    }

    /// The link to `node` has ended.
    pub fn unlinked(&mut self, now: Instant, node: NodeId) {
        let since = self.links.remove(&node);
        self.far = self.far.filter(|far| *far != node);
        let lasted = since.is_some_and(|since| now.saturating_duration_since(since) >= BRIEF);
        let brief = if lasted { 0 } else { self.candidates.get(&node).map_or(0, |known| known.brief) };
        let step = self.config.redial_min.saturating_mul(1 << brief.min(20)).min(BRIEF_WAIT_MAX);
        let due = now + self.jitter(step);
        if let Some(known) = self.candidates.get_mut(&node) {
            known.brief = brief + u32::from(!lasted);
            (known.failures, known.due) = (0, due);
        }
        self.wake(now + self.config.stagger);
    }

    /// The routes have changed.
    pub fn routes_changed(&mut self, now: Instant) {
        self.wake(now + SETTLING);
    }

    /// The attempt at `node` has ended.
    pub fn ended(&mut self, now: Instant, node: NodeId, outcome: Outcome) {
        if self.dialling.remove(&node).is_some() {
            self.wake(now);
        }
        match outcome {
            Outcome::WasLinked => {}
            Outcome::Needless | Outcome::Refused => {
                let pause = if outcome == Outcome::Refused { REFUSED_WAIT } else { self.config.redial_min };
                let due = now + self.jitter(pause);
                if let Some(known) = self.candidates.get_mut(&node) {
                    known.due = known.due.max(due);
                }
            }
            Outcome::Revoked => {
                self.candidates.remove(&node);
                self.unsaved.insert(node);
            }
            Outcome::Failed => {
                self.counters.failures += 1;
                let Some(known) = self.candidates.get(&node) else { return };
                // One that only beacons tell of waits for the next of them.
                let doublings = if known.hinted { 20 } else { known.failures.min(20) };
                let step = self.config.redial_min.saturating_mul(1 << doublings).min(self.config.redial_max);
                let due = now + self.jitter(step);
                let Some(known) = self.candidates.get_mut(&node) else { return };
                (known.failures, known.due) = (known.failures.saturating_add(1), due);
                self.wake(due);
            }
        }
    }

    /// Whom to dial now, if anybody. `standing` tells who can be reached.
    pub fn poll(&mut self, now: Instant, standing: impl Fn(&NodeId) -> Option<Standing>) -> Option<Dial> {
        if self.look.is_none_or(|look| look > now) || self.dialling.len() >= self.config.dials_max {
            return None;
        }
        if self.next > now {
            self.look = Some(self.next);
            return None;
        }
        let wants = self.wants();
        let hints = self.dialling.keys().filter(|node| self.candidates.get(node).is_some_and(|known| known.hinted));
        let may_hint = hints.count() < self.config.dials_max.div_ceil(2);
        let mut choice =
            Choice { now, leisure: self.leisure, may_hint, bridges: [None; 3], inside: Vec::new(), later: None };
        for (node, known) in self.candidates.iter() {
            if self.links.contains_key(node) || self.dialling.contains_key(node) {
                continue;
            }
            match standing(node) {
                None => choice.bridge(node, known),
                Some(standing) if wants.is_some() => choice.inside(node, known, standing),
                Some(_) => {}
            }
        }
        self.look = choice.later;
        let (node, why) = match (self.take_turns(choice.bridges), wants) {
            (Some(node), _) => (node, Why::Bridge),
            (None, Some(why)) => (self.choose(&choice.inside, why)?, why),
            (None, None) => return None,
        };
        self.dial(now, node, why)
    }

    /// The next of those out of reach, of each kind in turn: whoever makes nodes up, or beacons, must not keep all others from
    /// being dialled.
    fn take_turns(&mut self, bridges: [Option<(Rank, NodeId)>; 3]) -> Option<NodeId> {
        let kind = (0..3).map(|nth| (self.turn + nth) % 3).find(|kind| bridges[*kind].is_some())?;
        self.turn = kind + 1;
        bridges[kind].map(|(_, node)| node)
    }

    /// Forgets the nodes that are members no more.
    pub fn forget(&mut self, is_out: impl Fn(&NodeId) -> bool) {
        let out: Vec<NodeId> = self.candidates.iter().map(|(node, _)| *node).filter(|node| is_out(node)).collect();
        for node in out {
            self.candidates.remove(&node);
            self.unsaved.insert(node);
        }
    }

    /// When to poll again.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.look.filter(|_| self.dialling.len() < self.config.dials_max)
    }

    /// What is to be written down next; what has changed too soon after the last time, later.
    pub fn poll_record(&mut self, now: Instant) -> Option<Record> {
        if !self.saving && !self.unsaved.is_empty() {
            self.saving = self.saves.take(now, SAVES);
            if !self.saving {
                self.wake(now + SAVE_AGAIN);
                return None;
            }
        }
        let record = self.last_record();
        self.saving = record.is_some();
        record
    }

    /// What is to be written down next before the node stops.
    pub fn last_record(&mut self) -> Option<Record> {
        let node = self.unsaved.pop_first()?;
        let known = self.candidates.get(&node).filter(|known| !known.hinted);
        Some((node, known.map(|known| (lasting(known), known.linked))))
    }

    /// What has happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let dropped = self.candidates.dropped;
        Counters {
            candidates: self.candidates.len() as u64,
            candidates_refused: dropped.refused,
            candidates_evicted: dropped.evicted,
            addresses_dropped: dropped.addresses,
            ..self.counters
        }
    }

    /// The link that is wanted next among those that can be reached. One at a time: what comes of it shows whether more are.
    fn wants(&self) -> Option<Why> {
        let inside = |why: &Why| matches!(why, Why::Near | Why::Far);
        if self.dialling.values().any(inside) || self.links.is_empty() {
            return None;
        }
        let (links, &Config { links_min, links_max, .. }) = (self.links.len(), &self.config);
        match self.far {
            Some(_) => (links < links_min).then_some(Why::Near),
            None if links + 1 < links_min => Some(Why::Near),
            None => (links < links_max).then_some(Why::Far),
        }
    }

    /// Of those that have few links, if there are any: one by chance; or one that is near, of a few that are drawn, since all
    /// would choose the same one else. When this node has too few links, one that has many will do.
    fn choose(&mut self, inside: &[(NodeId, Standing)], why: Why) -> Option<NodeId> {
        let links_max = self.config.links_max;
        let idle = |standing: &Standing| standing.links < links_max && standing.transit;
        let any = self.links.len() < self.config.links_min && !inside.iter().any(|(_, standing)| idle(standing));
        let pool: Vec<_> = inside.iter().filter(|(_, standing)| any || idle(standing)).collect();
        let draws = if why == Why::Far { 1 } else { DRAWS };
        let drawn: Vec<_> = (0..draws).filter_map(|_| pool.get(self.below(pool.len()))).collect();
        drawn.into_iter().min_by_key(|(_, standing)| (standing.cost, standing.links)).map(|(node, _)| *node)
    }

    /// A number below `count`, or 0.
    fn below(&mut self, count: usize) -> usize {
        let drawn = (u64::from(self.rng.next_u32()) * count as u64) >> 32;
        usize::try_from(drawn).unwrap_or_default()
    }

    fn dial(&mut self, now: Instant, node: NodeId, why: Why) -> Option<Dial> {
        let own = &self.own;
        let known = self.candidates.get_mut(&node)?;
        known.tried = Some(now);
        let addresses = known.addresses(own);
        let slow = known.failures >= QUICK_FAILURES_MAX;
        if addresses.is_empty() {
            // It has said no address that leads there from here: it may say another.
            known.due = now + self.config.redial_max;
            self.next = now + self.jitter(self.config.stagger);
            self.wake(self.next);
            return None;
        }
        match why {
            Why::Bridge => self.counters.dials_bridge += 1,
            Why::Near => self.counters.dials_near += 1,
            Why::Far => self.counters.dials_far += 1,
        }
        self.dialling.insert(node, why);
        self.next = now + self.jitter(self.config.stagger);
        if slow && why == Why::Bridge {
            self.leisure = now + self.jitter(LEISURE * 2);
        }
        self.wake(self.next);
        Some(Dial { node, addresses, why })
    }

    fn wake(&mut self, at: Instant) {
        if self.config.auto {
            self.look = Some(self.look.map_or(at, |look| look.min(at)));
        }
    }

    /// Between half of and the whole of `step`.
    fn jitter(&mut self, step: Duration) -> Duration {
        step / 2 + (step / 2).mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }
}

/// What comes first among those out of reach: failures, the last life in which the two were linked, when it was due.
type Rank = (u32, Reverse<u64>, Instant);

/// Where a node is dialled after a restart: not where only a beacon says, nor where the interface's name is part of it.
fn lasting(known: &Candidate) -> Vec<SocketAddr> {
    let announced = known.announced.iter().filter(|addr| Some(**addr) != known.found);
    known.found.iter().chain(announced).filter(|addr| is_dialable(addr)).copied().collect()
}

/// Who is worth dialling at one moment.
struct Choice {
    now: Instant,
    leisure: Instant,
    /// Whether nodes that only a beacon tells of may be dialled: they have half of the places.
    may_hint: bool,
    /// Of those out of reach the ones that come first, with their ranks: of those that this node was linked to, of other
    /// members, and of those that only a beacon tells of.
    bridges: [Option<(Rank, NodeId)>; 3],
    inside: Vec<(NodeId, Standing)>,
    /// When the next one is due.
    later: Option<Instant>,
}

impl Choice {
    fn bridge(&mut self, node: &NodeId, known: &Candidate) {
        let due = if known.failures >= QUICK_FAILURES_MAX { known.due.max(self.leisure) } else { known.due };
        if due > self.now {
            self.wait(due);
            return;
        }
        if known.hinted && !self.may_hint {
            return;
        }
        let first = &mut self.bridges[if known.hinted { 2 } else { usize::from(known.linked == 0) }];
        // Those that fail come behind those that have not been tried; neighbours of the last life before older ones.
        let rank = (known.failures, Reverse(known.linked), known.due);
        if first.is_none_or(|(best, _)| rank < best) {
            *first = Some((rank, *node));
        }
    }

    fn inside(&mut self, node: &NodeId, known: &Candidate, standing: Standing) {
        // One that was never tried waits only for whether it needs a bridge.
        if known.tried.is_some() && known.due > self.now {
            self.wait(known.due);
        } else {
            self.inside.push((*node, standing));
        }
    }

    fn wait(&mut self, due: Instant) {
        self.later = Some(self.later.map_or(due, |later| later.min(due)));
    }
}

#[cfg(test)]
mod tests;
