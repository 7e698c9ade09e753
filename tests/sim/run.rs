//! One seed from the first boot to the verdict.

use super::record::{Counts, Record};
use super::traffic::Traffic;
use lattice::sim::Nodes;
use lattice_netsim::{Checker, Host, Process as _, Scenario, Verdict};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    /// Violations of what the checker does not know.
    pub violations: Vec<String>,
    pub counts: Counts,
    pub published: u64,
    pub delivered: u64,
    /// Deliveries that the fault cost: messages that arrived nowhere they should have.
    pub lost: u64,
    pub cpu: Duration,
    pub scenario: Scenario,
}

/// Plays `scenario` with whole nodes, and clients on each.
pub fn run(scenario: &Scenario, seed: u64) -> Outcome {
    let begun = cpu_time();
    let mut world = scenario.world(seed, 0);
    super::log::follow(world.host(0));
    let nodes = scenario.topology.nodes;
    let lattice = Arc::new(Nodes::new(&world, nodes, &scenario.edges()));
    let traffic = Traffic { scenario: Arc::new(scenario.clone()), checker: Checker::new(), record: Record::default() };
    let process = {
        let (lattice, traffic) = (Arc::clone(&lattice), traffic.clone());
        move |host: Host| {
            lattice.start(host.clone());
            traffic.start(&host);
        }
    };
    world.install(0..nodes, Arc::new(process));
    let verdict = scenario.play(&mut world, &traffic.checker);
    Outcome {
        verdict,
        violations: traffic.record.violations(scenario),
        counts: traffic.record.counts(),
        published: traffic.checker.published(),
        delivered: traffic.checker.delivered(),
        lost: traffic.checker.gaps(),
        cpu: cpu_time().saturating_sub(begun),
        scenario: scenario.clone(),
    }
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.verdict.passed() && self.violations.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, scenario, .. } = self;
        writeln!(f, "{:?}, {:?}", scenario.topology, scenario.link)?;
        for fault in &scenario.faults {
            writeln!(f, "  from {} ms for {} ms: {:?}", fault.at_ms, fault.for_ms, fault.what)?;
        }
        for bite in verdict.vacuous() {
            writeln!(f, "  never made a difference: {}", bite.what)?;
        }
        for violation in verdict.violations.iter().take(8) {
            writeln!(f, "  {violation}")?;
        }
        for violation in self.violations.iter().take(8) {
            writeln!(f, "  {violation}")?;
        }
        let more = (verdict.violations_total + self.violations.len() as u64).saturating_sub(16);
        if more > 0 {
            writeln!(f, "  … and up to {more} more")?;
        }
        let counts = self.counts;
        write!(
            f,
            "  {} published, {} delivered, {} lost, {counts:?}, resumed after {:?}, {:?} of CPU, trace {}",
            self.published, self.delivered, self.lost, verdict.resume, self.cpu, verdict.trace_hash
        )
    }
}

/// What this thread has used; nothing where the system does not tell.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
