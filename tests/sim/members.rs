//! Who is a member, in a lattice that falls apart and heals: whole nodes in the simulator that admit and revoke.

use lattice::control::{InviteRequest, RevokeRequest, RootRequest};
use lattice::identity::{Applicant, Invite, Refusal, Roll, Rotation};
use lattice::sim::Nodes;
use lattice::status::MemberState;
use lattice::store::MemoryStore;
use lattice_broker::env::Rng;
use lattice_netsim::{FaultId, World, WorldConfig};
use rand_core::SeedableRng;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How soon after a heal everybody knows.
const SOON: Duration = Duration::from_secs(4);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Four nodes in a ring; node 0 has made the lattice and admitted the others.
struct Ring {
    world: World,
    nodes: Arc<Nodes>,
}

impl Ring {
    fn formed(seed: u64) -> Self {
        let mut world = World::new(seed, WorldConfig::hosts(4));
        let nodes = Arc::new(Nodes::new(&world, 4, &[(1, 0), (2, 1), (3, 2), (3, 0)]));
        world.install(0..4, Arc::clone(&nodes) as _);
        (0..4).for_each(|i| world.boot(i));
        let mut ring = Self { world, nodes };
        ring.wait("all reach all", |ring| (0..4).all(|i| ring.reaches(i) == 3));
        ring
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let until = self.world.now() + secs(20);
        while !done(self) {
            assert!(self.world.now() < until, "not within 20 s: {what}");
            self.world.run_for(Duration::from_millis(50));
        }
    }

    fn reaches(&self, i: usize) -> usize {
        self.nodes.node(i).map_or(0, |node| node.reachable())
    }

    fn halves(&mut self) -> FaultId {
        let cut = self.world.partition(&[&[0, 1], &[2, 3]]);
        self.wait("the halves have lost each other", |ring| (0..4).all(|i| ring.reaches(i) == 1));
        cut
    }

    fn heal(&mut self, cut: FaultId) {
        self.world.lift(cut);
        self.world.run_for(SOON);
    }

    /// Runs something on a host to its end.
    fn on<T: Send + 'static>(&mut self, i: usize, task: impl Future<Output = T> + Send + 'static) -> T {
        let result = Arc::new(Mutex::new(None));
        let there = Arc::clone(&result);
        self.world.spawn_on(i, async move {
            let ended = task.await;
            *there.lock().unwrap() = Some(ended);
        });
        self.world.run_until(|| result.lock().unwrap().is_some(), secs(20)).unwrap();
        result.lock().unwrap().take().unwrap()
    }

    fn invite(&mut self, by: usize, uses: u32) -> Invite {
        let node = self.nodes.node(by).unwrap();
        self.on(by, async move { node.invite(InviteRequest::new(secs(3_600), uses)).await.unwrap() })
    }

    /// Device `n` comes to node `by`.
    fn take_in(&mut self, by: usize, invite: &Invite, n: u64) -> Result<(), Refusal> {
        let (node, invite) = (self.nodes.node(by).unwrap(), invite.clone());
        let applicant = Applicant::generate(&mut Rng::seed_from_u64(n), &format!("device-{n}"));
        self.on(by, async move { node.take_in(&invite, &applicant).await.map(drop) })
    }

    fn revoke(&mut self, by: usize, name: &str) {
        let (node, name) = (self.nodes.node(by).unwrap(), name.to_owned());
        self.on(by, async move { node.revoke(RevokeRequest::Node(name)).await.unwrap() });
    }

    /// Replaces the root key, which node 0 holds, at node `by`.
    fn rotate(&mut self, by: usize, seed: u64) -> Rotation {
        let node = self.nodes.node(by).unwrap();
        let holder = self.nodes.identity(0);
        let rotation = holder.rotate(&mut Rng::seed_from_u64(1_000 + seed), node.roll(), &[], 7).unwrap();
        let text = rotation.line.to_text();
        self.on(by, async move { node.root(RootRequest::Follow { text, instead: None }).await.unwrap() });
        rotation
    }

    /// The root keys that node `i` has heard of.
    fn roots(&self, i: usize) -> usize {
        self.nodes.node(i).unwrap().roll().line().steps().len() + 1
    }

    /// The names of members as node `i` knows them for which `is` holds.
    fn members(&self, i: usize, is: impl Fn(&lattice::status::Member) -> bool) -> Vec<String> {
        let members = self.nodes.node(i).unwrap().members().into_iter().filter(is);
        let mut names: Vec<String> = members.map(|member| member.name).collect();
        names.sort();
        names
    }

    fn revoked(&self, i: usize) -> Vec<String> {
        self.members(i, |member| member.state == MemberState::Revoked)
    }
}

/// Goal: any member admits by an invite of any other, in each part of a lattice that fell apart; uses are counted over the
/// whole of it, and what both parts together have overdone is known to all after the heal.
#[test]
fn parts_that_are_apart_admit_and_the_excess_shows() {
    for seed in 1..=5 {
        let mut ring = Ring::formed(seed);
        let invite = ring.invite(0, 3);
        ring.take_in(2, &invite, 1).unwrap();
        ring.world.run_for(secs(1));
        assert!((0..4).all(|i| ring.members(i, |_| true).contains(&"device-1".to_owned())), "seed {seed}");
        let cut = ring.halves();
        for (by, n) in [(1, 2), (3, 3), (0, 4)] {
            ring.take_in(by, &invite, n).unwrap();
            ring.world.run_for(secs(1));
        }
        assert!(matches!(ring.take_in(1, &invite, 5), Err(Refusal::UsedUp { .. })), "seed {seed}: three by then");
        ring.take_in(2, &invite, 6).unwrap();
        ring.heal(cut);
        let excess = ring.members(0, |member| member.excess);
        assert_eq!(excess.len(), 2, "seed {seed}: five came, for three uses");
        for i in 0..4 {
            assert_eq!(ring.members(i, |member| member.excess), excess, "seed {seed}, node {i}");
            assert!(matches!(ring.take_in(i, &invite, 7), Err(Refusal::UsedUp { .. })));
            let problems = ring.nodes.node(i).unwrap().status().problems.concat();
            assert!(problems.contains("beyond the uses of an invite"), "{problems}");
        }
        // Who was admitted already is answered again, by whomever it asks.
        ring.take_in(0, &invite, 6).unwrap();
    }
}

/// Goal: a member that is revoked in one part of the lattice goes on in the other, and is out there too as soon as the two
/// are one; a node that knows refuses it after a restart, with nobody else in reach to tell it.
#[test]
fn the_revoked_are_out_in_each_part_that_knows() {
    for seed in 1..=5 {
        let mut ring = Ring::formed(seed);
        let cut = ring.halves();
        ring.revoke(0, "node-3");
        ring.world.run_for(secs(1));
        assert_eq!((ring.revoked(1), ring.revoked(2)), (vec!["node-3".to_owned()], vec![]), "seed {seed}");
        assert_eq!(ring.reaches(2), 1, "seed {seed}: nobody has told it");
        ring.heal(cut);
        for i in 0..3 {
            assert_eq!((ring.revoked(i), ring.reaches(i)), (vec!["node-3".to_owned()], 2), "seed {seed}, node {i}");
        }
        assert_eq!(ring.reaches(3), 0, "seed {seed}");
        let problems = ring.nodes.node(3).unwrap().status().problems.concat();
        assert!(problems.contains("revoked"), "seed {seed}: {problems}");

        ring.world.partition(&[&[0, 1], &[2, 3]]);
        ring.world.restart(2);
        ring.world.run_for(secs(10));
        assert_eq!((ring.reaches(2), ring.reaches(3)), (0, 0), "seed {seed}: it has not forgotten");
    }
}

/// Goal: a root key that is replaced in one part of the lattice speaks for the other as soon as the two are one, for good; all
/// members stay, those that were revoked by the old key stay out, and what a thief does with the old key then comes to nothing.
#[test]
fn a_new_root_key_is_known_to_all_after_a_heal() {
    for seed in 1..=5 {
        let mut ring = Ring::formed(seed);
        let invite = ring.invite(1, 4);
        ring.take_in(1, &invite, 1).unwrap();
        ring.world.run_for(secs(1));
        ring.revoke(0, "device-1");
        ring.world.run_for(secs(1));
        let cut = ring.halves();
        let rotation = ring.rotate(0, seed);
        ring.world.run_for(secs(1));
        assert_eq!([0, 1, 2, 3].map(|i| ring.roots(i)), [2, 2, 1, 1], "seed {seed}");
        assert_eq!(rotation.line.expelled().unwrap().len(), 1);
        // Those who have not heard of it live on, and admit.
        ring.take_in(2, &invite, 2).unwrap();
        ring.take_in(0, &invite, 3).unwrap();
        ring.heal(cut);
        for i in 0..4 {
            assert_eq!((ring.roots(i), ring.reaches(i)), (2, 3), "seed {seed}, node {i}");
            assert_eq!(ring.revoked(i), ["device-1"], "seed {seed}, node {i}");
            let problems = ring.nodes.node(i).unwrap().status().problems.concat();
            assert!(
                !problems.contains("root key") && !problems.contains("revoked"),
                "seed {seed}, node {i}: {problems}"
            );
        }
        assert!((0..4).all(|i| ring.members(i, |_| true).contains(&"device-2".to_owned())), "seed {seed}");

        // A copy of the old key names another heir, to a node that has heard of the first.
        let holder = ring.nodes.identity(0).clone();
        let unaware = Roll::open(&holder, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
        let stolen = holder.rotate(&mut Rng::seed_from_u64(99), &unaware, &[], 8).unwrap();
        let (node, text) = (ring.nodes.node(2).unwrap(), stolen.line.to_text());
        let refused = ring.on(2, async move { node.root(RootRequest::Follow { text, instead: None }).await });
        assert!(refused.unwrap_err().to_string().contains("has another successor here"), "seed {seed}");
        let problems = ring.nodes.node(2).unwrap().status().problems.concat();
        assert!(problems.contains("two successors"), "seed {seed}: {problems}");

        // Nobody forgets it, and nobody has to be there to tell.
        ring.world.partition(&[&[2], &[0, 1, 3]]);
        ring.world.restart(2);
        ring.world.run_for(secs(5));
        assert_eq!((ring.roots(2), ring.revoked(2)), (2, vec!["device-1".to_owned()]), "seed {seed}");
    }
}

/// Goal: a link that is cut as soon as the news have passed lets nobody back in: at no moment is anybody a member again who was
/// revoked by the old key, whether its chain was heard of before or comes later.
#[test]
fn a_cut_right_after_the_news_lets_nobody_back_in() {
    for seed in 1..=5 {
        let mut ring = Ring::formed(seed);
        ring.revoke(0, "node-1");
        ring.world.run_for(secs(2));
        let cut = ring.world.partition(&[&[0, 1], &[2, 3]]);
        ring.world.run_for(secs(5));
        ring.rotate(0, seed);
        ring.world.lift(cut);
        let until = ring.world.now() + secs(20);
        while ring.roots(3) < 2 {
            assert!(ring.world.now() < until, "seed {seed}");
            ring.world.run_for(Duration::from_micros(500));
        }
        ring.world.partition(&[&[0], &[1, 2], &[3]]);
        for i in [2, 3] {
            assert_eq!(ring.revoked(i), ["node-1"], "seed {seed}, node {i}");
        }
        assert!(ring.nodes.node(3).unwrap().roll().revocations().is_empty(), "seed {seed}: nothing but the line");
        ring.world.run_for(secs(1));
        ring.world.restart(3);
        ring.world.run_for(secs(5));
        assert_eq!(ring.roots(3), 2, "seed {seed}");
        assert!(ring.nodes.node(3).unwrap().roll().line().expels(ring.nodes.ids()[1]), "seed {seed}");
        assert_eq!(
            (ring.reaches(1), ring.reaches(2)),
            (0, 0),
            "seed {seed}: who has heard of nothing new has not forgotten"
        );
    }
}

/// Goal: what the user of one node says of another heir is told to its neighbours at once, and who does not count by it is cut off.
#[test]
fn the_word_of_one_user_takes_effect_at_once() {
    let mut ring = Ring::formed(7);
    let holder = ring.nodes.identity(0).clone();
    let [ours, theirs] = [1, 2].map(|seed| {
        let unaware = Roll::open(&holder, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
        holder.rotate(&mut Rng::seed_from_u64(seed), &unaware, &[], 7).unwrap()
    });
    let follow = |ring: &mut Ring, i: usize, rotation: &Rotation, instead: Option<&str>| {
        let (node, text) = (ring.nodes.node(i).unwrap(), rotation.line.to_text());
        let instead = instead.map(str::to_owned);
        ring.on(i, async move { node.root(RootRequest::Follow { text, instead }).await.map(drop) })
    };
    let key = ours.root.public().to_root_text();
    let speaks = |ring: &Ring, i: usize| ring.nodes.node(i).unwrap().roll().line().current();
    follow(&mut ring, 2, &theirs, None).unwrap();
    ring.world.run_for(secs(1));
    assert!((0..4).all(|i| speaks(&ring, i) == theirs.root.public()));
    let refused = follow(&mut ring, 0, &ours, Some("OAAAAAAA")).unwrap_err().to_string();
    assert!(refused.contains("the file leads to the root key"), "{refused}");
    for i in 0..4 {
        follow(&mut ring, i, &ours, Some(&key[..12])).unwrap();
    }
    ring.world.run_for(SOON);
    for i in 0..4 {
        assert_eq!((speaks(&ring, i), ring.reaches(i)), (ours.root.public(), 3));
        assert!(ring.revoked(i).is_empty());
    }
}

/// Goal: the same seed gives the same run, with members that come and go.
#[test]
fn members_do_not_disturb_the_seed() {
    let run = || {
        let mut ring = Ring::formed(3);
        let invite = ring.invite(1, 2);
        ring.take_in(2, &invite, 1).unwrap();
        ring.revoke(0, "node-3");
        ring.world.run_for(secs(5));
        ring.world.trace_hash()
    };
    assert_eq!(run(), run());
}
