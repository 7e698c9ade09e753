//! How often news cross links, and that they arrive wherever a link fails them.

use super::*;

/// A ring of 20 nodes, each with a link to the one 7 further on, that all know all. Where the answer to a pull gets lost
/// on a link that lives on, which none does but here, its time-out is part of the moment that this costs.
fn settled(seed: u64) -> World {
    let config = Config { pull_timeout: Duration::from_millis(300), ..Config::default() };
    let mut world = World::with(seed, 20, config);
    for n in 0..20 {
        world.link(n, (n + 1) % 20);
        world.link(n, (n + 7) % 20);
    }
    for n in 0..20 {
        world.want(n, &format!("first.{n}"), None, 1);
    }
    world.converge(secs(3));
    world.run(secs(1));
    world
}

fn repairs(world: &World) -> u64 {
    world.nodes.iter().map(|node| node.control.counters().repairs).sum()
}

/// Goal: a change goes to each node once, and beside that to the neighbours of where it comes from; all else that is said
/// are lines of summaries.
#[test]
fn news_come_once() {
    seeds(10, |seed| {
        let mut world = settled(seed);
        let sent = |world: &World| (world.sent["delta"].0, world.sent["lsa"].0);
        // The first change shows which links are branches.
        for round in ["second", "third"] {
            let before = sent(&world);
            for n in 0..20 {
                world.want(n, &format!("{round}.{n}"), None, 1);
                world.run(Duration::from_millis(500));
            }
            assert_eq!(world.difference(), None);
            let (deltas, lsas) = sent(&world);
            if round == "third" {
                let (deltas, lsas) = (deltas - before.0, lsas - before.1);
                assert!(deltas <= 20 * (19 + 5), "{deltas} deltas for 20 changes");
                assert_eq!(lsas, 0);
            }
        }
    });
}

/// Goal: whichever link loses them, news come over others, long before digests show that something is missing.
#[test]
fn a_torn_branch_costs_a_moment() {
    seeds(20, |seed| {
        let mut world = settled(seed);
        let links: Vec<LinkId> = world.wires.keys().copied().collect();
        let before = repairs(&world);
        for (n, link) in links.into_iter().enumerate().skip(seed as usize % 4).step_by(4) {
            world.wires.get_mut(&link).unwrap().lose = Some((Kind::Delta, 1));
            world.want(n % 20, &format!("torn.{n}"), None, 1);
            world.converge(Duration::from_millis(900));
            world.wires.get_mut(&link).unwrap().lose = None;
        }
        assert_eq!(repairs(&world), before);
    });
}

/// Goal: who joins late, and who comes back, gets what the others have been told one by one.
#[test]
fn newcomers_become_part_of_the_tree() {
    seeds(10, |seed| {
        let mut world = settled(seed);
        let newcomer = world.add(seed * 1000 + 999, 100);
        world.link(newcomer, 3);
        world.link(newcomer, 13);
        world.converge(secs(2));
        world.restart(5, 200);
        world.link(5, 4);
        world.converge(secs(2));
        let before = repairs(&world);
        for n in 0..21 {
            world.want(n, &format!("later.{n}"), None, 1);
        }
        world.converge(secs(1));
        assert_eq!(repairs(&world), before);
    });
}
