//! What people can see of whole nodes in the simulator: ways of messages, and what has happened.

use lattice::control::{Question, Seen, TraceRequest};
use lattice::sim::Nodes;
use lattice::status::events::{Event, Place};
use lattice::status::trace::{End, Trace, Way};
use lattice_netsim::{Link, World, WorldConfig};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NODES: usize = 4;
/// One way over one link.
const DELAY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(2);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Nodes in a line, whose links are up.
struct Line {
    world: World,
    nodes: Arc<Nodes>,
}

impl Line {
    fn new(seed: u64) -> Self {
        let link = Link { delay: DELAY, ..Link::default() };
        let mut world = World::new(seed, WorldConfig { link, ..WorldConfig::hosts(NODES) });
        let edges: Vec<(usize, usize)> = (1..NODES).map(|node| (node, node - 1)).collect();
        let nodes = Arc::new(Nodes::new(&world, NODES, &edges));
        world.install(0..NODES, Arc::clone(&nodes) as _);
        (0..NODES).for_each(|node| world.boot(node));
        let all = Arc::clone(&nodes);
        let formed = || (0..NODES).all(|node| all.node(node).is_some_and(|it| it.reachable() == NODES - 1));
        world.run_until(formed, secs(10)).unwrap();
        world.run_for(secs(5));
        Self { world, nodes }
    }

    /// Asks a node, and lets the world go on until it has answered.
    fn see(&mut self, at: usize, question: Question) -> Seen {
        let (node, answer) = (self.nodes.node(at).unwrap(), Arc::new(Mutex::new(None)));
        let told = Arc::clone(&answer);
        self.world.spawn_on(at, async move { *told.lock().unwrap() = Some(node.see(question).await.unwrap()) });
        self.world.run_until(|| answer.lock().unwrap().is_some(), secs(20)).unwrap();
        let seen = answer.lock().unwrap().take();
        seen.unwrap()
    }

    fn trace(&mut self, at: usize, subject: &str) -> Trace {
        let request = TraceRequest { subject: subject.to_owned(), patience: PATIENCE };
        let Seen::Trace(trace) = self.see(at, Question::Trace(request)) else { panic!("another answer") };
        trace
    }

    fn events(&mut self, at: usize) -> Vec<Event> {
        let Seen::Events(events) = self.see(at, Question::Events(Place::default())) else { panic!("another answer") };
        events.events
    }

    /// Names of the nodes, which hosts have in their order.
    fn name(&self, at: usize) -> String {
        self.nodes.node(at).unwrap().status().name
    }

    fn names(&self, hosts: &[usize]) -> Vec<String> {
        hosts.iter().map(|at| self.name(*at)).collect()
    }
}

fn hops(way: &Way) -> Vec<String> {
    way.hops.iter().map(|hop| hop.name.clone()).collect()
}

/// Goal: a trace follows a message to the far end of a line, with the round trip of each hop, and nobody is given anything.
#[test]
fn a_trace_tells_each_hop_and_its_round_trip() {
    let mut line = Line::new(1);
    let mut far = line.nodes.node(3).unwrap().broker().local().subscribe(b"sensors.*", None, 8).unwrap();
    line.world.run_for(secs(1));
    let trace = line.trace(0, "sensors.temp");
    let [way] = &trace.ways[..] else { panic!("{trace:#?}") };
    assert_eq!((way.end, hops(way)), (End::Arrived, line.names(&[0, 1, 2, 3])));
    assert_eq!((way.hops[0].round_trip_ms, way.hops[3].link_rtt_ms), (None, None));
    for (at, hop) in way.hops.iter().enumerate().skip(1) {
        let (took, links) = (hop.round_trip_ms.unwrap(), f64::from(u32::try_from(at).unwrap()));
        assert!((20.0 * links..25.0 * links).contains(&took), "{trace:#?}");
    }
    for hop in &way.hops[..3] {
        assert!((20.0..30.0).contains(&hop.link_rtt_ms.unwrap()), "{trace:#?}");
    }
    line.world.run_for(secs(1));
    assert_eq!(far.try_next(), None);
    assert_eq!(line.trace(0, "nobody.wants").ways, []);
}

/// Goal: of a queue group one member is asked, as one would be for a message; a member here needs no way.
#[test]
fn a_trace_goes_to_one_member_of_a_group() {
    let mut line = Line::new(2);
    let member = |at: usize| line.nodes.node(at).unwrap().broker().local().subscribe(b"work", Some(b"g"), 8).unwrap();
    let _members = [member(1), member(3)];
    line.world.run_for(secs(1));
    let trace = line.trace(0, "work");
    let [way] = &trace.ways[..] else { panic!("{trace:#?}") };
    // The other one is more than twice as far.
    assert_eq!((way.end, hops(way), &way.groups[..]), (End::Arrived, line.names(&[0, 1]), &["g".to_owned()][..]));
    let trace = line.trace(3, "work");
    assert_eq!((trace.groups_here, trace.ways), (vec!["g".to_owned()], vec![]));
}

/// Goal: while a link is dead and nobody knows, a trace says behind which node nobody answers; later, that nobody is there.
#[test]
fn a_trace_ends_where_the_way_does() {
    let mut line = Line::new(3);
    let _far = line.nodes.node(3).unwrap().broker().local().subscribe(b"far", None, 8).unwrap();
    line.world.run_for(secs(1));
    line.world.kill(3);
    let trace = line.trace(0, "far");
    let [way] = &trace.ways[..] else { panic!("{trace:#?}") };
    assert_eq!((way.end, hops(way)), (End::Silent, line.names(&[0, 1, 2])));
    line.world.run_for(secs(10));
    assert_eq!(line.trace(0, "far").ways, []);
}

/// Goal: a node that dies is told as a link that was suspected and ended, and as a node that is lost; each with why.
#[test]
fn events_tell_what_has_led_to_what() {
    let mut line = Line::new(4);
    let dead = line.name(3);
    line.world.kill(3);
    line.world.run_for(secs(10));
    let told = |events: &[Event]| -> Vec<String> {
        let of_it = events.iter().filter(|event| event.node.as_ref() == Some(&dead));
        of_it.map(|event| event.event.clone()).collect()
    };
    let near = line.events(2);
    assert_eq!(told(&near), ["link_up", "node_reached", "link_suspected", "link_down", "node_lost"], "{near:#?}");
    let why = near.iter().find(|event| event.event == "link_down").and_then(|event| event.why.clone());
    assert!(why.as_ref().is_some_and(|why| !why.is_empty()), "{near:#?}");
    let numbers: Vec<u64> = near.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=near.len() as u64).collect::<Vec<_>>());
    let far = line.events(0);
    assert_eq!(told(&far), ["node_reached", "node_lost"], "{far:#?}");
}
