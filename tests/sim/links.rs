//! What two whole nodes in the simulator make of a network and a disk that do things which scenarios do not.

use lattice::client::{Client, Options, ServerUrl};
use lattice::control::InviteRequest;
use lattice::identity::Applicant;
use lattice::sim::Nodes;
use lattice::status::Link;
use lattice_broker::env::Rng;
use lattice_netsim::{Burst, Degrade, DiskConfig, FaultId, World, WorldConfig};
use rand_core::SeedableRng;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Two nodes, of which node 1 dials node 0, and two clients: the one on host 1 publishes a number each 50 ms, the one
/// on host 0 hears them.
struct Pair {
    world: World,
    nodes: Arc<Nodes>,
    heard: Arc<Mutex<Vec<u64>>>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, WorldConfig::hosts(2));
        let nodes = Arc::new(Nodes::new(&world, 2, &[(1, 0)]));
        world.install(0..2, Arc::clone(&nodes) as _);
        world.boot(0);
        world.boot(1);
        Self { world, nodes, heard: Arc::default() }
    }

    /// With traffic, when the link is up.
    fn talking(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        let nodes = Arc::clone(&pair.nodes);
        pair.world.run_until(|| link(&nodes, 0).is_some(), secs(10)).unwrap();
        let (env, heard) = (pair.world.host(0).env(), Arc::clone(&pair.heard));
        pair.world.spawn_on(0, async move {
            let client = Client::connect(&env, &server(), Options::default()).await.unwrap();
            let mut numbers = client.subscribe("numbers", None).await.unwrap();
            while let Some(message) = numbers.next().await {
                let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                heard.lock().unwrap().push(number);
            }
        });
        let env = pair.world.host(1).env();
        pair.world.spawn_on(1, async move {
            let client = Client::connect(&env, &server(), Options::default()).await.unwrap();
            for number in 0_u64.. {
                client.publish("numbers", number.to_string().as_bytes()).await.unwrap();
                env.sleep(Duration::from_millis(50)).await;
            }
        });
        pair.hear_more(secs(10));
        pair
    }

    /// Runs until twenty more numbers have been heard. Returns how long that took.
    fn hear_more(&mut self, limit: Duration) -> Duration {
        let (heard, before) = (Arc::clone(&self.heard), self.heard.lock().unwrap().len());
        self.world.run_until(|| heard.lock().unwrap().len() >= before + 20, limit).unwrap()
    }

    /// No number twice, and none after a later one; none missing unless `gaps`.
    fn check(&self, gaps: bool) {
        let heard = self.heard.lock().unwrap();
        let good = |pair: &[u64]| if gaps { pair[0] < pair[1] } else { pair[0] + 1 == pair[1] };
        assert!(heard.windows(2).all(good), "{heard:?}");
    }

    fn hits(&self, fault: FaultId) -> u64 {
        self.world.bites().iter().find(|bite| bite.fault == fault).unwrap().hits
    }
}

fn server() -> ServerUrl {
    ServerUrl::parse("nats://127.0.0.1:4222", 4222).unwrap()
}

/// The link to its only peer as the node on host `i` sees it.
fn link(nodes: &Nodes, i: usize) -> Option<Link> {
    nodes.node(i)?.status().peers.first()?.link.clone()
}

/// Goal: a node whose address changes keeps its link: the QUIC connection migrates, and no message is lost or doubled.
#[test]
fn a_link_migrates_when_the_dialler_gets_another_address() {
    for seed in 0..10 {
        let mut pair = Pair::talking(seed);
        pair.world.run_for(secs(5));
        let before = link(&pair.nodes, 0).unwrap();
        let fault = pair.world.readdress(1);
        let took = pair.hear_more(secs(10));
        assert!(took < secs(2), "seed {seed}: {took:?}");
        pair.world.run_for(secs(20));
        let after = link(&pair.nodes, 0).unwrap();
        assert_ne!(before.address, after.address, "seed {seed}");
        assert!(after.address.starts_with("10.1.0.2:"), "seed {seed}: {}", after.address);
        assert!(after.up_secs >= before.up_secs + 20, "seed {seed}: the link is the one from before: {after:?}");
        assert!(pair.hits(fault) > 0);
        pair.check(false);
    }
}

/// Goal: a node that was dialled and moves is found again by its name.
#[test]
fn a_link_is_dialled_anew_when_the_dialled_node_gets_another_address() {
    for seed in 0..10 {
        let mut pair = Pair::talking(seed);
        let fault = pair.world.readdress(0);
        let took = pair.hear_more(secs(20));
        assert!(took < secs(6), "seed {seed}: {took:?}");
        let after = link(&pair.nodes, 1).unwrap();
        assert!(after.address.starts_with("10.1.0.1:"), "seed {seed}: {}", after.address);
        assert!(pair.hits(fault) > 0);
        pair.check(true);
    }
}

/// Goal: flipped bits and bursts of loss cost time, and never a message or its order.
#[test]
fn corruption_and_bursts_on_one_way_cost_time_only() {
    let burst = Some(Burst { enter: 0.02, leave: 0.3, loss: 0.9 });
    for by in [Degrade { corrupt: 0.2, ..Degrade::default() }, Degrade { burst, ..Degrade::default() }] {
        for seed in 0..5 {
            let mut pair = Pair::talking(seed);
            let fault = pair.world.degrade_one_way(&[1], &[0], by);
            pair.world.run_for(secs(30));
            pair.world.lift(fault);
            pair.hear_more(secs(5));
            let counters = pair.world.counters();
            assert_eq!(pair.hits(fault), counters.corrupted + counters.lost_in_bursts);
            assert!(pair.hits(fault) > 10, "seed {seed}: {counters:?}");
            pair.check(false);
        }
    }
}

/// Goal: clocks that stray to opposite sides while they run, and wall clocks an hour off, make no link time out.
#[test]
fn clocks_that_stray_and_step_break_no_link() {
    let mut pair = Pair::talking(1);
    let strays = [pair.world.drift(0, 500), pair.world.drift(1, -500)];
    let step = pair.world.step(1, secs(3_600), true);
    pair.world.run_for(secs(60));
    pair.world.lift(step);
    pair.world.step(0, secs(3_600), false);
    pair.world.run_for(secs(60));
    assert!(strays.into_iter().all(|fault| pair.hits(fault) > 100));
    assert!(link(&pair.nodes, 0).unwrap().up_secs > 119, "the link is the one from before");
    pair.check(false);
}

/// Goal: a machine that loses power starts with what its node had synced, and with nothing else.
#[test]
fn a_node_that_boots_again_has_lost_what_was_not_synced() {
    let mut pair = Pair::new(1);
    let disk = pair.nodes.disk(0).clone();
    disk.configure(DiskConfig { sync: secs(2), ..DiskConfig::default() });
    pair.world.run_for(secs(1));
    let written = disk.bytes();
    assert!(written > 0, "a node notes where it listens");
    let (node, done) = (pair.nodes.node(0).unwrap(), Arc::new(Mutex::new(false)));
    let finished = Arc::clone(&done);
    pair.world.spawn_on(0, async move {
        let invite = node.invite(InviteRequest::new(secs(3_600), 1)).await.unwrap();
        let applicant = Applicant::generate(&mut Rng::seed_from_u64(1), "device");
        node.take_in(&invite, &applicant).await.unwrap();
        *finished.lock().unwrap() = true;
    });
    let took = pair.world.run_until(|| *done.lock().unwrap(), secs(10)).unwrap();
    assert!(took >= secs(2), "the device is told when its use of the invite is safe: {took:?}");
    let safe = disk.bytes();
    assert!(safe > written);
    disk.put(b"unsynced", b"x").unwrap();
    pair.world.restart(0);
    pair.world.run_for(secs(5));
    assert_eq!((disk.get(b"unsynced"), disk.bytes()), (Ok(None), safe));
    assert_eq!((disk.counters().crashes, disk.counters().lost), (1, 1));
    assert!(link(&pair.nodes, 1).is_some());
}

/// Goal: a disk that fails keeps a node from starting, which starts once the disk is well again.
#[test]
fn a_node_starts_when_its_disk_no_longer_fails() {
    let mut pair = Pair::new(1);
    pair.nodes.disk(0).configure(DiskConfig { read_fails: 1.0, ..DiskConfig::default() });
    pair.world.restart(0);
    pair.world.run_for(secs(5));
    assert!(pair.nodes.disk(0).counters().failed >= 4, "it was tried again and again");
    assert!(link(&pair.nodes, 1).is_none());
    pair.nodes.disk(0).configure(DiskConfig::default());
    pair.world.run_for(secs(5));
    assert!(link(&pair.nodes, 1).is_some());
}
