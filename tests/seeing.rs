//! `routes`, `trace` and `events` as a person types them, on three processes in a line.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use lattice::status::events::Event;
use lattice::status::routes::{Routes, Takers};
use lattice::status::trace::{End, Trace};
use support::cluster::{Cluster, Node, command, lattice};
use support::process::{Process, run};
use support::{LIMIT, wait_for};

/// Runs a command on a node, and reads its one document of JSON.
fn document<T: serde::de::DeserializeOwned>(node: &Node, args: &[&str]) -> T {
    let told = command(&[args, &["--json"]].concat(), &node.data());
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:#?}"))
}

fn events(node: &Node) -> Vec<Event> {
    let told = command(&["events", "--json"], &node.data());
    assert_eq!(told.code, Some(0), "{told:#?}");
    told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Nodes that come or go at once are told in the order of their keys.
fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn subscribe(node: &Node, subject: &str, more: &[&str]) -> Process {
    let mut command = lattice();
    command.args(["sub", subject]).args(more).args(["--server", &node.url()]);
    Process::start("sub", &mut command)
}

/// Waits until the first node knows that `nodes` take messages on `subject`.
fn wait_takers(node: &Node, subject: &str, names: &[&str]) -> Takers {
    wait_for("the interest is known", LIMIT, || {
        let takers: Takers = document(node, &["routes", subject]);
        let known: Vec<&str> = takers.nodes.iter().map(|taker| &*taker.name).collect();
        (known == names).then_some(takers)
    })
}

/// Goal: who takes a message is told, and over which next hop it goes there.
#[test]
fn routes_show_who_takes_what_over_which_way() {
    let cluster = Cluster::line(3);
    let [a, b, c] = &cluster.nodes[..] else { panic!("three nodes") };
    let all: Routes = document(a, &["routes"]);
    let ways: Vec<_> = all.nodes.iter().map(|to| (&*to.name, to.hops, to.next.as_deref(), to.detour)).collect();
    assert_eq!(ways, [("b", 1, Some("b"), false), ("c", 2, Some("b"), false)]);

    let _subs = [
        subscribe(c, "sensors.*", &[]),
        subscribe(c, "sensors.>", &["--queue", "work"]),
        subscribe(a, "sensors.temp", &[]),
    ];
    let takers = wait_for("both kinds of interest of c are known", LIMIT, || {
        let takers = wait_takers(a, "sensors.temp", &["a", "c"]);
        (takers.nodes[1].plain == 1 && !takers.nodes[1].groups.is_empty()).then_some(takers)
    });
    assert!(takers.nodes[0].here && takers.nodes[0].plain == 1, "{takers:#?}");
    let group = &takers.nodes[1].groups[0];
    assert_eq!((&*group.group, group.weight, group.upstream), ("work", 1, false));
    let way = takers.nodes[1].route.as_ref().unwrap();
    assert_eq!((way.hops, way.next.as_deref()), (2, Some("b")));
    let table = command(&["routes", "sensors.temp"], &a.data());
    assert!(table.stdout.contains("2 hops via b") && table.stdout.contains("plain, 1 in group \"work\""), "{table:#?}");
    let nobody = command(&["routes", "nobody.wants"], &b.data());
    assert!(nobody.stdout.contains("nobody within reach takes messages on nobody.wants"), "{nobody:#?}");
}

/// Goal: a trace names A, B and C in order with round trips, and no subscriber gets anything.
#[test]
fn a_trace_goes_from_a_over_b_to_c() {
    let cluster = Cluster::line(3);
    let [a, _, c] = &cluster.nodes[..] else { panic!("three nodes") };
    let mut far = subscribe(c, "orders.*", &["--count", "1"]);
    wait_takers(a, "orders.new", &["c"]);
    let trace: Trace = document(a, &["trace", "orders.new"]);
    let [way] = &trace.ways[..] else { panic!("{trace:#?}") };
    let names: Vec<&str> = way.hops.iter().map(|hop| &*hop.name).collect();
    assert_eq!((way.end, names), (End::Arrived, vec!["a", "b", "c"]), "{trace:#?}");
    assert!(way.hops[1..].iter().all(|hop| hop.round_trip_ms.is_some_and(|time| time > 0.0)), "{trace:#?}");
    assert!(way.hops[..2].iter().all(|hop| hop.link_rtt_ms.is_some_and(|time| time > 0.0)), "{trace:#?}");
    let table = command(&["trace", "orders.new"], &a.data());
    assert!(table.code == Some(0) && table.stdout.contains("to c: 2 hops, there and back in"), "{table:#?}");

    // What comes first is the message, and no probe before it.
    let sent = run(lattice().args(["pub", "orders.new", "the message", "--server", &a.url()]), LIMIT);
    assert_eq!(sent.code, Some(0), "{sent:#?}");
    wait_for("the message arrives", LIMIT, || far.exited());
    assert!(far.said("the message"), "{:#?}", far.log());
}

/// Goal: a neighbour that dies is found in the events, with why its link ended and who is lost with it.
#[test]
fn events_tell_of_a_neighbour_that_died() {
    let mut cluster = Cluster::line(3);
    let mut following =
        Process::start("events", lattice().args(["events", "--follow", "--data"]).arg(cluster.nodes[0].data()));
    following.wait_line("the link to b", |line| line.contains("link up").then_some(()));
    let before = events(&cluster.nodes[0]);
    let reached: Vec<_> =
        before.iter().filter(|event| event.event == "node_reached").filter_map(|event| event.node.clone()).collect();
    assert_eq!(sorted(reached), ["b", "c"], "{before:#?}");
    cluster.nodes[1].kill();
    let down = wait_for("the link is given up", LIMIT, || {
        events(&cluster.nodes[0]).into_iter().find(|event| event.event == "link_down")
    });
    assert_eq!(down.node.as_deref(), Some("b"));
    assert!(down.why.as_ref().is_some_and(|why| !why.is_empty()) && down.at_ms > before[0].at_ms, "{down:#?}");
    let lost = wait_for("both are lost", LIMIT, || {
        let lost: Vec<_> = events(&cluster.nodes[0])
            .into_iter()
            .filter(|event| event.event == "node_lost")
            .filter_map(|event| event.node)
            .collect();
        (lost.len() >= 2).then_some(lost)
    });
    assert_eq!(sorted(lost), ["b", "c"]);
    following.wait_line("the end of the link", |line| line.contains("link down").then_some(()));
}

/// Goal: what cannot be answered is refused with what is wrong and what to do.
#[test]
fn errors_name_what_is_wrong() {
    let mut node = Node::alone("");
    for args in [&["routes", "a.*"][..], &["trace", "a..b"]] {
        let refused = command(args, &node.data());
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert!(
            refused.stderr.contains(args[1]) && refused.stderr.contains("is no subject of a message"),
            "{refused:#?}"
        );
    }
    let late = command(&["trace", "a", "--timeout", "1m"], &node.data());
    assert!(late.code == Some(2) && late.stderr.contains("at most 8 s"), "{late:#?}");
    let nowhere = command(&["trace", "nobody.wants"], &node.data());
    assert!(nowhere.code == Some(1) && nowhere.stdout.contains("nobody within reach"), "{nowhere:#?}");
    node.stop();
    for args in [&["routes"][..], &["trace", "a"], &["events"]] {
        let stopped = command(args, &node.data());
        assert!(stopped.code == Some(1) && stopped.stderr.contains("no node runs on"), "{stopped:#?}");
    }
}
