//! How two and three whole nodes in the simulator notice that a link is bad, what that costs, and what they do then.

use lattice::mesh::heartbeat::Pace;
use lattice::sim::{Nodes, Tune};
use lattice::status;
use lattice_netsim::{Degrade, Link, World, WorldConfig};
use std::sync::Arc;
use std::time::Duration;

/// IPv4 and UDP headers.
const HEADERS: u64 = 28;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Some nodes, whose links are up.
struct Lattice {
    world: World,
    nodes: Arc<Nodes>,
}

impl Lattice {
    /// Of each of `edges` the first node dials the second.
    fn new(seed: u64, nodes: usize, edges: &[(usize, usize)], delay: Duration, tune: Tune) -> Self {
        let link = Link { delay, jitter: delay / 10, ..Link::default() };
        let mut world = World::new(seed, WorldConfig { link, ..WorldConfig::hosts(nodes) });
        let lattice = Arc::new(Nodes::new(&world, nodes, edges).tuned(tune));
        world.install(0..nodes, Arc::clone(&lattice) as _);
        (0..nodes).for_each(|node| world.boot(node));
        let all = Arc::clone(&lattice);
        world
            .run_until(|| (0..nodes).all(|node| all.node(node).is_some_and(|it| it.reachable() == nodes - 1)), secs(10))
            .unwrap();
        world.run_for(secs(60));
        Self { world, nodes: lattice }
    }

    fn pair(seed: u64, delay: Duration) -> Self {
        Self::new(seed, 2, &[(1, 0)], delay, untuned())
    }

    /// What node `at` counts under `name`.
    fn count(&self, at: usize, name: &str) -> u64 {
        self.nodes.node(at).unwrap().status().counters[name]
    }

    /// The link between two nodes as the first one sees it.
    fn link(&self, at: usize, to: usize) -> Option<status::Link> {
        link(&self.nodes, at, to)
    }

    /// Runs until the link between two nodes is suspected at the first one, or not any more. Returns how long that took.
    fn until_suspected(&mut self, at: usize, to: usize, suspected: bool, limit: Duration) -> Duration {
        let nodes = Arc::clone(&self.nodes);
        self.world.run_until(|| link(&nodes, at, to).is_some_and(|it| it.suspected == suspected), limit).unwrap()
    }

    /// Bytes and packets a second on the wire, of all links together, for ten minutes.
    fn idle(&mut self) -> (f64, f64) {
        let before = self.world.counters();
        self.world.run_for(secs(600));
        let after = self.world.counters();
        let packets = after.sent - before.sent;
        let bytes = after.sent_bytes - before.sent_bytes + packets * HEADERS;
        (bytes as f64 / 600.0, packets as f64 / 600.0)
    }
}

fn link(nodes: &Nodes, at: usize, to: usize) -> Option<status::Link> {
    let id = nodes.ids()[to].to_string();
    nodes.node(at)?.status().peers.into_iter().find(|peer| peer.id == id)?.link
}

fn untuned() -> Tune {
    Box::new(|_, _| {})
}

/// Goal: an idle link costs next to nothing, and what the profile promises.
#[test]
fn an_idle_link_is_within_its_budget() {
    for (pace, delay, bytes_max, packets_max) in [
        (Pace::Automatic, ms(1), 2_000.0, 20.5),
        (Pace::Automatic, ms(10), 800.0, 8.0),
        (Pace::Every(secs(5)), ms(10), 100.0, 1.0),
        (Pace::Metered, ms(10), 15.0, 0.2),
    ] {
        let tune: Tune = Box::new(move |_, config| config.link.heartbeat = pace);
        let (bytes, packets) = Lattice::new(1, 2, &[(1, 0)], delay, tune).idle();
        eprintln!("     {pace:?}, {delay:?}: {bytes:.1} B/s, {packets:.2} packets/s");
        assert!(
            bytes <= bytes_max && packets <= packets_max,
            "{pace:?}, {delay:?}: {bytes:.1} B/s, {packets:.2} packets/s"
        );
    }
}

/// Goal: one end that pays for its data is enough, whichever has dialled.
#[test]
fn one_end_that_is_metered_makes_the_link_so() {
    for metered in [0, 1] {
        let tune: Tune = Box::new(move |node, config| {
            if node == metered {
                config.link.heartbeat = Pace::Metered;
            }
        });
        let mut lattice = Lattice::new(1, 2, &[(1, 0)], ms(10), tune);
        let (bytes, _) = lattice.idle();
        assert!(bytes <= 15.0, "{bytes:.1} B/s");
        assert!([(0, 1), (1, 0)].iter().all(|(at, to)| lattice.link(*at, *to).unwrap().cost > 1_000));
    }
}

/// Goal: whichever direction is cut, both ends suspect the link as fast as when both are, within half a second on a LAN,
/// and trust it again after a second of calm.
#[test]
fn both_ends_suspect_a_link_that_carries_one_way_only() {
    for (seed, cut) in (0..4).flat_map(|seed| [(seed, &[(0, 1)][..]), (seed, &[(1, 0)]), (seed, &[(0, 1), (1, 0)])]) {
        let mut lattice = Lattice::pair(seed, ms(1));
        let faults: Vec<_> = cut.iter().map(|(from, to)| lattice.world.cut_one_way(*from, *to)).collect();
        let first = lattice.until_suspected(0, 1, true, secs(1));
        let both = first + lattice.until_suspected(1, 0, true, secs(1));
        assert!(both <= ms(500), "seed {seed}, {cut:?}: {both:?}");
        faults.into_iter().for_each(|fault| lattice.world.lift(fault));
        let again = lattice.until_suspected(0, 1, false, secs(2)) + lattice.until_suspected(1, 0, false, secs(2));
        assert!(again >= ms(900) && again <= ms(1_500), "seed {seed}, {cut:?}: {again:?}");
        assert!(lattice.link(0, 1).unwrap().up_secs > 60, "it is the link from before");
    }
}

/// Goal: one packet in ten lost in either direction at a round trip of 100 ms, and jitter of 40 ms, are hardly ever taken
/// for silence, and never for death.
#[test]
fn loss_is_not_taken_for_silence() {
    let mut suspected = 0;
    for seed in 0..6 {
        let mut lattice = Lattice::pair(seed, ms(50));
        lattice.world.degrade(&[0], &[1], Degrade { loss: 0.1, jitter: ms(40), ..Degrade::default() });
        lattice.world.run_for(secs(600));
        suspected += lattice.count(0, "mesh_links_suspected") + lattice.count(1, "mesh_links_suspected");
        assert_eq!(lattice.count(0, "mesh_links_down") + lattice.count(1, "mesh_links_down"), 0, "seed {seed}");
    }
    assert!(suspected <= 2, "{suspected} times in an hour");
}

/// Goal: jitter is hardly ever news.
#[test]
fn jitter_is_not_announced() {
    let changed = (0..12).map(|seed| {
        let mut lattice = Lattice::pair(seed, ms(20));
        lattice.world.degrade(&[0], &[1], Degrade { loss: 0.01, jitter: ms(10), ..Degrade::default() });
        lattice.world.run_for(secs(30));
        let before = lattice.count(1, "mesh_link_costs_changed");
        lattice.world.run_for(secs(600));
        lattice.count(1, "mesh_link_costs_changed") - before
    });
    let changed: Vec<u64> = changed.collect();
    println!("changes in ten minutes: {changed:?}");
    assert!(changed.iter().sum::<u64>() <= 4, "{changed:?}");
}

/// Goal: a link that flaps every two seconds for a minute is announced ten times by each end at most; the other way serves
/// meanwhile.
#[test]
fn a_link_that_flaps_is_announced_rarely() {
    let mut lattice = Lattice::new(1, 3, &[(1, 0), (2, 0), (2, 1)], ms(5), untuned());
    // Node 2 hears each announcement of the others once, by one way or the other.
    let before = lattice.count(2, "control_announcements");
    for _ in 0..30 {
        let fault = lattice.world.cut(0, 1);
        lattice.world.run_for(secs(1));
        assert!((0..3).all(|node| lattice.nodes.node(node).unwrap().reachable() == 2));
        lattice.world.lift(fault);
        lattice.world.run_for(secs(1));
    }
    let announced = lattice.count(2, "control_announcements") - before;
    assert!(announced <= 20, "{announced}");
    lattice.world.run_for(secs(60));
    assert!(!lattice.link(0, 1).unwrap().suspected && lattice.link(0, 1).unwrap().cost < 100);
}
