//! What whole nodes cost in the simulator: CPU, memory and events, by size of the lattice and by phase.
//!
//! ```text
//! cargo bench --profile fast --bench netsim              a table for 16, 100, 300 and 1,000 nodes
//! cargo bench --profile fast --bench netsim -- 16 3000   other sizes; --seed N, --seconds N
//! ```
//!
//! A ring with chords, about four links a node. Each node's client publishes 128 bytes a second and hears its
//! neighbours' feeds. Every size runs in a process of its own, since the peak of memory is the process's.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]

use lattice::client::{Client, Options, ServerUrl, Subscription};
use lattice::sim::Nodes;
use lattice_netsim::{Host, Process as _, World, WorldConfig};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often it is looked whether everybody knows everybody.
const STEP: Duration = Duration::from_millis(250);
const PAYLOAD_BYTES: usize = 128;
const INTERVAL: Duration = Duration::from_secs(1);

/// One row of the table.
#[derive(Clone, Debug)]
struct Run {
    nodes: usize,
    seed: u64,
    virtual_time: Duration,
    edges: Vec<(usize, usize)>,
}

fn main() -> ExitCode {
    let mut sizes = Vec::new();
    let (mut seed, mut seconds, mut alone) = (1, 60, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--alone" => alone = true,
            "--seed" => seed = number().unwrap_or(seed),
            "--seconds" => seconds = number().unwrap_or(seconds),
            size => match size.parse() {
                Ok(size @ 2..=10_000) => sizes.push(size),
                Ok(_) | Err(_) => {
                    eprintln!(
                        "{size} cannot be run: expected --seed N, --seconds N, or numbers of nodes from 2 to 10000"
                    );
                    return ExitCode::FAILURE;
                }
            },
        }
    }
    if alone {
        let nodes = sizes.first().copied().unwrap_or(16);
        Run::new(nodes, seed, Duration::from_secs(seconds)).play();
        return ExitCode::SUCCESS;
    }
    if sizes.is_empty() {
        sizes = vec![16, 100, 300, 1000];
    }
    println!("nodes links phase     virtual s    CPU s  peak MB      polls    packets  µs/packet  heard");
    for size in sizes {
        if !row(size, seed, seconds) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Runs one size in a process of its own.
fn row(nodes: usize, seed: u64, seconds: u64) -> bool {
    let numbers = [nodes.to_string(), "--seed".into(), seed.to_string(), "--seconds".into(), seconds.to_string()];
    let status = std::env::current_exe().and_then(|exe| Command::new(exe).arg("--alone").args(numbers).status());
    match status {
        Ok(status) if status.success() => true,
        Ok(status) => {
            eprintln!("{nodes} nodes: {status}");
            false
        }
        Err(error) => {
            eprintln!("{nodes} nodes: {error}");
            false
        }
    }
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
    fn new(nodes: usize, seed: u64, virtual_time: Duration) -> Self {
        Self { nodes, seed, virtual_time, edges: ring_with_chords(nodes) }
    }

    fn neighbors(&self, i: usize) -> Vec<usize> {
        let of = |&(a, b): &(usize, usize)| if a == i { Some(b) } else { (b == i).then_some(a) };
        self.edges.iter().filter_map(of).collect()
    }

    fn play(self) {
        let mut meter = Meter::default();
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
                host.env().spawn(client(host.clone(), neighbors, Arc::clone(&heard)));
            }
        };
        world.install(0..self.nodes, Arc::new(process));
        self.report(&mut meter, &world, "boot", &heard);
        (0..self.nodes).for_each(|i| world.boot(i));
        while world.now() < self.virtual_time && !self.is_formed(&lattice) {
            world.run_for(STEP);
        }
        self.report(&mut meter, &world, "forming", &heard);
        world.run_for(self.virtual_time.saturating_sub(world.now()));
        self.report(&mut meter, &world, "steady", &heard);
        meter = Meter::default();
        self.report(&mut meter, &world, "all", &heard);
        println!("      trace {} {:?}", world.trace_hash(), world.usage());
        if std::env::var_os("NETSIM_COUNTERS").is_some() {
            println!("{:#?}", lattice.node(0).map(|node| node.status().counters));
        }
    }

    /// Whether every node knows a way to every other.
    fn is_formed(&self, lattice: &Nodes) -> bool {
        let complete = |i| lattice.node(i).map_or(0, |node| node.reachable()) + 1 == self.nodes;
        (0..self.nodes).all(complete)
    }

    fn report(&self, meter: &mut Meter, world: &World, phase: &str, heard: &AtomicU64) {
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

async fn client(host: Host, neighbors: Vec<usize>, heard: Arc<AtomicU64>) {
    let env = host.env();
    let server = ServerUrl::parse("nats://127.0.0.1:4222", 4222).expect("the address is written right");
    let client = Client::connect(&env, &server, Options::default()).await.expect("the node has started");
    for neighbor in neighbors {
        let feed = client.subscribe(&format!("feed.{neighbor}"), None).await.expect("the node runs");
        env.spawn(listen(feed, Arc::clone(&heard)));
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

/// What this thread has used; nothing where the system does not tell.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// The most memory that this process has had; nothing where the system does not tell.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kib * 1024.0 / 1e6
}
