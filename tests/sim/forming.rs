//! How whole nodes in the simulator find each other: who links to whom when nobody has said so.

use lattice::sim::Nodes;
use lattice_broker::env::UdpSocket;
use lattice_netsim::{Link, World, WorldConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Nodes that dial of their own accord.
struct Forming {
    world: World,
    nodes: Arc<Nodes>,
    count: usize,
}

impl Forming {
    /// Of each of `edges` the first is told to dial the second.
    fn new(seed: u64, count: usize, edges: &[(usize, usize)]) -> Self {
        let link = Link { delay: Duration::from_micros(300), ..Link::default() };
        let mut world = World::new(seed, WorldConfig { link, ..WorldConfig::hosts(count) });
        let nodes = Nodes::new(&world, count, edges).tuned(Box::new(|_, config| config.forming.auto = true));
        let nodes = Arc::new(nodes);
        world.install(0..count, Arc::clone(&nodes) as _);
        (0..count).for_each(|i| world.boot(i));
        Self { world, nodes, count }
    }

    /// On one local network, and nobody is told of anybody.
    fn lan(seed: u64, count: usize) -> Self {
        let mut forming = Self::new(seed, count, &[]);
        for i in 0..count {
            forming.world.kill(i);
        }
        forming.world.segment(0..count);
        (0..count).for_each(|i| forming.world.boot(i));
        forming
    }

    fn star(seed: u64, count: usize) -> Self {
        Self::new(seed, count, &(1..count).map(|i| (i, 0)).collect::<Vec<_>>())
    }

    fn reaches(&self, i: usize) -> usize {
        self.nodes.node(i).map_or(0, |node| node.reachable())
    }

    /// Runs until each of `hosts` reaches as many others. Returns how long that took.
    fn until_reach(&mut self, hosts: std::ops::Range<usize>, others: usize, limit: Duration) -> Duration {
        let start = self.world.now();
        while !hosts.clone().all(|i| self.reaches(i) == others) {
            let reached: Vec<usize> = hosts.clone().map(|i| self.reaches(i)).collect();
            assert!(self.world.now() - start < limit, "not within {limit:?}: {reached:?}");
            self.world.run_for(Duration::from_millis(20));
        }
        self.world.now() - start
    }

    /// How many links each node has.
    fn degrees(&self) -> Vec<usize> {
        (0..self.count).map(|i| self.nodes.node(i).unwrap().mesh().peers().len()).collect()
    }

    fn counters(&self, i: usize) -> BTreeMap<String, u64> {
        self.nodes.node(i).unwrap().status().counters
    }
}

/// Goal: nodes that know one member each, the same one, make a mesh: each has some links of its own, few have many, and
/// it holds without the one that all of them knew.
#[test]
fn those_who_know_one_member_make_a_mesh() {
    for (seed, count) in [(1, 10), (2, 10), (3, 40), (4, 40)] {
        let mut forming = Forming::star(seed, count);
        let took = forming.until_reach(0..count, count - 1, secs(10));
        forming.world.run_for(secs(20));
        let degrees = forming.degrees();
        println!("seed {seed}: {count} nodes, all in reach after {took:?}, links {degrees:?}");
        assert_eq!(degrees[0], count - 1, "all were told to dial it");
        assert!(degrees[1..].iter().all(|links| (4..=12).contains(links)), "seed {seed}: {degrees:?}");
        let mean = degrees[1..].iter().sum::<usize>() as f64 / (count - 1) as f64;
        assert!(mean <= 7.0, "seed {seed}: {mean} links each, {degrees:?}");
        // It has come to rest.
        let dials = |forming: &Forming| (0..count).map(|i| forming.counters(i)["quic_dials"]).sum::<u64>();
        let before = dials(&forming);
        forming.world.run_for(secs(120));
        assert_eq!(dials(&forming), before, "seed {seed}");
        forming.world.kill(0);
        forming.world.run_for(secs(5));
        forming.until_reach(1..count, count - 2, secs(1));
    }
}

/// Goal: nodes on one local network that nobody has told of each other are one lattice in 2 s when they are ten, in 5 s when
/// they are a hundred.
#[test]
fn those_on_one_network_form_by_themselves() {
    for (seed, count, limit) in [(1, 10, secs(2)), (2, 10, secs(2)), (3, 10, secs(2)), (4, 100, secs(5))] {
        let mut forming = Forming::lan(seed, count);
        let took = forming.until_reach(0..count, count - 1, limit);
        forming.world.run_for(secs(20));
        let degrees = forming.degrees();
        println!("seed {seed}: {count} nodes of a network, all in reach after {took:?}, links {degrees:?}");
        assert!(degrees.iter().all(|links| *links >= 4), "seed {seed}: {degrees:?}");
        let (most, sum) = (degrees.iter().max().unwrap(), degrees.iter().sum::<usize>());
        assert!(*most <= 20 && sum <= 10 * count, "seed {seed}: {degrees:?}");
    }
}

/// Goal: a node that comes to a network where a lattice is finds it at once, and few of those who hear it dial it.
#[test]
fn a_newcomer_is_found() {
    for seed in 1..=3 {
        let mut forming = Forming::lan(seed, 30);
        forming.world.kill(29);
        forming.until_reach(0..29, 28, secs(5));
        forming.world.run_for(secs(60));
        forming.world.boot(29);
        let took = forming.until_reach(29..30, 29, secs(2));
        forming.world.run_for(secs(20));
        let links = forming.degrees()[29];
        println!("seed {seed}: the newcomer is in after {took:?}, with {links} links");
        assert!((4..=15).contains(&links), "seed {seed}: {links}");
    }
}

/// Goal: beacons of another lattice on the same network, and noise, are counted and nothing else.
#[test]
fn noise_on_the_network_is_counted() {
    let mut forming = Forming::lan(1, 3);
    forming.until_reach(0..3, 2, secs(2));
    let before = forming.counters(0)["quic_dials"];
    let (env, to) = (forming.world.host(1).env(), forming.world.addr(0, 7433));
    forming.world.spawn_on(1, async move {
        let UdpSocket::Virtual(socket) = env.udp_bind("0.0.0.0:9".parse().unwrap()).unwrap() else {
            panic!("no socket")
        };
        for n in 0..10_000_u32 {
            socket.send(to, &[1; 63], 0);
            if n % 100 == 99 {
                env.sleep(Duration::from_millis(10)).await;
            }
        }
    });
    forming.world.run_for(secs(30));
    let counters = forming.counters(0);
    assert!(counters["mesh_beacons_foreign"] >= 10_000, "{counters:?}");
    assert_eq!(counters["mesh_beacons_refused"], 0, "noise uses up nothing that is beacons'");
    assert_eq!(counters["quic_dials"], before);
    assert_eq!(forming.reaches(0), 2);
}

/// Goal: two parts that were apart for longer than nodes remember each other find each other again, though no node is told
/// whom to dial on the other side.
#[test]
fn parts_that_were_apart_for_long_find_each_other() {
    for seed in 1..=3 {
        let mut forming = Forming::star(seed, 8);
        forming.until_reach(0..8, 7, secs(10));
        forming.world.run_for(secs(10));
        let cut = forming.world.partition(&[&[0, 1, 2, 3], &[4, 5, 6, 7]]);
        forming.until_reach(0..8, 3, secs(30));
        forming.world.run_for(secs(70 * 60));
        // So that no redial of the first member by those who were told of it is what joins them.
        forming.world.kill(0);
        forming.world.lift(cut);
        let took = forming.until_reach(1..8, 6, secs(600));
        println!("seed {seed}: one lattice again after {took:?}");
    }
}

/// Goal: after a loss of power everywhere nodes find each other by what they have written down, also when the one member
/// that all were told of does not come back.
#[test]
fn those_who_were_linked_find_each_other_after_a_restart() {
    for seed in 1..=3 {
        let mut forming = Forming::star(seed, 10);
        forming.until_reach(0..10, 9, secs(10));
        forming.world.run_for(secs(30));
        for i in 0..10 {
            forming.world.kill(i);
        }
        forming.world.run_for(secs(60));
        (1..10).for_each(|i| forming.world.boot(i));
        let took = forming.until_reach(1..10, 8, secs(10));
        println!("seed {seed}: all that came back in reach after {took:?}");
        assert!(took < secs(3), "seed {seed}: {took:?}");
    }
}

/// Goal: a node that has as many links as it takes refuses only those whom it reaches otherwise.
#[test]
fn a_full_node_refuses_nobody_who_would_be_alone() {
    let count = 12;
    let mut world = World::new(5, WorldConfig::hosts(count));
    let edges: Vec<_> = (1..count).map(|i| (i, 0)).collect();
    let nodes = Nodes::new(&world, count, &edges).tuned(Box::new(|i, config| {
        config.forming.auto = true;
        config.forming.accept_max = if i == 0 { 3 } else { 64 };
    }));
    let nodes = Arc::new(nodes);
    world.install(0..count, Arc::clone(&nodes) as _);
    (0..count).for_each(|i| world.boot(i));
    let mut forming = Forming { world, nodes, count };
    forming.until_reach(0..count, count - 1, secs(20));
    // Its links end; by the time that they are made anew, nodes reach each other without it.
    forming.world.restart(0);
    forming.world.run_for(secs(60));
    forming.until_reach(0..count, count - 1, secs(1));
    let (links, refused) = (forming.degrees()[0], forming.counters(0)["mesh_links_refused"]);
    println!("{links} links after a restart, {refused} refused");
    assert!(refused > 0);
    assert!(links <= 3 + 8, "{links}");
}

/// Goal: the same seed gives the same run.
#[test]
fn forming_does_not_disturb_the_seed() {
    let run = || {
        let mut forming = Forming::star(7, 12);
        forming.world.run_for(secs(5));
        forming.world.restart(3);
        forming.world.run_for(secs(15));
        (forming.world.trace_hash(), forming.degrees())
    };
    assert_eq!(run(), run());
}
