//! What a node adds to what its broker says: the links and figures of the lattice. The node hands them in as a [`Lattice`];
//! here is how they are told.

use lattice_broker::monitor::{Monitor, Varz};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Of what is dropped the counters have names that begin so, and go on with the reason.
const DROPPED: &str = "mesh_dropped_";

/// The lattice as a node sees it.
pub trait Lattice: Send + Sync + fmt::Debug {
    /// All of it at this moment.
    fn figures(&self) -> Figures;
}

/// The figures of one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The links that are up.
    pub links: Vec<Link>,
    /// Other nodes that are known…
    pub nodes: usize,
    /// …and of these, those that can be reached.
    pub reachable: usize,
    /// What has been counted since the start, by name.
    pub counters: BTreeMap<String, u64>,
    /// How long it took until routes followed from a change of the node's own links.
    pub rerouted: Times,
    /// Round trips of links.
    pub round_trips: Times,
}

/// A link to a neighbour.
#[derive(Clone, Debug)]
pub struct Link {
    /// The neighbour's name.
    pub name: String,
    /// Its public key, `N…`.
    pub key: String,
    /// Its address as seen from here.
    pub address: SocketAddr,
    /// This node has dialled.
    pub dialed: bool,
    /// Smoothed round trip.
    pub round_trip: Duration,
    /// How long it has been up.
    pub up: Duration,
    /// What routes count it with.
    pub cost: u32,
    /// Traffic goes round it where it can.
    pub suspected: bool,
    /// Share of the heartbeats that were lost of late: 0 to 1.
    pub loss: f64,
    /// Datagrams sent…
    pub packets_sent: u64,
    /// …and taken for lost.
    pub packets_lost: u64,
    /// Bytes of datagrams received…
    pub bytes_received: u64,
    /// …and sent.
    pub bytes_sent: u64,
    /// Bytes that wait for its streams.
    pub waiting: usize,
}

/// Times of one kind.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Upper bounds in seconds, ascending, the last one infinite, and how many times are within each and above the one before.
    pub parts: Vec<(f64, u64)>,
    /// All together, in seconds.
    pub sum: f64,
}

/// A broker, and the node around it if there is one.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The broker.
    pub monitor: Monitor,
    /// The node.
    pub lattice: Option<Arc<dyn Lattice>>,
}

impl From<Monitor> for Watched {
    fn from(monitor: Monitor) -> Self {
        Self { monitor, lattice: None }
    }
}

impl Watched {
    /// The server as a whole; links of the lattice count as leaf links.
    pub(super) fn varz(&self) -> Varz {
        let mut varz = self.monitor.varz();
        if let Some(lattice) = &self.lattice {
            varz.figures.leafnodes += lattice.figures().links.len() as u64;
        }
        varz
    }

    /// Leaf links of the broker, and behind them the links of the lattice.
    pub(super) fn leafz(&self) -> Value {
        // It has names for keys, and always encodes.
        let mut told = serde_json::to_value(self.monitor.leafz()).unwrap_or_default();
        if let Some(lattice) = &self.lattice
            && let Some(leafs) = told["leafs"].as_array_mut()
        {
            leafs.extend(lattice.figures().links.iter().map(leaf));
            told["leafnodes"] = leafs.len().into();
        }
        told
    }
}

/// A link in the words of `/leafz`, as far as it has them.
fn leaf(link: &Link) -> Value {
    json!({
        "name": link.name,
        "key": link.key,
        "is_spoke": link.dialed,
        "ip": link.address.ip().to_string(),
        "port": link.address.port(),
        "rtt": format!("{:.3}ms", link.round_trip.as_secs_f64() * 1e3),
        "uptime_secs": link.up.as_secs(),
        "cost": link.cost,
        "suspected": link.suspected,
        "loss": link.loss,
        "in_bytes": link.bytes_received,
        "out_bytes": link.bytes_sent,
        "packets_sent": link.packets_sent,
        "packets_lost": link.packets_lost,
        "waiting_bytes": link.waiting,
    })
}

type Labels = [(&'static str, String); 2];
type OfLinks = Family<Labels, Gauge<f64, AtomicU64>>;

/// Enters the lattice's figures.
pub(super) fn register(registry: &mut Registry, figures: Figures) {
    let registry = registry.sub_registry_with_prefix("lattice");
    let mut gauge = |name: &str, help: &str, value: usize| registry.register(name, help, ConstGauge::new(value));
    gauge("links", "Links that are up", figures.links.len());
    let suspected = figures.links.iter().filter(|link| link.suspected).count();
    gauge("links_suspected", "Of these, those that traffic goes round where it can", suspected);
    gauge("nodes", "Other nodes that are known", figures.nodes);
    gauge("nodes_reachable", "Of these, those that can be reached", figures.reachable);
    register_links(registry, &figures.links);
    let dropped = Family::<[(&'static str, String); 1], Counter>::default();
    for (name, count) in figures.counters {
        match name.strip_prefix(DROPPED) {
            Some(reason) => drop(dropped.get_or_create(&[("reason", reason.to_owned())]).inc_by(count)),
            None => registry.register(&name, format!("{name} of lattice status --json"), ConstCounter::new(count)),
        }
    }
    registry.register("mesh_dropped", "Frames and messages between nodes that were dropped", dropped);
    let help = "From a change of the node's own links until the routes that follow were in force";
    registry.register("reroute_seconds", help, figures.rerouted);
    let help = "Round trips of links that the node has dialled, at each answered heartbeat";
    registry.register("round_trip_seconds", help, figures.round_trips);
}

fn register_links(registry: &mut Registry, links: &[Link]) {
    let mut of_links = |name: &str, help: &str, value: &dyn Fn(&Link) -> f64| {
        let family = OfLinks::default();
        for link in links {
            family.get_or_create(&[("key", link.key.clone()), ("name", link.name.clone())]).set(value(link));
        }
        registry.register(name, help, family);
    };
    of_links("link_round_trip_seconds", "Smoothed round trip of a link", &|link| link.round_trip.as_secs_f64());
    of_links("link_waiting_bytes", "Bytes that wait for a link", &|link| link.waiting as f64);
    of_links("link_cost", "What routes count a link with", &|link| f64::from(link.cost));
    of_links("link_loss", "Share of a link's heartbeats that were lost of late", &|link| link.loss);
    of_links("link_up_seconds", "How long a link has been up", &|link| link.up.as_secs_f64());
    of_links("link_received_bytes", "Bytes received since a link came up", &|link| link.bytes_received as f64);
    of_links("link_sent_bytes", "Bytes sent since a link came up", &|link| link.bytes_sent as f64);
    of_links("link_lost_packets", "Packets taken for lost since a link came up", &|link| link.packets_lost as f64);
}

impl EncodeMetric for Times {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let count = self.parts.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum, count, &self.parts, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
