//! What a node tells by HTTP: the same as `lattice nats-server`, and its lattice besides.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use serde_json::Value;
use std::net::SocketAddr;
use support::cluster::{Cluster, Node};
use support::http::get;
use support::{LIMIT, wait_for};

/// Two nodes that are watched, and where.
fn watched() -> (Cluster, Vec<SocketAddr>) {
    let node = |name| Node::new(name, "[http]\nlisten = \"127.0.0.1:0\"\n");
    let cluster = Cluster::chain(vec![node("a"), node("b")]);
    let at = cluster.nodes.iter().map(|node| node.status().http.unwrap().parse().unwrap()).collect();
    (cluster, at)
}

/// The value of the only sample of this name, with its labels.
fn sample(metrics: &str, name: &str) -> f64 {
    let mut found = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.next().unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
}

/// Goal: a link shows at both ends under `/leafz`, with the other node's name and key.
#[test]
fn links_of_the_lattice_are_under_leafz() {
    let (cluster, at) = watched();
    for (here, there) in [(0, 1), (1, 0)] {
        let peer = cluster.nodes[there].status();
        let leafz = wait_for("the link is measured", LIMIT, || {
            let told = get(at[here], "/leafz").json();
            (told["leafs"][0]["rtt"] != "0.000ms").then_some(told)
        });
        assert_eq!(leafz["leafnodes"], 1, "{leafz:#}");
        let leaf = &leafz["leafs"][0];
        assert_eq!([&leaf["name"], &leaf["key"]], [&peer.name, &peer.id].map(|text| Value::from(&**text)).each_ref());
        assert!(leaf["in_bytes"].as_u64() > Some(0) && leaf["out_bytes"].as_u64() > Some(0), "{leaf:#}");
        assert_eq!((&leaf["suspected"], leaf["is_spoke"].is_boolean()), (&Value::Bool(false), true), "{leaf:#}");
        assert_eq!(get(at[here], "/varz").json()["leafnodes"], 1);
    }
}

/// Goal: Prometheus gets everything that the mesh counts, and what it times.
#[test]
fn metrics_have_the_figures_of_the_mesh() {
    let (cluster, at) = watched();
    let metrics = wait_for("a round trip has been measured", LIMIT, || {
        // One of both has dialled.
        let told = at.iter().map(|at| get(*at, "/metrics").body);
        told.into_iter().find(|told| sample(told, "lattice_round_trip_seconds_count") > 0.0)
    });
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    for (name, expected) in [("lattice_links", 1.0), ("lattice_nodes", 1.0), ("lattice_nodes_reachable", 1.0)] {
        assert_eq!(sample(&metrics, name), expected, "{name}");
    }
    assert_eq!(sample(&metrics, "lattice_links_suspected"), 0.0);
    assert_eq!(sample(&metrics, "nats_server_healthy"), 1.0);
    assert!(sample(&metrics, "lattice_mesh_links_up_total") >= 1.0);
    for counter in cluster.nodes[0].status().counters.keys().filter(|name| name.starts_with("mesh_")) {
        let found = match counter.strip_prefix("mesh_dropped_") {
            Some(reason) => metrics.contains(&format!("lattice_mesh_dropped_total{{reason=\"{reason}\"}} ")),
            None => metrics.contains(&format!("lattice_{counter}_total ")),
        };
        assert!(found, "{counter}: {metrics}");
    }
    for of_link in ["link_round_trip_seconds", "link_waiting_bytes", "link_cost", "link_received_bytes"] {
        assert!(metrics.contains(&format!("lattice_{of_link}{{key=\"N")), "{of_link}: {metrics}");
    }
    let all = sample(&metrics, "lattice_round_trip_seconds_count");
    assert_eq!(sample(&metrics, "lattice_round_trip_seconds_bucket{le=\"+Inf\"}"), all);
    assert!(sample(&metrics, "lattice_reroute_seconds_count") > 0.0);
}

/// Goal: the broker of a node is watched as one that stands alone; without the setting nobody answers.
#[test]
fn the_broker_is_watched_as_ever() {
    let (cluster, at) = watched();
    assert_eq!(get(at[0], "/healthz").body, "{\"status\":\"ok\"}");
    let varz = get(at[0], "/varz").json();
    assert_eq!((&varz["server_name"], &varz["http_port"]), (&"a".into(), &at[0].port().into()), "{varz:#}");
    for path in ["/connz", "/subsz", "/accountz", "/accstatz", "/routez", "/gatewayz", "/jsz", "/"] {
        assert_eq!(get(at[0], path).code, 200, "{path}");
    }
    assert_eq!(get(at[0], "/nothing").code, 404);

    assert_eq!(Node::alone("").status().http, None);
    let twice = Node::new("twice", "").fails_to_start(&["--http-listen", &at[0].to_string()]);
    assert_eq!(twice.code, Some(1), "{twice:#?}");
    assert!(twice.stderr.contains(&format!("cannot listen for HTTP on {}", at[0])), "{twice:#?}");
    drop(cluster);
}
