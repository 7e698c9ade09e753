//! Several control planes joined by links in virtual time: seeded, and the same for the same seed.

use crate::identity::{self, Applicant, Chain, Grant, NodeClaims, Notary, Roll};
use crate::mesh::announcement::OwnShelf;
use crate::mesh::control::{Action, Config, Control, Event, Identity};
use crate::mesh::digest::{Digest, Element};
use crate::mesh::frame::{ControlFrame, Kind, Reader};
use crate::mesh::id::{LinkId, NodeId};
use crate::mesh::interest::Key;
use crate::mesh::lsdb::Signer;
use crate::mesh::spf::Routes;
use crate::mesh::start_of_time;
use crate::ports::{InterestChange, InterestSource, UpstreamId};
use crate::store::MemoryStore;
use bytes::Bytes;
use rand_core::SeedableRng;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

pub(super) const LATTICE: [u8; 32] = [7; 32];

/// The one that made the lattice; it takes no part.
pub(super) static FOUNDER: LazyLock<identity::Identity> =
    LazyLock::new(|| identity::Identity::generate_root(&mut lattice_broker::env::Rng::seed_from_u64(1), "founder"));

fn bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

pub(super) struct Keys(pub(super) Ed25519KeyPair, u64);

impl Keys {
    pub(super) fn new(seed: u64) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&bytes(seed)).unwrap(), seed)
    }

    /// The member with these keys, as the one that made the lattice has admitted it.
    pub(super) fn member(&self, grant: &Grant) -> identity::Identity {
        let applicant = Applicant::with_seed(bytes(self.1), &format!("node-{}", self.1));
        let claims = NodeClaims { name: applicant.name().to_owned(), grant: grant.clone(), voucher: None, at: 0 };
        let (_, admission) = FOUNDER.admission(&applicant.application(), claims).unwrap();
        applicant.accept(FOUNDER.membership().root(), admission).unwrap()
    }

    /// What makes it one.
    pub(super) fn chain(&self) -> Arc<Chain> {
        Arc::new(self.member(&Grant::all()).membership().clone())
    }

    pub(super) fn id(&self) -> NodeId {
        NodeId(self.0.public_key().as_ref().try_into().unwrap())
    }
}

impl Signer for Keys {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What a broker would know from the actions.
pub(super) type Interest = BTreeMap<Key, u32>;

pub(super) struct Node {
    pub(super) control: Control,
    pub(super) identity: identity::Identity,
    pub(super) roll: Arc<Roll>,
    seed: u64,
    boot: u64,
    pub(super) id: NodeId,
    pub(super) routes: Arc<Routes>,
    /// By member.
    pub(super) mirror: BTreeMap<u32, Interest>,
    /// What this node's own clients want.
    pub(super) wanted: Interest,
    pub(super) serving: BTreeSet<u64>,
    pub(super) rejections: Vec<String>,
    upstreams: Vec<UpstreamId>,
}

pub(super) struct Wire {
    ends: (usize, usize),
    cost: u32,
    delay: u64,
    /// Nothing arrives before what was sent earlier in the same direction.
    busy: [Instant; 2],
    /// Frames of a kind that are lost instead of delivered.
    pub(super) lose: Option<(Kind, u32)>,
}

enum Happening {
    Arrives { link: LinkId, to: usize, bytes: Bytes },
    Down { link: LinkId, at: usize },
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) wires: BTreeMap<LinkId, Wire>,
    pub(super) config: Config,
    notary: Arc<Notary>,
    pub(super) rng: Rng,
    queue: BTreeMap<(Instant, u64), Happening>,
    counter: u64,
    pub(super) sent: BTreeMap<&'static str, (u64, u64)>,
    pub(super) trace: Digest,
    start: Instant,
}

impl World {
    pub(super) fn new(seed: u64, count: usize) -> Self {
        Self::with(seed, count, Config::default())
    }

    pub(super) fn with(seed: u64, count: usize, config: Config) -> Self {
        let now = start_of_time();
        let mut world = Self {
            now,
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            config,
            notary: Arc::default(),
            rng: Rng(seed),
            queue: BTreeMap::new(),
            counter: 0,
            sent: BTreeMap::new(),
            trace: Digest::default(),
            start: now,
        };
        for n in 0..count {
            world.add(seed * 1000 + n as u64, 100);
        }
        world
    }

    fn roll(&self, member: &identity::Identity) -> Arc<Roll> {
        let store = Arc::new(MemoryStore::default());
        Arc::new(Roll::open(member, store, Arc::clone(&self.notary)).unwrap())
    }

    fn control(&self, seed: u64, boot: u64, roll: &Arc<Roll>) -> Control {
        let (keys, name) = (Keys::new(seed), format!("node-{seed}"));
        let identity = Identity { node: keys.id(), name, boot, lattice: LATTICE };
        Control::new(self.config.clone(), identity, Box::new(keys), Arc::clone(roll), Arc::new(OwnShelf), self.now)
    }

    pub(super) fn add(&mut self, seed: u64, boot: u64) -> usize {
        self.add_with(seed, boot, &Grant::all())
    }

    pub(super) fn add_with(&mut self, seed: u64, boot: u64, grant: &Grant) -> usize {
        let identity = Keys::new(seed).member(grant);
        let roll = self.roll(&identity);
        let control = self.control(seed, boot, &roll);
        let id = Keys::new(seed).id();
        let routes = control.routes().clone();
        self.nodes.push(Node {
            control,
            identity,
            roll,
            seed,
            boot,
            id,
            routes,
            mirror: BTreeMap::new(),
            wanted: BTreeMap::new(),
            serving: BTreeSet::new(),
            rejections: Vec::new(),
            upstreams: Vec::new(),
        });
        let at = self.nodes.len() - 1;
        self.drain(at);
        at
    }

    pub(super) fn link(&mut self, a: usize, b: usize) -> LinkId {
        self.counter += 1;
        let link = LinkId(self.counter);
        let (cost, delay) = (1 + self.rng.below(20) as u32, 100 + self.rng.below(20_000));
        self.wires.insert(link, Wire { ends: (a, b), cost, delay, busy: [self.now; 2], lose: None });
        let hellos = [self.nodes[a].control.hello(), self.nodes[b].control.hello()];
        for (at, other, hello) in [(a, b, &hellos[1]), (b, a, &hellos[0])] {
            let (peer, member) = (self.nodes[other].id, Arc::new(self.nodes[other].identity.membership().clone()));
            self.event(at, Event::LinkUp { link, peer, member: &member, cost, hello });
        }
        link
    }

    /// Cuts a link: what is under way is lost, and each end notices when it notices.
    pub(super) fn cut(&mut self, link: LinkId) {
        let Some(wire) = self.wires.remove(&link) else { return };
        for at in [wire.ends.0, wire.ends.1] {
            let when = self.now + Duration::from_micros(self.rng.below(300_000));
            self.counter += 1;
            self.queue.insert((when, self.counter), Happening::Down { link, at });
        }
    }

    pub(super) fn links_of(&self, node: usize) -> Vec<LinkId> {
        let ends = |wire: &Wire| wire.ends.0 == node || wire.ends.1 == node;
        self.wires.iter().filter(|(_, wire)| ends(wire)).map(|(link, _)| *link).collect()
    }

    pub(super) fn crossing(&self, side: &[usize]) -> Vec<(LinkId, usize, usize)> {
        let crosses = |wire: &Wire| side.contains(&wire.ends.0) != side.contains(&wire.ends.1);
        self.wires.iter().filter(|(_, w)| crosses(w)).map(|(link, w)| (*link, w.ends.0, w.ends.1)).collect()
    }

    /// Ends a node and starts it with another boot epoch; its clients are back at once. Its links are gone.
    pub(super) fn restart(&mut self, at: usize, boot: u64) {
        for link in self.links_of(at) {
            self.cut(link);
        }
        // As a node whose disk has nothing on it: what it knew of the others it hears again.
        let roll = self.roll(&self.nodes[at].identity);
        let control = self.control(self.nodes[at].seed, boot, &roll);
        let node = &mut self.nodes[at];
        (node.control, node.roll, node.boot) = (control, roll, boot);
        node.mirror.clear();
        node.serving.clear();
        let wanted = node.wanted.clone();
        self.drain(at);
        for (key, weight) in wanted {
            self.want_key(at, &key, weight);
        }
    }

    pub(super) fn want(&mut self, at: usize, subject: &str, queue: Option<&str>, weight: u32) {
        let key = Key {
            account: (*b"A").into(),
            subject: subject.as_bytes().into(),
            queue: queue.map(|queue| queue.as_bytes().into()),
            via: None,
        };
        self.want_key(at, &key, weight);
    }

    fn want_key(&mut self, at: usize, key: &Key, weight: u32) {
        match weight {
            0 => self.nodes[at].wanted.remove(key),
            _ => self.nodes[at].wanted.insert(key.clone(), weight),
        };
        let source = key.via.map_or(InterestSource::Clients, |via| InterestSource::Leaf(UpstreamId(via)));
        let (account, subject, queue) = (&*key.account, &*key.subject, key.queue.as_deref());
        self.event(at, Event::LocalInterest(InterestChange { source, account, subject, queue, weight }));
    }

    pub(super) fn upstreams(&mut self, at: usize, ids: &[u64]) {
        let ids: Vec<UpstreamId> = ids.iter().copied().map(UpstreamId).collect();
        self.nodes[at].upstreams.clone_from(&ids);
        self.event(at, Event::Upstreams(&ids));
    }

    pub(super) fn event(&mut self, at: usize, event: Event<'_>) {
        self.nodes[at].control.handle(self.now, event);
        self.drain(at);
    }

    fn drain(&mut self, at: usize) {
        while let Some(action) = self.nodes[at].control.poll_action() {
            let micros = self.now.duration_since(self.start).as_micros() as u64;
            let entry = Element::new().number(self.trace.0).number(micros).number(at as u64);
            self.trace.add(entry.bytes(format!("{action:?}").as_bytes()));
            let node = &mut self.nodes[at];
            match action {
                Action::Send { link, frame } => self.transmit(at, link, frame),
                Action::Routes(routes) => node.routes = routes,
                Action::Announced { .. } | Action::ClientUrls => {}
                Action::SetInterest { member, key, weight: 0 } => {
                    let gone = node.mirror.get_mut(&member).and_then(|interest| interest.remove(&*key));
                    assert!(gone.is_some(), "withdrawn without having been set");
                }
                Action::SetInterest { member, key, weight } => {
                    assert!(node.routes.by_index.contains_key(&member), "interest of a member that has no route");
                    node.mirror.entry(member).or_default().insert((*key).clone(), weight);
                }
                Action::MemberGone { member } => drop(node.mirror.remove(&member)),
                Action::Upstream { id, active } => {
                    let changed = if active { node.serving.insert(id.0) } else { node.serving.remove(&id.0) };
                    assert!(changed, "told what was so already");
                }
                Action::Expel { link } => self.cut(link),
                Action::Reject { link, reason } => {
                    node.rejections.push(reason.to_string());
                    self.cut(link);
                }
            }
        }
        let due = self.nodes[at].control.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now), "a timeout that is due has not been dealt with");
    }

    fn transmit(&mut self, from: usize, link: LinkId, bytes: Bytes) {
        let jitter = self.rng.below(2_000);
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let kind = kind(&bytes);
        let sent = self.sent.entry(kind_name(kind)).or_default();
        *sent = (sent.0 + 1, sent.1 + bytes.len() as u64);
        if let Some((lost, left)) = &mut wire.lose
            && *lost == kind
            && *left > 0
        {
            *left -= 1;
            return;
        }
        let (direction, to) = if wire.ends.0 == from { (0, wire.ends.1) } else { (1, wire.ends.0) };
        let at = (self.now + Duration::from_micros(wire.delay + jitter)).max(wire.busy[direction]);
        wire.busy[direction] = at;
        self.counter += 1;
        self.queue.insert((at, self.counter), Happening::Arrives { link, to, bytes });
    }

    /// Lets the next thing happen. False when nothing happens before `end`; it is `end` then.
    fn step(&mut self, end: Instant) -> bool {
        let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timers = self.nodes.iter().enumerate().filter_map(|(n, node)| Some((node.control.poll_timeout()?, n)));
        let timer = timers.min();
        let next = arrival.into_iter().chain(timer.map(|(at, _)| at)).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= next) {
            let (_, happening) = self.queue.pop_first().unwrap();
            match happening {
                Happening::Arrives { link, to, bytes } if self.wires.contains_key(&link) => {
                    let mut input = bytes.as_ref();
                    let mut reader = Reader::new(0);
                    let raw = reader.next(&mut input).unwrap().unwrap();
                    let frame = ControlFrame::decode(raw).unwrap();
                    assert!(input.is_empty());
                    self.event(to, Event::Frame { link, frame });
                }
                Happening::Arrives { .. } => {}
                Happening::Down { link, at } => self.event(at, Event::LinkDown { link }),
            }
        } else if let Some((_, node)) = timer {
            self.event(node, Event::Timeout);
        }
        true
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Runs until all is as it should be. Panics with the difference when that takes longer than `limit`.
    pub(super) fn converge(&mut self, limit: Duration) -> Duration {
        let (start, end) = (self.now, self.now + limit);
        let mut check = self.now;
        loop {
            while self.step(check) {}
            match self.difference() {
                None => return self.now.duration_since(start),
                Some(difference) => assert!(self.now < end, "after {limit:?}: {difference}"),
            }
            check = (self.now + Duration::from_millis(20)).min(end);
        }
    }

    /// Costs from `from` to whatever can be reached.
    fn costs(&self, from: usize) -> BTreeMap<usize, u32> {
        let mut costs = BTreeMap::from([(from, 0)]);
        for _ in 0..self.nodes.len() {
            for wire in self.wires.values() {
                for (a, b) in [wire.ends, (wire.ends.1, wire.ends.0)] {
                    if let Some(&there) = costs.get(&a) {
                        let cost = costs.entry(b).or_insert(u32::MAX);
                        *cost = (*cost).min(there + wire.cost);
                    }
                }
            }
        }
        costs
    }

    /// What is not as it should be.
    pub(super) fn difference(&self) -> Option<String> {
        (0..self.nodes.len()).find_map(|at| self.difference_at(at))
    }

    fn difference_at(&self, at: usize) -> Option<String> {
        let (node, costs) = (&self.nodes[at], self.costs(at));
        let reachable: BTreeSet<NodeId> = costs.keys().map(|n| self.nodes[*n].id).collect();
        if node.control.routes.reachable.keys().copied().collect::<BTreeSet<_>>() != reachable {
            return Some(format!("{at} reaches {:?}, not {reachable:?}", node.control.routes.reachable));
        }
        if node.mirror.keys().any(|member| !node.routes.by_index.contains_key(member)) {
            return Some(format!("{at} has interest of somebody out of reach"));
        }
        for (&other, &cost) in costs.iter().filter(|(other, _)| **other != at) {
            let there = &self.nodes[other];
            let index = there.control.routes.index;
            let Some(route) = node.routes.by_index.get(&index) else {
                return Some(format!("{at} has no route to {other}"));
            };
            if (route.node, route.cost) != (there.id, cost) {
                return Some(format!("{at} has {route:?} to {other}, not {cost}"));
            }
            if node.control.digest() != there.control.digest() {
                return Some(format!("{at} and {other} have different databases"));
            }
            let mirrored = node.mirror.get(&index).cloned().unwrap_or_default();
            if mirrored != there.wanted {
                let (has, wants) = (mirrored.len(), there.wanted.len());
                return Some(format!("{at} has {has} entries of {other}, which wants {wants}"));
            }
        }
        None
    }
}

pub(super) fn kind(frame: &[u8]) -> Kind {
    let mut input = frame;
    Reader::new(0).next(&mut input).unwrap().unwrap().kind
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Hello => "hello",
        Kind::Goodbye => "goodbye",
        Kind::Lsa => "lsa",
        Kind::Delta => "delta",
        Kind::Snapshot => "snapshot",
        Kind::Summary => "summary",
        Kind::Pull => "pull",
        Kind::Digest => "digest",
        Kind::Welcome => "welcome",
        Kind::Revoked => "revoked",
        Kind::Succession => "succession",
        Kind::Members => "members",
        Kind::Data => "data",
        Kind::Ask => "ask",
        Kind::Mark => "mark",
        Kind::Probe => "probe",
        Kind::Report => "report",
    }
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
