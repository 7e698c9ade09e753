//! `/metrics`: the broker's figures for Prometheus, and those of the lattice where there is one.

use super::lattice::{self, Watched};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;

/// A registry of one moment, as text: the live figures are the broker's own.
pub(super) fn text(watched: &Watched) -> String {
    let mut registry = Registry::default();
    register_broker(registry.sub_registry_with_prefix("nats_server"), watched);
    if let Some(lattice) = &watched.lattice {
        lattice::register(&mut registry, lattice.figures());
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn register_broker(registry: &mut Registry, watched: &Watched) {
    let monitor = &watched.monitor;
    let (varz, stats) = (watched.varz().figures, monitor.stats());
    let mut gauge = |name: &str, help: &str, value: f64| registry.register(name, help, ConstGauge::new(value));
    gauge("connections", "Client connections", varz.connections as f64);
    gauge("subscriptions", "Subscriptions", varz.subscriptions as f64);
    gauge("leafnodes", "Leaf links", varz.leafnodes as f64);
    gauge("memory_bytes", "Resident memory", varz.mem as f64);
    gauge("cpu_percent", "Percent of one core", varz.cpu);
    let up = varz.now.duration_since(varz.start).unwrap_or_default();
    gauge("uptime_seconds", "Time since the start", up.as_secs_f64());
    gauge("healthy", "1 while clients can be served", f64::from(u8::from(monitor.healthz().is_ok())));
    let mut counter = |name: &str, help: &str, value: u64| registry.register(name, help, ConstCounter::new(value));
    counter("connections_made", "Client connections since the start", varz.total_connections);
    counter("in_messages", "Messages published by clients", stats.in_msgs);
    counter("in_bytes", "Bytes of their bodies", stats.in_bytes);
    counter("out_messages", "Messages handed to clients", stats.out_msgs);
    counter("out_bytes", "Bytes of their bodies", stats.out_bytes);
    counter("neighbor_in_messages", "Messages from other servers", stats.neighbor_in_msgs);
    counter("neighbor_out_messages", "Messages handed to other servers", stats.neighbor_out_msgs);
    counter("slow_consumers", "Clients closed as they did not keep up", stats.slow_consumers);
    counter("stalls", "Times that a publisher was slowed down", stats.stalls);
    counter("accept_errors", "Attempts to connect that failed", stats.accept_errors);
    registry.register("closed", "Connections that ended", by_reason(&stats.closed));
    registry.register("dropped_messages", "Messages not handed on", by_reason(&stats.drops));
}

type Reasons = Family<[(&'static str, &'static str); 1], Counter>;

fn by_reason(counts: &BTreeMap<&'static str, u64>) -> Reasons {
    let family = Reasons::default();
    for (reason, count) in counts {
        family.get_or_create(&[("reason", reason)]).inc_by(*count);
    }
    family
}
