//! One size: a world of nodes with their clients, from boot on.

use crate::meter::{cpu_time, peak_mb};
use lattice::client::{Client, Options, ServerUrl, Subscription};
use lattice::sim::Nodes;
use lattice_netsim::{Host, Process as _, World, WorldConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often it is looked whether everybody knows everybody.
const STEP: Duration = Duration::from_millis(10);
const PAYLOAD_BYTES: usize = 128;
const INTERVAL: Duration = Duration::from_secs(1);

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) nodes: usize,
    pub(crate) edges: Vec<(usize, usize)>,
    seed: u64,
    virtual_time: Duration,
}

/// A run that goes on.
pub(crate) struct Playing {
    pub(crate) world: World,
    pub(crate) lattice: Arc<Nodes>,
    heard: Arc<AtomicU64>,
}

/// A ring, and from each node a chord whose length differs from node to node.
fn ring_with_chords(nodes: usize) -> Vec<(usize, usize)> {
    let ring = (0..nodes).map(|i| (i, (i + 1) % nodes));
    let chord = |i: usize| (i, (i + 2 + i * 7919 % (nodes / 2).max(1)) % nodes);
    let mut edges: Vec<(usize, usize)> = ring.chain((0..nodes).map(chord)).filter(|(a, b)| a != b).collect();
    edges.sort_unstable_by_key(|&(a, b)| (a.min(b), a.max(b)));
    edges.dedup_by_key(|&mut (a, b)| (a.min(b), a.max(b)));
    edges
}

impl Run {
    pub(crate) fn new(nodes: usize, seed: u64, virtual_time: Duration) -> Self {
        Self { nodes, seed, virtual_time, edges: ring_with_chords(nodes) }
    }

    fn neighbors(&self, i: usize) -> Vec<usize> {
        let of = |&(a, b): &(usize, usize)| if a == i { Some(b) } else { (b == i).then_some(a) };
        self.edges.iter().filter_map(of).collect()
    }

    /// Makes the world and boots its nodes. Their clients publish only where there is `traffic`.
    pub(crate) fn boot(&self, traffic: bool) -> Playing {
        let mut world = World::new(self.seed, WorldConfig::hosts(self.nodes));
        let lattice = Nodes::new(&world, self.nodes, &self.edges).tuned(Box::new(|_, config| {
            config.mesh.nodes_max = config.mesh.nodes_max.max(4096);
        }));
        let (lattice, heard) = (Arc::new(lattice), Arc::new(AtomicU64::new(0)));
        let process = {
            let (run, lattice, heard) = (self.clone(), Arc::clone(&lattice), Arc::clone(&heard));
            move |host: Host| {
                lattice.start(host.clone());
                let neighbors = run.neighbors(host.index());
                host.env().spawn(client(host.clone(), neighbors, traffic, Arc::clone(&heard)));
            }
        };
        world.install(0..self.nodes, Arc::new(process));
        (0..self.nodes).for_each(|i| world.boot(i));
        Playing { world, lattice, heard }
    }

    /// Lets time pass until all have a way to all, or the run's time is over. Returns whether they have.
    pub(crate) fn form(&self, playing: &mut Playing) -> bool {
        while playing.world.now() < self.virtual_time {
            if self.is_formed(&playing.lattice) {
                return true;
            }
            playing.world.run_for(STEP);
        }
        self.is_formed(&playing.lattice)
    }

    /// Plays it with traffic, and prints what each phase cost.
    pub(crate) fn play(self) {
        let mut meter = Meter::default();
        let mut playing = self.boot(true);
        self.report(&mut meter, &playing, "boot");
        self.form(&mut playing);
        self.report(&mut meter, &playing, "forming");
        playing.world.run_for(self.virtual_time.saturating_sub(playing.world.now()));
        self.report(&mut meter, &playing, "steady");
        meter = Meter::default();
        self.report(&mut meter, &playing, "all");
        println!("      trace {} {:?}", playing.world.trace_hash(), playing.world.usage());
    }

    /// Whether every node knows a way to every other.
    fn is_formed(&self, lattice: &Nodes) -> bool {
        let complete = |i| lattice.node(i).map_or(0, |node| node.reachable()) + 1 == self.nodes;
        (0..self.nodes).all(complete)
    }

    fn report(&self, meter: &mut Meter, Playing { world, heard, .. }: &Playing, phase: &str) {
        let now = Meter {
            cpu: cpu_time(),
            virtual_time: world.now(),
            polls: world.polls(),
            packets: world.counters().sent,
            heard: heard.load(Relaxed),
        };
        let cpu = (now.cpu - meter.cpu).as_secs_f64();
        let packets = now.packets - meter.packets;
        println!(
            "{:5} {:5} {phase:8} {:10.2} {cpu:8.2} {:8.1} {:10} {packets:10} {:10.2} {:6}",
            self.nodes,
            self.edges.len(),
            (now.virtual_time - meter.virtual_time).as_secs_f64(),
            peak_mb(),
            now.polls - meter.polls,
            cpu * 1e6 / packets.max(1) as f64,
            now.heard - meter.heard,
        );
        *meter = now;
    }
}

/// What had been used at the end of the phase before.
#[derive(Debug, Default)]
struct Meter {
    cpu: Duration,
    virtual_time: Duration,
    polls: u64,
    packets: u64,
    heard: u64,
}

async fn client(host: Host, neighbors: Vec<usize>, traffic: bool, heard: Arc<AtomicU64>) {
    let env = host.env();
    let server = ServerUrl::parse("nats://127.0.0.1:4222", 4222).expect("the address is written right");
    let client = Client::connect(&env, &server, Options::default()).await.expect("the node has started");
    for neighbor in neighbors {
        let feed = client.subscribe(&format!("feed.{neighbor}"), None).await.expect("the node runs");
        env.spawn(listen(feed, Arc::clone(&heard)));
    }
    if !traffic {
        // The connection stays for as long as somebody has the client.
        return std::future::pending().await;
    }
    let (subject, payload) = (format!("feed.{}", host.index()), [b'x'; PAYLOAD_BYTES]);
    // Not all at the same moment.
    env.sleep(INTERVAL.mul_f64(host.index() as f64 * 0.618 % 1.0)).await;
    loop {
        client.publish(&subject, &payload).await.expect("the node runs");
        env.sleep(INTERVAL).await;
    }
}

async fn listen(mut feed: Subscription, heard: Arc<AtomicU64>) {
    while feed.next().await.is_some() {
        heard.fetch_add(1, Relaxed);
    }
}
