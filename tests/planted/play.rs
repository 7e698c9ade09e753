//! One seed with everything that is checked: the clients' record, and then what the nodes hold when it is quiet.

use super::checks;
use super::crew::Crew;
use super::record::Record;
use super::traffic::Traffic;
use lattice::sim::Nodes;
use lattice_netsim::{Checker, Host, Process as _, Scenario, World};
use std::sync::Arc;
use std::time::Duration;

/// A link's buffer: bursts of [`Crew`] are more.
const LINK_BYTES_MAX: usize = 16 << 10;

/// Clients do not rest, so even the quietest moment may have this many requests more than another.
const IN_FLIGHT: usize = 2;

/// A world, the nodes in it, and what their clients saw.
pub struct Run {
    pub world: World,
    pub lattice: Arc<Nodes>,
    pub traffic: Traffic,
    pub crew: Crew,
}

impl Run {
    fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut world = scenario.world(seed, 0);
        super::log::follow(world.host(0));
        let nodes = scenario.topology.nodes;
        let lattice = Nodes::new(&world, nodes, &scenario.edges());
        let lattice = Arc::new(lattice.tuned(Box::new(|_, config| config.mesh.link_buffer_max = LINK_BYTES_MAX)));
        let traffic =
            Traffic { scenario: Arc::new(scenario.clone()), checker: Checker::new(), record: Record::default() };
        let crew = Crew::new(&traffic.scenario);
        let process = {
            let (lattice, traffic, crew) = (Arc::clone(&lattice), traffic.clone(), crew.clone());
            move |host: Host| {
                lattice.start(host.clone());
                traffic.start(&host);
                crew.start(&host);
            }
        };
        world.install(0..nodes, Arc::new(process));
        Self { world, lattice, traffic, crew }
    }
}

/// What is broken when `scenario` is played; nothing when all is well.
pub fn play(scenario: &Scenario, seed: u64) -> Vec<String> {
    let first = scenario.faults.iter().map(|fault| fault.at_ms).min().unwrap();
    let calm = Scenario { faults: Vec::new(), duration_ms: first, ..scenario.clone() };
    let mut before = Run::new(&calm, seed);
    calm.play(&mut before.world, &before.traffic.checker);
    let baseline = least_usage(&mut before.world);
    drop(before);

    let mut run = Run::new(scenario, seed);
    let verdict = scenario.play(&mut run.world, &run.traffic.checker);
    let mut broken: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
    broken.extend(run.traffic.record.violations(scenario));
    broken.extend(run.crew.violations());
    broken.extend(checks::buffers(&run));
    broken.extend(checks::loops(&run));
    broken.extend(checks::interest(&mut run));
    let usage = least_usage(&mut run.world);
    let grown = |(now, before): (usize, usize)| now > before + IN_FLIGHT;
    let pairs = [(usage.0, baseline.0), (usage.1, baseline.1), (usage.2, baseline.2), (usage.3, baseline.3)];
    if pairs.into_iter().any(grown) {
        broken.push(format!("leak: (tasks, timers, sockets, streams) were {baseline:?} before and are {usage:?}"));
    }
    broken
}

/// Tasks, timers, sockets and ends of streams at the quietest of many moments: requests come and go.
fn least_usage(world: &mut World) -> (usize, usize, usize, usize) {
    let mut least = (usize::MAX, usize::MAX, usize::MAX, usize::MAX);
    for _ in 0..1_000 {
        world.run_for(Duration::from_millis(6));
        let usage = world.usage();
        least = (
            least.0.min(usage.tasks),
            least.1.min(usage.timers),
            least.2.min(usage.sockets),
            least.3.min(usage.streams),
        );
    }
    least
}
