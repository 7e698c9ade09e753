//! Whole nodes in the simulator, one behind the other with a line between each two, and what gets from end to end.
#![allow(clippy::unwrap_used, reason = "what cannot be set up has no figures")]

use lattice::client::{Client, Options, ServerUrl};
use lattice::sim::Nodes;
use lattice::status::Link as LinkStatus;
use lattice_broker::env::Env;
use lattice_netsim::{Link, World, WorldConfig};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BULK_BYTES: usize = 1024;
const SMALL_BYTES: usize = 128;
const SMALL_EVERY: Duration = Duration::from_millis(1);
/// Time for the link to come up, and for what both ends then tell each other.
const UP_WITHIN: Duration = Duration::from_secs(60);
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The lines, all the same, and in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) seed: u64,
    /// How many there are.
    pub(crate) hops: usize,
    /// Bytes a second.
    pub(crate) rate: u64,
    /// Bytes that may wait for it.
    pub(crate) queue: u64,
    /// Time on the way, in one direction.
    pub(crate) delay: Duration,
    /// Share of the packets that chance takes.
    pub(crate) loss: f64,
}

impl Default for Line {
    fn default() -> Self {
        Self { seed: 1, hops: 1, rate: 50_000_000 / 8, queue: 256 << 10, delay: Duration::from_millis(20), loss: 0.0 }
    }
}

/// What was seen in one run.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Payload of bulk that arrived, as a share of what the line carries.
    pub(crate) share: f64,
    /// Packets that were sent in vain, of those sent, without what chance takes.
    pub(crate) again: f64,
    /// How long small messages took, in order.
    pub(crate) took: Vec<Duration>,
    /// Messages that found no room in front of the line.
    pub(crate) dropped: u64,
}

impl Seen {
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let nth = (self.took.len() as f64 * share) as usize;
        self.took.get(nth.min(self.took.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// What has arrived so far.
#[derive(Debug, Default)]
struct Heard {
    bytes: u64,
    took: Vec<Duration>,
}

/// Has so many clients send `bulk`, as much as there is room for, and one `small` messages, a thousand a second, for `time`.
pub(crate) fn play(line: Line, time: Duration, bulk: usize, small: bool) -> Seen {
    let link = Link {
        delay: line.delay,
        jitter: Duration::ZERO,
        loss: line.loss,
        rate: Some(line.rate),
        queue_bytes: line.queue,
        ..Link::default()
    };
    let last = line.hops;
    let mut world = World::new(line.seed, WorldConfig { link, ..WorldConfig::hosts(last + 1) });
    let edges: Vec<(usize, usize)> = (1..=last).map(|i| (i, i - 1)).collect();
    let nodes = Arc::new(Nodes::new(&world, last + 1, &edges));
    world.install(0..=last, Arc::clone(&nodes) as _);
    (0..=last).for_each(|i| world.boot(i));
    let heard: Arc<Mutex<Heard>> = Arc::default();
    world.spawn_on(0, hear_bulk(world.host(0).env(), Arc::clone(&heard)));
    world.spawn_on(0, hear_small(world.host(0).env(), Arc::clone(&heard)));
    world.run_until(|| sender(&nodes, last).is_some(), UP_WITHIN).unwrap();
    world.run_for(SETTLED_AFTER);
    let before = sender(&nodes, last).unwrap();
    for _ in 0..bulk {
        world.spawn_on(last, send_bulk(world.host(last).env()));
    }
    if small {
        world.spawn_on(last, send_small(world.host(last).env()));
    }
    world.run_for(time);
    let after = sender(&nodes, last).unwrap();
    assert!(after.up_secs >= time.as_secs(), "the link is the one from before: {after:?}");
    let Heard { bytes, mut took } = std::mem::take(&mut *heard.lock().unwrap());
    took.sort_unstable();
    let (sent, lost) = (after.packets_sent - before.packets_sent, after.packets_lost - before.packets_lost);
    Seen {
        share: bytes as f64 / (line.rate as f64 * time.as_secs_f64()),
        again: (lost as f64 / sent as f64 - line.loss).max(0.0),
        took,
        dropped: dropped(&nodes, last),
    }
}

/// The link as the end sees it that sends.
fn sender(nodes: &Nodes, last: usize) -> Option<LinkStatus> {
    nodes.node(last)?.status().peers.iter().find_map(|peer| peer.link.clone())
}

fn dropped(nodes: &Nodes, last: usize) -> u64 {
    nodes.node(last).unwrap().status().counters["mesh_dropped_link_full"]
}

async fn connect(env: &Env) -> Client {
    let server = ServerUrl::parse("nats://127.0.0.1:4222", 4222).unwrap();
    Client::connect(env, &server, Options::default()).await.unwrap()
}

async fn hear_bulk(env: Env, heard: Arc<Mutex<Heard>>) {
    let client = connect(&env).await;
    let mut messages = client.subscribe("bulk", None).await.unwrap();
    while let Some(message) = messages.next().await {
        heard.lock().unwrap().bytes += message.payload.len() as u64;
    }
}

async fn hear_small(env: Env, heard: Arc<Mutex<Heard>>) {
    let client = connect(&env).await;
    let mut messages = client.subscribe("small", None).await.unwrap();
    while let Some(message) = messages.next().await {
        let sent = u64::from_le_bytes(message.payload[..8].try_into().unwrap());
        heard.lock().unwrap().took.push(wall(&env).saturating_sub(Duration::from_nanos(sent)));
    }
}

async fn send_bulk(env: Env) {
    let client = connect(&env).await;
    loop {
        client.publish("bulk", &[b'x'; BULK_BYTES]).await.unwrap();
    }
}

async fn send_small(env: Env) {
    let client = connect(&env).await;
    let (mut payload, mut next) = ([b'x'; SMALL_BYTES], env.now());
    loop {
        payload[..8].copy_from_slice(&(wall(&env).as_nanos() as u64).to_le_bytes());
        client.publish("small", &payload).await.unwrap();
        next += SMALL_EVERY;
        env.sleep(next.saturating_duration_since(env.now())).await;
    }
}

fn wall(env: &Env) -> Duration {
    env.wall().duration_since(std::time::UNIX_EPOCH).unwrap()
}
