use super::*;
use crate::{Check, Checker, Host, Played, Verdict};
use lattice_broker::env::{UdpSocket, VirtualUdp};
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
    assert_eq!(scenario.faults[0].what, FaultKind::Partition(vec![vec![0, 1].into(), vec![2, 3, 4].into()]));
    let text = toml::to_string(&scenario).unwrap();
    assert_eq!(Scenario::from_toml(&text).unwrap(), scenario);
}

const EVERY_KIND: &str = r#"
        name = "all"
        duration_ms = 20000
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
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { isolate = ["0..2"] }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { degrade = { from = [0], to = [1], one_way = true, burst = { enter = 0.1, leave = 0.5 }, mtu_bytes = 900 } }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { drift = { nodes = [0, 1], ppm = 500 } }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { step = { nodes = [0], ms = -3600000 } }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { readdress = 1 }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { reset = 1 }
        [[fault]]
        at_ms = 0
        for_ms = 1
        what = { disk = { node = 1, does = "flip-bits" } }
        [[fault]]
        at_ms = 0
        for_ms = 9000
        what = { flap = { from = [0], to = [1], period_ms = 1000 } }
        [[fault]]
        at_ms = 0
        for_ms = 9000
        what = { swizzle = [0, 1, 2] }
        [[fault]]
        at_ms = 0
        for_ms = 9000
        what = { rolling = { nodes = [2, 0], what = "isolate", every_ms = 1000, each_ms = 500 } }
        [[fault]]
        at_ms = 0
        for_ms = 9000
        what = { churn = { nodes = [2, 0], per_s = 0.5, down_ms = 500 } }
    "#;

#[test]
fn each_kind_of_fault_can_be_written() {
    let scenario = Scenario::from_toml(EVERY_KIND).unwrap();
    assert_eq!(scenario.edges(), [(0, 1), (2, 1)]);
    assert_eq!(scenario.faults.len(), 15);
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
        ("partition =", "divide ="),
        ("\"ring\"", "\"circle\""),
    ] {
        let text = PARTITION_HEAL.replacen(&format!("\n{right}"), &format!("\n{wrong}"), 1).replacen(right, wrong, 1);
        let error = Scenario::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("line ") && error.contains(wrong.trim_matches([' ', '=', '"'])), "{wrong}: {error}");
    }
}

#[test]
fn what_cannot_be_played_is_refused() {
    let refused = |change: fn(&mut Scenario)| scenario(change).check().unwrap_err().to_string();
    let topology = "topology: give at least one node, and one of `shape`, `site`, `edges` and `edges_file`";
    assert_eq!(refused(|s| s.topology.edges = vec![(0, 1)]), topology);
    assert_eq!(refused(|s| s.topology.nodes = 0), topology);
    assert_eq!(refused(|s| s.topology.nodes = 4), "node 4 does not exist: nodes are 0 to 3");
    assert_eq!(refused(|s| s.traffic.workers = vec![9].into()), "node 9 does not exist: nodes are 0 to 4");
    assert_eq!(refused(|s| s.faults[0].for_ms = 40_000), "fault 0 ends at 46000 ms, the scenario at 24000 ms");
    assert_eq!(refused(|s| s.link.loss = 1.5), "1.5 is no probability: 0 to 1");
    assert_eq!(refused(|s| s.link.delay_ms = -1.0), "delay_ms = -1: 0 to 60000 milliseconds");
    assert_eq!(refused(|s| s.traffic.interval_ms = 0), "interval_ms = 0: it must be more");
    assert_eq!(refused(|s| s.topology.columns = 2), "topology: `columns` is for the shape \"grid\" only");
    assert_eq!(
        refused(|s| s.bounds.deliver_ms = 60_000),
        "duration_ms = 24000: what happens until 14000 ms can be judged from 80000 ms on only (resume, deliver and quiet after it)"
    );
    let one = vec![vec![0, 1, 2, 3, 4].into()];
    let text = scenario(|s| s.faults[0].what = FaultKind::Partition(one)).check().unwrap_err().to_string();
    assert_eq!(text, "a partition of 1 groups parts nobody: give at least two");
}

/// A stand-in for a node: sends each message straight to all others by datagram, and reports what it gets. `doubled`
/// sends everything twice.
fn install(world: &mut World, scenario: &Scenario, checker: &Checker, doubled: bool) {
    let (nodes, scenario, checker) = (scenario.nodes(), Arc::new(scenario.clone()), checker.clone());
    let start = move |host: Host| {
        let Ok(UdpSocket::Virtual(socket)) = host.env().udp_bind(([0, 0, 0, 0], 9).into()) else { return };
        host.env().spawn(receive(socket.clone(), host.clone(), checker.clone()));
        let peers: Vec<usize> = (0..nodes).filter(|peer| *peer != host.index()).collect();
        host.env().spawn(publish(socket, host, peers, scenario.clone(), checker.clone(), doubled));
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
    socket: Arc<dyn VirtualUdp>,
    host: Host,
    peers: Vec<usize>,
    scenario: Arc<Scenario>,
    checker: Checker,
    doubled: bool,
) {
    let env = host.env();
    env.sleep(scenario.traffic_from().saturating_sub(host.time())).await;
    while host.time() < scenario.traffic_until() {
        let id = checker.publish(host.time(), host.index() as u32, host.incarnation()).to_string();
        for peer in &peers {
            for addr in env.resolve(&format!("host-{peer}:9")).await.unwrap() {
                (0..=u8::from(doubled)).for_each(|_| socket.send(addr, id.as_bytes(), 0));
            }
        }
        env.sleep(Duration::from_millis(scenario.traffic.interval_ms)).await;
    }
    // As many tasks and timers at the end as at the beginning.
    env.sleep(Duration::from_secs(100_000)).await;
}

fn play(scenario: &Scenario, seed: u64, doubled: bool) -> (Verdict, Checker) {
    let (mut world, checker) = (scenario.world(seed), Checker::new());
    install(&mut world, scenario, &checker, doubled);
    (scenario.play(&mut world, &checker, &mut ()).verdict, checker)
}

#[test]
fn the_partition_bites_and_heals() {
    let scenario = scenario(|_| {});
    let (verdict, checker) = play(&scenario, 1, false);
    assert!(verdict.passed(), "{verdict:?}");
    // 80 messages of each publisher on the way to each of 2 or 3 nodes on the other side: 960, and what was in flight.
    assert!((950..=990).contains(&verdict.faults[0].hits), "{:?}", verdict.faults);
    assert_eq!(checker.gaps(), verdict.faults[0].hits);
    assert!(verdict.resume_ms.unwrap() < 150.0, "{:?}", verdict.resume_ms);
    assert_eq!(play(&scenario, 1, false).0, verdict);
    assert_ne!(play(&scenario, 2, false).0.trace_hash, verdict.trace_hash);
}

/// Goal: the checks see a planted bug, and a fault that never bites is no pass.
#[test]
fn a_planted_duplicate_and_a_vacuous_fault_are_found() {
    let (verdict, checker) = play(&scenario(|_| {}), 1, true);
    assert!(!verdict.passed());
    assert_eq!(verdict.violated.keys().collect::<Vec<_>>(), [&Check::Duplicate], "{checker:?}");
    let nobody = CutModel { from: vec![0].into(), to: vec![0].into(), both_ways: true };
    let (verdict, _) = play(&scenario(|s| s.faults[0].what = FaultKind::Cut(nobody)), 1, false);
    assert!(verdict.passed() && verdict.vacuous().count() == 1, "{verdict:?}");
}

#[test]
fn crashes_that_overlap_keep_the_node_down_until_the_last_ends() {
    let crash = |at_ms, for_ms| Fault { at_ms, for_ms, what: FaultKind::Crash(1) };
    let pause = Fault { at_ms: 18_000, for_ms: 2_000, what: FaultKind::Pause(2) };
    let scenario = scenario(|s| {
        s.faults = vec![crash(10_000, 5_000), crash(12_000, 5_000), pause];
        s.duration_ms = 32_000;
    });
    let (mut world, checker) = (scenario.world(3), Checker::new());
    install(&mut world, &scenario, &checker, false);
    let Played { verdict, timeline } = scenario.play(&mut world, &checker, &mut ());
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!(world.host(1).incarnation(), 1);
    assert_eq!(timeline.nodes[1].down, [(10_000.0, 17_000.0)]);
    assert!(timeline.nodes.iter().enumerate().all(|(node, line)| node == 1 || line.down.is_empty()));
    // The faults are drawn as they were written, and the crash that found the node down bit with it.
    assert_eq!(timeline.faults.iter().map(|band| band.until_ms).collect::<Vec<_>>(), [15_000.0, 17_000.0, 20_000.0]);
}
