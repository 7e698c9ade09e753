use super::*;
use crate::Host;
use lattice_broker::env::{Env, UdpSocket, VirtualUdp};
use std::future::poll_fn;
use std::sync::Arc;

const PARTITION_HEAL: &str = include_str!("../../scenarios/partition-heal.toml");

fn scenario(change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut scenario = Scenario::from_toml(PARTITION_HEAL).unwrap();
    change(&mut scenario);
    scenario
}

#[test]
fn the_file_says_what_it_should_and_survives_a_round_trip() {
    let scenario = Scenario::from_toml(PARTITION_HEAL).unwrap();
    assert_eq!(scenario.edges(), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]);
    assert_eq!(scenario.healed_at(), Duration::from_secs(14));
    assert_eq!(scenario.faults[0].what, FaultKind::Partition(vec![vec![0, 1], vec![2, 3, 4]]));
    let text = toml::to_string(&scenario).unwrap();
    assert_eq!(Scenario::from_toml(&text).unwrap(), scenario);
}

#[test]
fn each_kind_of_fault_can_be_written() {
    let faults = r#"
        name = "all"
        duration_ms = 1000
        topology = { nodes = 3, edges = [[0, 1], [2, 1]] }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { cut = { from = [0], to = [1], both_ways = true } }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { degrade = { from = [0], to = [1, 2], loss = 0.4, rate_bytes = 32000 } }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { crash = 2 }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { pause = 0 }
    "#;
    let scenario = Scenario::from_toml(faults).unwrap();
    assert_eq!(scenario.edges(), [(0, 1), (2, 1)]);
    assert_eq!(scenario.faults.len(), 4);
    assert_eq!(Scenario::from_toml(&toml::to_string(&scenario).unwrap()).unwrap(), scenario);
}

/// Goal: a typo is an error that shows where it is.
#[test]
fn unknown_keys_are_errors_with_their_line() {
    for (right, wrong) in [
        ("duration_ms", "duration"),
        ("shape", "form"),
        ("delay_ms", "delay"),
        ("interval_ms", "every_ms"),
        ("resume_ms", "resume"),
        ("for_ms", "for"),
        ("partition =", "split ="),
        ("\"ring\"", "\"star\""),
    ] {
        let text = PARTITION_HEAL.replacen(&format!("\n{right}"), &format!("\n{wrong}"), 1).replacen(right, wrong, 1);
        let error = Scenario::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("line ") && error.contains(wrong.trim_matches([' ', '=', '"'])), "{wrong}: {error}");
    }
}

#[test]
fn what_cannot_be_played_is_refused() {
    let refused = |change: fn(&mut Scenario)| scenario(change).check().unwrap_err().to_string();
    assert_eq!(
        refused(|s| s.topology.edges = vec![(0, 1)]),
        "topology: give at least one node, and either `shape` or `edges`"
    );
    assert_eq!(refused(|s| s.topology.nodes = 4), "node 4 does not exist: nodes are 0 to 3");
    assert_eq!(refused(|s| s.faults[0].for_ms = 40_000), "fault 0 ends at 46000 ms, the scenario at 22000 ms");
    assert_eq!(refused(|s| s.link.loss = 1.5), "1.5 is no probability: 0 to 1");
    assert!(scenario(|s| s.topology.nodes = 0).check().is_err());
}

#[test]
fn shapes_have_the_edges_that_they_are_known_for() {
    let edges =
        |shape, nodes| scenario(|s| s.topology = Topology { nodes, shape: Some(shape), edges: Vec::new() }).edges();
    assert_eq!(edges(Shape::Line, 3), [(0, 1), (1, 2)]);
    assert_eq!(edges(Shape::Ring, 2), [(0, 1)]);
    assert_eq!(edges(Shape::Clique, 3), [(0, 1), (0, 2), (1, 2)]);
    assert_eq!(edges(Shape::Line, 1), []);
}

/// A stand-in for a node: sends each message straight to all others by datagram, and reports what it gets. `doubled`
/// sends everything twice.
fn install(world: &mut World, scenario: &Scenario, checker: &Checker, doubled: bool) {
    let (nodes, traffic, checker) = (scenario.topology.nodes, scenario.traffic.clone(), checker.clone());
    let start = move |host: Host| {
        let Ok(UdpSocket::Virtual(socket)) = host.env().udp_bind(([0, 0, 0, 0], 9).into()) else { return };
        host.env().spawn(receive(socket.clone(), host.clone(), checker.clone()));
        let peers: Vec<usize> = (0..nodes).filter(|peer| *peer != host.index()).collect();
        host.env().spawn(publish(host.env(), socket, host, peers, traffic.clone(), checker.clone(), doubled));
    };
    world.install(0..nodes, Arc::new(start));
}

async fn receive(socket: Arc<dyn VirtualUdp>, host: Host, checker: Checker) {
    let mut buf = [0; 1500];
    while let Ok(datagram) = poll_fn(|cx| socket.poll_recv(cx, &mut buf)).await {
        let id = std::str::from_utf8(&buf[..datagram.len]).unwrap().parse().unwrap();
        checker.deliver(host.time(), host.index() as u32, id);
    }
}

async fn publish(
    env: Env,
    socket: Arc<dyn VirtualUdp>,
    host: Host,
    peers: Vec<usize>,
    traffic: Traffic,
    checker: Checker,
    doubled: bool,
) {
    env.sleep(Duration::from_millis(traffic.start_ms).saturating_sub(host.time())).await;
    loop {
        let id = checker.publish(host.time(), host.index() as u32, host.incarnation()).to_string();
        for peer in &peers {
            for addr in env.resolve(&format!("host-{peer}:9")).await.unwrap() {
                (0..=u8::from(doubled)).for_each(|_| socket.send(addr, id.as_bytes(), 0));
            }
        }
        env.sleep(Duration::from_millis(traffic.interval_ms)).await;
    }
}

fn play(scenario: &Scenario, seed: u64, doubled: bool) -> (Verdict, Checker) {
    let (mut world, checker) = (scenario.world(seed, 0), Checker::new());
    install(&mut world, scenario, &checker, doubled);
    (scenario.play(&mut world, &checker), checker)
}

#[test]
fn the_partition_bites_and_heals() {
    let scenario = scenario(|_| {});
    let (verdict, checker) = play(&scenario, 1, false);
    assert!(verdict.passed(), "{verdict:?}");
    // 80 messages of each publisher on the way to each of 2 or 3 nodes on the other side: 960, and what was in flight.
    assert!((950..=990).contains(&verdict.bites[0].hits), "{:?}", verdict.bites);
    assert_eq!(checker.gaps(), verdict.bites[0].hits);
    assert!(verdict.resume.unwrap() < Duration::from_millis(150), "{:?}", verdict.resume);
    assert_eq!(play(&scenario, 1, false).0, verdict);
    assert_ne!(play(&scenario, 2, false).0.trace_hash, verdict.trace_hash);
}

/// Goal: the checks see a planted bug, and a fault that never bites is no pass.
#[test]
fn a_planted_duplicate_and_a_vacuous_fault_are_found() {
    let (verdict, checker) = play(&scenario(|_| {}), 1, true);
    assert!(!verdict.passed());
    assert!(verdict.violations.iter().all(|violation| violation.broken == crate::Broken::Duplicate), "{checker:?}");
    let nothing = scenario(|s| s.faults[0].what = FaultKind::Partition(vec![vec![0, 1, 2, 3, 4]]));
    let (verdict, _) = play(&nothing, 1, false);
    assert_eq!((verdict.violations_total, verdict.vacuous().len()), (0, 1));
    assert!(!verdict.passed());
}

#[test]
fn crashes_that_overlap_keep_the_node_down_until_the_last_ends() {
    let crash = |at_ms, for_ms| Fault { at_ms, for_ms, what: FaultKind::Crash(1) };
    let pause = Fault { at_ms: 18_000, for_ms: 2_000, what: FaultKind::Pause(2) };
    let scenario = scenario(|s| s.faults = vec![crash(10_000, 5_000), crash(12_000, 5_000), pause]);
    let (mut world, checker) = (scenario.world(3, 0), Checker::new());
    install(&mut world, &scenario, &checker, false);
    let verdict = scenario.play(&mut world, &checker);
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!(world.host(1).incarnation(), 1);
    let down: Vec<_> = verdict.bites.iter().map(|bite| (bite.since.as_secs(), bite.until.unwrap().as_secs())).collect();
    assert_eq!(down, [(10, 17), (18, 20)]);
}
