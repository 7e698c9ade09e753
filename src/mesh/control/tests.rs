mod spread;
mod world;

use super::*;
use crate::codec;
use crate::identity::{Grant, Identity, NodeClaims, Rotation};
use crate::mesh::frame::{Delta, Kind, Members, Told};
use crate::mesh::lsdb::{Lsa, derive_index};
use crate::store::MemoryStore;
use rand_core::SeedableRng;
use world::{FOUNDER, Keys, LATTICE, Rng, World, secs};

/// Runs a story for many seeds, and names the seed that fails.
fn seeds(count: u64, story: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in 0..count {
        if let Err(panic) = std::panic::catch_unwind(|| story(seed)) {
            eprintln!("seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Joins the nodes to a line, a ring, a grid, a star or a random graph.
fn shape(world: &mut World, which: u64) {
    let count = world.nodes.len();
    match which % 5 {
        0 => (1..count).for_each(|n| _ = world.link(n - 1, n)),
        1 => (0..count).for_each(|n| _ = world.link(n, (n + 1) % count)),
        2 => {
            for n in 0..count {
                if n % 3 > 0 {
                    world.link(n - 1, n);
                }
                if n >= 3 {
                    world.link(n - 3, n);
                }
            }
        }
        3 => (1..count).for_each(|n| _ = world.link(0, n)),
        _ => {
            for n in 1..count {
                let other = world.rng.below(n as u64) as usize;
                world.link(n, other);
            }
            for _ in 0..count {
                let (a, b) = (world.rng.below(count as u64) as usize, world.rng.below(count as u64) as usize);
                if a != b {
                    world.link(a, b);
                }
            }
        }
    }
}

fn wants(world: &mut World, changes: u64) {
    for _ in 0..changes {
        let at = world.rng.below(world.nodes.len() as u64) as usize;
        let subject = format!("subject.{}", world.rng.below(20));
        let queue = (world.rng.below(3) == 0).then_some("workers");
        let weight = world.rng.below(if queue.is_some() { 4 } else { 2 }) as u32;
        world.want(at, &subject, queue, weight);
        if world.rng.below(3) == 0 {
            let pause = Duration::from_millis(world.rng.below(100));
            world.run(pause);
        }
    }
}

/// Goal: whatever the graph, and whatever is cut, healed, restarted and subscribed to meanwhile, all nodes that can
/// reach each other agree within seconds, and know exactly what the others want.
#[test]
fn all_graphs_converge_through_faults() {
    seeds(200, |seed| {
        let mut world = World::new(seed, 3 + (seed % 7) as usize);
        shape(&mut world, seed);
        wants(&mut world, 10);
        world.converge(secs(3));
        for _ in 0..4 {
            let count = world.nodes.len() as u64;
            match world.rng.below(4) {
                0 => {
                    let links: Vec<_> = world.wires.keys().copied().collect();
                    if !links.is_empty() {
                        let link = links[world.rng.below(links.len() as u64) as usize];
                        world.cut(link);
                    }
                }
                1 => {
                    let (a, b) = (world.rng.below(count) as usize, world.rng.below(count) as usize);
                    if a != b {
                        world.link(a, b);
                    }
                }
                2 => {
                    let at = world.rng.below(count) as usize;
                    let boot = 101 + world.rng.below(1000);
                    world.restart(at, boot);
                    world.link(at, (at + 1) % count as usize);
                }
                _ => world.run(secs(2)),
            }
            wants(&mut world, 5);
        }
        world.converge(secs(6));
        assert!(world.nodes.iter().all(|node| node.rejections.is_empty()));
    });
}

/// Goal: the same seed gives the same actions at the same times.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut world = World::new(seed, 7);
        shape(&mut world, 4);
        wants(&mut world, 20);
        world.restart(2, 200);
        world.link(2, 3);
        world.converge(secs(5));
        world.trace.0
    };
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
}

/// Goal: a cut network goes on as two, and is one again within two seconds of the first link.
#[test]
fn halves_merge() {
    seeds(30, |seed| {
        let mut world = World::new(seed, 8);
        shape(&mut world, 1 + seed % 2);
        wants(&mut world, 20);
        world.converge(secs(3));
        let side = [0, 1, 2, 3];
        let between = world.crossing(&side);
        between.iter().for_each(|(link, _, _)| world.cut(*link));
        world.run(secs(1));
        wants(&mut world, 20);
        world.converge(secs(3));
        world.run(secs(600));
        assert_eq!(world.difference(), None);
        let (_, a, b) = between[0];
        world.link(a, b);
        world.converge(secs(2));
    });
}

#[test]
fn a_restart_voids_what_was_wanted_before() {
    let mut world = World::new(1, 4);
    shape(&mut world, 0);
    world.want(3, "before", None, 1);
    world.converge(secs(3));
    world.nodes[3].wanted.clear();
    world.restart(3, 101);
    world.want(3, "after", None, 1);
    world.link(2, 3);
    world.converge(secs(2));
}

/// Goal: a node whose boot epoch went back (a clock that was set, a restored backup) is heard all the same.
#[test]
fn a_boot_epoch_that_went_back_is_raised() {
    seeds(10, |seed| {
        let mut world = World::new(seed, 4);
        shape(&mut world, 0);
        world.want(3, "first", None, 1);
        world.converge(secs(3));
        world.restart(3, 5);
        world.want(3, "second", None, 1);
        world.run(secs(1));
        world.link(2, 3);
        world.converge(secs(3));
        assert_eq!(world.nodes[3].routes.boot, 101);
        assert_eq!(world.nodes[3].control.counters().outbid, 1);
    });
}

#[test]
fn two_processes_with_one_key_do_not_shout_each_other_down() {
    let mut world = World::new(1, 3);
    shape(&mut world, 0);
    let clone = world.add(1000, 150);
    world.link(2, clone);
    world.run(secs(600));
    let outbid: u64 = world.nodes.iter().map(|node| node.control.counters().outbid).sum();
    assert!(outbid > 2, "it is noticed");
    let (frames, _) = world.sent["lsa"];
    assert!(frames < 500, "{frames} announcements sent in ten minutes");
}

/// Goal: a flood that was lost is found by the digests, and made good.
#[test]
fn lost_floods_are_repaired() {
    for kind in [Kind::Delta, Kind::Lsa] {
        seeds(10, |seed| {
            let mut world = World::new(seed, 4);
            shape(&mut world, 0);
            world.want(0, "first", None, 1);
            world.converge(secs(3));
            world.run(secs(30));
            world.wires.values_mut().nth(1).unwrap().lose = Some((kind, 1));
            match kind {
                Kind::Delta => world.want(0, "second", None, 1),
                _ => world.event(0, Event::Addresses(&["10.0.0.1:7443".parse().unwrap()])),
            }
            world.run(secs(1));
            assert!(world.difference().is_some(), "nothing was lost");
            world.converge(secs(5));
            let repairs: u64 = world.nodes.iter().map(|node| node.control.counters().repairs).sum();
            assert!(repairs > 0);
        });
    }
}

#[test]
fn a_delta_after_a_lost_one_brings_both() {
    let mut world = World::new(1, 3);
    shape(&mut world, 0);
    world.converge(secs(3));
    world.wires.values_mut().next().unwrap().lose = Some((Kind::Delta, 1));
    world.want(0, "lost", None, 1);
    world.run(Duration::from_millis(100));
    world.want(0, "next", None, 1);
    world.converge(Duration::from_millis(500));
}

#[test]
fn a_thousand_subjects_reach_a_newcomer() {
    let mut world = World::new(1, 4);
    shape(&mut world, 0);
    for n in 0..1000 {
        world.want(0, &format!("subject.{n}"), None, 1);
    }
    world.converge(secs(2));
    let newcomer = world.add(77, 100);
    world.link(3, newcomer);
    world.converge(secs(2));
}

/// Goal: a set of many windows arrives whole although it changes all the time.
#[test]
fn a_large_set_is_fetched_while_it_changes() {
    seeds(5, |seed| {
        let mut world = World::new(seed, 3);
        world.link(0, 1);
        for n in 0..20_000 {
            world.want(0, &format!("a.rather.long.subject.of.some.application.{n}"), None, 1);
        }
        world.run(secs(1));
        world.link(1, 2);
        for n in 0..3000 {
            world.want(0, &format!("a.rather.long.subject.of.some.application.{}", n * 7), None, (n % 2) as u32);
            world.run(Duration::from_micros(200));
        }
        world.converge(secs(5));
        assert!(world.nodes[2].control.counters().snapshots > 0);
        assert!(world.sent["snapshot"].0 > 20);
    });
}

/// Goal: a copy that went wrong is noticed by what its node has signed, and replaced.
#[test]
fn a_forged_change_is_found_by_the_anchor() {
    let mut world = World::new(1, 3);
    shape(&mut world, 0);
    world.want(0, "first", None, 1);
    world.converge(secs(3));
    // Node 1 speaks for node 0, and takes the number that node 0 gives to its own next change.
    let (link, node) = (world.links_of(2)[0], world.nodes[0].id);
    let key = Arc::new(Key { account: (*b"A").into(), subject: (*b"forged").into(), queue: None, via: None });
    let changes = vec![crate::mesh::interest::Change { key, weight: 1 }];
    let frame = ControlFrame::delta(&Delta { node, boot: 100, from: 1, changes });
    world.event(2, Event::Frame { link, frame });
    world.want(0, "second", None, 1);
    world.run(secs(1));
    assert!(world.difference().is_some());
    world.run(secs(30));
    world.converge(secs(5));
    assert_eq!(world.nodes[2].control.counters().interest_mismatches, 1);
}

#[test]
fn what_returns_within_the_delay_is_never_withdrawn() {
    let mut world = World::new(1, 2);
    world.link(0, 1);
    world.want(0, "kept", None, 1);
    world.converge(secs(3));
    let before = world.sent["delta"].0;
    for _ in 0..10 {
        world.want(0, "kept", None, 0);
        world.run(Duration::from_millis(200));
        world.want(0, "kept", None, 1);
        world.run(Duration::from_millis(200));
    }
    assert_eq!(world.sent["delta"].0, before);
    world.want(0, "kept", None, 0);
    world.run(Duration::from_millis(240));
    assert!(world.difference().is_some(), "withdrawn too early");
    world.converge(Duration::from_millis(100));
}

#[test]
fn one_node_serves_each_upstream() {
    let mut world = World::new(1, 4);
    shape(&mut world, 0);
    world.upstreams(0, &[5, 6]);
    world.upstreams(3, &[5]);
    world.converge(secs(3));
    let serving =
        |world: &World, id| -> Vec<usize> { (0..4).filter(|n| world.nodes[*n].serving.contains(&id)).collect() };
    let (first, second) = if world.nodes[0].id < world.nodes[3].id { (0, 3) } else { (3, 0) };
    assert_eq!((serving(&world, 5), serving(&world, 6)), (vec![first], vec![0]));
    let (link, a, b) = world.crossing(&[0, 1])[0];
    world.cut(link);
    world.run(secs(1));
    assert_eq!(serving(&world, 5).len(), 2, "each half has its own");
    world.link(a, b);
    world.converge(secs(2));
    assert_eq!(serving(&world, 5), [first]);
    world.upstreams(first, &[]);
    world.run(secs(1));
    assert_eq!(serving(&world, 5), [second], "who stands back leaves it to the next");
}

/// Goal: a quiet lattice costs next to nothing, stays as it is, and forgets who is gone.
#[test]
fn quiet_hours() {
    let mut world = World::new(1, 5);
    shape(&mut world, 1);
    wants(&mut world, 20);
    world.converge(secs(3));
    world.run(secs(60));
    let bytes = |world: &World| world.sent.values().map(|(_, bytes)| bytes).sum::<u64>();
    let before = bytes(&world);
    world.run(secs(3600));
    let rate = (bytes(&world) - before) as f64 / 3600.0 / 5.0;
    assert!(rate < 10.0, "{rate} bytes a second for each link");
    assert_eq!(world.difference(), None);
    for link in world.links_of(0) {
        world.cut(link);
    }
    world.run(secs(3590));
    assert_eq!(world.nodes[1].control.announcements().count(), 5);
    world.run(secs(60));
    assert_eq!(world.nodes[1].control.announcements().count(), 4);
    assert_eq!(world.nodes[0].control.announcements().count(), 1);
    world.link(0, 1);
    world.converge(secs(2));
}

#[test]
fn limits_refuse_and_count() {
    let limits = Limits { entries: 10, ..Limits::default() };
    let mut world = World::with(1, 2, Config { interest: limits, ..Config::default() });
    world.link(0, 1);
    for n in 0..15 {
        world.want(0, &format!("subject.{n}"), None, 1);
    }
    world.want(0, &"x".repeat(20_000), None, 1);
    world.run(secs(1));
    assert_eq!(world.nodes[0].control.counters().interest_refused, 6);
    assert_eq!(world.nodes[1].mirror.values().next().unwrap().len(), 10);

    let mut small = World::with(1, 3, Config { nodes_max: 2, ..Config::default() });
    shape(&mut small, 0);
    small.run(secs(60));
    assert!(small.nodes.iter().all(|node| node.control.announcements().count() <= 2));
    assert!(small.nodes[1].control.counters().nodes_refused > 0);
}

#[test]
fn the_cheapest_of_several_links_counts() {
    let mut world = World::new(1, 2);
    let links = [world.link(0, 1), world.link(0, 1), world.link(0, 1)];
    world.converge(secs(2));
    for link in links {
        let best = world.nodes[0].control.link_to(world.nodes[1].id).unwrap();
        assert!(world.wires.contains_key(&best));
        world.cut(link);
        world.run(secs(1));
        assert_eq!(world.difference(), None);
    }
}

#[test]
fn a_cost_that_changes_is_announced() {
    let mut world = World::new(1, 2);
    let link = world.link(0, 1);
    world.event(0, Event::Cost { link, cost: 100 });
    world.run(secs(1));
    let cost = |world: &World| world.nodes[0].routes.by_index.values().next().unwrap().cost;
    assert_eq!(cost(&world), 100);
    let announcements = world.nodes[1].control.counters().announcements;
    for told in [120, 100_120, 100_120, 95] {
        world.event(0, Event::Cost { link, cost: told });
        world.run(secs(1));
        assert_eq!(cost(&world), told);
    }
    assert_eq!(world.nodes[1].control.counters().announcements, announcements + 3, "what is known is not told");
}

#[test]
fn an_index_that_a_smaller_key_has_is_given_up() {
    let mut world = World::new(1, 1);
    let (me, mine) = (world.nodes[0].id, world.nodes[0].control.routes().index);
    assert_eq!(mine, derive_index(me, 0));
    let mut others: Vec<Keys> = (1..50).map(Keys::new).collect();
    others.sort_by_key(Keys::id);
    let (larger, smaller) = (others.pop().unwrap(), others.remove(0));
    assert!(smaller.id() < me && me < larger.id());
    for (keys, link, keeps) in [(&larger, LinkId(1), true), (&smaller, LinkId(2), false)] {
        let hello = Hello { node: keys.id(), ..world.nodes[0].control.hello() };
        world.event(0, Event::LinkUp { link, peer: keys.id(), member: &keys.chain(), cost: 1, hello: &hello });
        let lsa = Lsa {
            node: keys.id(),
            area: 0,
            part: 0,
            index: mine,
            boot: 1,
            seq: 1,
            name: "liar".into(),
            adjacency: vec![(me, 1)],
            addresses: vec![],
            upstreams: vec![],
            interest_version: 0,
            interest_digest: 0,
            clients: Vec::new(),
        };
        world.event(0, Event::Frame { link, frame: ControlFrame::Lsa(lsa.sign(keys)) });
        world.run(secs(1));
        let routes = &world.nodes[0].routes;
        assert_eq!(routes.index == mine, keeps);
        assert_eq!(routes.by_index.get(&mine).map(|route| route.node), (!keeps).then(|| smaller.id()));
    }
}

#[test]
fn broken_peers_are_rejected_by_name() {
    let world = World::new(1, 1);
    let me = world.nodes[0].id;
    let (good, peer) = (world.nodes[0].control.hello(), Keys::new(9).id());
    let good = Hello { node: peer, ..good };
    let rejection = |hello: &Hello, frame: Option<ControlFrame>| {
        let mut world = World::new(1, 1);
        let member = &Keys::new(9).chain();
        world.event(0, Event::LinkUp { link: LinkId(1), peer: hello.node, member, cost: 1, hello });
        if let Some(frame) = frame {
            world.event(0, Event::Frame { link: LinkId(1), frame });
        }
        assert!(world.nodes[0].control.link_to(hello.node).is_none(), "the link is down");
        world.nodes[0].rejections.concat()
    };
    let hello = |change: &dyn Fn(&mut Hello)| {
        let mut hello = good.clone();
        change(&mut hello);
        rejection(&hello, None)
    };
    assert_eq!(hello(&|h| h.protocol = 9), "peer speaks link protocol 9, this node 4");
    assert_eq!(hello(&|h| h.lattice = [1; 32]), "peer belongs to another lattice");
    assert_eq!(hello(&|h| h.node = me), "peer has the same key as this node");
    let sends = |frame| rejection(&good, Some(frame));
    assert_eq!(sends(ControlFrame::Lsa(vec![1; 10])), "announcement without a signature");
    assert_eq!(sends(ControlFrame::Hello(good.clone())), "peer greets twice");
    let stranger = Identity::generate_root(&mut lattice_broker::env::Rng::seed_from_u64(7), "x");
    let told = |warrants: Vec<u8>| ControlFrame::Members(Members::Chains(vec![Told { id: 1, warrants }]));
    let other = sends(told(codec::encode(stranger.membership().warrants())));
    assert!(other.starts_with("peer tells of a member: its certificate does not chain"), "{other}");
    assert!(sends(told(vec![1, 2, 3])).starts_with("peer sent a member's chain that is none"));
    let forged = stranger.revoke(me, &[], 0, stranger.membership().root()).unwrap();
    assert_eq!(sends(ControlFrame::Revoked(vec![forged])), "peer sent a revocation with a wrong signature");
    let delta = |from, changes| ControlFrame::delta(&Delta { node: peer, boot: 1, from, changes });
    assert_eq!(sends(delta(0, vec![])), "peer sent interest with a delta without changes");
    let key = |subject: &[u8]| Key { account: (*b"A").into(), subject: subject.into(), queue: None, via: None };
    let change = |subject: &[u8]| vec![crate::mesh::interest::Change { key: Arc::new(key(subject)), weight: 1 }];
    assert_eq!(sends(delta(0, change(b""))), "peer sent interest with an empty subject");
    assert_eq!(sends(delta(u64::MAX, change(b"a"))), "peer sent interest with a version out of range");
    assert_eq!(sends(delta(0, change(&[b'x'; 20_000]))), "peer sent interest with an entry longer than allowed");
    assert_eq!(good.lattice, LATTICE);
}

/// Goal: frames that are well formed and make no sense neither crash a node nor keep it from agreeing with honest ones.
#[test]
fn nonsense_does_no_lasting_harm() {
    seeds(100, |seed| {
        let mut world = World::new(seed, 3);
        shape(&mut world, 0);
        wants(&mut world, 10);
        let liar = Keys::new(seed + 5000);
        let hello = Hello { node: liar.id(), ..world.nodes[0].control.hello() };
        let link = LinkId(1 << 40);
        world.event(0, Event::LinkUp { link, peer: liar.id(), member: &liar.chain(), cost: 1, hello: &hello });
        for _ in 0..200 {
            let frame = nonsense(&mut world, &liar);
            world.event(0, Event::Frame { link, frame });
            let pause = Duration::from_millis(world.rng.below(30));
            world.run(pause);
        }
        world.event(0, Event::LinkDown { link });
        world.run(secs(1));
        // What was said in the name of an honest node stays until it signs its interest again.
        world.run(secs(40));
        for at in 0..3 {
            world.want(at, "something.new", None, 1);
        }
        world.run(secs(31));
        world.converge(secs(10));
    });
}

fn nonsense(world: &mut World, liar: &Keys) -> ControlFrame {
    use crate::mesh::frame::{Known, More, Snapshot, Want, WantInterest};
    use crate::mesh::interest::Change;
    let rng: &mut Rng = &mut world.rng;
    let ids = [world.nodes[0].id, world.nodes[1].id, world.nodes[2].id, liar.id(), NodeId([3; 32])];
    let node = ids[rng.below(5) as usize];
    let small = |rng: &mut Rng| [0, 1, 2, 3, 99, 100, 101, u64::MAX - 1][rng.below(8) as usize];
    let (boot, version) = (small(rng), small(rng));
    let mut key = || {
        let subject = format!("nonsense.{}", rng.below(5)).into_bytes().into();
        Arc::new(Key { account: (*b"A").into(), subject, queue: None, via: None })
    };
    let changes: Vec<Change> = (0..3).map(|n| Change { key: key(), weight: n % 2 }).collect();
    let after = Some(key());
    match rng.below(7) {
        0 => {
            let adjacency = if rng.below(2) == 0 { vec![] } else { vec![(ids[rng.below(3) as usize], 1)] };
            let lsa = Lsa {
                node: liar.id(),
                area: 0,
                part: 0,
                index: 1 + rng.below(3) as u32,
                boot: boot.max(1),
                seq: version,
                name: "liar".into(),
                adjacency,
                addresses: vec![],
                upstreams: vec![boot],
                interest_version: version,
                interest_digest: boot,
                clients: Vec::new(),
            };
            ControlFrame::Lsa(lsa.sign(liar))
        }
        1 => ControlFrame::delta(&Delta { node, boot, from: version.min(1000), changes }),
        2 => {
            let more = [More::Next, More::Ask, More::End][rng.below(3) as usize];
            ControlFrame::Snapshot(Snapshot { node, boot, version, first: rng.below(2) == 0, entries: changes, more })
        }
        3 => ControlFrame::Summary(vec![Known { node, boot, seq: version, interest: version }]),
        4 => {
            let interest = Some(WantInterest { boot, have: Some(version), after });
            ControlFrame::Pull(vec![Want { node, lsa: true, interest }])
        }
        5 => ControlFrame::Pull(vec![Want {
            node,
            lsa: false,
            interest: Some(WantInterest { boot, have: None, after }),
        }]),
        _ => ControlFrame::Digest(version),
    }
}

/// Everybody knows of everybody that they are members.
fn rolls_agree(world: &World) {
    let digests = world.nodes[0].roll.digests();
    assert!(world.nodes.iter().all(|node| node.roll.digests() == digests), "rolls differ");
}

/// Goal: whom one part admits while the lattice is apart all know soon after the heal, and so what was overdone.
#[test]
fn who_was_admitted_is_known_everywhere_after_a_heal() {
    seeds(20, |seed| {
        let mut world = World::new(seed, 6);
        shape(&mut world, seed);
        world.converge(secs(2));
        rolls_agree(&world);
        let cut: Vec<_> = world.crossing(&[0, 1, 2]);
        cut.iter().for_each(|(link, ..)| world.cut(*link));
        world.run(secs(5));
        for (at, n) in [(0, 1), (5, 2)] {
            let claims = NodeClaims { name: "device".to_owned(), grant: Grant::all(), voucher: None, at: n };
            let applicant = crate::identity::Applicant::with_seed([n as u8; 32], "device");
            let (chain, _) = FOUNDER.admission(&applicant.application(), claims).unwrap();
            world.nodes[at].roll.learn(chain.warrants().to_vec()).unwrap();
            world.event(at, Event::Admitted(Arc::new(chain)));
        }
        world.run(secs(1));
        cut.iter().for_each(|(_, a, b)| _ = world.link(*a, *b));
        world.run(secs(2));
        rolls_agree(&world);
        assert_eq!(world.nodes[3].roll.list().len(), 8);
    });
}

/// Goal: who is revoked in one part is cut off there at once, and in the other as soon as the two are one again; whoever
/// revoked it is not asked again by those who know.
#[test]
fn the_revoked_are_cut_off_by_each_part_that_knows() {
    seeds(20, |seed| {
        let mut world = World::new(seed, 6);
        shape(&mut world, 1);
        world.converge(secs(2));
        let bad = world.nodes[1].id;
        let cut: Vec<_> = world.crossing(&[0, 1, 2]);
        cut.iter().for_each(|(link, ..)| world.cut(*link));
        world.run(secs(5));
        let revocation = FOUNDER.revoke(bad, &[], 7, FOUNDER.membership().root()).unwrap();
        world.nodes[4].roll.revoke(&revocation).unwrap();
        world.event(4, Event::Revoke(vec![revocation]));
        world.run(secs(2));
        assert_eq!(
            world.nodes.iter().filter(|node| node.roll.is_member(bad)).count(),
            3,
            "the other part knows nothing"
        );
        assert!(world.nodes[4].control.announcements().all(|known| known.lsa().node != bad));
        assert!(world.nodes[0].control.link_to(bad).is_some());
        cut.iter().for_each(|(_, a, b)| _ = world.link(*a, *b));
        world.run(secs(2));
        for at in [0, 2, 3, 4, 5] {
            let node = &world.nodes[at];
            assert!(!node.roll.is_member(bad) && node.control.link_to(bad).is_none(), "node {at}");
            assert!(!node.routes.reachable.contains_key(&bad), "node {at}");
        }
        // It comes back to one that knows.
        world.link(1, 2);
        world.run(secs(1));
        assert!(world.nodes[2].control.link_to(bad).is_none());
        assert!(world.nodes[2].control.announcements().all(|known| known.lsa().node != bad));
    });
}

/// Goal: a forgery that is sent behind a genuine revocation does not keep that from being enforced.
#[test]
fn a_forgery_does_not_shield_the_revoked() {
    let mut world = World::new(1, 3);
    shape(&mut world, 3);
    world.converge(secs(2));
    let (bad, victim) = (world.nodes[1].id, world.nodes[2].id);
    let genuine = FOUNDER.revoke(bad, &[], 7, FOUNDER.membership().root()).unwrap();
    let mut forged = FOUNDER.revoke(victim, &[], 7, FOUNDER.membership().root()).unwrap();
    forged.at = 8;
    let link = world.links_of(2)[0];
    world.event(0, Event::Frame { link, frame: ControlFrame::Revoked(vec![genuine, forged]) });
    assert!(world.nodes[0].control.link_to(bad).is_none(), "it is cut off");
    assert!(world.nodes[0].control.link_to(victim).is_none(), "and who sent the forgery is rejected");
    assert!(world.nodes[0].roll.is_member(victim) && !world.nodes[0].roll.is_member(bad));
}

/// Goal: that the root key was replaced is known to all within reach at once, and to a part that was cut off when it comes back;
/// nobody is lost by it, and nobody comes back, but whom the old key has made a member in the meantime.
#[test]
fn all_hear_that_the_root_key_was_replaced() {
    seeds(10, |seed| {
        let mut world = World::new(seed, 6);
        shape(&mut world, 1);
        world.converge(secs(2));
        let cut: Vec<_> = world.crossing(&[0, 1, 2]);
        cut.iter().for_each(|(link, ..)| world.cut(*link));
        world.run(secs(5));
        let rotation = rotation(1_000 + seed, &world.nodes[4].roll);
        world.nodes[4].roll.succeed(&rotation.line).unwrap();
        world.event(4, Event::Succeed);
        world.run(secs(1));
        let heard = |world: &World, at: usize| world.nodes[at].roll.line().current() == rotation.root.public();
        assert_eq!((0..6).filter(|at| heard(&world, *at)).collect::<Vec<_>>(), [3, 4, 5]);
        cut.iter().for_each(|(_, a, b)| _ = world.link(*a, *b));
        world.converge(secs(5));
        assert!((0..6).all(|at| heard(&world, at)));
        for node in &world.nodes {
            assert!(node.rejections.is_empty() && world.nodes.iter().all(|other| node.roll.is_member(other.id)));
            assert_eq!(node.control.counters().successions, 1);
        }
        // Who goes by another heir is told nothing new by it, and stays a neighbour, whomever that one revokes.
        let unaware = Roll::open(&FOUNDER, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
        let stolen = self::rotation(2_000 + seed, &unaware);
        let link = world.links_of(0)[0];
        world.event(0, Event::Frame { link, frame: ControlFrame::Succession(stolen.line.news().unwrap()) });
        assert_eq!(world.nodes[0].control.counters().successions_refused, 1);
        assert!(heard(&world, 0) && world.nodes[0].rejections.is_empty());
    });
}

/// Not by the seed that the founder's own keys are made with.
fn rotation(seed: u64, roll: &Roll) -> Rotation {
    FOUNDER.rotate(&mut lattice_broker::env::Rng::seed_from_u64(10_000 + seed), roll, &[], 7).unwrap()
}

/// Goal: a link that is cut right after the line, or a neighbour that tells nothing else, lets nobody back in: who was revoked by
/// the old key is out with the same frame, also where nobody had heard of that.
#[test]
fn the_line_alone_keeps_the_revoked_out() {
    // One knows of the revocation already, one does not.
    for (at, knows) in [(0, true), (2, false)] {
        let mut world = World::new(2, 3);
        shape(&mut world, 3);
        world.converge(secs(2));
        let bad = world.nodes[1].id;
        let owner = Roll::open(&FOUNDER, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
        let by_old = FOUNDER.revoke(bad, &[], 7, owner.root()).unwrap();
        owner.revoke(&by_old).unwrap();
        if knows {
            world.nodes[at].roll.revoke(&by_old).unwrap();
        }
        let news = rotation(1, &owner).line.news().unwrap();
        let to_other = |world: &World| *world.links_of(at).last().unwrap();
        let link = to_other(&world);
        world.event(at, Event::Frame { link, frame: ControlFrame::Succession(news) });
        assert!(world.nodes[at].rejections.is_empty());
        world.links_of(at).into_iter().for_each(|link| world.cut(link));
        for _ in 0..2 {
            let roll = &world.nodes[at].roll;
            assert!(roll.is_revoked(bad) && !roll.is_member(bad) && roll.revocations().is_empty(), "{at}");
            world.run(secs(5));
        }
    }
}

/// Goal: whoever leaves somebody out of the list changes nothing, and loses the link.
#[test]
fn a_list_that_was_not_signed_is_refused_with_its_line() {
    let mut world = World::new(2, 2);
    shape(&mut world, 0);
    world.converge(secs(2));
    let owner = Roll::open(&FOUNDER, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
    owner.revoke(&FOUNDER.revoke(NodeId([9; 32]), &[], 7, owner.root()).unwrap()).unwrap();
    let mut news = rotation(1, &owner).line.news().unwrap();
    news.expelled.clear();
    let link = world.links_of(0)[0];
    world.event(0, Event::Frame { link, frame: ControlFrame::Succession(news) });
    assert!(world.nodes[0].rejections[0].contains("not the one that was signed"), "{:?}", world.nodes[0].rejections);
    assert!(world.nodes[0].roll.line().steps().is_empty());
}

/// Goal: what was dropped for a wrong line's sake is had again from the neighbours as soon as the user has put that right, who are
/// told all anew.
#[test]
fn the_users_word_is_told_over_all_links() {
    let mut world = World::new(3, 4);
    shape(&mut world, 1);
    world.converge(secs(2));
    let rotation = rotation(1, &world.nodes[0].roll);
    let revoked = NodeId([9; 32]);
    world.nodes[0].roll.follow_instead(&rotation.line).unwrap();
    let by_new =
        FOUNDER.clone().with_root(rotation.root.clone()).revoke(revoked, &[], 7, rotation.root.public()).unwrap();
    world.nodes[0].roll.revoke(&by_new).unwrap();
    world.event(0, Event::Succeed);
    world.run(secs(2));
    for node in &world.nodes {
        assert_eq!(node.roll.line().current(), rotation.root.public());
        assert_eq!(node.roll.revocations(), std::slice::from_ref(&by_new));
        assert!(node.rejections.is_empty() && world.nodes.iter().all(|other| node.roll.is_member(other.id)));
    }
}

/// Goal: nodes that a member invents are no nodes: nobody keeps them, routes to them or passes them on.
#[test]
fn invented_nodes_do_not_count() {
    let mut world = World::new(1, 3);
    shape(&mut world, 0);
    world.converge(secs(2));
    let (liar, link) = (Keys::new(50), LinkId(1 << 40));
    let hello = Hello { node: liar.id(), ..world.nodes[0].control.hello() };
    world.event(0, Event::LinkUp { link, peer: liar.id(), member: &liar.chain(), cost: 1, hello: &hello });
    for n in 100..500 {
        let invented = Keys::new(n);
        let lsa = Lsa {
            node: invented.id(),
            area: 0,
            part: 0,
            index: n as u32,
            boot: 1,
            seq: 1,
            name: "ghost".into(),
            adjacency: vec![(world.nodes[0].id, 1)],
            addresses: vec![],
            upstreams: vec![],
            interest_version: 0,
            interest_digest: 0,
            clients: Vec::new(),
        };
        world.event(0, Event::Frame { link, frame: ControlFrame::Lsa(lsa.sign(&invented)) });
    }
    world.run(secs(1));
    assert!(world.nodes.iter().all(|node| node.control.announcements().count() <= 4));
    let counted = world.nodes[0].control.counters();
    assert_eq!((counted.strangers, counted.rejected), (400 - 256, 0));
    // One of them turns out to be a member: its announcement was kept for that.
    let chain = Keys::new(100).chain();
    world.nodes[1].roll.learn(chain.warrants().to_vec()).unwrap();
    world.event(1, Event::Admitted(chain));
    world.run(secs(1));
    assert!(world.nodes[2].control.announcements().any(|known| known.lsa().node == Keys::new(100).id()));
}

/// Goal: a node without transit that announces every neighbour it can draws no traffic of others.
#[test]
fn a_node_without_transit_is_no_hop() {
    let mut world = World::new(1, 3);
    let leaf = world.add_with(77, 100, &Grant { transit: false, ..Grant::all() });
    for at in 0..3 {
        world.link(at, leaf);
    }
    world.run(secs(2));
    let leaf = world.nodes[leaf].id;
    for node in &world.nodes[..3] {
        let reached: Vec<NodeId> = node.routes.by_index.values().map(|route| route.node).collect();
        assert_eq!(reached, [leaf], "nobody is reached through it");
    }
    assert_eq!(world.nodes[3].routes.by_index.len(), 3, "it reaches all itself");
    world.link(0, 1);
    world.link(1, 2);
    world.run(secs(2));
    for node in &world.nodes[..3] {
        assert!(node.routes.by_index.values().all(|route| route.node == leaf || route.next != leaf));
    }
}

/// Goal: interest in an account that a node was not granted counts nowhere.
#[test]
fn interest_beyond_a_grant_counts_nowhere() {
    let mut world = World::new(1, 1);
    let only = Grant::all().limited_to(vec!["telemetry".to_owned()]).unwrap();
    let limited = world.add_with(77, 100, &only);
    world.link(0, limited);
    world.want(limited, "a.b", None, 1);
    world.run(secs(1));
    assert!(world.nodes[0].mirror.values().all(BTreeMap::is_empty), "not even announced");
    // One that announces it all the same.
    let (node, boot) = (world.nodes[limited].id, 100);
    let key =
        |account: &[u8]| Arc::new(Key { account: account.into(), subject: (*b"x").into(), queue: None, via: None });
    let change = |account: &[u8]| crate::mesh::interest::Change { key: key(account), weight: 1 };
    let changes = vec![change(b"A"), change(b"telemetry")];
    let link = world.links_of(0)[0];
    let delta = Delta { node, boot, from: 0, changes };
    world.event(0, Event::Frame { link, frame: ControlFrame::delta(&delta) });
    let in_force: Vec<_> = world.nodes[0].mirror.values().flat_map(BTreeMap::keys).collect();
    assert_eq!(in_force, [&*key(b"telemetry")]);
}
